//! Where hits enter the spool: an address is given out and the record, in the bytes of the log, queues up for
//! the writer thread, which has nothing left to do but to write.

use super::group::{Durable, Group, Party};
use super::room::{Gauge, share};
use super::segment::append_record;
use super::shut::{self, Shut};
use super::{SpoolConfig, SpoolError, Streams, Window};
use crate::disk::SharedDisk;
use crate::lanes::PerLane;
use proto_model::event::ORDINAL_MAX;
use proto_model::{Address, Lane};
use proto_wire::limits::{EVENT_LEN_MAX, SIDECAR_ENTRY_LEN_MAX};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than the largest event with its sidecar takes.
pub(super) const MAX_RECORD: usize = EVENT_LEN_MAX + 4 * SIDECAR_ENTRY_LEN_MAX;

/// Those who wait for what is queued. Apart, since a click may be answered earlier than a conversion beside it.
pub(super) type Groups = PerLane<Arc<Group>>;

pub(super) fn finish(groups: &Groups, outcome: Result<(), SpoolError>) {
    groups.money.finish(outcome);
    groups.traffic.finish(outcome);
}

pub(super) struct Queue {
    pub next: PerLane<u64>,
    /// Records in order, as they will stand in the log, but for their checksums.
    pub records: Vec<u8>,
    pub groups: Groups,
    pub state: QueueState,
    pub shut: PerLane<Option<Shut>>,
    /// Nothing is waited for any more: what is queued is to be written.
    pub due: bool,
    /// The writer looks at the queue only when it is woken.
    pub asleep: bool,
}

impl Queue {
    /// Why `lane` takes nothing, whatever room there is.
    fn refusal(&self, lane: Lane) -> Option<SpoolError> {
        self.state.refusal().or_else(|| shut::admit(&self.shut, lane).err())
    }
}

/// So much is written even if more is about to come.
const PLENTY: usize = 128 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueState {
    /// The log could not be opened yet.
    Absent,
    Open,
    /// An `fdatasync` failed; the writer is about to go on in a new segment.
    Moving,
    Closing,
    /// The spool was dropped: what is queued is written, but the end is not an orderly one.
    Dropped,
    Poisoned,
}

impl QueueState {
    fn refusal(self) -> Option<SpoolError> {
        match self {
            Self::Open => None,
            Self::Absent => Some(SpoolError::Absent),
            Self::Closing | Self::Dropped => Some(SpoolError::Closed),
            Self::Moving | Self::Poisoned => Some(SpoolError::Poisoned),
        }
    }
}

pub(super) struct Shared {
    pub config: SpoolConfig,
    pub streams: Streams,
    pub queue: Mutex<Queue>,
    pub wake: Condvar,
    /// Bytes of the segments, of what is being written to them, and of sealed batches that are not acknowledged.
    pub segment_bytes: AtomicU64,
    pub writing_bytes: AtomicU64,
    pub sealed_bytes: AtomicU64,
    pub syncs: AtomicU64,
    pub moved: AtomicU64,
    /// Clicks that were answered, or may be, and that a power cut would take now.
    pub unsynced_hits: AtomicU64,
    pub maybe_lost: AtomicU64,
    pub room: Gauge,
    /// Why the log is not open, while it is not.
    absent: Mutex<String>,
}

impl Shared {
    /// Of a log that is not open yet.
    fn new(config: SpoolConfig, streams: Streams, room: Gauge) -> Self {
        let (records, groups, state) = (Vec::new(), Groups::default(), QueueState::Absent);
        let next = PerLane::build(|_| 1);
        let queue =
            Queue { next, records, groups, state, shut: PerLane::default(), due: false, asleep: false };
        Self {
            config,
            streams,
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            segment_bytes: AtomicU64::new(0),
            writing_bytes: AtomicU64::new(0),
            sealed_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            unsynced_hits: AtomicU64::new(0),
            maybe_lost: AtomicU64::new(0),
            room,
            absent: Mutex::default(),
        }
    }

    /// A panic while the lock was held (in a caller's `place`) leaves the queue consistent: an ordinal is
    /// taken only when its record is complete, and `append` cuts off what is not.
    pub fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the writer take what is queued, if it has not been taken for another thread's sake.
    fn write(&self, mut queue: MutexGuard<'_, Queue>) {
        if queue.due || queue.records.is_empty() {
            return;
        }
        queue.due = true;
        drop(queue);
        self.wake.notify_one();
    }

