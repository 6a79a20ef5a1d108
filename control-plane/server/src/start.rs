//! From a configuration to a running control plane, and back to silence.

use crate::app::retention::{Keep, UnfitDays};
use crate::app::{App, Parts, alerts, clock, health, money, project, restore, retention, snapshot};
use crate::ca::{Authority, CA_CERTIFICATE, CaError};
use crate::config::Config;
use crate::error::AppError;
use crate::listen::{self, Bounded};
use crate::supervise::{self, Stop};
use crate::{grpc, jobs, rest};
use control_plane_store::{CLOCKS_APART, DatabaseUrl, Store, StoreError, backup};
use proto_model::time::SECOND_US;
use std::fs::{DirBuilder, File};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that are still busy after this are cut.
const DRAIN: Duration = Duration::from_secs(10);
const CLOCKS_DIFFER: i64 = 2 * SECOND_US;
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
    #[error(
        "the database belongs to a control plane with other keys than {path}: copy the keys directory of a \
         node that is at work on it, or restore it from a backup"
    )]
    OtherKeys { path: String },
    #[error(
        "{database} is gone, and {keys} belong to it: put it back (`tributary ctl restore`), or name it by --database; \
         for a new installation use another data directory, or move the keys away"
    )]
    Gone { database: String, keys: String },
    #[error(
        "{database} is empty, and {keys} belong to another one: is its name right, is its backup still to be put back \
         (docs/backup.md)? For a new installation use another data directory, or move the keys away"
    )]
    Empty { database: String, keys: String },
    #[error("a restore of {database} was interrupted: run `tributary ctl restore --replace` again")]
    HalfRestored { database: String },
    #[error(
        "the clocks of this machine and of the database are {seconds} s apart: set both by NTP; leases and \
         certificates depend on them"
    )]
    Clock { seconds: i64 },
    #[error("cannot read or make the control plane's keys")]
    Keys(#[from] CaError),
    #[error(transparent)]
    Retention(#[from] UnfitDays),
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
        // Calls that were still under way have raised alerts, too.
        let _ = tokio::time::timeout(DRAIN, alerts::write_rest(&self.app)).await;
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
    let keep = Keep::of(&config)?;
    let lock = lock_data_dir(&config.data_dir)?;
    let node = node_name(&config.data_dir)?;
    check_database(&config).await?;
    let store = Store::open(&config.database_url()).await?;
    store.watch_clock(clock::now);
    store.database_time().await?;
    let authority = open_keys(&config, &store).await?;
    let (api, api_addr) = listen(config.api_listen).await?;
    let (edges, grpc_addr) = listen(config.grpc_listen).await?;
    let (stop_sender, stop) = Stop::channel();
    let click_lease = config.click_lease();
    let app = Arc::new(App::new(Parts {
        store,
        authority,
        grpc_url: config.grpc_public_url.unwrap_or_else(|| format!("https://{grpc_addr}")),
        stop: stop.clone(),
        click_lease,
        geo_credits: config.geo_credits,
        node,
    }));
    snapshot::refresh(&app).await.map_err(StartError::Snapshot)?;
    let server = grpc::server(&app)?;

    let workers = vec![
        supervise::spawn(retention::PART, app.clone(), stop.clone(), move |app, stop| {
            retention::run(app, stop, keep)
        }),
        supervise::spawn(snapshot::PART, app.clone(), stop.clone(), snapshot::run),
        supervise::spawn(project::PART, app.clone(), stop.clone(), project::run),
        supervise::spawn(money::PART, app.clone(), stop.clone(), money::run),
        supervise::spawn(jobs::PART, app.clone(), stop.clone(), jobs::run),
        supervise::spawn(alerts::PART, app.clone(), stop.clone(), alerts::run),
        supervise::spawn(restore::PART, app.clone(), stop.clone(), restore::run),
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

/// Before anything in it is changed: a URL with a typing error may name somebody else's, which an upgrade of its
/// schema would reach.
async fn check_database(config: &Config) -> Result<(), StartError> {
    let url = config.database_url();
    if let DatabaseUrl::Sqlite(_) = &url {
        match url.file() {
            Some(file) if is_missing(&file) => return check_is_new(config, &file),
            Some(file) if backup::restoring(&file).exists() && !keys_are_in_use(config) => {
                return Err(StartError::HalfRestored { database: file.display().to_string() });
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
    let store = Store::look(&url).await?;
    let checked = async {
        check_clock(&store).await?;
        if keys_are_in_use(config) && store.schema_level().await?.found.is_none() {
            let (database, keys) = (url.to_string(), config.keys_dir().display().to_string());
            return Err(StartError::Empty { database, keys });
        }
        let owner = store.authority_sha256().await?;
        check_owner(config, owner)
    };
    let checked = checked.await;
    store.close().await;
    checked
}

/// An empty file is no database either, for SQLite makes one of it without a word.
fn is_missing(file: &Path) -> bool {
    std::fs::metadata(file).map_or(true, |found| found.len() == 0)
}

/// Without a certificate they never were.
fn keys_are_in_use(config: &Config) -> bool {
    config.keys_dir().join(CA_CERTIFICATE).exists()
}

/// A database that is gone is not begun anew: edges, tenants and money of the old one would be, too.
fn check_is_new(config: &Config, file: &Path) -> Result<(), StartError> {
    let database = file.display().to_string();
    if backup::restoring(file).exists() {
        return Err(StartError::HalfRestored { database });
    }
    if keys_are_in_use(config) {
        return Err(StartError::Gone { database, keys: config.keys_dir().display().to_string() });
    }
    Ok(())
}

fn other_keys(config: &Config) -> StartError {
    StartError::OtherKeys { path: config.keys_dir().display().to_string() }
}

/// Keys are made once for a database: a second node must be given the first one's.
fn check_owner(config: &Config, owner: Option<[u8; 32]>) -> Result<(), StartError> {
    let Some(owner) = owner else { return Ok(()) };
    // None are made for a database that has its own.
    if !keys_are_in_use(config) {
        return Err(other_keys(config));
    }
    let authority = Authority::open(&config.keys_dir(), clock::now())?;
    if authority.fingerprint() == owner { Ok(()) } else { Err(other_keys(config)) }
}

async fn open_keys(config: &Config, store: &Store) -> Result<Authority, StartError> {
    let authority = Authority::open(&config.keys_dir(), clock::now())?;
    match store.claim(&authority.fingerprint()).await {
        Ok(()) => Ok(authority),
        Err(StoreError::Conflict(_)) => Err(other_keys(config)),
        Err(error) => Err(error.into()),
    }
}

async fn check_clock(store: &Store) -> Result<(), StartError> {
    let apart = store.database_time().await?.0.saturating_sub(clock::now().0);
    let seconds = apart / SECOND_US;
    match apart.abs() {
        far if far > CLOCKS_APART => Err(StartError::Clock { seconds }),
        far if far > CLOCKS_DIFFER => {
            tracing::warn!(seconds, "the clocks of this machine and of the database differ");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What this process is called in leases: the same after a restart, so that one which was killed need not wait
/// for its own.
fn node_name(data_dir: &Path) -> Result<String, StartError> {
    let failed = |source| StartError::DataDir { path: data_dir.display().to_string(), source };
    let path = data_dir.join("node");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let name: String = clock::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&path, &name).map_err(failed)?;
    Ok(name)
}

fn lock_data_dir(dir: &Path) -> Result<File, StartError> {
    let path = dir.display().to_string();
    let failed = |source| StartError::DataDir { path: path.clone(), source };
    // What is kept there is nobody else's to read.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
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
