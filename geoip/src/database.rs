//! One database file, held in memory.

use crate::about::{About, Attribution, Publisher};
use crate::cache::{PlaceCache, slot_of};
use crate::error::GeoError;
use crate::place::{self, Facts, Place};
use maxminddb::{LookupResult, Reader};
use proto_model::Country;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Records looked at when a database is opened; whatever it has shows among them.
const PROBED_RECORDS: usize = 1_000;

/// A country database has a few hundred distinct records, so that nearly every lookup is a hit.
const CACHE_SLOTS: usize = 4_096;

pub struct GeoDatabase {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
    facts: Facts,
    about: Option<About>,
    /// Decoded countries by record offset, each slot `offset << 16 | code` in one word, so that it is
    /// read and written whole without a lock. 0 = empty: the code is never 0.
    countries: Box<[AtomicU64]>,
    places: PlaceCache,
}

impl GeoDatabase {
    /// Reads the whole file. Checks its structure, not every record: that takes long on large files, see
    /// [`GeoDatabase::open_verified`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| GeoError::Read { path: path.into(), source })?;
        let about = About::beside(path).filter(|about| about.is_of(&bytes));
        let corrupt = |source| GeoError::Corrupt { path: path.into(), source };
        let reader = Reader::from_source(bytes).map_err(corrupt)?;
        let mut facts = Facts::default();
        for record in reader.networks(Default::default()).map_err(corrupt)?.take(PROBED_RECORDS) {
            facts.add(&place::decode(&record.map_err(corrupt)?).unwrap_or_default());
        }
        Ok(Self {
            path: path.into(),
            reader,
            facts,
            about,
            countries: (0..CACHE_SLOTS).map(|_| AtomicU64::new(0)).collect(),
            places: PlaceCache::default(),
        })
    }

    /// [`GeoDatabase::open`], and then follows every branch and record to its end.
    pub fn open_verified(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        let mut database = Self::open(path)?;
        database.facts = database.survey()?.facts;
        Ok(database)
    }

    /// The hot path: allocates nothing.
    pub fn lookup(&self, address: IpAddr) -> Country {
        let Some((offset, record)) = self.find(address) else { return Country::UNKNOWN };
        let tag = offset << 16;
        let slot = self.countries.get(slot_of(offset, CACHE_SLOTS));
        let cached = slot.map_or(0, |slot| slot.load(Ordering::Relaxed));
        if cached != 0 && cached & !0xffff == tag {
            let [.., first, second] = cached.to_be_bytes();
            return country([first, second]);
        }
        let country = place::country(&record);
        if let Some(slot) = slot {
            slot.store(tag | u64::from(u16::from_be_bytes(country.bytes())), Ordering::Relaxed);
        }
        country
    }

    /// Everything that the database has. Allocates nothing for a record that was asked for lately.
    pub fn place(&self, address: IpAddr) -> Place {
        let Some((offset, record)) = self.find(address) else { return Place::UNKNOWN };
        if let Some(place) = self.places.get(offset) {
            return place;
        }
        let place = place::decode(&record).unwrap_or_default();
        self.places.put(offset, &place);
        place
    }

    fn find(&self, address: IpAddr) -> Option<(u64, LookupResult<'_, Vec<u8>>)> {
        // An IPv6 socket shows IPv4 peers as ::ffff:a.b.c.d, which databases do not list.
        let record = self.reader.lookup(address.to_canonical()).ok()?;
        let offset = u64::try_from(record.offset()?).ok()?;
        Some((offset, record))
    }

    /// When the database was built, in Unix seconds: recorded with each hit as its geo version.
    pub fn build_epoch(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its publisher calls it.
    pub fn database_type(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// 4 or 6.
    pub fn ip_version(&self) -> u16 {
        self.reader.metadata().ip_version
    }

    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// It has no record at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.reader.networks(Default::default()).is_ok_and(|mut networks| networks.next().is_none())
    }

    /// Where the file came from, when `tributary geo` has put it there.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// What its publisher wants to be said where results are shown.
    pub fn attribution(&self) -> Option<Attribution> {
        match &self.about {
            Some(about) => about.attribution.clone(),
            None => Publisher::of_type(self.database_type()).map(Publisher::attribution),
        }
    }

    pub(crate) fn reader(&self) -> &Reader<Vec<u8>> {
        &self.reader
    }

    pub(crate) fn corrupt(&self, source: maxminddb::MaxMindDbError) -> GeoError {
        GeoError::Corrupt { path: self.path.clone(), source }
    }
}

impl std::fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoDatabase").field("path", &self.path).field("facts", &self.facts).finish()
    }
}

fn country(code: [u8; 2]) -> Country {
    std::str::from_utf8(&code).map_or(Country::UNKNOWN, Country::parse)
}