    pub fn disk_bytes(&self) -> u64 {
        let parts = [&self.segment_bytes, &self.writing_bytes, &self.sealed_bytes];
        parts.iter().fold(0, |sum, part| sum.saturating_add(part.load(Ordering::Relaxed)))
    }

    pub fn look_at_the_disk(&self) {
        self.room.look(&self.config, self.disk_bytes());
    }

    /// Looks whether the disk has become emptier, unless that would not help.
    fn finds_room(&self, lane: Lane) -> bool {
        let taken = self.disk_bytes().saturating_add(len(&self.lock().records));
        if taken >= share(self.config.max_bytes, lane) {
            return false;
        }
        self.look_at_the_disk();
        taken < share(self.room.limit(), lane)
    }
}

/// What is queued waits this long, at most twice, for a worker that does not say that it has nothing left to do.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// Waits for something to write, or for the end. Whatever is slept on, is looked at once more under the lock before.
pub(super) fn wait(shared: &Shared) -> MutexGuard<'_, Queue> {
    let mut queue = shared.lock();
    let mut is_quiet = false;
    while !queue.due && matches!(queue.state, QueueState::Absent | QueueState::Open) {
        let is_empty = queue.records.is_empty();
        if is_quiet && is_empty {
            queue.asleep = true;
            queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
            is_quiet = false;
            continue;
        }
        let (woken, timeout) =
            shared.wake.wait_timeout(queue, LONGEST_WAIT).unwrap_or_else(PoisonError::into_inner);
        queue = woken;
        is_quiet = timeout.timed_out();
        if is_quiet && !is_empty {
            // Their worker has not run out of work in all that time, and may never do so.
            break;
        }
    }
    queue
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Why the log could not be opened yet. Nothing is spooled until it is.
    pub absent: Option<String>,
    /// `fdatasync` failed more than once: nothing is spooled until the node restarts.
    pub poisoned: bool,
    /// It failed for the first time: what is durable is being copied, nothing is spooled meanwhile.
    pub moving: bool,
    /// What the control plane has not acknowledged, on disk and queued.
    pub bytes: u64,
    pub max_bytes: u64,
    /// What these may come to: less than `max_bytes` where the disk has less.
    pub limit: u64,
    /// The next ordinal of each lane.
    pub next: PerLane<u64>,
    /// `fdatasync` calls since the start.
    pub syncs: u64,
    /// How often one has failed, and the spool went on in a new segment.
    pub moved: u64,
    /// What may be answered before it is durable; `None` = nothing.
    pub window: Option<Window>,
    /// Clicks that a power cut would take now.
    pub unsynced_hits: u64,
    /// Clicks that were declared to be lost perhaps, since the start.
    pub maybe_lost: u64,
    /// Why a lane takes no hits, whatever room there is.
    pub shut: PerLane<Option<Shut>>,
}

impl SpoolStatus {
    pub fn has_room(&self) -> bool {
        self.absent.is_none() && !self.poisoned && !self.moving && self.bytes < self.limit
    }

    /// What can still come.
    pub fn room_bytes(&self) -> u64 {
        self.limit.saturating_sub(self.bytes)
    }
}

/// The spool as the threads of a node share it; cheap to clone.
#[derive(Clone)]
pub struct SpoolHandle {
    shared: Arc<Shared>,
}

