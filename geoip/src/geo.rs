//! The databases in use, each exchanged as a whole.

use crate::about::Attribution;
use crate::database::GeoDatabase;
use crate::error::GeoError;
use crate::place::Place;
use arc_swap::ArcSwapOption;
use proto_model::Country;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which files to use. Each may be missing.
#[derive(Clone, Default, Debug)]
pub struct Files {
    /// A country or city database.
    pub places: Option<PathBuf>,
    /// For autonomous systems, where the first one does not have them.
    pub asns: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Places,
    Asns,
}

#[derive(Debug)]
struct Source {
    role: Role,
    path: PathBuf,
    current: ArcSwapOption<GeoDatabase>,
}

impl Source {
    fn new(role: Role, path: PathBuf) -> Self {
        Self { role, path, current: ArcSwapOption::empty() }
    }

    /// Puts a database to use that has what is wanted of it, or keeps the one in use.
    fn take(&self, database: GeoDatabase) -> Result<(), GeoError> {
        let (path, database_type) = (self.path.clone(), database.database_type().to_owned());
        let facts = database.facts();
        match self.role {
            // An empty database counts: it says nothing wrong.
            _ if facts.is_empty() && database.is_empty() => {}
            Role::Places if !facts.country => return Err(GeoError::NoCountries { path, database_type }),
            Role::Asns if !facts.asn => return Err(GeoError::NoSystems { path, database_type }),
            _ => {}
        }
        self.current.store(Some(Arc::new(database)));
        Ok(())
    }

    fn load(&self) -> Result<(), GeoError> {
        self.take(GeoDatabase::open(&self.path)?)
    }

    fn reload(&self) -> Result<(), GeoError> {
        self.take(GeoDatabase::open_verified(&self.path)?)
    }
}

/// A lookup sees one state of a database or the next, never a mixture, and never waits for a reload.
#[derive(Debug, Default)]
pub struct Geo {
    places: Option<Source>,
    asns: Option<Source>,
}

impl Geo {
    /// Every address is unknown.
    pub fn empty() -> Self {
        Self::default()
    }

    /// One country or city database.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        match Self::load_or_empty(path) {
            (geo, None) => Ok(geo),
            (_, Some(error)) => Err(error),
        }
    }

    /// For a node that must start whatever the state of the file: [`Geo::load`], or empty with the
    /// reason. A later [`Geo::reload`] tries the same path again.
    pub fn load_or_empty(path: impl AsRef<Path>) -> (Self, Option<GeoError>) {
        let (geo, errors) = Self::open(Files { places: Some(path.as_ref().into()), asns: None });
        (geo, errors.into_iter().next())
    }

    /// Whatever of the files can be used, and why the others cannot. [`Geo::reload`] tries all of them again.
    pub fn open(files: Files) -> (Self, Vec<GeoError>) {
        let source = |role, path: Option<PathBuf>| path.map(|path| Source::new(role, path));
        let geo = Self { places: source(Role::Places, files.places), asns: source(Role::Asns, files.asns) };
        let errors = geo.sources().filter_map(|source| source.load().err()).collect();
        (geo, errors)
    }

    /// Reads the files again, checks all of each, and only then puts it to use: after an error the database
    /// in use stays. Takes long on large files; call it off the threads that serve hits.
    pub fn reload(&self) -> Result<(), GeoError> {
        let results: Vec<_> = self.sources().map(Source::reload).collect();
        results.into_iter().collect()
    }

    /// [`Geo::reload`] for one of the files.
    pub fn reload_file(&self, path: &Path) -> Result<(), GeoError> {
        self.sources().filter(|source| source.path == path).try_for_each(Source::reload)
    }

    pub fn lookup(&self, address: IpAddr) -> Country {
        let Some(source) = &self.places else { return Country::UNKNOWN };
        source.current.load().as_ref().map_or(Country::UNKNOWN, |database| database.lookup(address))
    }

    /// Everything that is known of an address. The system comes from the database for it, else from the other one.
    pub fn place(&self, address: IpAddr) -> Place {
        let ask = |source: &Option<Source>| {
            let database = source.as_ref()?.current.load();
            database.as_ref().map(|database| database.place(address))
        };
        let mut place = ask(&self.places).unwrap_or_default();
        if let Some(asn) = ask(&self.asns).and_then(|place| place.asn) {
            place.asn = Some(asn);
        }
        place
    }

    /// Build time of the country or city database in use, in Unix seconds; 0 = none.
    pub fn version(&self) -> u64 {
        let Some(source) = &self.places else { return 0 };
        source.current.load().as_ref().map_or(0, |database| database.build_epoch())
    }

    /// What the publishers of the databases in use want to be said where results are shown, each once.
    pub fn attributions(&self) -> Vec<Attribution> {
        let mut found = Vec::new();
        for source in self.sources() {
            let attribution = source.current.load().as_ref().and_then(|database| database.attribution());
            found.extend(attribution.filter(|attribution| !found.contains(attribution)));
        }
        found
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.places.iter().chain(&self.asns)
    }
}

#[cfg(test)]
mod tests;
