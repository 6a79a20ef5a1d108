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

impl State {
    pub fn save_lease(&self, lease: &SavedLease) {
        let value: Vec<u8> = lease.words().iter().flat_map(|word| word.to_be_bytes()).collect();
        self.use_trees(|trees| trees.leases.insert(lease.number.to_be_bytes(), value));
    }

    /// What was spent of it is final.
    pub fn end_lease(&self, number: u64, spent: u64) {
        let found = self.use_trees(|trees| trees.leases.get(number.to_be_bytes())).flatten();
        if let Some(lease) = found.and_then(|value| SavedLease::read(&number.to_be_bytes(), &value)) {
            self.save_lease(&SavedLease { spent, over: true, ..lease });
        }
    }

    pub fn forget_lease(&self, number: u64) {
        self.use_trees(|trees| trees.leases.remove(number.to_be_bytes()));
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
