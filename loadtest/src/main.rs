mod options;

use clap::Parser;
use loadtest::compare::{Comparison, Measured};
use loadtest::{Load, Outcome, Plan, Schedule, Starts, Summary, backlog, lag, spool, store};
use options::{
    Arguments, BacklogOptions, Command, CompareOptions, Format, IdleOptions, LagOptions, RunOptions,
    SpoolOptions, StartOptions, StoreOptions,
};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// 0 = every request was answered, 1 = some were not, 2 = nothing could be measured.
fn main() -> ExitCode {
    let complete = match Arguments::parse().command {
        Command::Run(options) => run(options),
        Command::Compare(options) => compare(options),
        Command::Store(options) => store(options),
        Command::Spool(options) => spool(options),
        Command::Lag(options) => lag(options),
        Command::Backlog(options) => backlog(options),
        Command::Idle(options) => idle(options),
        Command::Start(options) => start(options),
        Command::Bare { listen, location } => {
            let tell = |address| println!("http://{address}");
            loadtest::serve_bare(listen, &location, tell).map(|()| true).map_err(Into::into)
        }
        Command::Certificate { dir } => loadtest::write_certificate(&dir).map(|()| true).map_err(Into::into),
        Command::Geo { file } => loadtest::write_geo(&file).map(|()| true).map_err(Into::into),
        Command::Summary { dir, about, json } => summary(&dir, about, json.as_deref()),
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

fn run(options: RunOptions) -> Result<bool> {
    let RunOptions { url, transport, rate, peak, seconds: length, client } = options;
    let load = match peak {
        true => Load::Peak { seconds: length },
        false => Load::Open(Schedule { rate, seconds: length }),
    };
    let plan = Plan {
        url,
        transport,
        load,
        connections: client.connections,
        streams: client.streams,
        timeout: seconds(client.timeout),
        crowd: client.crowd,
        expect: client.expect,
        ca: client.ca,
    };
    let outcome: Outcome = loadtest::run(&plan)?;
    match client.output {
        Format::Table => print!("{}", loadtest::table(&plan, &outcome)),
        Format::Json => println!("{}", loadtest::json(&plan, &outcome)),
    }
    Ok(outcome.errors.is_empty())
}

fn compare(options: CompareOptions) -> Result<bool> {
    let CompareOptions { peers, rounds, seconds: length, loads, peak_only, sync_dir, json, client } = options;
    let comparison = Comparison {
        peers,
        rounds,
        seconds: length,
        connections: client.connections,
        streams: client.streams,
        loads: if peak_only { Vec::new() } else { loads },
        timeout: seconds(client.timeout),
        crowd: client.crowd,
        expect: client.expect,
        ca: client.ca,
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

fn store(options: StoreOptions) -> Result<bool> {
    let StoreOptions { database, other, rounds, batches, clicks, conversions, reports, json } = options;
    let plan =
        store::Plan { rounds, batches, clicks, conversions, reports, tell: |line| eprintln!("{line}") };
    let measured = store::run(&database, &other, plan)?;
    print!("{}", measured.table());
    json.as_deref().map_or(Ok(()), |file| write(file, &measured.json()))?;
    Ok(true)
}

fn spool(options: SpoolOptions) -> Result<bool> {
    let SpoolOptions { dir, rounds, millis, json } = options;
    let measured = spool::run(&spool::Plan { dir, rounds, millis, tell: |line| eprintln!("{line}") })?;
    print!("{}", measured.table());
    json.as_deref().map_or(Ok(()), |file| write(file, &measured.json()))?;
    Ok(true)
}

fn lag(options: LagOptions) -> Result<bool> {
    let LagOptions { url, api, key, rate, seconds, connections, json } = options;
    let lag = lag::Plan { click: url, api, key, rate, seconds, connections }.measure()?;
    print!("{}", lag.table());
    json.as_deref().map_or(Ok(()), |file| write(file, &lag.json()))?;
    Ok(true)
}

fn backlog(options: BacklogOptions) -> Result<bool> {
    let BacklogOptions { sale, api, key, clicks, sales, json } = options;
    let backlog = backlog::Plan { sale, api, key, clicks, sales }.measure()?;
    print!("{}", backlog.table());
    json.as_deref().map_or(Ok(()), |file| write(file, &backlog.json()))?;
    Ok(true)
}

fn idle(options: IdleOptions) -> Result<bool> {
    let IdleOptions { peers, connections, crowd, json } = options;
    let all: std::result::Result<Vec<_>, _> =
        peers.iter().map(|peer| loadtest::idle(peer, connections, crowd)).collect();
    let all = all?;
    print!("{}", loadtest::idle_table(&all));
    json.as_deref().map_or(Ok(()), |file| write(file, &loadtest::idle_json(&all)))?;
    Ok(true)
}

fn start(options: StartOptions) -> Result<bool> {
    let StartOptions { url, expect, runs, json, command } = options;
    let times = Starts { url, expect, command, runs }.measure()?;
    print!("{}", loadtest::start_table(&times));
    json.as_deref().map_or(Ok(()), |file| write(file, &loadtest::start_json(&times)))?;
    Ok(true)
}

fn summary(dir: &Path, about: String, json: Option<&Path>) -> Result<bool> {
    let summary = Summary::read(dir, about)?;
    print!("{}", summary.table());
    json.map_or(Ok(()), |file| write(file, &summary.json()))?;
    Ok(true)
}

fn write(file: &Path, figures: &serde_json::Value) -> std::io::Result<()> {
    std::fs::write(file, format!("{figures:#}\n"))
}
