use tokio::sync::watch;

/// "Something was committed": a counter that rises, for tasks that wait for work.
#[derive(Debug)]
pub struct Signal(watch::Sender<u64>);

impl Default for Signal {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Signal {
    /// Subscribe first, then look for work, then wait with `changed()`: nothing is missed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    pub(crate) fn fire(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Fired after the commit, never before. Local to this process: a job that must see other nodes' work
/// also looks now and then by itself.
#[derive(Debug, Default)]
pub struct Signals {
    /// The catalog (hence the snapshot) has a new version.
    pub catalog: Signal,
    /// The journal has a new batch.
    pub journal: Signal,
    /// Some shard's intake has a new item.
    pub intake: Signal,
    /// Money has moved: conversions, commissions, ledger, statements or the outbox changed.
    pub money: Signal,
    /// The roll-ups have moved on.
    pub projection: Signal,
}

/// Which signals a transaction owes once it is committed.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Owed {
    pub catalog: bool,
    pub journal: bool,
    pub intake: bool,
    pub money: bool,
    pub projection: bool,
}

impl Signals {
    pub(crate) fn pay(&self, owed: Owed) {
        let all = [
            (owed.catalog, &self.catalog),
            (owed.journal, &self.journal),
            (owed.projection, &self.projection),
            (owed.intake, &self.intake),
            (owed.money, &self.money),
        ];
        all.into_iter().filter(|(due, _)| *due).for_each(|(_, signal)| signal.fire());
    }
}
