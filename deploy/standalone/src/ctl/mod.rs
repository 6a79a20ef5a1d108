//! `tributary ctl`: what an operator does beside a running system.

mod alerts;
mod api;
mod backup;
mod by_tools;
pub(crate) mod files;
mod manifest;
mod place;
mod restore;
mod tail;

pub use place::is_a_control_planes;
pub(crate) use place::{Layout, Place};

use crate::database::UrlParser;
use crate::error::{BoxError, Failure};
use control_plane_server::DatabaseUrl;
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Ctl {
    /// Copy what a control plane cannot be rebuilt without; it goes on working meanwhile.
    Backup(BackupOptions),
    /// Put a backup in place, and make sure that nothing given out since then is given out again.
    Restore(RestoreOptions),
    /// Show what must be looked at in the fleet, and say that you have.
    Alerts(alerts::Options),
    /// Show hits as they come in, each with the reason for its fate, until Ctrl-C.
    Tail(tail::Options),
}

#[derive(clap::Args)]
pub struct BackupOptions {
    /// The control plane's data directory, or that of `up`.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// `sqlite://FILE` or `postgres://USER@HOST/DATABASE`, where the control plane was given one.
    #[arg(long, env = "TRIBUTARY_DATABASE", hide_env_values = true, value_name = "URL", value_parser = UrlParser)]
    database: Option<DatabaseUrl>,
    /// The directory to make; it must not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How to say what was done.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(clap::Args)]
pub struct RestoreOptions {
    /// A directory that `backup` has made. Without one, the database is in place already: put there by the tools of
    /// its server, or by hand.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The control plane's data directory, or that of `up`.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// `sqlite://FILE` or `postgres://USER@HOST/DATABASE`, where the control plane is given one.
    #[arg(long, env = "TRIBUTARY_DATABASE", hide_env_values = true, value_name = "URL", value_parser = UrlParser)]
    database: Option<DatabaseUrl>,
    /// Move what is there aside, under a name with the time; nothing is deleted.
    #[arg(long)]
    replace: bool,
    /// How to say what was done.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Table,
    Json,
}

/// Why a command did nothing, for scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Something is in use, or in the way. Exit code 3.
    InTheWay,
    /// The backup is not what its manifest says. Exit code 4.
    Damaged,
}

/// Nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct Refused {
    why: Why,
    #[source]
    failure: Failure,
}

impl Refused {
    fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, failure: Failure::new(message) }
    }

    fn because(why: Why, message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { why, failure: Failure::because(message, source) }
    }
}

/// 1 = failed, 3 = something is in use or in the way, 4 = the backup is damaged.
pub fn exit_code(error: &(dyn std::error::Error + Send + Sync + 'static)) -> u8 {
    match error.downcast_ref::<Refused>().map(|refused| refused.why) {
        Some(Why::InTheWay) => 3,
        Some(Why::Damaged) => 4,
        None => 1,
    }
}

pub async fn run(command: Ctl) -> Result<(), BoxError> {
    match command {
        Ctl::Backup(options) => backup::run(options).await,
        Ctl::Restore(options) => restore::run(options).await,
        Ctl::Alerts(options) => alerts::run(options).await,
        Ctl::Tail(options) => tail::run(options).await,
    }
}

/// One JSON object on one line, or `name  value` lines.
pub(crate) fn print(format: Format, answer: &impl serde::Serialize) -> Result<(), BoxError> {
    use std::io::Write as _;
    let answer = serde_json::to_value(answer)?;
    let mut out = std::io::stdout().lock();
    match (format, answer.as_object()) {
        (Format::Table, Some(fields)) => {
            for (name, value) in fields {
                for line in lines(value) {
                    writeln!(out, "{name:<14}{line}")?;
                }
            }
        }
        _ => writeln!(out, "{answer}")?,
    }
    Ok(out.flush()?)
}

fn lines(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Null => Vec::new(),
        serde_json::Value::Array(items) => items.iter().flat_map(lines).collect(),
        serde_json::Value::Object(fields) => {
            let parts = fields.values().flat_map(lines).collect::<Vec<_>>();
            vec![parts.join("  ")]
        }
        serde_json::Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
