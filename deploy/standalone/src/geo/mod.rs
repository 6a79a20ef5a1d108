//! `tributary geo`: gets the databases that tell where an address is, checks them, and puts them in place while edges
//! serve. None is shipped.

mod download;
mod fetch;
mod import;
mod put;
mod registry;
mod source;
mod status;
mod unpack;

use crate::ctl::Format;
use crate::error::{BoxError, Failure};
use control_plane_server::GeoCredit;
use geoip::check::{Canary, Terms};
use geoip::{Files, GeoDatabase};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Geo {
    /// Fetch a database, check it, and put it in the place of the one in use; edges take it over within 30 seconds.
    Fetch(Box<fetch::Options>),
    /// The same with a file that is here already: a MaxMind DB file, or a table of ranges (CSV).
    Import(import::Options),
    /// Say which databases are there, how old they are, what their publishers want to be said, and where addresses
    /// are. Exit code 0 = all well, 1 = there is none, or it is damaged, 2 = one is old.
    Status(status::Options),
}

/// Where a database is put.
#[derive(clap::Args)]
struct Target {
    /// Of `up` or of `edge run`, which use what is in its `geo/` without being told.
    #[arg(long, default_value = "tributary-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Another file than `geo/places.mmdb`, or `geo/asn.mmdb`, in the data directory.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// What a database must pass before it is put in place.
#[derive(clap::Args)]
struct Checks {
    /// Refuse a database that was built longer ago.
    #[arg(long, default_value_t = 400, value_name = "DAYS")]
    max_age: u64,
    /// An address and the country or system that the database must say of it, such as 8.8.8.8=US or
    /// 8.8.8.8=AS15169; may be repeated.
    #[arg(long, value_name = "ADDRESS=COUNTRY")]
    canary: Vec<Canary>,
    /// Ask for the addresses given with --canary alone, not also for some well-known ones.
    #[arg(long)]
    no_default_canaries: bool,
}

/// What every command that puts a database in place has.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    checks: Checks,
    /// Refuse a file that is larger, or that unpacks to more.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    max_size: u64,
    /// How to say what was done.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Common {
    fn max_bytes(&self) -> u64 {
        self.max_size.saturating_mul(1 << 20)
    }
}

impl Checks {
    fn terms(&self) -> Terms {
        Terms {
            max_age_days: self.max_age,
            canaries: self.canary.clone(),
            built_in_canaries: !self.no_default_canaries,
        }
    }
}

const PLACES: &str = "places.mmdb";
const SYSTEMS: &str = "asn.mmdb";

impl Target {
    /// Where files are made before they are put in place: on the same file system.
    fn directory(&self) -> PathBuf {
        match &self.to {
            Some(to) => {
                to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
            }
            None => self.data_dir.join("geo"),
        }
    }

    fn make_directory(&self) -> Result<PathBuf, BoxError> {
        let directory = self.directory();
        let made = std::fs::create_dir_all(&directory);
        made.map_err(|error| Failure::because(format!("cannot make {}", directory.display()), error))?;
        Ok(directory)
    }

    fn file(&self, facts: geoip::Facts) -> PathBuf {
        let name = if facts.country { PLACES } else { SYSTEMS };
        self.to.clone().unwrap_or_else(|| self.directory().join(name))
    }
}

/// What `tributary geo` has put into a data directory.
pub fn files_in(data_dir: &Path) -> Files {
    let Files { places, asns } = places_in(data_dir);
    Files { places: places.filter(|path| path.is_file()), asns: asns.filter(|path| path.is_file()) }
}

/// Where it puts them, whether or not they are there: an edge takes them over as soon as they are.
pub fn places_in(data_dir: &Path) -> Files {
    let dir = data_dir.join("geo");
    Files { places: Some(dir.join(PLACES)), asns: Some(dir.join(SYSTEMS)) }
}

/// What the publisher of a database wants to be said on pages that show its results.
pub fn credits(database: Option<&Path>) -> Vec<GeoCredit> {
    let attribution = database.and_then(|path| GeoDatabase::open(path).ok()?.attribution());
    // A link leads to a web page, whatever stands in the file.
    let attribution = attribution.filter(|credit| credit.url.starts_with("https://"));
    attribution.map(|credit| GeoCredit { text: credit.text, url: credit.url }).into_iter().collect()
}

/// Why nothing was changed, for scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// The database did not pass a check. Exit code 3.
    Unfit,
    /// What was downloaded is not what was promised, or no database. Exit code 4.
    Damaged,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct Refused {
    why: Why,
    #[source]
    failure: Failure,
}

impl Refused {
    fn unfit(message: impl Into<String>) -> Self {
        Self { why: Why::Unfit, failure: Failure::new(message) }
    }

    fn damaged(message: impl Into<String>) -> Self {
        Self { why: Why::Damaged, failure: Failure::new(message) }
    }

    fn damaged_because(message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { why: Why::Damaged, failure: Failure::because(message, source) }
    }
}

/// 3 = a check refused the database, 4 = the file is damaged; `None` = not for this module to say.
pub fn exit_code(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<u8> {
    error.downcast_ref::<Refused>().map(|refused| match refused.why {
        Why::Unfit => 3,
        Why::Damaged => 4,
    })
}

pub async fn run(command: Geo) -> Result<ExitCode, BoxError> {
    match command {
        Geo::Fetch(options) => fetch::run(*options).await.map(|()| ExitCode::SUCCESS),
        Geo::Import(options) => import::run(options).map(|()| ExitCode::SUCCESS),
        Geo::Status(options) => status::run(options),
    }
}
