//! `tributary`: the whole system in one binary.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tributary::{commands, ctl, doctor, geo, up};

#[derive(Parser)]
#[command(name = "tributary", version, about = "Affiliate tracking: edge and control plane in one binary")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything on this machine: control plane, one edge, and a demo shop to try it with.
    Up(up::Options),
    /// Run or enrol an edge node.
    #[command(subcommand)]
    Edge(commands::Edge),
    /// Run the control plane alone.
    #[command(subcommand)]
    ControlPlane(commands::ControlPlane),
    /// Back up and restore a control plane.
    #[command(subcommand)]
    Ctl(ctl::Ctl),
    /// Fetch, check and exchange the database that tells which country an address is in.
    #[command(subcommand)]
    Geo(geo::Geo),
    /// Say what is wrong with an installation, and how to put it right. Exit code 0 = all well, 1 = something is
    /// wrong, 2 = only warnings.
    Doctor(doctor::Options),
    /// Print the OpenAPI document of the REST interface.
    Openapi,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tributary::logging::init();
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the async runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            // A finding is not an error: it has an exit code of its own.
            Command::Doctor(options) => return doctor::run(options).await,
            Command::Geo(command) => return geo::run(command).await,
            Command::Up(options) => up::run(options).await,
            Command::Edge(command) => commands::edge(command).await,
            Command::ControlPlane(command) => commands::control_plane(command).await,
            Command::Ctl(command) => ctl::run(command).await,
            Command::Openapi => commands::openapi(),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", tributary::error::chain(error.as_ref()));
            let code = geo::exit_code(error.as_ref()).unwrap_or_else(|| ctl::exit_code(error.as_ref()));
            ExitCode::from(code)
        }
    }
}

/// As many file handles as the system lets the process have: the usual soft limit of 1024 is less than an edge's
/// clients. Where it cannot be raised, fewer clients are served.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
