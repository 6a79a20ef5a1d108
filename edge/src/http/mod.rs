//! The HTTP side of a node: one thread per core, each with a runtime and a listener of its own.

mod click;
mod conversion;
mod io;
mod listen;
mod operator;
mod reply;
mod request;
mod worker;

pub use io::Timeouts;
pub use worker::Worker;

use crate::admission::Admission;
use crate::config::Config;
use crate::enrich::IpHasher;
use crate::metrics::Metrics;
use crate::node::Parts;
use geoip::Geo;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// The listeners could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for hits on {addr} (is the port taken, or below 1024 without the right to it?)")]
pub struct ServeError {
    pub addr: SocketAddr,
    #[source]
    pub source: std::io::Error,
}

/// What all workers share.
pub struct Shared {
    pub parts: Parts,
    pub geo: Arc<Geo>,
    pub metrics: Metrics,
    admission: Admission,
    hasher: IpHasher,
    trusted_proxies: Vec<IpNet>,
    timeouts: Timeouts,
    /// For each worker.
    max_connections: usize,
}

impl Shared {
    pub fn new(config: &Config, parts: Parts, timeouts: Timeouts) -> Self {
        let workers = config.worker_count();
        Self {
            parts,
            geo: Arc::new(open_geo(config)),
            metrics: Metrics::new(workers),
            admission: Admission::new(config.rate_limit),
            hasher: IpHasher::default(),
            trusted_proxies: config.trusted_proxies.clone(),
            timeouts,
            max_connections: config.max_connections.div_ceil(workers),
        }
    }
}

/// Hits are worth more than their country: a database that cannot be read costs only that.
fn open_geo(config: &Config) -> Geo {
    let Some(path) = &config.geo_database else { return Geo::empty() };
    let (geo, error) = Geo::load_or_empty(path);
    if let Some(error) = error {
        tracing::error!(path = %path.display(), error = &error as &dyn std::error::Error,
            "the country database cannot be used, so every country is unknown");
    }
    geo
}

/// The running listeners. Dropping it stops them without waiting.
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops accepting, finishes the replies under way, and returns.
    pub async fn shutdown(self) {
        let Self { stop, threads, .. } = self;
        stop.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        match joined.await {
            Ok(0) => {}
            outcome => tracing::error!(?outcome, "serving threads ended badly"),
        }
    }
}

pub async fn serve(config: &Config, parts: Parts) -> Result<Server, ServeError> {
    serve_with(config, parts, Timeouts::default())
}

pub fn serve_with(config: &Config, parts: Parts, timeouts: Timeouts) -> Result<Server, ServeError> {
    let failed = |source| ServeError { addr: config.listen, source };
    let (addr, listeners) = listen::bind(config.listen, config.worker_count()).map_err(failed)?;
    let shared = Arc::new(Shared::new(config, parts, timeouts));
    let (stop, stopped) = watch::channel(false);
    let mut server = Server { addr, shared: Arc::clone(&shared), stop, threads: Vec::new() };
    for (index, listener) in listeners.into_iter().enumerate() {
        let thread = start_worker(index, listener, Arc::clone(&shared), stopped.clone()).map_err(failed)?;
        server.threads.push(thread);
    }
    Ok(server)
}

fn start_worker(
    index: usize,
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener)?
    };
    std::thread::Builder::new().name(format!("edge-http-{index}")).spawn(move || {
        let worker = Rc::new(Worker::new(shared, index));
        LocalSet::new().block_on(&runtime, listen::run(listener, worker, stop));
    })
}

#[cfg(test)]
mod tests;
