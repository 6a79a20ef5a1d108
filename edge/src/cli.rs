//! What the binary does, apart from reading its arguments.

use crate::config::Config;
use proto_wire::join::JoinBundle;
use std::error::Error;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn Error + Send + Sync>;

pub fn boxed(error: impl Error + Send + Sync + 'static) -> Failure {
    Box::new(error)
}

/// Standard output is left to data.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("TRIBUTARY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Fails only if something has set a logger already, which then stays.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// A variable that is not text cannot be one of ours.
pub fn text_pair((name, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

pub fn enroll(config: &Config, bundle: Option<String>, file: Option<&Path>) -> Result<(), Failure> {
    let text = match (bundle, file) {
        (Some(text), _) => text,
        (None, Some(path)) if path == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin().take(64 * 1024).read_to_string(&mut text)?;
            text
        }
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the bundle {}: {error}", path.display()))?,
        (None, None) => return Err("a bundle is needed (--bundle or --bundle-file)".into()),
    };
    let bundle = JoinBundle::parse(text.trim())?;
    let identity = runtime()?.block_on(crate::enroll(&config.data_dir, &bundle))?;
    println!("{}", identity.edge);
    Ok(())
}

/// Runs until SIGTERM or Ctrl-C, then drains; or until another process takes over.
pub fn run(config: Config, takeover: bool) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        let node = if takeover { crate::take_over(config).await? } else { crate::start(config).await? };
        let (tls, admin) = (node.tls_addr(), node.admin_addr());
        tracing::info!(address = %node.http_addr(), ?tls, ?admin, "answering hits");
        let another = tokio::select! {
            () = stop => false,
            () = node.taken_over() => true,
        };
        tracing::info!(another, "stopping: finishing replies and writing down what is left");
        match another {
            true => node.hand_over().await,
            false => node.shutdown().await,
        }
        Ok(())
    })
}

/// Registered before the start, so that a signal during it is not missed.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// For talking to the control plane; hits have threads of their own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
