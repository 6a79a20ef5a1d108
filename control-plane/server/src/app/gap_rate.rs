//! How fast a lane may declare gaps. Each is kept for ever and raises an alert, so an edge that floods them (a disk that
//! falls apart, or somebody with its key) is held back. By edge and lane: neither a new session nor a new epoch begins anew.

use proto_model::{EdgeId, Lane};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a lane may declare at once: far more than a damaged disk calls for.
pub const AT_ONCE: u32 = 256;
/// And from then on, one in so long.
pub const EACH: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct GapRate(Mutex<Declared>);

impl GapRate {
    /// Whether it may declare one now.
    pub fn has_room(&self, edge: EdgeId, lane: Lane) -> bool {
        self.declared().has_room((edge, lane), Instant::now())
    }

    /// It has declared one, which was taken.
    pub fn note(&self, edge: EdgeId, lane: Lane) {
        self.declared().note((edge, lane), Instant::now());
    }

    fn declared(&self) -> MutexGuard<'_, Declared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When each lane would have declared all that it has, one after another at that pace. Pure: time comes in.
#[derive(Default)]
struct Declared(BTreeMap<(EdgeId, Lane), Instant>);

impl Declared {
    fn has_room(&self, of: (EdgeId, Lane), now: Instant) -> bool {
        let ahead = self.0.get(&of).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        ahead <= EACH * (AT_ONCE - 1)
    }

    fn note(&mut self, of: (EdgeId, Lane), now: Instant) {
        self.0.retain(|_, at| *at > now);
        *self.0.entry(of).or_insert(now) += EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_taken_at_once_then_one_after_another_and_others_have_their_own_room() {
        let (mut declared, start) = (Declared::default(), Instant::now());
        let (flooding, other) = (EdgeId::from_random(1), EdgeId::from_random(2));
        let flood = |declared: &mut Declared, now| {
            let mut taken = 0;
            while declared.has_room((flooding, Lane::Traffic), now) {
                declared.note((flooding, Lane::Traffic), now);
                taken += 1;
            }
            taken
        };
        assert_eq!(flood(&mut declared, start), AT_ONCE);
        for (pauses, expected) in [(0, 0), (1, 1), (1, 0), (5, 4)] {
            assert_eq!(flood(&mut declared, start + EACH * pauses), expected, "after {pauses}");
        }
        assert!(declared.has_room((flooding, Lane::Money), start));
        assert!(declared.has_room((other, Lane::Traffic), start));
        let later = start + EACH * 2 * AT_ONCE;
        declared.note((other, Lane::Traffic), later);
        assert_eq!(declared.0.len(), 1, "who is at peace is forgotten");
        assert_eq!(flood(&mut declared, later), AT_ONCE);
    }
}
