//! The thread that talks to the control plane and does what else is not about a hit. It has a runtime of
//! its own, so that writing sealed batches and snapshots never holds up a redirect.

use super::late::Spooling;
use super::storage::Storage;
use crate::budget::Keeper;
use crate::forward::{Phase, Sender};
use crate::geo_file::GeoFile;
use crate::http::{CertificateFiles, Http3Switch};
use crate::identity::Renewer;
use crate::report::Reporter;
use crate::snapshot::Watcher;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

/// How long a stop waits for what is still to be sent. The rest is sent after the next start.
const DRAIN: Duration = Duration::from_secs(5);

/// What runs beside the sending, until the end.
pub(super) struct Others {
    pub watcher: Watcher,
    pub renewer: Renewer,
    pub reporter: Reporter,
    pub geo: Vec<GeoFile>,
    pub certificates: Option<CertificateFiles>,
    pub http3: Option<Arc<Http3Switch>>,
}

/// What runs on an open spool.
pub(super) struct Running {
    pub sender: Sender,
    pub keeper: Keeper,
}

pub(super) enum Starting {
    Ready(Box<Running>),
    /// The spool is still to be opened.
    Later(Box<(Spooling, Storage)>),
}

impl Starting {
    async fn running(self) -> Option<Running> {
        match self {
            Self::Ready(running) => Some(*running),
            Self::Later(later) => {
                let (spooling, storage) = *later;
                spooling.begin_later(storage).await
            }
        }
    }
}

pub(super) struct ControlThread {
    phase: watch::Sender<Phase>,
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl ControlThread {
    pub fn start(phase: watch::Sender<Phase>, starting: Starting, others: Others) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let mut phases = phase.subscribe();
        let thread = std::thread::Builder::new().name("edge-control".into()).spawn(move || {
            runtime.block_on(async move {
                let Others { watcher, renewer, reporter, geo, certificates, http3 } = others;
                let mut others = vec![tokio::spawn(watcher.run()), tokio::spawn(renewer.run())];
                others.push(tokio::spawn(reporter.run()));
                others.extend(geo.into_iter().map(|geo| tokio::spawn(geo.run())));
                others.extend(certificates.map(|files| tokio::spawn(files.run())));
                others.extend(http3.map(|switch| tokio::spawn(switch.follow())));
                if let Some(Running { sender, keeper }) = starting.running().await {
                    others.push(tokio::spawn(keeper.run()));
                    if tokio::spawn(sender.run()).await.is_err() {
                        tracing::error!("the sending task has panicked; restart the node to send again");
                    }
                }
                // Snapshots go on when sending has ended for good (fenced).
                let _ = phases.wait_for(|phase| *phase != Phase::Running).await;
                for task in others {
                    task.abort();
                }
            });
            let _ = end.send(());
        })?;
        Ok(Self { phase, ended, thread: Some(thread) })
    }

    /// Sends what is left for a few seconds, then stops.
    pub async fn drain(mut self) {
        self.phase.send_replace(Phase::Draining);
        if tokio::time::timeout(DRAIN, &mut self.ended).await.is_err() {
            tracing::info!(
                "not everything could be sent before the stop; the rest goes out after the next start"
            );
        }
        self.phase.send_replace(Phase::Stopped);
        let thread = self.thread.take();
        let joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join));
        if !matches!(joined.await, Ok(None | Some(Ok(())))) {
            tracing::error!("the control thread ended badly");
        }
    }
}

/// Waits for the thread, since it writes below the data directory, which may be opened again right away.
impl Drop for ControlThread {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread ended badly");
        }
    }
}
