//! Where a process may die: before or after any commit. For tests, which let it; otherwise never set.

use crate::{Store, StoreError};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// On which side of the commit it dies. Whoever asked hears of an error either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dies {
    /// Nothing of the transaction is there.
    BeforeCommit,
    /// All of it is.
    AfterCommit,
}

/// Counts commits, and says at which one to die.
#[derive(Default)]
pub(crate) struct Trap(OnceLock<Set>);

struct Set {
    commits: AtomicU64,
    at: Option<(u64, Dies)>,
}

impl Trap {
    /// To be asked once for each commit.
    pub fn springs(&self) -> Option<Dies> {
        let set = self.0.get()?;
        let commit = set.commits.fetch_add(1, Ordering::Relaxed) + 1;
        set.at.and_then(|(at, dies)| (commit == at).then_some(dies))
    }
}

impl Store {
    /// From now on commits are counted; at the `at`-th (from 1) this store dies as its process would: that call
    /// fails, and all after it, by this store and its clones. To be set once.
    pub fn trap_commits(&self, at: Option<(u64, Dies)>) {
        let set = Set { commits: AtomicU64::new(0), at };
        assert!(self.trap().0.set(set).is_ok(), "this store has a trap already");
    }

    /// Since the trap was set, the one at which it sprang included.
    pub fn trapped_commits(&self) -> u64 {
        self.trap().0.get().map_or(0, |set| set.commits.load(Ordering::Relaxed))
    }

    /// Takes its connections away, for good.
    pub(crate) async fn die(&self) -> StoreError {
        self.database().close().await;
        sqlx::Error::PoolClosed.into()
    }
}
