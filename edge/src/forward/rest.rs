//! How long a lane leaves its disk alone that has failed. Pure: time comes in.

use super::Backoff;
use std::time::Duration;
use tokio::time::Instant;

const RESTS: Backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(15));
/// A disk that did well for so long is given a second again.
const WELL: Duration = Duration::from_secs(60);

/// Whatever wakes the sender meanwhile, the disk is not asked again before the rest is over.
#[derive(Debug)]
pub(super) struct Rest {
    until: Option<Instant>,
    backoff: Backoff,
}

impl Default for Rest {
    fn default() -> Self {
        Self { until: None, backoff: RESTS }
    }
}

impl Rest {
    /// The disk has failed. Says for how long it is left alone.
    pub fn begin(&mut self, now: Instant, random: [u8; 1]) -> Duration {
        if self.until.is_some_and(|until| now.saturating_duration_since(until) >= WELL) {
            self.backoff.reset();
        }
        let rest = self.backoff.next(random);
        self.until = Some(now + rest);
        rest
    }

    /// How much of it is left.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_goes_on_failing_is_asked_ever_less_often() {
        let (mut rest, mut now) = (Rest::default(), Instant::now());
        assert_eq!(rest.left(now), None);
        for secs in [1, 2, 4, 8, 15, 15] {
            let secs = Duration::from_secs(secs);
            assert_eq!(rest.begin(now, [255]), secs);
            assert_eq!(rest.left(now), Some(secs));
            now += secs;
            assert_eq!(rest.left(now), None);
        }
        assert_eq!(rest.begin(now + WELL, [255]), Duration::from_secs(1), "it did well meanwhile");
    }
}
