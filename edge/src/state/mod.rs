//! Small keyed state in sled: what helps, and what can be rebuilt. Nothing here is the only copy of
//! anything (the spool is for that), since sled's flush is no promise against a power cut, and a damaged
//! database may panic. Both are met in one way: the directory is set aside and the node goes on empty.

mod leases;
mod saved;
mod seen;
mod visitors;

pub use leases::{LeaseChange, SavedLease};
pub use seen::SeenKey;

use crate::lanes::PerLane;
use crate::with_causes;
use proto_model::{Lane, OfferId, UnixMicros};
use proto_wire::keys::random;
use saved::{RECORD, Saved};
use seen::Seen;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use visitors::{KEY_LEN, Visit, Visitor, Visitors};

/// Conversions remembered. Older ones are still recognised by the control plane.
const SEEN_MAX: usize = 1_000_000;
/// Visitors remembered, of all offers together; 16 bytes each.
const VISITORS_MAX: usize = 1_000_000;
/// How long visitors are told apart by one key. With it, all of them are forgotten.
const VISITOR_KEY_SECS: u32 = 30 * 86_400;
const VISITOR_KEY: &str = "visitor_key";
/// How often new ones are written to the database.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const DIR: &str = "state";
/// Its presence says that the database failed while it was used.
const BROKEN: &str = "state-broken";

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the directory {path} cannot be set aside (check the permissions)")]
    SetAside {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the state database cannot be opened in {path}, not even an empty one (is the disk full?)")]
    Open {
        path: PathBuf,
        #[source]
        source: Fault,
    },
}

/// What went wrong inside the database.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the state database failed")]
    Sled(#[from] sled::Error),
    #[error("the state database panicked")]
    Panicked,
}

/// A batch chain's acknowledged end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckCursor {
    pub last_ordinal: u64,
    pub head_hash: [u8; 32],
}

struct Trees {
    db: sled::Db,
    meta: sled::Tree,
    conversions: sled::Tree,
    visitors: sled::Tree,
    leases: sled::Tree,
}

/// Records that are in memory, and how they come into their tree.
struct Log {
    saved: Mutex<Saved>,
    /// Not in the database yet.
    unsaved: Mutex<Vec<[u8; RECORD]>>,
}

impl Log {
    fn new(saved: Saved) -> Self {
        Self { saved: Mutex::new(saved), unsaved: Mutex::default() }
    }

    fn push(&self, record: [u8; RECORD]) {
        lock(&self.unsaved).push(record);
    }
}

#[derive(Clone, Copy)]
struct VisitorKey {
    key: [u8; KEY_LEN],
    since_secs: u32,
}

impl VisitorKey {
    const NONE: Self = Self { key: [0; KEY_LEN], since_secs: 0 };

    fn serves(&self, now_secs: u32) -> bool {
        self.since_secs != 0 && now_secs.saturating_sub(self.since_secs) < VISITOR_KEY_SECS
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (key, since) = bytes.split_at_checked(KEY_LEN)?;
        Some(Self { key: key.try_into().ok()?, since_secs: u32::from_be_bytes(since.try_into().ok()?) })
    }
}

struct Inner {
    /// `None`: could not be opened, and counts as broken.
    trees: Option<Trees>,
    broken: AtomicBool,
    marker: PathBuf,
    seen: Seen,
    seen_log: Log,
    visitors: Visitors,
    visitor_log: Log,
    visitor_key: RwLock<VisitorKey>,
}

impl Inner {
    fn without(marker: PathBuf, seen_max: usize, visitors_max: usize) -> Self {
        Self {
            trees: None,
            broken: AtomicBool::new(true),
            marker,
            seen: Seen::new(seen_max),
            seen_log: Log::new(Saved::nowhere()),
            visitors: Visitors::new(visitors_max),
            visitor_log: Log::new(Saved::nowhere()),
            visitor_key: RwLock::new(VisitorKey::NONE),
        }
    }
}

/// Cheap to clone. Once the database has failed, reads find nothing and writes do nothing.
#[derive(Clone)]
pub struct State(Arc<Inner>);

impl State {
    /// Opens `data_dir/state`. A database that cannot be opened is set aside.
    pub fn open(data_dir: &Path) -> Result<Self, StateError> {
        Self::open_with(data_dir, SEEN_MAX)
    }

