use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::{Notify, watch};

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

    fn fire(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Fired after the commit, never before; on PostgreSQL also after those of other processes, within
/// milliseconds. A process that dies in between says nothing, so whoever waits also looks now and then.
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
    /// An edge may no longer do what it could.
    pub fleet: Signal,
    untold: Untold,
}

/// Which signals a transaction owes once it is committed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Owed {
    pub catalog: bool,
    pub journal: bool,
    pub intake: bool,
    pub money: bool,
    pub projection: bool,
    pub fleet: bool,
}

impl Owed {
    pub const ALL: Self =
        Self { catalog: true, journal: true, intake: true, money: true, projection: true, fleet: true };

    pub fn bits(self) -> u8 {
        let flags = [self.catalog, self.journal, self.intake, self.money, self.projection, self.fleet];
        flags.into_iter().enumerate().fold(0, |bits, (place, due)| bits | u8::from(due) << place)
    }

    pub fn from_bits(bits: u8) -> Self {
        let is_set = |place: u8| bits >> place & 1 == 1;
        Self {
            catalog: is_set(0),
            journal: is_set(1),
            intake: is_set(2),
            money: is_set(3),
            projection: is_set(4),
            fleet: is_set(5),
        }
    }
}

/// What other processes have not been told yet; many commits become one message.
#[derive(Debug, Default)]
struct Untold {
    bits: AtomicU8,
    some: Notify,
}

impl Signals {
    /// Of this process's own commit.
    pub(crate) fn pay(&self, owed: Owed) {
        self.fire(owed);
        if owed != Owed::default() {
            self.untold.bits.fetch_or(owed.bits(), Ordering::AcqRel);
            self.untold.some.notify_one();
        }
    }

    pub(crate) fn fire(&self, owed: Owed) {
        let all = [
            (owed.catalog, &self.catalog),
            (owed.journal, &self.journal),
            (owed.projection, &self.projection),
            (owed.intake, &self.intake),
            (owed.money, &self.money),
            (owed.fleet, &self.fleet),
        ];
        all.into_iter().filter(|(due, _)| *due).for_each(|(_, signal)| signal.fire());
    }

    /// What to tell the others; waits until there is something.
    pub(crate) async fn untold(&self) -> Owed {
        loop {
            let bits = self.untold.bits.swap(0, Ordering::AcqRel);
            if bits != 0 {
                return Owed::from_bits(bits);
            }
            self.untold.some.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_survives_the_wire() {
        for bits in 0..64 {
            assert_eq!(Owed::from_bits(bits).bits(), bits);
        }
        assert_eq!(Owed::from_bits(Owed::ALL.bits()), Owed::ALL);
    }
}
