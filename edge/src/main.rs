//! `tributary-edge`: one edge node as a process of its own.

use clap::{Parser, Subcommand};
use edge::{Config, cli};
use std::path::PathBuf;
use std::process::ExitCode;

/// Each request allocates and frees a few small things, and a group's replies free what many requests allocated: the
/// system's allocator takes a tenth more time for that (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "tributary-edge",
    version,
    about = "An edge node of Tributary: answers tracking hits and loses none"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a control plane with the bundle it made for this node.
    Enroll {
        /// The bundle text (tbj1...). It is a secret: better pass it in a file.
        #[arg(long, conflicts_with = "bundle_file", required_unless_present = "bundle_file")]
        bundle: Option<String>,
        /// A file that holds the bundle; `-` reads standard input.
        #[arg(long)]
        bundle_file: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Answer hits until told to stop.
    Run {
        /// Take the place of the process that runs on the same data directory, without a failed request.
        #[arg(long)]
        takeover: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the default configuration, with comments.
    Config,
}

#[derive(clap::Args)]
struct Settings {
    /// TOML file with settings; see `tributary-edge config`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Overrides `data_dir`.
    #[arg(long)]
    data_dir: Option<String>,
    /// Overrides `listen`.
    #[arg(long)]
    listen: Option<String>,
}

impl Settings {
    fn load(self) -> Result<Config, edge::config::ConfigError> {
        let flags = [("data_dir", self.data_dir), ("listen", self.listen)];
        let flags = flags.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        Config::load(self.config.as_deref(), std::env::vars_os().filter_map(cli::text_pair), flags)
    }
}

fn main() -> ExitCode {
    cli::log_to_stderr();
    let outcome = match Args::parse().command {
        Command::Config => {
            print!("{}", edge::config::DEFAULT_FILE);
            Ok(())
        }
        Command::Enroll { bundle, bundle_file, settings } => settings
            .load()
            .map_err(cli::boxed)
            .and_then(|config| cli::enroll(&config, bundle, bundle_file.as_deref())),
        Command::Run { takeover, settings } => {
            settings.load().map_err(cli::boxed).and_then(|config| cli::run(config, takeover))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tributary-edge: {}", edge::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}
