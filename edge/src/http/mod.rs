//! The HTTP side of a node: one thread per core, each with a runtime and listeners of its own.

mod activity;
mod admin;
mod beacon;
mod body;
mod caps;
mod click;
mod connection;
mod conversion;
mod cookie;
mod http1;
mod http2;
mod http3;
mod impression;
mod io;
mod listen;
mod onward;
mod prefixed;
mod proxy_protocol;
mod reply;
mod request;
mod sockets;
mod tls;
mod worker;

pub use http3::Switch as Http3Switch;
pub use io::Timeouts;
pub(crate) use proxy_protocol::read as proxy_header;
pub use sockets::{Door, Listening};
pub use tls::{CertificateFiles, TlsError};
pub use worker::Worker;

use crate::admission::Admission;
use crate::config::{Config, TlsConfig};
use crate::enrich::IpHasher;
use crate::metrics::Metrics;
use crate::node::Parts;
use caps::Caps;
use geoip::{Files, Geo};
use ipnet::IpNet;
use listen::{Stop, Stopping};
use sockets::Sockets;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tls::Tls;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::LocalSet;

const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {addr} (is the port taken, or below 1024 without the right to it?)")]
    Bind {
        addr: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot answer over TLS")]
    Tls(#[from] TlsError),
    #[error("cannot start the threads that answer hits")]
    Threads(#[source] std::io::Error),
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
    caps: Arc<Caps>,
    tls: Option<Tls>,
    http3: Option<Arc<Http3Switch>>,
    proxy_protocol: [bool; 2],
    h2c: bool,
    stopping: AtomicBool,
}

impl Shared {
    pub fn new(config: &Config, parts: Parts, timeouts: Timeouts) -> Result<Self, TlsError> {
        Ok(Self {
            parts,
            geo: Arc::new(open_geo(config)),
            metrics: Metrics::new(config.worker_count()),
            admission: Admission::new(config.rate_limit),
            hasher: IpHasher::default(),
            trusted_proxies: config.trusted_proxies.clone(),
            timeouts,
            caps: Caps::new(config.max_connections, config.max_connections_per_ip),
            tls: Tls::new(&config.tls)?,
            http3: None,
            proxy_protocol: [config.proxy_protocol, config.tls.proxy_protocol],
            h2c: config.h2c,
            stopping: AtomicBool::new(false),
        })
    }

    /// What follows the certificate on disk.
    pub fn certificate_files(&self, config: &TlsConfig) -> Option<CertificateFiles> {
        CertificateFiles::new(config, self.tls.as_ref()?)
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        crate::ip::is_trusted(peer, &self.trusted_proxies)
    }

    /// Whether connections through `door` begin with a PROXY header.
    fn proxy_protocol(&self, door: Door) -> bool {
        let [plain, tls] = self.proxy_protocol;
        match door {
            Door::Plain => plain,
            Door::Tls => tls,
            Door::Admin => false,
        }
    }

    fn may_speak_h2c(&self, peer: IpAddr) -> bool {
        self.h2c || self.is_trusted(peer)
    }

    fn advertise_http3(&self, reply: &mut reply::Reply) {
        if let Some(http3) = &self.http3 {
            http3.advertise(reply);
        }
    }

    /// What follows the switch on disk.
    pub fn http3_switch(&self) -> Option<Arc<Http3Switch>> {
        self.http3.clone()
    }
}

/// Hits are worth more than their country: a database that cannot be read costs only that.
fn open_geo(config: &Config) -> Geo {
    let files = Files { places: config.geo_database.clone(), asns: config.geo_asn_database.clone() };
    let (geo, errors) = Geo::open(files);
    for error in errors {
        match error.missing() {
            Some(path) => tracing::info!(
                path = %path.display(),
                "there is no geo database yet; once it is there, it is used"
            ),
            None => tracing::error!(
                error = &error as &dyn std::error::Error,
                "a geo database cannot be used, so what it would tell is unknown"
            ),
        }
    }
    geo
}

/// The running listeners. Dropping it stops them without waiting.
pub struct Server {
    sockets: Sockets,
    shared: Arc<Shared>,
    stop: watch::Sender<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub fn addr(&self, door: Door) -> Option<SocketAddr> {
        self.sockets.addr(door)
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The listening sockets, for another process.
    pub fn duplicate_sockets(&self) -> std::io::Result<Vec<Listening>> {
        self.sockets.duplicates()
    }

    /// From now on `/readyz` says that this node stops; hits are still answered.
    pub fn announce_stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Stops accepting, finishes the replies under way, and returns.
    pub async fn shutdown(self) {
        self.end(Stop::Close).await;
    }

    /// The same when another process has the sockets: whoever is queued at them is for that one.
    pub async fn hand_over(self) {
        self.end(Stop::HandedOver).await;
    }

    async fn end(self, how: Stop) {
        self.announce_stop();
        let Self { sockets, stop, threads, .. } = self;
        // Now the workers hold the only ones, and see to who is queued at them.
        drop(sockets);
        stop.send_replace(how);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        match joined.await {
            Ok(0) => {}
            outcome => tracing::error!(?outcome, "serving threads ended badly"),
        }
    }
}

/// `inherited` are sockets that a process before this one listened on.
pub fn serve_with(
    config: &Config,
    parts: Parts,
    timeouts: Timeouts,
    inherited: Vec<Listening>,
) -> Result<Server, ServeError> {
    let mut shared = Shared::new(config, parts, timeouts)?;
    let sockets = Sockets::open(config, inherited)?;
    let mut quic = open_quic(config, &sockets, &mut shared)?;
    let shared = Arc::new(shared);
    let workers = config.worker_count();
    let (stop, stopping) = watch::channel(Stop::Not);
    let mut server = Server { sockets, shared: Arc::clone(&shared), stop, threads: Vec::new() };
    for index in 0..workers {
        let listeners = server.sockets.share(index, workers).map_err(ServeError::Threads)?;
        let thread = start_worker(index, listeners, quic.take(), Arc::clone(&shared), stopping.clone());
        server.threads.push(thread.map_err(ServeError::Threads)?);
    }
    Ok(server)
}

/// The socket of HTTP/3 and how it greets, when it is wanted.
type Quic = (std::net::UdpSocket, quinn::ServerConfig);

fn open_quic(config: &Config, sockets: &Sockets, shared: &mut Shared) -> Result<Option<Quic>, ServeError> {
    let (Some(tls), Some(addr)) = (&shared.tls, sockets.addr(Door::Tls)) else { return Ok(None) };
    // A balancer that speaks PROXY passes TCP on; browsers would knock at a door that is not there.
    if !config.tls.http3 || config.tls.proxy_protocol {
        return Ok(None);
    }
    let greeting = http3::server_config(tls, shared.timeouts.idle)?;
    let port = if config.tls.public_port == 0 { addr.port() } else { config.tls.public_port };
    shared.http3 = Some(Arc::new(Http3Switch::new(port, &config.data_dir)));
    let socket = sockets::bind_quic(addr).map_err(|source| ServeError::Bind { addr, source })?;
    Ok(Some((socket, greeting)))
}

/// `quic` is for one of them.
fn start_worker(
    index: usize,
    listeners: Vec<Listening>,
    quic: Option<Quic>,
    shared: Arc<Shared>,
    stop: Stopping,
) -> std::io::Result<JoinHandle<()>> {
    let idle = shared.parts.spool.idle();
    let going_idle = Arc::clone(&idle);
    let runtime: Runtime =
        Builder::new_current_thread().enable_all().on_thread_park(move || going_idle.now()).build()?;
    let listeners = {
        let _inside = runtime.enter();
        let into_tokio = |held: Listening| Ok((held.door, TcpListener::from_std(held.socket)?));
        listeners.into_iter().map(into_tokio).collect::<std::io::Result<Vec<_>>>()?
    };
    std::thread::Builder::new().name(format!("edge-http-{index}")).spawn(move || {
        let spool = shared.parts.spool.local_until(idle);
        let worker = Rc::new(Worker::new(shared, index, spool));
        LocalSet::new().block_on(&runtime, async move {
            let mut running: Vec<_> = listeners
                .into_iter()
                .map(|(door, socket)| listen::run(socket, door, Rc::clone(&worker), stop.clone()))
                .map(tokio::task::spawn_local)
                .collect();
            running.extend(quic.map(|(socket, greeting)| {
                tokio::task::spawn_local(http3::run(socket, greeting, Rc::clone(&worker), stop.clone()))
            }));
            for listener in running {
                if let Err(error) = listener.await {
                    tracing::error!(%error, "a listener ended badly");
                }
            }
        });
    })
}

#[cfg(test)]
mod tests;
