//! Who clicked on which offer, and when that last counted as unique: in memory of a fixed size, for as long as an
//! offer's window. A visitor is a keyed hash of address and user agent; the oldest of those that share a place make
//! room, and then count as unique once more.

use proto_model::OfferId;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Visitors that share a place: a line of the processor's cache, so that a click waits for memory once.
const WAYS: usize = 4;
/// Parts with a lock of their own, so that workers seldom meet.
const SHARDS: usize = 64;
const HASH: usize = 12;

pub const KEY_LEN: usize = 16;

/// Of one visitor and one offer. Who has the key can only test whether somebody they know was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor([u8; HASH]);

impl Visitor {
    pub fn of(key: &[u8; KEY_LEN], offer: OfferId, ip: IpAddr, user_agent: &str) -> Self {
        let mut hasher = SipHasher24::new_with_key(key);
        hasher.write_u64(offer.get());
        let ip = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        hasher.write(&ip.octets());
        hasher.write(user_agent.as_bytes());
        let hash = hasher.finish128().as_bytes();
        let mut short = [0; HASH];
        short.copy_from_slice(&hash[..HASH]);
        Self(short)
    }
}

/// A visitor, and the second in which they last counted as unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    pub visitor: Visitor,
    pub at_secs: u32,
}

impl Visit {
    pub const LEN: usize = HASH + 4;
    const NONE: Self = Self { visitor: Visitor([0; HASH]), at_secs: 0 };

    pub(super) fn bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..HASH].copy_from_slice(&self.visitor.0);
        bytes[HASH..].copy_from_slice(&self.at_secs.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [hash @ .., a, b, c, d] = *bytes;
        Self { visitor: Visitor(hash), at_secs: u32::from_be_bytes([a, b, c, d]) }
    }
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Set([Visit; WAYS]);

pub(super) struct Visitors {
    shards: Box<[Mutex<Vec<Set>>]>,
    sets: usize,
}

impl Visitors {
    /// Room for at least `entries`, all of it taken at once: 16 bytes each.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(SHARDS * WAYS).next_power_of_two();
        let shard = || Mutex::new(vec![Set([Visit::NONE; WAYS]); sets]);
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), sets }
    }

    /// Whether this visit is unique: `window_secs` or more after the last one that was. If so, it is the last one now.
    pub fn is_unique(&self, visit: Visit, window_secs: u32) -> bool {
        let (mut shard, at) = self.place(visit.visitor);
        let Set(set) = &mut shard[at];
        if let Some(known) = set.iter_mut().find(|known| known.visitor == visit.visitor) {
            // A clock that was set back makes nobody unique.
            let unique = visit.at_secs.saturating_sub(known.at_secs) >= window_secs && known.at_secs != 0;
            if unique {
                known.at_secs = visit.at_secs;
            }
            return unique;
        }
        if let Some(oldest) = set.iter_mut().min_by_key(|known| known.at_secs) {
            *oldest = visit;
        }
        true
    }

    /// As it was saved.
    pub fn put(&self, visit: Visit) {
        self.is_unique(visit, 0);
    }

    /// Forgets everybody.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).fill(Set([Visit::NONE; WAYS]));
        }
    }

    fn place(&self, visitor: Visitor) -> (MutexGuard<'_, Vec<Set>>, usize) {
        let [shard, a, b, c, d, ..] = visitor.0;
        let shard = &self.shards[usize::from(shard) % SHARDS];
        let set = u32::from_be_bytes([a, b, c, d]) as usize & (self.sets - 1);
        (shard.lock().unwrap_or_else(PoisonError::into_inner), set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(n: u64, agent: &str) -> Visitor {
        Visitor::of(&[7; KEY_LEN], OfferId::new(n).unwrap(), "203.0.113.7".parse().unwrap(), agent)
    }

    #[test]
    fn a_visit_is_unique_once_in_its_window() {
        let visitors = Visitors::new(1024);
        let visit = |n, agent, at_secs| Visit { visitor: visitor(n, agent), at_secs };
        let cases = [
            (visit(1, "a", 1_000), true, "the first"),
            (visit(1, "a", 1_000), false, "at once again"),
            (visit(1, "a", 1_059), false, "within the window"),
            (visit(2, "a", 1_059), true, "another offer"),
            (visit(1, "b", 1_059), true, "another browser"),
            (visit(1, "a", 1_060), true, "the window ends with the first, not with the last"),
            (visit(1, "a", 1_061), false, "the next window"),
            (visit(1, "a", 500), false, "a clock set back"),
        ];
        for (visit, unique, case) in cases {
            assert_eq!(visitors.is_unique(visit, 60), unique, "{case}");
        }
        visitors.clear();
        assert!(visitors.is_unique(visit(1, "a", 1_062), 60));
    }

    #[test]
    fn the_oldest_make_room() {
        let visitors = Visitors::new(1);
        let visits: Vec<Visit> = (1u8..=20)
            .map(|n| {
                let mut hash = [7; HASH];
                hash[HASH - 1] = n;
                Visit { visitor: Visitor(hash), at_secs: 1_000 + u32::from(n) }
            })
            .collect();
        assert!(visits.iter().all(|visit| visitors.is_unique(*visit, 60)));
        let later = |visit: &Visit| Visit { at_secs: 1_030, ..*visit };
        assert!(visits[16..].iter().all(|visit| !visitors.is_unique(later(visit), 60)));
        assert!(visitors.is_unique(later(&visits[0]), 60));
    }

    #[test]
    fn visits_are_saved_as_they_are() {
        let visit = Visit { visitor: visitor(1, "a"), at_secs: 5 };
        assert_eq!(Visit::from_bytes(&visit.bytes()), visit);
    }
}
