//! How long to wait before trying again: doubling, capped, and spread so that a fleet that lost its
//! control plane does not come back in one moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    step: Duration,
    first: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    pub const fn new() -> Self {
        Self::between(FIRST, LONGEST)
    }

    pub const fn between(first: Duration, longest: Duration) -> Self {
        Self { step: first, first, longest }
    }

    /// The next delay: between half of the step and the whole of it, as `random` says.
    pub fn next(&mut self, random: [u8; 1]) -> Duration {
        let step = self.step;
        self.step = step.saturating_mul(2).min(self.longest);
        step / 2 + (step / 2) * u32::from(random[0]) / 255
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_cap_and_spreads() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.next([255]), FIRST);
        assert_eq!(backoff.next([0]), FIRST);
        assert_eq!(backoff.next([255]), FIRST * 4);
        for _ in 0..100 {
            assert!(backoff.next([255]) <= LONGEST);
        }
        assert_eq!((backoff.next([255]), backoff.next([0])), (LONGEST, LONGEST / 2));
        backoff.reset();
        assert!(backoff.next([128]) < FIRST);
    }
}
