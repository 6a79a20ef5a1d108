//! The conversions a node has seen, in memory of a fixed size. The oldest of those that share a place make
//! room; what is forgotten is still recognised by the control plane.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that share a place.
const WAYS: usize = 8;
/// Parts with a lock of their own, so that workers seldom meet.
const SHARDS: usize = 64;

/// A hash of what was said, and who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeenKey([u8; SeenKey::LEN]);

impl SeenKey {
    pub const LEN: usize = 16;
    pub const WORDS: usize = Self::LEN - 1;
    /// No key: nobody has the code 0.
    const NONE: [u8; Self::LEN] = [0; Self::LEN];

    pub fn new(words: [u8; Self::WORDS], authority: u8) -> Self {
        let mut key = Self::NONE;
        key[..Self::WORDS].copy_from_slice(&words);
        key[Self::WORDS] = authority;
        Self(key)
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().filter(|key| *key != Self::NONE).map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

type Keys = Vec<[u8; SeenKey::LEN]>;

pub(super) struct Seen {
    shards: Box<[Mutex<Keys>]>,
    sets: usize,
}

impl Seen {
    /// Room for at least `entries`. Memory that was never written to is not taken.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(SHARDS * WAYS).next_power_of_two();
        let shard = || Mutex::new(vec![SeenKey::NONE; sets * WAYS]);
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), sets }
    }

    pub fn contains(&self, key: SeenKey) -> bool {
        let (shard, at) = self.place(key);
        shard[at..at + WAYS].contains(&key.0)
    }

    /// Returns whether the key is new.
    pub fn insert(&self, key: SeenKey) -> bool {
        let (mut shard, at) = self.place(key);
        let set = &mut shard[at..at + WAYS];
        if set.contains(&key.0) {
            return false;
        }
        // The newest stands first; the last one falls out.
        set.rotate_right(1);
        set[0] = key.0;
        true
    }

    pub fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).fill(SeenKey::NONE);
        }
    }

    /// By the words alone: what different senders say of one conversion stands together.
    fn place(&self, key: SeenKey) -> (MutexGuard<'_, Keys>, usize) {
        let [shard, a, b, c, d, ..] = key.0;
        let shard = &self.shards[usize::from(shard) % SHARDS];
        let set = u32::from_be_bytes([a, b, c, d]) as usize & (self.sets - 1);
        // A change is a few moves of memory: a panic leaves no half of one.
        (shard.lock().unwrap_or_else(PoisonError::into_inner), set * WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto_wire::keys::sha256;

    fn key(n: u32) -> SeenKey {
        let mut words = [0; SeenKey::WORDS];
        words.copy_from_slice(&sha256(&n.to_be_bytes())[..SeenKey::WORDS]);
        SeenKey::new(words, 1)
    }

    #[test]
    fn old_keys_make_room() {
        let seen = Seen::new(1);
        let same_place: Vec<SeenKey> = (1..=20).map(|n| SeenKey::new([7; SeenKey::WORDS], n)).collect();
        assert!(same_place.iter().all(|key| seen.insert(*key)));
        let known: Vec<bool> = same_place.iter().map(|key| seen.contains(*key)).collect();
        let expected: Vec<bool> = (1..=20).map(|n| n > 20 - WAYS).collect();
        assert_eq!(known, expected);
        assert!(!seen.insert(same_place[19]), "known");
    }

    proptest! {
        #[test]
        fn recent_keys_are_known_and_no_others(count in 1u32..3000) {
            let seen = Seen::new(1 << 16);
            for n in 0..count {
                prop_assert!(!seen.contains(key(n)));
                prop_assert!(seen.insert(key(n)));
            }
            prop_assert!((0..count).all(|n| seen.contains(key(n))));
        }
    }
}
