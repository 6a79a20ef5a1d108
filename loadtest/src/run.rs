//! What is to be sent, and how.

mod client;
mod engine;
mod multiplex;
mod outcome;
mod sender;
mod tls;
mod transport;
mod wire;

pub use outcome::{Connections, Outcome};
pub use tls::TlsError;
pub use transport::Transport;

use crate::answer::Expect;
use crate::compare::cpu;
use crate::requests::Crowd;
use crate::schedule::Schedule;
use engine::Engine;
use http::Uri;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use tls::Tls;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// By the clock.
    Open(Schedule),
    /// Every connection asks again as soon as it has its answer.
    Peak { seconds: u32 },
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port/path` or `https://...`; `{n}` in it becomes another number for each request.
    pub url: Uri,
    pub transport: Transport,
    pub load: Load,
    /// What is due while all are busy waits, and its wait counts.
    pub connections: u32,
    /// Requests at once on each connection; of HTTP/1.1 it is always one.
    pub streams: u32,
    pub timeout: Duration,
    pub crowd: Crowd,
    pub expect: Expect,
    /// Certificates in PEM of which one must have signed the server's, or be it.
    pub ca: Option<PathBuf>,
}

impl Plan {
    fn length(&self) -> Duration {
        match self.load {
            Load::Open(schedule) => schedule.length(),
            Load::Peak { seconds } => Duration::from_secs(u64::from(seconds)),
        }
    }

    fn is_empty(&self) -> bool {
        let nothing = match self.load {
            Load::Open(schedule) => schedule.total() == 0,
            Load::Peak { seconds } => seconds == 0,
        };
        nothing || self.connections == 0 || self.streams == 0
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("`{0}` is not an http:// or https:// address with a host")]
    Url(Uri),
    #[error("`{transport}` needs an https:// address, not `{url}`")]
    Plain { transport: Transport, url: Uri },
    #[error("the host of `{url}` was not found")]
    Host {
        url: Uri,
        #[source]
        source: std::io::Error,
    },
    #[error("rate, seconds, connections and streams must be at least 1")]
    Nothing,
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    #[error("cannot make a histogram")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("cannot wait for sockets")]
    Poll(#[source] std::io::Error),
}

/// One thread, which spins while requests are due within the millisecond: give it a core of its own.
pub fn run(plan: &Plan) -> Result<Outcome, LoadError> {
    let (address, tls) = target(plan)?;
    if plan.is_empty() {
        return Err(LoadError::Nothing);
    }
    // Only Linux tells; elsewhere everything else is measured all the same.
    let cpu = || cpu::precise(std::process::id()).ok();
    let before = cpu();
    let mut outcome = match plan.transport.is_multiplexed() {
        true => multiplex::run(plan, address, tls)?,
        false => Engine::new(plan, address, tls)?.run()?,
    };
    let taken = before.zip(cpu()).map(|(before, after)| (after - before).max(0.0));
    outcome.cpu = taken.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(outcome)
}

/// Where to, and what TLS needs if the address asks for it.
fn target(plan: &Plan) -> Result<(SocketAddr, Option<Tls>), LoadError> {
    let url = &plan.url;
    let no_url = || LoadError::Url(url.clone());
    let host = url.host().ok_or_else(no_url)?.trim_matches(['[', ']']);
    let (port, tls) = match url.scheme_str() {
        Some("http") if plan.transport.needs_tls() => {
            return Err(LoadError::Plain { transport: plan.transport, url: url.clone() });
        }
        Some("http") => (80, None),
        Some("https") => (443, Some(Tls::new(host, plan.ca.as_deref(), plan.transport)?)),
        _ => return Err(no_url()),
    };
    let found = (host, url.port_u16().unwrap_or(port)).to_socket_addrs();
    let mut found = found.map_err(|source| LoadError::Host { url: url.clone(), source })?;
    Ok((found.next().ok_or_else(no_url)?, tls))
}

#[cfg(test)]
mod tests;
