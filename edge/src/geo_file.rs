//! Follows a geo database on disk: operators replace the file, nobody restarts a node for it.

use crate::with_causes;
use geoip::Geo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const EVERY: Duration = Duration::from_secs(30);

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: SystemTime,
    len: u64,
}

/// `None` when there is no such file, or none that may be looked at.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: found.modified().ok()?, len: found.len() })
}

pub(crate) struct GeoFile {
    path: PathBuf,
    seen: Option<Stamp>,
    geo: Arc<Geo>,
}

impl GeoFile {
    /// `seen` is the stamp of what `geo` was loaded from.
    pub fn new(path: PathBuf, seen: Option<Stamp>, geo: Arc<Geo>) -> Self {
        Self { path, seen, geo }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            // Reading and checking a large file takes a while.
            let checked = tokio::task::spawn_blocking(move || {
                self.check();
                self
            });
            match checked.await {
                Ok(this) => self = this,
                Err(error) => {
                    tracing::error!(%error, "the country database is not followed any more");
                    return;
                }
            }
        }
    }

    /// Once for each state of the file: a broken one is not complained about every time. A file that is
    /// gone is no news; one that is half written changes again.
    fn changed(&mut self) -> bool {
        let now = stamp(&self.path);
        let changed = now.is_some() && now != self.seen;
        if changed {
            self.seen = now;
        }
        changed
    }

    fn check(&mut self) {
        if !self.changed() {
            return;
        }
        let path = self.path.display();
        match self.geo.reload_file(&self.path) {
            Ok(()) => tracing::info!(%path, built = self.geo.version(), "the country database was exchanged"),
            Err(error) => tracing::error!(
                %path, error = with_causes(&error),
                "the new country database cannot be used; going on with the last one"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use geoip::testing::write_mmdb;
    use proto_model::Country;
    use std::fs::File;

    /// Writes the file with a time of its own: two writes may fall into one tick of the clock.
    fn put(path: &Path, country: Option<&str>, at_secs: u64) {
        match country {
            Some(country) => write_mmdb(path, &[("203.0.113.0/24", country)]).unwrap(),
            None => std::fs::write(path, b"half a database").unwrap(),
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at_secs);
        File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn each_of_two_databases_is_followed_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (places, asns) = (path("places.mmdb"), path("asn.mmdb"));
        put(&places, Some("CN"), 1000);
        let files = geoip::Files { places: Some(places.clone()), asns: Some(asns.clone()) };
        let geo = Arc::new(Geo::open(files).0);
        let mut file = GeoFile::new(asns.clone(), stamp(&asns), Arc::clone(&geo));
        let look = |geo: &Geo| {
            let place = geo.place("203.0.113.7".parse().unwrap());
            (place.country, place.asn)
        };
        assert_eq!(look(&geo), (Country::parse("CN"), None));
        let records = [("203.0.113.0/24", geoip::testing::asn(64_496, "Example"))];
        geoip::testing::write_records(&asns, geoip::testing::Layout::default(), &records).unwrap();
        put(&places, None, 1001);
        file.check();
        assert_eq!(look(&geo), (Country::parse("CN"), Some(64_496)), "the broken one is not looked at");
    }

    #[test]
    fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("countries.mmdb");
        let geo = Arc::new(Geo::load_or_empty(&path).0);
        let mut file = GeoFile::new(path.clone(), stamp(&path), Arc::clone(&geo));
        let mut country = |write: &dyn Fn()| {
            write();
            file.check();
            assert!(!file.changed(), "each state once");
            geo.lookup("203.0.113.7".parse().unwrap())
        };
        assert_eq!(country(&|| {}), Country::UNKNOWN, "no file yet");
        assert_eq!(country(&|| put(&path, Some("CN"), 1000)), Country::parse("CN"));
        assert_eq!(country(&|| {}), Country::parse("CN"));
        assert_eq!(country(&|| put(&path, Some("US"), 1001)), Country::parse("US"), "same size, newer");
        assert_eq!(country(&|| put(&path, None, 1001)), Country::parse("US"), "the last good one stays");
        assert_eq!(country(&|| std::fs::remove_file(&path).unwrap()), Country::parse("US"));
        assert_eq!(
            country(&|| put(&path, Some("CN"), 900)),
            Country::parse("CN"),
            "an older file is a change too"
        );
    }
}