    fn open_with(data_dir: &Path, seen_max: usize) -> Result<Self, StateError> {
        let (dir, marker) = (data_dir.join(DIR), data_dir.join(BROKEN));
        if marker.exists() {
            set_aside(data_dir, &dir)?;
            std::fs::remove_file(&marker)
                .map_err(|source| StateError::SetAside { path: marker.clone(), source })?;
        }
        let trees = match Trees::open_when_free(&dir) {
            Ok(trees) => trees,
            // It is not damaged, and a new one would find no more room.
            Err(source) if source.is_full() => return Err(StateError::Open { path: dir, source }),
            Err(error) => {
                tracing::error!(%error, "the state database cannot be opened; it is set aside, going on empty");
                set_aside(data_dir, &dir)?;
                Trees::open(&dir).map_err(|source| StateError::Open { path: dir.clone(), source })?
            }
        };
        let (seen, visitors) = (Seen::new(seen_max), Visitors::new(VISITORS_MAX));
        let loaded = guarded(|| {
            let see = |record: &[u8; RECORD]| {
                if let Some(key) = SeenKey::from_slice(record) {
                    seen.insert(key);
                }
            };
            let seen_log = Saved::load(&trees.conversions, seen_max, see)?;
            let visit = |record: &[u8; RECORD]| visitors.put(Visit::from_bytes(record));
            let visitor_log = Saved::load(&trees.visitors, VISITORS_MAX, visit)?;
            let key = trees.meta.get(VISITOR_KEY)?.and_then(|bytes| VisitorKey::from_slice(&bytes));
            Ok((Log::new(seen_log), Log::new(visitor_log), RwLock::new(key.unwrap_or(VisitorKey::NONE))))
        });
        let (seen_log, visitor_log, visitor_key) = match loaded {
            Ok(loaded) => loaded,
            Err(source) => return Err(StateError::Open { path: dir, source }),
        };
        let broken = AtomicBool::new(false);
        let trees = Some(trees);
        Ok(Self::begin(Inner { trees, broken, marker, seen, seen_log, visitors, visitor_log, visitor_key }))
    }

    /// As [`State::open`]; a node whose disk is full, say, answers without what it could know.
    pub fn open_or_without(data_dir: &Path) -> Self {
        Self::open(data_dir).unwrap_or_else(|error| {
            let error = with_causes(&error);
            tracing::error!(error, "going on without the state database until a restart");
            Self::begin(Inner::without(data_dir.join(BROKEN), SEEN_MAX, VISITORS_MAX))
        })
    }

    /// One that knows nothing and writes nowhere; there is no thread of its own.
    #[cfg(test)]
    pub(crate) fn of_a_simulation() -> Self {
        Self(Arc::new(Inner::without(PathBuf::new(), 64, 64)))
    }

    fn begin(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        save_from_time_to_time(Arc::downgrade(&inner));
        Self(inner)
    }

    /// Nothing is remembered over a restart.
    pub fn is_broken(&self) -> bool {
        self.0.broken.load(Ordering::Relaxed)
    }

    pub fn seen_conversion(&self, key: SeenKey) -> bool {
        self.0.seen.contains(key)
    }

    /// Touches memory only. The database hears of it within a second: it is there for the next start.
    pub fn remember_conversion(&self, key: SeenKey) {
        if self.0.seen.insert(key) {
            self.0.seen_log.push(*key.bytes());
        }
    }

    /// After hits were lost that had been answered: their senders are asked to send them again, and must not be told
    /// that they are known. What did arrive is still recognised by the control plane.
    pub fn forget_conversions(&self) {
        let Inner { seen, seen_log, .. } = &*self.0;
        let mut saved = lock(&seen_log.saved);
        seen.clear();
        lock(&seen_log.unsaved).clear();
        self.use_trees(|trees| {
            saved.clear(&trees.conversions)?;
            trees.db.flush()
        });
    }

    /// Whether nobody clicked on this offer from this address with this user agent for `window_secs`; that it is so
    /// is remembered, and, if `keep` says so, also over a restart.
    pub fn is_unique_visit(
        &self,
        offer: OfferId,
        (ip, user_agent): (IpAddr, &str),
        now: UnixMicros,
        window_secs: u32,
        keep: bool,
    ) -> bool {
        let at_secs = u32::try_from(now.secs()).unwrap_or_default();
        let key = self.visitor_key(at_secs);
        let visit = Visit { visitor: Visitor::of(&key.key, offer, ip, user_agent), at_secs };
        let unique = self.0.visitors.is_unique(visit, window_secs);
        if unique && keep {
            self.0.visitor_log.push(visit.bytes());
        }
        unique
    }

    fn visitor_key(&self, now_secs: u32) -> VisitorKey {
        let held = *self.0.visitor_key.read().unwrap_or_else(PoisonError::into_inner);
        if held.serves(now_secs) {
            return held;
        }
        let mut held = self.0.visitor_key.write().unwrap_or_else(PoisonError::into_inner);
        if !held.serves(now_secs) {
            *held = VisitorKey { key: random(), since_secs: now_secs.max(1) };
            self.forget_visitors(*held);
        }
        *held
    }

    fn forget_visitors(&self, next: VisitorKey) {
        let Inner { visitors, visitor_log, .. } = &*self.0;
        let mut saved = lock(&visitor_log.saved);
        visitors.clear();
        lock(&visitor_log.unsaved).clear();
        self.use_trees(|trees| saved.clear(&trees.visitors));
        let value = [&next.key[..], &next.since_secs.to_be_bytes()].concat();
        self.set_meta(VISITOR_KEY, &value);
    }

