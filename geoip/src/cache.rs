//! Decoded places by record offset: many addresses share a record, and decoding one allocates.

use crate::place::Place;
use arc_swap::ArcSwapOption;
use std::sync::{Arc, OnceLock};

/// A country database has a few hundred records and fits whole; of a city database the busiest do.
const SLOTS: usize = 16_384;

/// Each offset has one slot; the last one that came keeps it. A slot is read and written without a lock.
#[derive(Default)]
pub(crate) struct PlaceCache {
    /// Made when it is first needed: who asks for countries alone has no use for it.
    slots: OnceLock<Box<[Slot]>>,
}

type Slot = ArcSwapOption<(u64, Place)>;

impl PlaceCache {
    pub fn get(&self, offset: u64) -> Option<Place> {
        let cached = self.slot(offset)?.load();
        cached.as_ref().filter(|cached| cached.0 == offset).map(|cached| cached.1.clone())
    }

    pub fn put(&self, offset: u64, place: &Place) {
        if let Some(slot) = self.slot(offset) {
            slot.store(Some(Arc::new((offset, place.clone()))));
        }
    }

    fn slot(&self, offset: u64) -> Option<&Slot> {
        let slots = self.slots.get_or_init(|| (0..SLOTS).map(|_| Slot::empty()).collect());
        slots.get(slot_of(offset, SLOTS))
    }
}

pub(crate) fn slot_of(offset: u64, slots: usize) -> usize {
    // Records lie at least a few bytes apart; a multiplicative hash spreads them.
    let hash = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    usize::try_from(hash).unwrap_or(0) % slots
}