impl SpoolHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Of a spool that is still to be opened ([`super::Spool::open_for`]): until then it refuses everything, and hits
    /// are answered without it.
    pub fn absent(disk: SharedDisk, dir: &Path, config: SpoolConfig, streams: Streams) -> Self {
        let room = Gauge::new(disk, dir, &config);
        Self::new(Arc::new(Shared::new(config, streams, room)))
    }

    /// Says why it could not be opened.
    pub fn set_absent(&self, why: String) {
        *self.shared.absent.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// An end to write to, for the calling thread alone. What it is given is written at once.
    pub fn local(&self) -> LocalSpool {
        self.local_end(None)
    }

    /// The same for a thread that says when it has run out of things to do: until then what it is given waits, so
    /// that all the requests which it found at once share one `fdatasync`. Nobody waits longer for that: the thread
    /// could send no reply before. One that never says so is waited for a few milliseconds.
    pub fn local_until(&self, idle: Arc<Idle>) -> LocalSpool {
        self.local_end(Some(idle))
    }

    pub fn idle(&self) -> Arc<Idle> {
        Arc::new(Idle { shared: Arc::clone(&self.shared), queued: AtomicBool::new(false) })
    }

    fn local_end(&self, idle: Option<Arc<Idle>>) -> LocalSpool {
        let queue = self.shared.lock();
        let parties = PerLane::build(|lane| RefCell::new(Party::new(Arc::clone(&queue.groups[lane]))));
        drop(queue);
        LocalSpool { shared: Arc::clone(&self.shared), parties, idle }
    }

    pub fn streams(&self) -> Streams {
        self.shared.streams
    }

    pub fn status(&self) -> SpoolStatus {
        self.shared.look_at_the_disk();
        let disk_bytes = self.shared.disk_bytes();
        let queue = self.shared.lock();
        let why = || self.shared.absent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SpoolStatus {
            absent: (queue.state == QueueState::Absent).then(why),
            moving: queue.state == QueueState::Moving,
            poisoned: queue.state == QueueState::Poisoned,
            bytes: disk_bytes.saturating_add(len(&queue.records)),
            max_bytes: self.shared.config.max_bytes,
            limit: self.shared.room.limit(),
            next: queue.next,
            syncs: self.shared.syncs.load(Ordering::Relaxed),
            moved: self.shared.moved.load(Ordering::Relaxed),
            window: self.shared.config.window(),
            unsynced_hits: self.shared.unsynced_hits.load(Ordering::Relaxed),
            maybe_lost: self.shared.maybe_lost.load(Ordering::Relaxed),
            shut: queue.shut,
        }
    }
}

/// Where a thread says that it has run out of things to do.
pub struct Idle {
    shared: Arc<Shared>,
    /// The thread has queued something since it last said so.
    queued: AtomicBool,
}

impl Idle {
    pub fn now(&self) {
        if self.queued.swap(false, Ordering::Relaxed) {
            self.shared.write(self.shared.lock());
        }
    }
}

/// The writing end of the spool for one worker.
pub struct LocalSpool {
    shared: Arc<Shared>,
    idle: Option<Arc<Idle>>,
    /// Of this thread, those who wait for the group that was current at the last append.
    parties: PerLane<RefCell<Rc<Party>>>,
}

impl LocalSpool {
    /// Allocates the next address of `lane` and enqueues what `place` appends for it, in one step that
    /// cannot be cancelled half-way. `place` appends an event and its sidecar and returns the length of the
    /// event, or `None` for a record that could not be sealed later: it would hold up its lane for ever. It
    /// runs under the lock that all workers share: what does not depend on the address should be done
    /// before. A refused record takes no ordinal.
    pub fn append(
        &self,
        lane: Lane,
        place: impl FnOnce(Address, &mut Vec<u8>) -> Option<usize>,
    ) -> Result<(Address, Durable), SpoolError> {
        let disk_bytes = self.shared.disk_bytes();
        let mut guard = self.shared.lock();
        if disk_bytes.saturating_add(len(&guard.records)) >= share(self.shared.room.limit(), lane) {
            drop(guard);
            // The way of hits that are refused, or let in again.
            if !self.shared.finds_room(lane) {
                return Err(self.shared.lock().refusal(lane).unwrap_or(SpoolError::Full));
            }
            guard = self.shared.lock();
        }
        let queue = &mut *guard;
        if let Some(refusal) = queue.refusal(lane) {
            return Err(refusal);
        }
        let ordinal = queue.next[lane];
        if ordinal > ORDINAL_MAX {
            return Err(SpoolError::Exhausted);
        }
        let address = Address { stream: self.shared.streams.stream(lane), ordinal };
        let place = |out: &mut Vec<u8>| place(address, out);
        append_record(&mut queue.records, lane, ordinal..=ordinal, place).ok_or(SpoolError::Unfit)?;
        queue.next[lane] = ordinal + 1;
        let durable = self.wait_for(&queue.groups, lane);
        match &self.idle {
            Some(idle) if queue.records.len() < PLENTY => {
                idle.queued.store(true, Ordering::Relaxed);
                let asleep = std::mem::take(&mut queue.asleep);
                drop(guard);
                // For the time that it waits at most.
                if asleep {
                    self.shared.wake.notify_one();
                }
            }
            _ => self.shared.write(guard),
        }
        Ok((address, durable))
    }

    fn wait_for(&self, groups: &Groups, lane: Lane) -> Durable {
        let group = &groups[lane];
        let mut party = self.parties[lane].borrow_mut();
        if !party.is_of(group) {
            *party = Party::new(Arc::clone(group));
        }
        party.join()
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
