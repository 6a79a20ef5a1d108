//! The money engine's work in sixteen parts, so that several processes can share it.
//!
//! All shards of a tenant stand in one slot: they send to one another, and draw from the same sequences.

use crate::row::big;
use proto_model::TenantId;

/// A set of slots; small, so it is copied.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Slots(u16);

impl Slots {
    /// Ids of tenants are random, so the remainder spreads them evenly. Never changed: processes of different
    /// versions work on one database.
    pub const COUNT: u8 = 16;
    pub const ALL: Self = Self(u16::MAX);
    pub const NONE: Self = Self(0);

    pub const fn with(self, slot: u8) -> Self {
        Self(self.0 | 1 << (slot % Self::COUNT))
    }

    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub const fn contains(self, slot: u8) -> bool {
        self.0 >> (slot % Self::COUNT) & 1 == 1
    }

    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In rising order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = u8> {
        (0..Self::COUNT).filter(move |slot| self.contains(*slot))
    }

    pub const fn slot_of(tenant: TenantId) -> u8 {
        (tenant.get() % Self::COUNT as u32) as u8
    }

    /// As a BIGINT whose bit N stands for slot N.
    pub(crate) fn bits(self) -> i64 {
        big(self.0.into())
    }
}

impl FromIterator<u8> for Slots {
    fn from_iter<T: IntoIterator<Item = u8>>(slots: T) -> Self {
        slots.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_slots() {
        let some: Slots = [3, 15, 0].into_iter().collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 3, 15]);
        assert_eq!((some.len(), some.is_empty(), Slots::NONE.is_empty()), (3, false, true));
        assert_eq!(some.without(Slots::NONE.with(3)).iter().collect::<Vec<_>>(), [0, 15]);
        assert_eq!(some.bits(), 0b1000_0000_0000_1001);
        assert_eq!(Slots::ALL.iter().collect::<Slots>(), Slots::ALL);
        assert_eq!(Slots::slot_of(TenantId::new(35).unwrap()), 3);
    }
}
