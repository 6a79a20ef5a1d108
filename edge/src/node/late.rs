//! What needs the spool: the sending, and the keeping of click leases. Where the spool cannot be opened (its disk is
//! full, or fails to read), the node runs without them and without it, and tries again.

use super::StartError;
use super::control::Running;
use super::storage::{Opened, Storage};
use crate::budget::{Budgets, Keeper, Moment, Recorded, recount};
use crate::disk::is_damage;
use crate::forward::{Backoff, ForwardConfig, ForwardStatus, Jitter, Phase, Sender, SenderParts};
use crate::identity::ControlLink;
use crate::spool::{OpenError, Reading, Spool, SpoolConfig};
use crate::state::State;
use crate::with_causes;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// After so many attempts what cannot be read counts as damage. The waits between them double up to a quarter of
/// a minute.
const READ_AROUND_AFTER: u32 = 10;

/// Where the spool is kept for the one who closes it.
#[derive(Clone, Default)]
pub(super) struct SpoolSlot(Arc<Mutex<Option<Spool>>>);

impl SpoolSlot {
    pub fn take(&self) -> Option<Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, spool: Spool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(spool);
    }
}

pub(super) struct Spooling {
    pub link: Arc<ControlLink>,
    pub state: State,
    pub budgets: Arc<Budgets>,
    pub status: Arc<ForwardStatus>,
    pub config: SpoolConfig,
    pub forward: ForwardConfig,
    pub phase: watch::Receiver<Phase>,
    pub slot: SpoolSlot,
}

impl Spooling {
    pub fn begin(self, (spool, files): Opened) -> Running {
        let Self { link, state, budgets, status, config, forward, phase, slot } = self;
        let mut leases = state.leases();
        recount(&mut leases, &Recorded { files: &files.traffic, log: &spool.log() });
        let (link_of_keeper, state_of_keeper) = (Arc::clone(&link), state.clone());
        let keeper =
            Keeper::new(budgets, link_of_keeper, state_of_keeper, spool.handle(), leases, Moment::now());
        let (log, handle) = (spool.log(), spool.handle());
        let jitter: Jitter = Box::new(proto_wire::keys::random);
        let sender = Sender::new(SenderParts {
            link,
            spool: handle,
            log,
            files,
            state,
            status,
            config,
            forward,
            phase,
            jitter,
        });
        slot.put(spool);
        Running { sender, keeper }
    }

    /// Until the spool is open; `None` when the node ends before.
    pub async fn begin_later(mut self, storage: Storage) -> Option<Running> {
        let storage = Arc::new(storage);
        let mut backoff = Backoff::new();
        let mut unread = 0;
        loop {
            let delay = tokio::time::sleep(backoff.next(proto_wire::keys::random()));
            tokio::select! {
                () = delay => {}
                _ = self.phase.wait_for(|phase| *phase != Phase::Running) => return None,
            }
            let reading = if unread < READ_AROUND_AFTER { Reading::Strict } else { Reading::Around };
            let opening = Arc::clone(&storage);
            match tokio::task::spawn_blocking(move || opening.open(reading)).await {
                Ok(Ok(opened)) => {
                    tracing::info!("the spool is open; hits are spooled from now on");
                    return Some(self.begin(opened));
                }
                Ok(Err(error)) => {
                    unread += u32::from(is_unread(&error));
                    storage.report(&error);
                }
                Err(error) => tracing::error!(error = with_causes(&error), "opening the spool has panicked"),
            }
        }
    }
}

fn is_unread(error: &StartError) -> bool {
    matches!(error, StartError::Spool(OpenError::Io(error)) if is_damage(error))
}
