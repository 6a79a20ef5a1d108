//! Clicks that are answered before they are durable (`durability = "bounded"`), and the thread that makes them so.
//!
//! The writer goes on writing while an `fdatasync` is under way here. A click is answered once it is written, as long
//! as what a power cut would take with it stays within the [`Window`]; else it waits, as conversions always do.

use super::Window;
use super::boot;
use super::group::Group;
use super::log::{Log, LogEnd};
use super::queue::Groups;
use super::writer::KEPT_BUFFER;
use crate::disk::DiskFile;
use crate::lanes::PerLane;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is written and perhaps not durable.
pub(super) struct Unsynced {
    log: Arc<Log>,
    window: Window,
    /// There is no other thread, and no time: see [`super::Steps`].
    alone: bool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Not here while it is asked to become durable, and not any more once that has failed.
    file: Option<Box<dyn DiskFile>>,
    syncing: bool,
    written: LogEnd,
    durable: LogEnd,
    /// What stands in the log behind `durable`. Should the disk fail, it is written again elsewhere: those who were
    /// answered cannot be told otherwise.
    records: Vec<u8>,
    waiting: Vec<Arc<Group>>,
    /// When the oldest of what no `fdatasync` was asked for was written.
    since: Option<Instant>,
    /// The same of what the one under way was asked for.
    asked_since: Option<Instant>,
    /// Nothing is waited for any more.
    due: bool,
    failed: Option<io::Error>,
    ended: bool,
}

/// What a disk that failed has left.
#[derive(Default)]
pub(super) struct Left {
    pub durable: LogEnd,
    /// What is known to stand behind it, and the next ordinals behind that.
    pub records: Vec<u8>,
    pub next: PerLane<u64>,
    pub waiting: Vec<Arc<Group>>,
}

impl State {
    /// Ordinals of clicks that a power cut would take.
    fn at_stake(&self) -> u64 {
        self.written.next.traffic.saturating_sub(self.durable.next.traffic)
    }

    /// Whether the newest clicks may be answered.
    fn is_within(&self, window: Window) -> bool {
        let oldest = self.asked_since.or(self.since);
        let in_time = oldest.is_none_or(|at| at.elapsed() < window.span());
        !self.is_broken() && in_time && self.at_stake() <= u64::from(window.window_hits)
    }

    fn is_broken(&self) -> bool {
        self.file.is_none() && !self.syncing
    }
}

