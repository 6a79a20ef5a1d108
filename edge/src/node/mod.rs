//! Puts the parts of a node together and takes them down in order.

mod control;
mod hand_over;
mod late;
mod storage;

use crate::budget::Budgets;
use crate::config::Config;
use crate::disk::{Disk, RealDisk, SharedDisk};
use crate::forward::{ForwardStatus, Phase};
use crate::geo_file::{self, GeoFile};
use crate::http::{self, Door, Listening, ServeError, Timeouts};
use crate::identity::{ControlLink, Identity, IdentityError, Renewer};
use crate::report::{Clock, Reporter, ReporterParts};
use crate::snapshot::{SharedSnapshot, SnapshotDisk, WatchStatus, Watcher};
use crate::spool::{OpenError, SpoolHandle};
use crate::state::State;
use arc_swap::ArcSwapOption;
use control::{ControlThread, Others, Starting};
use hand_over::Offer;
use late::{SpoolSlot, Spooling};
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Longer than any process takes to leave that hands over.
const LEAVING: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// What the HTTP side gets to see of the node.
#[derive(Clone)]
pub struct Parts {
    pub snapshot: SharedSnapshot,
    pub spool: SpoolHandle,
    pub state: State,
    pub budgets: Arc<Budgets>,
    pub forward: Arc<ForwardStatus>,
    pub watch: Arc<WatchStatus>,
    pub clock: Arc<Clock>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the node has no usable identity")]
    Identity(#[from] IdentityError),
    #[error("another process uses the data directory {} (stop it first)", path.display())]
    InUse { path: PathBuf },
    #[error("{} cannot be used (check that it exists and its permissions)", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the node has no usable spool")]
    Spool(#[from] OpenError),
    #[error(
        "the spool of this edge is gone, and a new one could not be asked for: the control plane must be reachable"
    )]
    NewEpoch(#[source] storage::EpochError),
    #[error("the sockets of the process before this one could not be taken over")]
    TakeOver(#[source] std::io::Error),
    #[error("the node cannot answer hits")]
    Serve(#[from] ServeError),
}

/// A running node. Dropping it without [`EdgeHandle::shutdown`] ends it like a crash: nothing that was
/// answered is lost, but the next start has to recover.
pub struct EdgeHandle {
    listen: SocketAddr,
    unready: Duration,
    offer: Option<Offer>,
    // Declared in the order in which they must be dropped.
    server: http::Server,
    control: ControlThread,
    parts: Parts,
    ready: watch::Receiver<u64>,
    spool: SpoolSlot,
    _lock: File,
}

/// Starts from what is on disk; the control plane need not be up.
pub async fn start(config: Config) -> Result<EdgeHandle, StartError> {
    let lock = lock(&config.data_dir)?;
    begin(config, lock, Vec::new()).await
}

/// Starts in the place of a process that runs on the same data directory, without a failed request: its
/// sockets come over, it finishes and leaves, and whoever connects meanwhile waits. Where none runs, this
/// is [`start`].
pub async fn take_over(config: Config) -> Result<EdgeHandle, StartError> {
    // Whatever can be wrong with this start is better seen while the other process still runs.
    Identity::load(&config.data_dir)?;
    let inherited = hand_over::take(&config.data_dir).await.map_err(StartError::TakeOver)?;
    let lock = lock_when_free(&config.data_dir).await?;
    begin(config, lock, inherited).await
}

async fn begin(config: Config, lock: File, inherited: Vec<Listening>) -> Result<EdgeHandle, StartError> {
    let mut identity = Identity::load(&config.data_dir)?;
    if let Some(url) = &config.control_plane_url {
        identity.control_url.clone_from(url);
    }
    let disk: SharedDisk = Arc::new(RealDisk);
    let link = Arc::new(ControlLink::new(identity.clone(), identity.load_tls()?));
    let state = State::open_or_without(&config.data_dir);
    let snapshot_dir = config.data_dir.join("snapshot");
    let io = |path: &Path, source| StartError::Io { path: path.to_path_buf(), source };
    let snapshots = SnapshotDisk::open(Arc::clone(&disk), &snapshot_dir, identity.control_key)
        .map_err(|source| io(&snapshot_dir, source))?;
    let last_good = snapshots.load().map_err(|source| io(&snapshot_dir, source))?;
    let version = last_good.as_ref().map_or(0, |snapshot| snapshot.version);
    let shared: SharedSnapshot = Arc::new(ArcSwapOption::new(last_good.map(Arc::new)));
    let (storage, opened) = storage::open(&config, Arc::clone(&disk), &link, &state).await?;
    let budgets = Arc::new(Budgets::default());
    if let Some(snapshot) = shared.load().as_ref() {
        budgets.follow(snapshot);
    }
    let parts = Parts {
        snapshot: Arc::clone(&shared),
        spool: storage.handle(),
        state: state.clone(),
        budgets: Arc::clone(&budgets),
        forward: Arc::default(),
        watch: Arc::default(),
        clock: Arc::default(),
    };
    // Looked at before it is read: a change in between is then seen as one.
    let geo_paths = [&config.geo_database, &config.geo_asn_database].into_iter().flatten().cloned();
    let geo_files: Vec<_> = geo_paths.map(|path| (geo_file::stamp(&path), path)).collect();
    let (phase, phases) = watch::channel(Phase::Running);
    let (changed, ready) = watch::channel(version);
    let slot = SpoolSlot::default();
    let spooling = Spooling {
        link: Arc::clone(&link),
        state: state.clone(),
        budgets: Arc::clone(&budgets),
        status: Arc::clone(&parts.forward),
        config: config.spool.clone(),
        forward: config.forward,
        phase: phases,
        slot: slot.clone(),
    };
    // Leases of clicks are counted before a hit is answered.
    let starting = match opened {
        Some(opened) => Starting::Ready(Box::new(spooling.begin(opened))),
        None => Starting::Later(Box::new((spooling, storage))),
    };
    let server = http::serve_with(&config, parts.clone(), Timeouts::default(), inherited)?;
    let status = Arc::clone(&parts.watch);
    let watcher =
        Watcher { disk: snapshots, shared, budgets, state, link: Arc::clone(&link), changed, status };
    let follow = |(seen, path)| GeoFile::new(path, seen, Arc::clone(&server.shared().geo));
    let geo = geo_files.into_iter().map(follow).collect();
    let certificates = server.shared().certificate_files(&config.tls);
    let http3 = server.shared().http3_switch();
    let reporter = Reporter::new(ReporterParts {
        link: Arc::clone(&link),
        spool: parts.spool.clone(),
        snapshot: Arc::clone(&parts.snapshot),
        forward: Arc::clone(&parts.forward),
        clock: Arc::clone(&parts.clock),
        disk,
        data_dir: config.data_dir.clone(),
    });
    let renewer = Renewer { link, spool: parts.spool.clone() };
    let others = Others { watcher, renewer, reporter, geo, certificates, http3 };
    let control =
        ControlThread::start(phase, starting, others).map_err(|source| io(&config.data_dir, source))?;
    tracing::info!(edge = %identity.edge, snapshot = version, "node started");
    let offer = Offer::open(&config.data_dir);
    let unready = Duration::from_secs(config.unready_secs);
    Ok(EdgeHandle {
        listen: config.listen,
        unready,
        offer,
        server,
        control,
        parts,
        ready,
        spool: slot,
        _lock: lock,
    })
}

impl EdgeHandle {
    /// Where hits are answered over HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.server.addr(Door::Plain).unwrap_or(self.listen)
    }

    /// Where hits are answered over TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.server.addr(Door::Tls)
    }

    /// Where the metrics are.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.server.addr(Door::Admin)
    }

    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The version of the snapshot that hits are answered from; 0 = none yet.
    pub fn snapshot_version(&self) -> u64 {
        *self.ready.borrow()
    }

