//! When each request is due.

use std::time::Duration;

const SECOND_NS: u128 = 1_000_000_000;

/// `rate` requests a second, evenly spaced, for `seconds`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    pub rate: u32,
    pub seconds: u32,
}

impl Schedule {
    pub fn total(self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    pub fn length(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// Counted from the start; computed from the number and not summed up, so that nothing drifts.
    pub fn due(self, number: u64) -> Duration {
        let nanos = u128::from(number) * SECOND_NS / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Number and time of every request, in order.
    pub fn requests(self) -> impl Iterator<Item = (u64, Duration)> {
        (0..self.total()).map(move |number| (number, self.due(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_evenly_spaced_and_do_not_drift() {
        let cases = [
            (1, 0, 0),
            (1, 3, 3_000_000_000),
            (1_000, 1, 1_000_000),
            (3, 1, 333_333_333),
            (3, 3, 1_000_000_000),
            (7, 7 * 3600, 3_600_000_000_000),
            (u32::MAX, u64::from(u32::MAX), 1_000_000_000),
        ];
        for (rate, number, nanos) in cases {
            let schedule = Schedule { rate, seconds: 1 };
            assert_eq!(schedule.due(number), Duration::from_nanos(nanos), "{number} at {rate}/s");
        }
    }

    #[test]
    fn a_run_has_its_rate_times_its_seconds() {
        let schedule = Schedule { rate: 40, seconds: 3 };
        let due: Vec<_> = schedule.requests().collect();
        assert_eq!(due.len(), 120);
        assert!(due.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert!(due.iter().all(|(_, at)| *at < schedule.length()));
        assert_eq!(Schedule { rate: 0, seconds: 9 }.requests().count(), 0);
        assert_eq!(Schedule { rate: u32::MAX, seconds: u32::MAX }.total(), 18_446_744_065_119_617_025);
    }
}