    /// The newest snapshot version this node has run.
    pub fn snapshot_floor(&self) -> u64 {
        self.meta("snapshot_floor").and_then(|value| read_u64(&value)).unwrap_or_default()
    }

    pub fn raise_snapshot_floor(&self, version: u64) {
        if version > self.snapshot_floor() {
            self.set_meta("snapshot_floor", &version.to_be_bytes());
        }
    }

    pub fn ack_cursor(&self, epoch: u32, lane: Lane) -> Option<AckCursor> {
        let value = self.meta(&ack_key(epoch, lane))?;
        let last_ordinal = read_u64(value.get(..8)?)?;
        Some(AckCursor { last_ordinal, head_hash: value.get(8..)?.try_into().ok()? })
    }

    pub fn set_ack_cursor(&self, epoch: u32, lane: Lane, cursor: AckCursor) {
        let mut value = cursor.last_ordinal.to_be_bytes().to_vec();
        value.extend_from_slice(&cursor.head_hash);
        self.set_meta(&ack_key(epoch, lane), &value);
    }

    pub fn ack_cursors(&self, epoch: u32) -> PerLane<Option<AckCursor>> {
        PerLane::build(|lane| self.ack_cursor(epoch, lane))
    }

    /// Writes what is in memory, as an orderly stop does.
    pub fn flush(&self) {
        self.save();
        self.use_trees(|trees| trees.db.flush());
    }

    fn save(&self) {
        self.save_log(&self.0.seen_log, |trees| &trees.conversions);
        self.save_log(&self.0.visitor_log, |trees| &trees.visitors);
    }

    fn save_log(&self, log: &Log, tree: impl Fn(&Trees) -> &sled::Tree) {
        let mut saved = lock(&log.saved);
        let records = std::mem::take(&mut *lock(&log.unsaved));
        if !records.is_empty() {
            self.use_trees(|trees| saved.add(tree(trees), &records));
        }
    }

    fn meta(&self, key: &str) -> Option<sled::IVec> {
        self.use_trees(|trees| trees.meta.get(key))?
    }

    fn set_meta(&self, key: &str, value: &[u8]) {
        self.use_trees(|trees| trees.meta.insert(key, value));
    }

    /// A failure is noted for the next start and ends all use until then.
    fn use_trees<T>(&self, work: impl FnOnce(&Trees) -> sled::Result<T>) -> Option<T> {
        let trees = self.0.trees.as_ref().filter(|_| !self.is_broken())?;
        match guarded(|| work(trees)) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%error, "the state database failed; going on without it until a restart");
                self.0.broken.store(true, Ordering::Relaxed);
                if let Err(error) = std::fs::write(&self.0.marker, b"") {
                    tracing::error!(%error, "the failed state database could not be marked");
                }
                None
            }
        }
    }
}

/// For as long a directory may still be held by somebody who is closing it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Fault {
    fn is_full(&self) -> bool {
        let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Sled(sled::Error::Io(error)) if full(error.kind()))
    }

    /// Somebody else has the directory open. sled says so in words alone.
    fn is_held(&self) -> bool {
        matches!(self, Self::Sled(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock"))
    }
}

impl Trees {
    /// As [`Trees::open`]; whoever has the database open is waited for. It is not damaged, and must not be set aside.
    fn open_when_free(dir: &Path) -> Result<Self, Fault> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::open(dir) {
                Err(fault) if fault.is_held() && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                outcome => return outcome,
            }
        }
    }

    fn open(dir: &Path) -> Result<Self, Fault> {
        guarded(|| {
            let db = sled::Config::new().path(dir).cache_capacity(16 << 20).open()?;
            let (meta, conversions) = (db.open_tree("meta")?, db.open_tree("conversions")?);
            let (visitors, leases) = (db.open_tree("visitors")?, db.open_tree("click_leases")?);
            Ok(Self { db, meta, conversions, visitors, leases })
        })
    }
}

/// Until the last clone of the state is gone.
fn save_from_time_to_time(state: Weak<Inner>) {
    let saving = move || {
        while let Some(inner) = state.upgrade() {
            State(inner).save();
            std::thread::sleep(SAVE_EVERY);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("state".into()).spawn(saving) {
        tracing::error!(%error, "no thread to save what was seen; only an orderly stop saves them");
    }
}

/// What these locks guard is whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Fault::Panicked),
    }
}

/// Renames the directory, so that somebody can look at it later.
fn set_aside(data_dir: &Path, dir: &Path) -> Result<(), StateError> {
    if !dir.exists() {
        return Ok(());
    }
    let free = (1..).map(|n| data_dir.join(format!("{DIR}-damaged-{n}"))).find(|path| !path.exists());
    let target = free.unwrap_or_else(|| data_dir.join("state-damaged"));
    std::fs::rename(dir, target).map_err(|source| StateError::SetAside { path: dir.to_path_buf(), source })
}

fn ack_key(epoch: u32, lane: Lane) -> String {
    format!("ack/{epoch}/{}", lane.as_str())
}

fn read_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests;
