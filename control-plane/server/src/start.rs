//! From a configuration to a running control plane, and back to silence.

use crate::app::{App, clock, health, keys, money, project, snapshot};
use crate::ca::{Authority, CaError};
use crate::config::Config;
use crate::error::AppError;
use crate::listen::{self, Bounded};
use crate::supervise::{self, Stop};
use crate::{grpc, jobs, rest};
use control_plane_store::{Store, StoreError};
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that are still busy after this are cut.
const DRAIN: Duration = Duration::from_secs(10);
/// A call may take long, and its caller then says nothing; what is slow before a call has limits of its own.
const SILENCE: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot use the data directory {path}: check that it belongs to this user and has space")]
    DataDir { path: String, source: std::io::Error },
    #[error("{path} is in use by another control plane: stop it first, or choose another data directory")]
    InUse { path: String },
    #[error("cannot open the database")]
    Store(#[from] StoreError),
    #[error("cannot read or make the control plane's keys")]
    Keys(#[from] CaError),
    #[error("cannot listen on {address}: choose another address or stop what uses it")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot set up the listener for edges")]
    Edges(#[from] grpc::ServeError),
    #[error("cannot build the first snapshot")]
    Snapshot(#[source] AppError),
}

/// A running control plane. Dropping it without [`ControlPlane::shutdown`] ends it abruptly.
pub struct ControlPlane {
    app: Arc<App>,
    api_addr: SocketAddr,
    grpc_addr: SocketAddr,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    /// Held until the end: one process per data directory.
    _lock: File,
}

impl ControlPlane {
    pub fn api_addr(&self) -> SocketAddr {
        self.api_addr
    }

    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Takes no new connections, lets running calls and transactions end, then closes the database.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        join(self.listeners, DRAIN).await;
        join(self.workers, DRAIN).await;
        self.app.store.clone().close().await;
    }
}

/// Waits for the tasks; whatever is left after `longest` is cut.
async fn join(tasks: Vec<JoinHandle<()>>, longest: Duration) {
    let deadline = tokio::time::Instant::now() + longest;
    for task in tasks {
        let abort = task.abort_handle();
        if tokio::time::timeout_at(deadline, task).await.is_err() {
            abort.abort();
        }
    }
}

pub async fn start(config: Config) -> Result<ControlPlane, StartError> {
    let lock = lock_data_dir(&config.data_dir)?;
    let authority = Authority::open(&config.keys_dir(), clock::now())?;
    let store = Store::open(&config.database_url()).await?;
    let (api, api_addr) = listen(config.api_listen).await?;
    let (edges, grpc_addr) = listen(config.grpc_listen).await?;
    // The same after a restart, so that a process which was killed need not wait for its own leases.
    let holder = authority.api_mac("lease-holder", b"").iter().map(|byte| format!("{byte:02x}")).collect();
    let (stop_sender, stop) = Stop::channel();
    let app = Arc::new(App {
        store,
        authority,
        grpc_url: config.grpc_public_url.unwrap_or_else(|| format!("https://{grpc_addr}")),
        snapshots: snapshot::Snapshots::default(),
        health: health::Health::default(),
        stop: stop.clone(),
        logins: keys::Logins::default(),
        holder,
    });
    snapshot::refresh(&app).await.map_err(StartError::Snapshot)?;
    let server = grpc::server(&app)?;

    let workers = vec![
        supervise::spawn(snapshot::PART, app.clone(), stop.clone(), snapshot::run),
        supervise::spawn(project::PART, app.clone(), stop.clone(), project::run),
        supervise::spawn(money::PART, app.clone(), stop.clone(), money::run),
        supervise::spawn(jobs::PART, app.clone(), stop.clone(), jobs::run),
    ];
    let grpc = grpc::serve(server, app.clone(), edges, stop.clone());
    let api = Bounded::new(api, listen::places(), SILENCE);
    let rest = rest::serve(rest::router(app.clone()), api, stop.clone());
    let listeners = vec![
        watched("edges", app.clone(), stop.clone(), async {
            grpc.await.map_err(|e| crate::error::chain(&e))
        }),
        watched("api", app.clone(), stop, async {
            rest.await;
            Ok(())
        }),
    ];
    Ok(ControlPlane { app, api_addr, grpc_addr, stop: stop_sender, listeners, workers, _lock: lock })
}

fn lock_data_dir(dir: &Path) -> Result<File, StartError> {
    let path = dir.display().to_string();
    let failed = |source| StartError::DataDir { path: path.clone(), source };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let file =
        File::options().write(true).create(true).truncate(false).open(dir.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A listener cannot be started again on its consumed socket: its end is the end of readiness.
fn watched(
    name: &'static str,
    app: Arc<App>,
    stop: Stop,
    serve: impl Future<Output = Result<(), String>> + Send + 'static,
) -> JoinHandle<()> {
    app.health.set(name, health::Status::Ok);
    tokio::spawn(async move {
        let result = serve.await;
        if !stop.requested() {
            let why = result.err().unwrap_or_else(|| "ended by itself".into());
            tracing::error!(task = name, "the listener ended, restart the process: {why}");
            app.health.set(name, health::Status::Failed(why));
        }
    })
}
