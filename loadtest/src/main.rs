use clap::{Parser, ValueEnum};
use loadtest::{Outcome, Plan, Schedule};
use std::process::ExitCode;
use std::time::Duration;

/// Sends requests at a fixed rate, whether or not earlier ones were answered, and prints how long answers took.
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    /// Address to ask for, e.g. http://127.0.0.1:8080/c/lnk_04hmasw9
    #[arg(long)]
    url: http::Uri,
    /// Requests a second
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Kept open; each carries one request at a time
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 10)]
    timeout: u32,
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
    let arguments = Arguments::parse();
    let plan = Plan {
        url: arguments.url,
        schedule: Schedule { rate: arguments.rate, seconds: arguments.seconds },
        connections: arguments.connections,
        timeout: Duration::from_secs(u64::from(arguments.timeout)),
    };
    match measure(plan.clone()) {
        Ok(outcome) => {
            match arguments.output {
                Format::Table => print!("{}", loadtest::table(&plan, &outcome)),
                Format::Json => println!("{}", loadtest::json(&plan, &outcome)),
            }
            if outcome.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("loadtest: {error}{source}");
            ExitCode::from(2)
        }
    }
}

/// One thread: the other cores belong to what is measured.
fn measure(plan: Plan) -> Result<Outcome, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(loadtest::run(plan))?)
}