impl Unsynced {
    pub fn new(log: Arc<Log>, window: Window, file: Box<dyn DiskFile>, end: LogEnd, alone: bool) -> Self {
        let state = State {
            file: Some(file),
            syncing: false,
            written: end,
            durable: end,
            records: Vec::new(),
            waiting: Vec::new(),
            since: None,
            asked_since: None,
            due: false,
            failed: None,
            ended: false,
        };
        Self { log, window, alone, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn spawn(self: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let this = Arc::clone(self);
        std::thread::Builder::new().name("spool-sync".into()).spawn(move || this.run_on())
    }

    /// A panic is no better than an `fdatasync` that failed: nobody waits for it for ever, and what it was about is
    /// written again.
    fn run_on(&self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            self.fail(io::Error::other("the thread that makes clicks durable has panicked"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `records` stand in the log now, up to `end`. Answers who need not wait. `groups` that have nobody are as good
    /// as answered.
    pub fn written(&self, end: LogEnd, records: &[u8], groups: Groups) -> io::Result<()> {
        let mut state = self.lock();
        let has_money = end.next.money > state.written.next.money;
        state.written = end;
        state.records.extend_from_slice(records);
        let begins = state.since.is_none() && !self.alone;
        if begins {
            state.since = Some(Instant::now());
        }
        let answered = state.is_within(self.window);
        let PerLane { money, traffic } = groups;
        let waits = [(money, has_money), (traffic.clone(), !answered)];
        state.due |= waits.iter().any(|(_, waits)| *waits);
        state.waiting.extend(waits.into_iter().filter_map(|(group, waits)| waits.then_some(group)));
        // Early, so that the window is not full before the `fdatasync` is over.
        let plenty = state.at_stake() >= u64::from(self.window.window_hits / 2);
        state.due |= plenty;
        let wakes = state.due || begins;
        self.log.shared.unsynced_hits.store(state.at_stake(), Ordering::Relaxed);
        let failed = state.failed.take();
        drop(state);
        if answered {
            traffic.finish(Ok(()));
        }
        if wakes {
            self.changed.notify_all();
        }
        failed.map_or(Ok(()), Err)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let is_all_durable = state.written == state.durable;
            if state.ended && (is_all_durable || state.is_broken()) {
                return;
            }
            let left = match state.since {
                _ if state.is_broken() => None,
                _ if state.due && !is_all_durable => Some(Duration::ZERO),
                // At half of it: the `fdatasync` takes a while, too.
                since => since.map(|at| (self.window.span() / 2).saturating_sub(at.elapsed())),
            };
            state = match left {
                Some(Duration::ZERO) => self.sync(state),
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// One `fdatasync` for all that is written.
    fn sync<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(mut file) = state.file.take() else { return state };
        let (through, len, waiting) = (state.written, state.records.len(), state.waiting.len());
        state.asked_since = state.since.take();
        (state.due, state.syncing) = (false, true);
        drop(state);
        let outcome = file.sync_data();
        match outcome {
            Ok(()) => {
                state = self.lock();
                (state.asked_since, state.syncing) = (None, false);
                state.file = Some(file);
                state.durable = through;
                state.records.drain(..len);
                state.records.shrink_to(KEPT_BUFFER);
                let waiting: Vec<_> = state.waiting.drain(..waiting).collect();
                self.log.shared.syncs.fetch_add(1, Ordering::Relaxed);
                self.log.shared.unsynced_hits.store(state.at_stake(), Ordering::Relaxed);
                // Before the writer, which waits for it, publishes what comes then.
                self.log.publish(through);
                drop(state);
                for group in waiting {
                    group.finish(Ok(()));
                }
                self.changed.notify_all();
            }
            Err(error) => self.fail(error),
        }
        self.lock()
    }

    /// From now on nothing becomes durable, until the writer goes on elsewhere.
    fn fail(&self, error: io::Error) {
        // First: if the process is killed now, the next start must know.
        boot::take_back(self.log.disk.as_ref(), &self.log.dir);
        let mut state = self.lock();
        (state.file, state.asked_since, state.syncing) = (None, None, false);
        state.failed = Some(error);
        drop(state);
        self.wake_writer();
        self.changed.notify_all();
    }

    /// What the thread would do, on the calling one.
    pub fn sync_now(&self) {
        let state = self.lock();
        if state.written != state.durable {
            drop(self.sync(state));
        }
    }

    /// It sleeps until there is something to write; there may be nothing.
    fn wake_writer(&self) {
        self.log.shared.lock().due = true;
        self.log.shared.wake.notify_all();
    }

    /// Why nothing can become durable any more; said once.
    pub fn failure(&self) -> io::Result<()> {
        self.lock().failed.take().map_or(Ok(()), Err)
    }

    /// Returns once all that is written is durable, or never will be.
    pub fn settle(&self) -> io::Result<LogEnd> {
        let mut state = self.lock();
        while state.durable != state.written {
            if state.is_broken() {
                return Err(state.failed.take().unwrap_or_else(|| io::ErrorKind::Other.into()));
            }
            if self.alone {
                state = self.sync(state);
                continue;
            }
            state.due = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(state.durable)
    }

    /// After a failure: waits for an `fdatasync` that is under way, and takes what is left. Until [`Self::resume`] there
    /// is no other.
    pub fn halt(&self) -> Left {
        let mut state = self.lock();
        while state.syncing {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (state.file, state.failed) = (None, None);
        let (records, waiting) = (std::mem::take(&mut state.records), std::mem::take(&mut state.waiting));
        Left { durable: state.durable, records, next: state.written.next, waiting }
    }

    /// Goes on in another file, all of which is durable.
    pub fn resume(&self, file: Box<dyn DiskFile>, end: LogEnd) {
        let mut state = self.lock();
        (state.file, state.written, state.durable) = (Some(file), end, end);
        (state.since, state.due) = (None, false);
        self.log.shared.unsynced_hits.store(0, Ordering::Relaxed);
    }

    /// Nothing will be written any more.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}
