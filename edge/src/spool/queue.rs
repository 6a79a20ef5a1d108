//! Where hits enter the spool: addresses are given out and records queue up for the writer thread.

use super::group::{Durable, Group};
use super::{SpoolConfig, SpoolError, Streams};
use crate::lanes::PerLane;
use prost::Message;
use proto_model::event::{ORDINAL_MAX, PersonalClass};
use proto_model::{Address, Lane};
use proto_wire::edge_v1::{Event, SidecarEntry};
use proto_wire::envelope::last_covered;
use proto_wire::limits::{EVENT_LEN_MAX, SIDECAR_ENTRY_LEN_MAX};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// More than the largest event with its sidecar takes.
pub(super) const MAX_RECORD: usize = EVENT_LEN_MAX + 4 * SIDECAR_ENTRY_LEN_MAX;

/// One record on its way to the log. Encoding is left to the writer thread: it is off the hot path.
pub(super) struct Record {
    pub lane: Lane,
    pub event: Event,
    pub sidecar: Vec<SidecarEntry>,
}

pub(super) struct Queue {
    pub next: PerLane<u64>,
    pub records: Vec<Record>,
    pub bytes: u64,
    pub group: Arc<Group>,
    pub state: QueueState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueState {
    Open,
    Closing,
    /// The spool was dropped: what is queued is written, but the end is not an orderly one.
    Dropped,
    Poisoned,
}

pub(super) struct Shared {
    pub config: SpoolConfig,
    pub streams: Streams,
    pub queue: Mutex<Queue>,
    pub wake: Condvar,
    /// Bytes of the segments, and of sealed batches that are not acknowledged.
    pub segment_bytes: AtomicU64,
    pub sealed_bytes: AtomicU64,
    pub syncs: AtomicU64,
}

impl Shared {
    pub fn new(config: SpoolConfig, streams: Streams, next: PerLane<u64>) -> Self {
        let queue =
            Queue { next, records: Vec::new(), bytes: 0, group: Arc::default(), state: QueueState::Open };
        Self {
            config,
            streams,
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            segment_bytes: AtomicU64::new(0),
            sealed_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        }
    }

    /// A panic while the lock was held (in a caller's `build`) leaves the queue consistent: an ordinal
    /// is taken only when its record is queued.
    pub fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn disk_bytes(&self) -> u64 {
        self.segment_bytes.load(Ordering::Relaxed).saturating_add(self.sealed_bytes.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolStatus {
    /// A failed `fdatasync`: nothing is spooled until the node restarts.
    pub poisoned: bool,
    /// What the control plane has not acknowledged, on disk and queued.
    pub bytes: u64,
    pub max_bytes: u64,
    /// The next ordinal of each lane.
    pub next: PerLane<u64>,
    /// `fdatasync` calls since the start.
    pub syncs: u64,
}

impl SpoolStatus {
    pub fn has_room(&self) -> bool {
        !self.poisoned && self.bytes < self.max_bytes
    }
}

/// The bytes of a record, unless it could not be sealed later: such a one would hold up its lane for ever.
fn fit_len(ordinal: u64, event: &Event, sidecar: &[SidecarEntry]) -> Option<usize> {
    let event_len = event.encoded_len();
    let mut fits = event_len <= EVENT_LEN_MAX && event.ordinal == ordinal && last_covered(event) == ordinal;
    let mut len = event_len;
    for entry in sidecar {
        let entry_len = entry.encoded_len();
        fits &= entry_len <= SIDECAR_ENTRY_LEN_MAX && entry.ordinal == ordinal;
        len += entry_len;
    }
    (fits && sidecar.len() <= PersonalClass::ALL.len()).then_some(len)
}

/// The writing end of the spool; cheap to clone.
#[derive(Clone)]
pub struct SpoolHandle {
    shared: Arc<Shared>,
}

impl SpoolHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Allocates the next address of `lane` and enqueues what `build` makes for it, in one step that
    /// cannot be cancelled half-way. `build` runs under the lock that all workers share: what does not depend
    /// on the address should be done before. A refused record takes no ordinal.
    pub fn append(
        &self,
        lane: Lane,
        build: impl FnOnce(Address) -> (Event, Vec<SidecarEntry>),
    ) -> Result<(Address, Durable), SpoolError> {
        let disk_bytes = self.shared.disk_bytes();
        let mut queue = self.shared.lock();
        match queue.state {
            QueueState::Open => {}
            QueueState::Closing | QueueState::Dropped => return Err(SpoolError::Closed),
            QueueState::Poisoned => return Err(SpoolError::Poisoned),
        }
        if disk_bytes.saturating_add(queue.bytes) >= self.shared.config.limit(lane) {
            return Err(SpoolError::Full);
        }
        let ordinal = queue.next[lane];
        if ordinal > ORDINAL_MAX {
            return Err(SpoolError::Exhausted);
        }
        let address = Address { stream: self.shared.streams.stream(lane), ordinal };
        let (event, sidecar) = build(address);
        let len = fit_len(ordinal, &event, &sidecar).ok_or(SpoolError::Unfit)?;
        queue.next[lane] = ordinal + 1;
        queue.bytes += u64::try_from(len).unwrap_or(u64::MAX);
        queue.records.push(Record { lane, event, sidecar });
        let durable = queue.group.waiter();
        let was_empty = queue.records.len() == 1;
        drop(queue);
        // The writer takes all that is queued: who adds to a queue that is not empty need not wake it.
        if was_empty {
            self.shared.wake.notify_one();
        }
        Ok((address, durable))
    }

    pub fn streams(&self) -> Streams {
        self.shared.streams
    }

    pub fn status(&self) -> SpoolStatus {
        let disk_bytes = self.shared.disk_bytes();
        let queue = self.shared.lock();
        SpoolStatus {
            poisoned: queue.state == QueueState::Poisoned,
            bytes: disk_bytes.saturating_add(queue.bytes),
            max_bytes: self.shared.config.max_bytes,
            next: queue.next,
            syncs: self.shared.syncs.load(Ordering::Relaxed),
        }
    }
}
