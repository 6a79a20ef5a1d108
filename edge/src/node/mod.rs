//! Puts the parts of a node together and takes them down in order.

mod control;
mod storage;

use crate::config::Config;
use crate::disk::{Disk, RealDisk, SharedDisk};
use crate::forward::{ForwardStatus, Phase, Sender, SenderParts};
use crate::geo_file::{self, GeoFile};
use crate::http::{self, Door, ServeError};
use crate::identity::{ControlLink, Identity, IdentityError, Renewer};
use crate::snapshot::{SharedSnapshot, SnapshotDisk, WatchStatus, Watcher};
use crate::spool::{OpenError, Spool, SpoolHandle};
use crate::state::{State, StateError};
use arc_swap::ArcSwapOption;
use control::{ControlThread, Others};
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What the HTTP side gets to see of the node.
#[derive(Clone)]
pub struct Parts {
    pub snapshot: SharedSnapshot,
    pub spool: SpoolHandle,
    pub state: State,
    pub forward: Arc<ForwardStatus>,
    pub watch: Arc<WatchStatus>,
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
    #[error("the node has no usable state database")]
    State(#[from] StateError),
    #[error("the node has no usable spool")]
    Spool(#[from] OpenError),
    #[error(
        "the spool of this edge is gone, and a new one could not be asked for: the control plane must be reachable"
    )]
    NewEpoch(#[source] storage::EpochError),
    #[error("the node cannot answer hits")]
    Serve(#[from] ServeError),
}

/// A running node. Dropping it without [`EdgeHandle::shutdown`] ends it like a crash: nothing that was
/// answered is lost, but the next start has to recover.
pub struct EdgeHandle {
    listen: SocketAddr,
    // Declared in the order in which they must be dropped.
    server: http::Server,
    control: ControlThread,
    parts: Parts,
    ready: watch::Receiver<u64>,
    spool: Spool,
    _lock: File,
}

/// Starts from what is on disk; the control plane need not be up.
pub async fn start(config: Config) -> Result<EdgeHandle, StartError> {
    let mut identity = Identity::load(&config.data_dir)?;
    if let Some(url) = &config.control_plane_url {
        identity.control_url.clone_from(url);
    }
    let lock = lock(&config.data_dir)?;
    let disk: SharedDisk = Arc::new(RealDisk);
    let link = Arc::new(ControlLink::new(identity.clone(), identity.load_tls()?));
    let state = State::open(&config.data_dir)?;
    let snapshot_dir = config.data_dir.join("snapshot");
    let io = |path: &Path, source| StartError::Io { path: path.to_path_buf(), source };
    let snapshots = SnapshotDisk::open(Arc::clone(&disk), &snapshot_dir, identity.control_key)
        .map_err(|source| io(&snapshot_dir, source))?;
    let last_good = snapshots.load().map_err(|source| io(&snapshot_dir, source))?;
    let version = last_good.as_ref().map_or(0, |snapshot| snapshot.version);
    let shared: SharedSnapshot = Arc::new(ArcSwapOption::new(last_good.map(Arc::new)));
    let (spool, files) = storage::open(&config, disk, &link).await?;
    let parts = Parts {
        snapshot: Arc::clone(&shared),
        spool: spool.handle(),
        state: state.clone(),
        forward: Arc::default(),
        watch: Arc::default(),
    };
    // Looked at before it is read: a change in between is then seen as one.
    let geo_stamp = config.geo_database.as_deref().and_then(geo_file::stamp);
    let server = http::serve(&config, parts.clone()).await?;
    let (phase, phases) = watch::channel(Phase::Running);
    let (changed, ready) = watch::channel(version);
    let sender = Sender::new(SenderParts {
        link: Arc::clone(&link),
        spool: spool.handle(),
        log: spool.log(),
        files,
        state: state.clone(),
        status: Arc::clone(&parts.forward),
        config: config.spool.clone(),
        phase: phases,
    });
    let status = Arc::clone(&parts.watch);
    let watcher = Watcher { disk: snapshots, shared, state, link: Arc::clone(&link), changed, status };
    let geo = config.geo_database.clone();
    let geo = geo.map(|path| GeoFile::new(path, geo_stamp, Arc::clone(&server.shared().geo)));
    let certificates = server.shared().certificate_files(&config.tls);
    let others = Others { watcher, renewer: Renewer { link }, geo, certificates };
    let control =
        ControlThread::start(phase, sender, others).map_err(|source| io(&config.data_dir, source))?;
    tracing::info!(edge = %identity.edge, snapshot = version, "node started");
    Ok(EdgeHandle { listen: config.listen, server, control, parts, ready, spool, _lock: lock })
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

    /// Drains: no hit that was answered is lost, and what can be sent in a few seconds is.
    pub async fn shutdown(self) {
        let Self { server, control, parts, spool, _lock, .. } = self;
        server.shutdown().await;
        control.drain().await;
        let closed = tokio::task::spawn_blocking(move || {
            spool.close();
            parts.state.flush();
        });
        if closed.await.is_err() {
            tracing::error!("the spool could not be closed in order; the next start recovers it");
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

pub(crate) fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
