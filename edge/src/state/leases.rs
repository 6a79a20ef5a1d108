//! Leases of click caps, for the next start.

use super::State;
use proto_model::cap::Window;
use proto_model::{Capped, ClickLease, LinkId, OfferId, StreamNo, TenantId, UnixMicros};

/// A lease, and how far it was spent when the spool stood at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedLease {
    pub number: u64,
    pub tenant: TenantId,
    pub lease: ClickLease,
    pub spent: u64,
    pub stream: StreamNo,
    /// Clicks from this ordinal on are not among `spent`.
    pub from: u64,
    /// It only needs to be reported on; nothing comes to `spent` any more.
    pub over: bool,
}

impl SavedLease {
    fn words(&self) -> [u64; 11] {
        let (kind, id) = match self.lease.subject {
            Capped::Offer(id) => (1, id.get()),
            Capped::Link(id) => (2, id.get()),
        };
        let time = |at: UnixMicros| at.0.cast_unsigned();
        let ClickLease { window, granted, expires_at, .. } = self.lease;
        let (tenant, stream) = (self.tenant.get().into(), self.stream.0.into());
        let [start, end, expires] = [window.start, window.end, expires_at].map(time);
        [tenant, kind, id, start, end, granted, expires, self.spent, stream, self.from, self.over.into()]
    }

    fn bytes(&self) -> Vec<u8> {
        self.words().iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn from_words(number: u64, words: [u64; 11]) -> Option<Self> {
        let [tenant, kind, id, start, end, granted, expires, spent, stream, from, over] = words;
        let subject = match kind {
            1 => Capped::Offer(OfferId::new(id)?),
            2 => Capped::Link(LinkId::new(id)?),
            _ => return None,
        };
        let [start, end, expires_at] = [start, end, expires].map(|time| UnixMicros(time.cast_signed()));
        Some(Self {
            number,
            tenant: TenantId::new(u32::try_from(tenant).ok()?)?,
            lease: ClickLease { subject, window: Window { start, end }, granted, expires_at },
            spent,
            stream: StreamNo(u32::try_from(stream).ok()?),
            from,
            over: over != 0,
        })
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let mut words = [0; 11];
        let parts = value.chunks_exact(8);
        if value.len() != words.len() * 8 {
            return None;
        }
        for (word, part) in words.iter_mut().zip(parts) {
            *word = super::read_u64(part)?;
        }
        Self::from_words(super::read_u64(key)?, words)
    }
}

/// What is different about a lease now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseChange {
    /// As it stands.
    Save(SavedLease),
    /// Of the lease with this number so much was spent, and that is final.
    End(u64, u64),
    Forget(u64),
}

impl LeaseChange {
    fn add_to(&self, batch: &mut sled::Batch, tree: &sled::Tree) -> sled::Result<()> {
        match self {
            Self::Save(lease) => batch.insert(&lease.number.to_be_bytes(), lease.bytes()),
            Self::End(number, spent) => {
                let (key, spent) = (number.to_be_bytes(), *spent);
                let found = tree.get(key)?.and_then(|value| SavedLease::read(&key, &value));
                if let Some(lease) = found {
                    batch.insert(&key, SavedLease { spent, over: true, ..lease }.bytes());
                }
            }
            Self::Forget(number) => batch.remove(&number.to_be_bytes()),
        }
        Ok(())
    }
}

impl State {
    /// All or none of them.
    pub fn change_leases(&self, changes: &[LeaseChange]) {
        if changes.is_empty() {
            return;
        }
        self.use_trees(|trees| {
            let mut batch = sled::Batch::default();
            for change in changes {
                change.add_to(&mut batch, &trees.leases)?;
            }
            trees.leases.apply_batch(batch)
        });
    }

    /// Makes them outlive this process.
    pub fn flush_leases(&self) {
        self.use_trees(|trees| trees.leases.flush());
    }

    pub fn leases(&self) -> Vec<SavedLease> {
        let all = self.use_trees(|trees| trees.leases.iter().collect::<sled::Result<Vec<_>>>());
        let all = all.unwrap_or_default();
        all.iter().filter_map(|(key, value)| SavedLease::read(key, value)).collect()
    }
}
