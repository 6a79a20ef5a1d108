use clap::{Parser, Subcommand, ValueEnum};
use control_plane_store::DatabaseUrl;
use loadtest::compare::{Comparison, Measured, Peer};
use loadtest::{Load, Outcome, Plan, Schedule, store};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Loads HTTP servers and tells how they bear it.
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send requests at a fixed rate, whether or not earlier ones were answered; or as fast as it goes.
    Run(RunOptions),
    /// Measure several servers in turn, at full speed and at a fixed rate, and compare them.
    Compare(CompareOptions),
    /// Measure the control plane on a database: ingest, projection, money engine, reports.
    Store(StoreOptions),
    /// Write the country database in which every address of --forwarded is found.
    Geo { file: PathBuf },
}

#[derive(clap::Args)]
struct RunOptions {
    /// Address to ask for, e.g. http://127.0.0.1:8080/c/lnk_04hmasw9; {n} in it becomes a number never used
    /// before
    #[arg(long)]
    url: http::Uri,
    /// Requests a second
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Ask again as soon as there is an answer, on every connection
    #[arg(long, conflicts_with = "rate")]
    peak: bool,
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    #[command(flatten)]
    client: Client,
}

#[derive(clap::Args)]
struct CompareOptions {
    /// name=url,pid of a server on this machine (several processes: pid+pid); the first is compared with the
    /// others
    #[arg(long = "peer", required = true)]
    peers: Vec<Peer>,
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Length of each run
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Where latency is measured, as a part of the slowest server's peak
    #[arg(long, default_value_t = 0.5)]
    load: f64,
    /// Time write and fdatasync in this directory, too
    #[arg(long)]
    sync_dir: Option<PathBuf>,
    /// Write all figures of all rounds to this file
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    client: Client,
}

#[derive(clap::Args)]
struct StoreOptions {
    /// An empty one for the control plane: sqlite://path or postgres://user@host/database
    #[arg(long)]
    database: DatabaseUrl,
    /// Another one of the same kind, for bare inserts of the same rows
    #[arg(long)]
    other: DatabaseUrl,
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Batches in each round
    #[arg(long, default_value_t = 16)]
    batches: usize,
    /// Clicks in each batch
    #[arg(long, default_value_t = 2_048)]
    clicks: usize,
    /// Conversions in each round
    #[arg(long, default_value_t = 1_280)]
    conversions: usize,
    /// How often each report is asked for
    #[arg(long, default_value_t = 200)]
    reports: u32,
    /// Write all figures of all rounds to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Client {
    /// Kept open; each carries one request at a time
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 10)]
    timeout: u32,
    /// Claim another client address in each request (X-Forwarded-For)
    #[arg(long)]
    forwarded: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// 0 = every request was answered, 1 = some were not, 2 = nothing could be measured.
fn main() -> ExitCode {
    let complete = match Arguments::parse().command {
        Command::Run(options) => run(options),
        Command::Compare(options) => compare(options),
        Command::Store(options) => store(options),
        Command::Geo { file } => loadtest::write_geo(&file).map(|()| true).map_err(Into::into),
    };
    match complete {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("loadtest: {error}{source}");
            ExitCode::from(2)
        }
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

fn run(options: RunOptions) -> Result<bool, Box<dyn Error>> {
    let RunOptions { url, rate, peak, seconds: length, client } = options;
    let load = match peak {
        true => Load::Peak { seconds: length },
        false => Load::Open(Schedule { rate, seconds: length }),
    };
    let (connections, timeout) = (client.connections, seconds(client.timeout));
    let plan = Plan { url, load, connections, timeout, forwarded: client.forwarded };
    let outcome: Outcome = loadtest::run(&plan)?;
    match client.output {
        Format::Table => print!("{}", loadtest::table(&plan, &outcome)),
        Format::Json => println!("{}", loadtest::json(&plan, &outcome)),
    }
    Ok(outcome.errors.is_empty())
}

fn compare(options: CompareOptions) -> Result<bool, Box<dyn Error>> {
    let CompareOptions { peers, rounds, seconds: length, load, sync_dir, json, client } = options;
    let comparison = Comparison {
        peers,
        rounds,
        seconds: length,
        connections: client.connections,
        load,
        timeout: seconds(client.timeout),
        forwarded: client.forwarded,
        sync_dir,
    };
    let measured: Measured = loadtest::compare::compare(comparison, |line| eprintln!("{line}"))?;
    match client.output {
        Format::Table => print!("{}", loadtest::compare::table(&measured)),
        Format::Json => println!("{}", loadtest::compare::json(&measured)),
    }
    json.as_deref().map_or(Ok(()), |file| write(file, &loadtest::compare::json(&measured)))?;
    Ok(measured.errors().is_empty())
}

fn store(options: StoreOptions) -> Result<bool, Box<dyn Error>> {
    let StoreOptions { database, other, rounds, batches, clicks, conversions, reports, json } = options;
    let plan =
        store::Plan { rounds, batches, clicks, conversions, reports, tell: |line| eprintln!("{line}") };
    let measured = store::run(&database, &other, plan)?;
    print!("{}", measured.table());
    json.as_deref().map_or(Ok(()), |file| write(file, &measured.json()))?;
    Ok(true)
}

fn write(file: &Path, figures: &serde_json::Value) -> std::io::Result<()> {
    std::fs::write(file, format!("{figures:#}\n"))
}
