//! Load shedding: how many requests a client address may send.
//!
//! It is no fraud rule: its state cannot be replayed. The state has a fixed size, so that a million
//! addresses cost an attacker a million addresses and us nothing.

use crate::config::RateLimit;
use crate::ip::rate_key;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

/// 2 MiB of virtual memory; a page of it becomes real when an address first falls into it.
const SLOTS: usize = 1 << 18;

/// One word for each slot, chosen by a seeded hash. Clients that meet in a slot share one allowance: they
/// are limited too early, never too late, and cannot know whom they share with.
struct FixedStore {
    slots: Box<[AtomicU64]>,
    seed: RandomState,
}

impl FixedStore {
    fn new(slots: usize) -> Self {
        let slots = std::iter::repeat_with(AtomicU64::default).take(slots.next_power_of_two()).collect();
        Self { slots, seed: RandomState::new() }
    }

    fn slot(&self, key: u64) -> &AtomicU64 {
        // The remainder of a power of two: always in range.
        let index = self.seed.hash_one(key) as usize & (self.slots.len() - 1);
        &self.slots[index]
    }
}

impl StateStore for FixedStore {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let slot = self.slot(*key);
        let mut seen = slot.load(Ordering::Relaxed);
        loop {
            let (outcome, next) = decide((seen != 0).then(|| Nanos::new(seen)))?;
            match slot.compare_exchange_weak(seen, next.into(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(outcome),
                Err(changed) => seen = changed,
            }
        }
    }
}

pub struct Admission<C: Clock = MonotonicClock> {
    limiter: Option<RateLimiter<u64, FixedStore, C, NoOpMiddleware<C::Instant>>>,
}

impl Admission {
    pub fn new(limit: RateLimit) -> Self {
        Self::with_clock(limit, SLOTS, MonotonicClock)
    }
}

impl<C: Clock> Admission<C> {
    fn with_clock(limit: RateLimit, slots: usize, clock: C) -> Self {
        let quota = NonZeroU32::new(limit.per_second).zip(NonZeroU32::new(limit.burst));
        let limiter = quota.map(|(per_second, burst)| {
            let quota = Quota::per_second(per_second).allow_burst(burst);
            RateLimiter::new(quota, FixedStore::new(slots), clock)
        });
        Self { limiter }
    }

    /// Counts one request of `client`; after `Err` seconds it may try again.
    pub fn admit(&self, client: IpAddr) -> Result<(), u64> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&rate_key(client)).map_err(|refused| {
            let wait = refused.wait_time_from(limiter.clock().now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;
    use std::time::Duration;

    fn admission(
        per_second: u32,
        burst: u32,
        slots: usize,
    ) -> (Admission<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Admission::with_clock(RateLimit { per_second, burst }, slots, clock.clone()), clock)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (admission, clock) = admission(10, 3, SLOTS);
        let client = IpAddr::from([203, 0, 113, 9]);
        let admitted = |n: u32| (0..n).filter(|_| admission.admit(client).is_ok()).count();
        assert_eq!(admitted(10), 3);
        assert_eq!(admission.admit(client), Err(1));
        clock.advance(Duration::from_millis(200));
        assert_eq!(admitted(10), 2);
        clock.advance(Duration::from_secs(60));
        assert_eq!(admitted(10), 3);
    }

    #[test]
    fn zero_is_no_limit() {
        let (admission, _) = admission(0, 1, SLOTS);
        assert!((0..1000).all(|_| admission.admit(IpAddr::from([1, 2, 3, 4])).is_ok()));
    }

    #[test]
    fn many_addresses_take_no_more_memory() {
        let (admission, _) = admission(1, 1, 1 << 10);
        for n in 0..100_000u128 {
            let _ = admission.admit(IpAddr::from((n << 64).to_be_bytes()));
        }
        let store = admission.limiter.unwrap().into_state_store();
        assert_eq!(store.slots.len(), 1 << 10);
        assert!(store.slots.iter().filter(|slot| slot.load(Ordering::Relaxed) != 0).count() > 1000);
    }

    proptest! {
        #[test]
        fn clients_have_their_own_allowance(a: u32, b: u32, burst in 1u32..50) {
            prop_assume!(a != b);
            let (admission, _) = admission(1, burst, SLOTS);
            let admitted = |bits: u32| {
                let client = IpAddr::from(bits.to_be_bytes());
                (0..burst + 20).filter(|_| admission.admit(client).is_ok()).count()
            };
            let (first, second) = (admitted(a), admitted(b));
            prop_assert_eq!(first, burst as usize);
            // Once in 2^18 they share a slot, and then the second finds it used up.
            prop_assert!(second == burst as usize || second == 0);
        }

        #[test]
        fn never_more_than_the_quota(requests in prop::collection::vec((0u8..4, 0u64..400), 1..200)) {
            let (admission, clock) = admission(10, 5, 4);
            let mut passed = [0u64; 4];
            let mut elapsed = 0;
            for (client, pause) in requests {
                clock.advance(Duration::from_millis(pause));
                elapsed += pause;
                if admission.admit(IpAddr::from([10, 0, 0, client])).is_ok() {
                    passed[usize::from(client)] += 1;
                }
            }
            let most = 5 + elapsed * 10 / 1000;
            prop_assert!(passed.iter().all(|n| *n <= most), "{passed:?} of {most}");
        }
    }
}
