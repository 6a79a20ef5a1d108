//! `tributary geo import`.

use super::put::{Origin, put};
use super::unpack::{self, Wanted};
use super::{Common, files_in};
use crate::ctl::{self, files};
use crate::error::{BoxError, Failure};
use geoip::{GeoDatabase, Publisher, install};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

#[derive(clap::Args)]
pub struct Options {
    /// .mmdb or .csv, as it is or in .gz or .tar.gz.
    #[arg(value_name = "FILE", required_unless_present = "previous")]
    file: Option<PathBuf>,
    /// Whose it is, where the file does not say so: their licence and attribution are kept beside it.
    #[arg(long, value_enum, value_name = "NAME")]
    publisher: Option<Whose>,
    /// Bring back the database that was in use before, and keep the one in use in its place.
    #[arg(long, conflicts_with_all = ["file", "publisher"])]
    previous: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Dbip,
    Maxmind,
    Ipinfo,
}

impl Whose {
    fn publisher(self) -> Publisher {
        match self {
            Self::Dbip => Publisher::DbIp,
            Self::Maxmind => Publisher::MaxMind,
            Self::Ipinfo => Publisher::IpInfo,
        }
    }
}

pub fn run(options: Options) -> Result<(), BoxError> {
    let Some(file) = options.file else { return undo(&options.common) };
    let directory = options.common.target.make_directory()?;
    // A table says nothing of when it was made; its file does.
    let built = modified(&file).map_err(files::failed("read", &file))?;
    let candidate = unpack::database(&file, &directory, Wanted::Only, options.common.max_bytes(), built)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    put(
        candidate,
        &options.common,
        Origin { source: name, publisher: options.publisher.map(Whose::publisher) },
    )
}

fn modified(file: &Path) -> std::io::Result<u64> {
    let modified = std::fs::metadata(file)?.modified()?;
    Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[derive(Serialize)]
struct Undone {
    file: String,
    database_type: String,
    built: String,
}

fn undo(common: &Common) -> Result<(), BoxError> {
    let target = &common.target;
    let to = target.to.clone().or_else(|| files_in(&target.data_dir).places).ok_or_else(|| {
        Failure::new(format!("there is no database in {}; name one with --to", target.directory().display()))
    })?;
    let previous = install::previous_of(&to);
    if !previous.is_file() {
        return Err(Failure::new(format!("there is no {}", previous.display())).into());
    }
    let database = GeoDatabase::open_verified(&previous)?;
    install::undo(&to).map_err(files::failed("exchange", &to))?;
    ctl::print(
        common.output,
        &Undone {
            file: to.display().to_string(),
            database_type: database.database_type().to_owned(),
            built: super::put::moment(database.build_epoch()),
        },
    )
}
