//! One database file, held in memory.

use crate::error::GeoError;
use maxminddb::{LookupResult, PathElement, Reader};
use proto_model::Country;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// MaxMind, DB-IP and their like.
const NESTED_CODE: &[PathElement<'_>] = &[PathElement::Key("country"), PathElement::Key("iso_code")];
/// IPinfo and the databases built from registry data.
const FLAT_CODE: &[PathElement<'_>] = &[PathElement::Key("country_code")];

/// Records looked at when a database is opened; any country database shows one among them.
const PROBED_RECORDS: usize = 1_000;

/// A country database has a few hundred distinct records, so that nearly every lookup is a hit.
const CACHE_SLOTS: usize = 4_096;

pub struct GeoDatabase {
    reader: Reader<Vec<u8>>,
    /// Decoded countries by record offset, each slot `offset << 16 | code` in one word, so that it is
    /// read and written whole without a lock. 0 = empty: the code is never 0.
    cache: Box<[AtomicU64]>,
}

impl GeoDatabase {
    /// Reads the whole file. Checks its structure and that it holds countries, not every record: that
    /// takes long on large files, see [`GeoDatabase::open_verified`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| GeoError::Read { path: path.into(), source })?;
        let corrupt = |source| GeoError::Corrupt { path: path.into(), source };
        let reader = Reader::from_source(bytes).map_err(corrupt)?;
        if !has_countries(&reader).map_err(corrupt)? {
            let database_type = reader.metadata().database_type.clone();
            return Err(GeoError::NoCountries { path: path.into(), database_type });
        }
        let cache = (0..CACHE_SLOTS).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { reader, cache })
    }

    /// [`GeoDatabase::open`], and then follows every branch and record to its end.
    pub fn open_verified(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        let path = path.as_ref();
        let database = Self::open(path)?;
        let sound = database.reader.verify();
        sound.map_err(|source| GeoError::Corrupt { path: path.into(), source })?;
        Ok(database)
    }

    pub fn lookup(&self, address: IpAddr) -> Country {
        // An IPv6 socket shows IPv4 peers as ::ffff:a.b.c.d, which databases do not list.
        let Ok(record) = self.reader.lookup(address.to_canonical()) else { return Country::UNKNOWN };
        let Some(offset) = record.offset().and_then(|offset| u64::try_from(offset).ok()) else {
            return Country::UNKNOWN;
        };
        let tag = offset << 16;
        let slot = self.cache.get(slot_of(offset));
        let cached = slot.map_or(0, |slot| slot.load(Ordering::Relaxed));
        if cached != 0 && cached & !0xffff == tag {
            let [.., first, second] = cached.to_be_bytes();
            return country([first, second]);
        }
        let country = decode(&record);
        if let Some(slot) = slot {
            slot.store(tag | u64::from(u16::from_be_bytes(country.bytes())), Ordering::Relaxed);
        }
        country
    }

    /// When the database was built, in Unix seconds: recorded with each hit as its geo version.
    pub fn build_epoch(&self) -> u64 {
        self.reader.metadata().build_epoch
    }
}

impl std::fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reader.fmt(f)
    }
}

fn slot_of(offset: u64) -> usize {
    // Records lie at least a few bytes apart; a multiplicative hash spreads them.
    let hash = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    usize::try_from(hash).unwrap_or(0) % CACHE_SLOTS
}

fn country(code: [u8; 2]) -> Country {
    std::str::from_utf8(&code).map_or(Country::UNKNOWN, Country::parse)
}

fn decode(record: &LookupResult<'_, Vec<u8>>) -> Country {
    let code = |path| record.decode_path::<&str>(path).ok().flatten();
    code(NESTED_CODE).or_else(|| code(FLAT_CODE)).map_or(Country::UNKNOWN, Country::parse)
}

/// An empty database counts: it says nothing wrong.
fn has_countries(reader: &Reader<Vec<u8>>) -> Result<bool, maxminddb::MaxMindDbError> {
    let mut empty = true;
    for record in reader.networks(Default::default())?.take(PROBED_RECORDS) {
        empty = false;
        if decode(&record?) != Country::UNKNOWN {
            return Ok(true);
        }
    }
    Ok(empty)
}
