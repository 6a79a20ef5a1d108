//! `tributary doctor`: what is wrong with an installation, and how to put it right. It changes nothing, and works
//! beside a running control plane as well as without one.

mod books;
mod database;
mod geo;
mod keys;
mod machine;
mod plane;
mod queues;
mod report;
mod server;

use crate::ctl::{Layout, Place};
use crate::database::UrlParser;
use crate::error::BoxError;
use control_plane_server::{Config, DatabaseUrl};
use control_plane_store::Store;
use report::{Format, Report};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Options {
    /// Of `control-plane run`, or of `up`.
    #[arg(long, default_value = "tributary-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// As the control plane is given it; without one, the file in the data directory.
    #[arg(
        long,
        env = "TRIBUTARY_DATABASE",
        hide_env_values = true,
        value_name = "URL",
        value_parser = UrlParser
    )]
    database: Option<DatabaseUrl>,
    /// Also verify the signature of every batch in the journal; that reads all of it.
    #[arg(long)]
    thorough: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// In the order in which they are told.
const CHECKS: [&str; 31] = [
    "disk.kind",
    "disk.space",
    "disk.sync",
    "clock.ntp",
    "keys",
    "geo",
    "database",
    "database.version",
    "database.encoding",
    "database.role",
    "database.tables",
    "database.walls",
    "database.writes",
    "database.tls",
    "database.settings",
    "database.connections",
    "database.file",
    "database.integrity",
    "schema",
    "clock.database",
    "keys.owner",
    "nodes",
    "leases",
    "projector",
    "money",
    "streams",
    "alerts",
    "edges",
    "payouts",
    "ledger",
    "statements",
];
const JOURNAL: [&str; 2] = ["journal", "journal.signatures"];

/// Everything that a check may need.
struct Context {
    config: Config,
    url: DatabaseUrl,
    thorough: bool,
}

pub async fn run(options: Options) -> Result<ExitCode, BoxError> {
    let data_dir = Place::of(&options.data_dir, Layout::ControlPlane).control_plane();
    let config = Config { data_dir, database: options.database, ..Config::default() };
    let url = config.database_url();
    let context = Context { config, url, thorough: options.thorough };

    let mut report = Report::default();
    machine::check(&context.config.data_dir, &mut report);
    keys::check(&context.config.keys_dir(), &mut report);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    geo::check(&options.data_dir, now, &mut report);
    match database::open(&context, &mut report).await {
        Some(store) => look(&context, &store, &mut report).await,
        None => report.skip_the_rest(&CHECKS, "the database was not reached"),
    }
    report.skip_the_rest(&JOURNAL, "the database was not reached");
    report.print(options.output)?;
    Ok(report.exit_code())
}

async fn look(context: &Context, store: &Store, report: &mut Report) {
    database::check(context, store, report).await;
    if database::schema(store, report).await {
        database::clock(store, report).await;
        keys::owner(&context.config.keys_dir(), store, report).await;
        plane::check(store, report).await;
        books::check(context, store, report).await;
    }
    report.skip_the_rest(&CHECKS, "the schema is not this program's");
    report.skip_the_rest(&JOURNAL, "the schema is not this program's");
}
