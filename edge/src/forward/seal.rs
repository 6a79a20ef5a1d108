//! When to seal a batch. Pure: time comes in.

use std::time::Duration;

/// More events than this are not waited for.
pub(super) const FULL_EVENTS: usize = 4096;
/// Bytes of events and sidecar, before compression.
pub(super) const FULL_BYTES: usize = 1 << 20;
/// How long the first event of a batch waits for others.
pub(super) const LINGER: Duration = Duration::from_millis(20);
/// From one batch to the next, unless it is full. Each batch costs a file and three syncs on the disk that
/// replies wait for, so a steady trickle goes out in few batches and a lone click at once.
pub(super) const SPACING: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub events: usize,
    pub bytes: usize,
    /// Since the first of them was read.
    pub age: Duration,
    /// Since the last batch was sealed; `None` = there was none.
    pub since_seal: Option<Duration>,
    /// Batches that are sealed and not acknowledged.
    pub in_flight: usize,
    /// How many may be.
    pub window: usize,
    /// Nothing more will come: do not wait for it.
    pub draining: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Seal,
    /// Look again after this time, or when there is more.
    Wait(Duration),
    /// Nothing to do before there is more, or before an acknowledgement.
    Idle,
}

pub(super) fn is_full(events: usize, bytes: usize) -> bool {
    events >= FULL_EVENTS || bytes >= FULL_BYTES
}

pub(super) fn decide(waiting: Waiting) -> Decision {
    // What does not fit the window stays in the spool, where it costs nothing and keeps growing into
    // fuller batches.
    if waiting.events == 0 || waiting.in_flight >= waiting.window {
        return Decision::Idle;
    }
    if waiting.draining || is_full(waiting.events, waiting.bytes) {
        return Decision::Seal;
    }
    let spacing = waiting.since_seal.map_or(Duration::ZERO, |since| SPACING.saturating_sub(since));
    let wait = LINGER.saturating_sub(waiting.age).max(spacing);
    if wait.is_zero() { Decision::Seal } else { Decision::Wait(wait) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decides() {
        let age = Duration::ZERO;
        let (in_flight, window) = (0, 4);
        let base =
            Waiting { events: 1, bytes: 100, age, since_seal: None, in_flight, window, draining: false };
        let ms = Duration::from_millis;
        let soon = Waiting { age: ms(20), since_seal: Some(ms(30)), ..base };
        let cases = [
            (base, Decision::Wait(LINGER)),
            (Waiting { events: 0, ..base }, Decision::Idle),
            (Waiting { age: ms(15), ..base }, Decision::Wait(ms(5))),
            (Waiting { age: ms(20), ..base }, Decision::Seal),
            (soon, Decision::Wait(ms(70))),
            (Waiting { since_seal: Some(ms(100)), ..soon }, Decision::Seal),
            (Waiting { events: FULL_EVENTS, ..soon }, Decision::Seal),
            (Waiting { draining: true, ..soon }, Decision::Seal),
            (Waiting { draining: true, ..base }, Decision::Seal),
            (Waiting { events: FULL_EVENTS, ..base }, Decision::Seal),
            (Waiting { bytes: FULL_BYTES, ..base }, Decision::Seal),
            (Waiting { bytes: FULL_BYTES, in_flight: 4, ..base }, Decision::Idle),
            (Waiting { bytes: FULL_BYTES, in_flight: 1, window: 1, ..base }, Decision::Idle),
        ];
        for (waiting, expected) in cases {
            assert_eq!(decide(waiting), expected, "{waiting:?}");
        }
    }
}
