//! The database in use, exchanged as a whole.

use crate::database::GeoDatabase;
use crate::error::GeoError;
use arc_swap::ArcSwapOption;
use proto_model::Country;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A lookup sees one database or the other, never a mixture, and never waits for a reload.
#[derive(Debug, Default)]
pub struct Geo {
    path: Option<PathBuf>,
    current: ArcSwapOption<GeoDatabase>,
}

impl Geo {
    /// Every country is unknown.
    pub fn empty() -> Self {
        Self::default()
    }

    pub fn load(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        let database = GeoDatabase::open(&path)?;
        Ok(Self { path: Some(path.as_ref().into()), current: ArcSwapOption::from_pointee(database) })
    }

    /// For a node that must start whatever the state of the file: [`Geo::load`], or empty with the
    /// reason. A later [`Geo::reload`] tries the same path again.
    pub fn load_or_empty(path: impl AsRef<Path>) -> (Self, Option<GeoError>) {
        match Self::load(&path) {
            Ok(geo) => (geo, None),
            Err(error) => {
                let geo = Self { path: Some(path.as_ref().into()), current: ArcSwapOption::empty() };
                (geo, Some(error))
            }
        }
    }

    /// Reads the file again, checks all of it, and only then puts it to use: after an error the database
    /// in use stays. Takes long on large files; call it off the threads that serve hits.
    pub fn reload(&self) -> Result<(), GeoError> {
        let Some(path) = &self.path else { return Ok(()) };
        let database = GeoDatabase::open_verified(path)?;
        self.current.store(Some(Arc::new(database)));
        Ok(())
    }

    pub fn lookup(&self, address: IpAddr) -> Country {
        self.current.load().as_ref().map_or(Country::UNKNOWN, |database| database.lookup(address))
    }

    /// Build time of the database in use, in Unix seconds; 0 = none.
    pub fn version(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |database| database.build_epoch())
    }
}

#[cfg(test)]
mod tests;
