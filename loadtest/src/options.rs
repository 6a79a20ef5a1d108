//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use control_plane_store::DatabaseUrl;
use loadtest::compare::Peer;
use loadtest::{Crowd, Expect, Transport};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Loads HTTP servers and tells how they bear it.
#[derive(Parser)]
#[command(name = "loadtest", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Send requests at a fixed rate, whether or not earlier ones were answered; or as fast as it goes.
    Run(RunOptions),
    /// Measure several servers in turn, at full speed and at a fixed rate, and compare them.
    Compare(CompareOptions),
    /// Measure the control plane on a database: ingest, projection, money engine, reports.
    Store(StoreOptions),
    /// Measure the edge's spool beside a raw log and sled.
    Spool(SpoolOptions),
    /// Measure how long it takes from a click's answer until the reports count it.
    Lag(LagOptions),
    /// Measure how long it takes from a sale's answer until the ledger has it, while a backlog of clicks arrives.
    Backlog(BacklogOptions),
    /// Measure what an idle connection costs several servers in memory.
    Idle(IdleOptions),
    /// Start a server again and again and measure the time to its first answer.
    Start(StartOptions),
    /// Be a server that does nothing but answer: a redirect, or a GIF where the path ends in .gif.
    Bare {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Where it redirects to
        #[arg(long)]
        location: String,
    },
    /// Write certificate.pem and key.pem into a directory: P-256, signed by itself, for localhost and 127.0.0.1.
    Certificate { dir: PathBuf },
    /// Write the country database in which every address that requests claim is found.
    Geo { file: PathBuf },
    /// Put all figures of a directory beside the goals.
    Summary {
        dir: PathBuf,
        /// What they were measured on, for the file
        #[arg(long, default_value = "")]
        about: String,
        /// Write them to this file, too
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
pub struct RunOptions {
    /// Address to ask for, http:// or https://, e.g. http://127.0.0.1:8080/c/lnk_04hmasw9; {n} in it becomes a
    /// number never used before
    #[arg(long)]
    pub url: http::Uri,
    /// h1: connections stay open; each: a new one for each request; resumed: each, with TLS sessions that go on;
    /// h2 and h3: several requests at once on connections that stay open
    #[arg(long, default_value_t)]
    pub transport: Transport,
    /// Requests a second
    #[arg(long, default_value_t = 1_000)]
    pub rate: u32,
    /// Ask again as soon as there is an answer, on every connection
    #[arg(long, conflicts_with = "rate")]
    pub peak: bool,
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    #[command(flatten)]
    pub client: Client,
}

#[derive(clap::Args)]
pub struct CompareOptions {
    /// name[:option...]=url,pid of a server on this machine (several processes: pid+pid); the first is compared
    /// with the others. Options: a transport (h1, each, resumed, h2, h3) and a crowd
    #[arg(long = "peer", required = true)]
    pub peers: Vec<Peer>,
    #[arg(long, default_value_t = 8)]
    pub rounds: u32,
    /// Length of each run
    #[arg(long, default_value_t = 3)]
    pub seconds: u32,
    /// Where latency is measured, as parts of the slowest server's peak
    #[arg(long, value_delimiter = ',', default_value = "0.5", conflicts_with = "peak_only")]
    pub loads: Vec<f64>,
    /// Measure no latency
    #[arg(long)]
    pub peak_only: bool,
    /// Time write and fdatasync in this directory, too
    #[arg(long)]
    pub sync_dir: Option<PathBuf>,
    /// Write all figures of all rounds to this file
    #[arg(long)]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub client: Client,
}

#[derive(clap::Args)]
pub struct StoreOptions {
    /// An empty one for the control plane: sqlite://path or postgres://user@host/database
    #[arg(long)]
    pub database: DatabaseUrl,
    /// Another one of the same kind, for bare inserts of the same rows
    #[arg(long)]
    pub other: DatabaseUrl,
    #[arg(long, default_value_t = 8)]
    pub rounds: u32,
    /// Batches in each round
    #[arg(long, default_value_t = 16)]
    pub batches: usize,
    /// Clicks in each batch
    #[arg(long, default_value_t = 2_048)]
    pub clicks: usize,
    /// Conversions in each round
    #[arg(long, default_value_t = 1_280)]
    pub conversions: usize,
    /// How often each report is asked for
    #[arg(long, default_value_t = 200)]
    pub reports: u32,
    /// Write all figures of all rounds to this file
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct SpoolOptions {
    /// Directory on the disk that is measured, with room for some gigabytes
    #[arg(long)]
    pub dir: PathBuf,
    #[arg(long, default_value_t = 8)]
    pub rounds: u32,
    /// Length of each run
    #[arg(long, default_value_t = 1_000)]
    pub millis: u64,
    /// Write all figures of all rounds to this file
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct LagOptions {
    /// A link on the edge, http://
    #[arg(long)]
    pub url: http::Uri,
    /// The control plane's REST interface, e.g. http://127.0.0.1:7300
    #[arg(long)]
    pub api: http::Uri,
    /// A key of the link's tenant, on whose links nobody else clicks meanwhile
    #[arg(long, env = "TRIBUTARY_API_KEY", hide_env_values = true)]
    pub key: String,
    /// Clicks a second
    #[arg(long, default_value_t = 200)]
    pub rate: u32,
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
    #[arg(long, default_value_t = 8)]
    pub connections: u32,
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct BacklogOptions {
    /// A postback on the edge, http://, with its token, a click id and {order} where the order's name stands
    #[arg(long)]
    pub sale: String,
    /// The control plane's REST interface, e.g. http://127.0.0.1:7300
    #[arg(long)]
    pub api: http::Uri,
    /// A key of the tenant, on whose links nobody clicks meanwhile
    #[arg(long, env = "TRIBUTARY_API_KEY", hide_env_values = true)]
    pub key: String,
    /// All clicks of the tenant: those that the edge holds, and those that were counted before
    #[arg(long)]
    pub clicks: usize,
    /// One after the other, as long as there is a backlog
    #[arg(long, default_value_t = 1_000)]
    pub sales: u32,
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct IdleOptions {
    /// name=url,pid of a server on this machine; the first is compared with the others
    #[arg(long = "peer", required = true)]
    pub peers: Vec<Peer>,
    #[arg(long, default_value_t = 10_000)]
    pub connections: u32,
    #[arg(long, default_value = "direct")]
    pub crowd: Crowd,
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct StartOptions {
    /// What is asked for until it is answered as expected
    #[arg(long)]
    pub url: http::Uri,
    #[arg(long, default_value = "redirect")]
    pub expect: Expect,
    #[arg(long, default_value_t = 10)]
    pub runs: u32,
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// The program that is started, with its arguments; SIGTERM must end it
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

#[derive(clap::Args)]
pub struct Client {
    #[arg(long, default_value_t = 64)]
    pub connections: u32,
    /// Requests at once on each connection of HTTP/2 and HTTP/3
    #[arg(long, default_value_t = 16)]
    pub streams: u32,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 10)]
    pub timeout: u32,
    /// Whom requests claim to come from (X-Forwarded-For). direct: nobody else; passing: another address each;
    /// regulars: 256 addresses; flood: nine of ten from an address and a user agent never seen again, and only
    /// the others' latency is measured
    #[arg(long, default_value = "direct")]
    pub crowd: Crowd,
    /// What every answer must be: anything, redirect or gif
    #[arg(long, default_value = "anything")]
    pub expect: Expect,
    /// Certificates (PEM) of which one must be the server's or have signed it
    #[arg(long)]
    pub ca: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Json,
}