    /// Resolves when there is a snapshot to answer from.
    pub async fn wait_ready(&self) {
        // The sending half lives as long as the node.
        let _ = self.ready.clone().wait_for(|version| *version > 0).await;
    }

    /// Resolves when another process has the listening sockets and waits for [`EdgeHandle::hand_over`].
    pub async fn taken_over(&self) {
        match &self.offer {
            Some(offer) => offer.taken(&self.server).await,
            None => std::future::pending().await,
        }
    }

    /// Leaves quickly: new clients wait for the other process. What is unsent is for that one, too.
    pub async fn hand_over(self) {
        let Self { server, control, parts, spool, _lock, .. } = self;
        server.hand_over().await;
        let stopped = tokio::task::spawn_blocking(move || drop(control));
        if stopped.await.is_err() {
            tracing::error!("the control thread could not be stopped in order");
        }
        Self::close(parts, spool).await;
    }

    /// Drains: no hit that was answered is lost, and what can be sent in a few seconds is.
    pub async fn shutdown(self) {
        let Self { server, control, parts, spool, unready, _lock, .. } = self;
        server.announce_stop();
        tokio::time::sleep(unready).await;
        server.shutdown().await;
        control.drain().await;
        Self::close(parts, spool).await;
    }

    async fn close(parts: Parts, spool: SpoolSlot) {
        let closed = tokio::task::spawn_blocking(move || {
            if let Some(spool) = spool.take() {
                spool.close();
            }
            parts.state.flush();
        });
        if closed.await.is_err() {
            tracing::error!("the spool could not be closed in order; the next start recovers it");
        }
    }
}

/// The process before this one leaves within its time limits.
async fn lock_when_free(data_dir: &Path) -> Result<File, StartError> {
    let started = tokio::time::Instant::now();
    loop {
        match lock(data_dir) {
            Err(StartError::InUse { .. }) if started.elapsed() < LEAVING => {
                tokio::time::sleep(LOCK_POLL).await
            }
            locked => return locked,
        }
    }
}

/// Two processes on one spool would give out the same addresses.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("lock");
    let opened = RealDisk.create_dir(data_dir).and_then(|()| File::create(&path));
    let file = opened.map_err(|source| StartError::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: data_dir.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(StartError::Io { path, source }),
    }
}

pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
