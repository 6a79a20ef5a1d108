//! How far this machine's clock is from the control plane's. Pure, but for where the last measurement is kept: times
//! come in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Beyond this a clock is put right; certificates and caps still work.
const OFF_MICROS: u64 = 2_000_000;
/// Beyond this events come to stand in the wrong minute, and more breaks soon.
const FAR_OFF_MICROS: u64 = 60_000_000;

/// What one question and its answer say of the two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The control plane's clock minus ours.
    pub offset_micros: i64,
    pub round_trip_micros: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Skew {
    #[default]
    Right,
    Off,
    FarOff,
}

impl Measured {
    /// Asked at `sent` by our clock and answered after `took`, with `theirs`. The answer counts as made half-way. Our
    /// clock may have been set meanwhile, so `took` comes from a steady one.
    pub fn new(sent_micros: i64, took: Duration, theirs_micros: i64) -> Self {
        let round_trip_micros = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        let ours = sent_micros.saturating_add(round_trip_micros / 2);
        Self { offset_micros: theirs_micros.saturating_sub(ours), round_trip_micros }
    }

    /// What is certain of it: the answer may have been made at any moment of the round trip.
    pub fn skew(self) -> Skew {
        let doubt = self.round_trip_micros.unsigned_abs() / 2;
        match self.offset_micros.unsigned_abs().saturating_sub(doubt) {
            certain if certain > FAR_OFF_MICROS => Skew::FarOff,
            certain if certain > OFF_MICROS => Skew::Off,
            _ => Skew::Right,
        }
    }

    pub fn offset_secs(self) -> f64 {
        let micros = Duration::from_micros(self.offset_micros.unsigned_abs()).as_secs_f64();
        if self.offset_micros < 0 { -micros } else { micros }
    }

    /// For people, if there is something to say.
    pub fn remark(self) -> Option<String> {
        let secs = self.offset_secs();
        let side = if secs < 0.0 { "ahead of" } else { "behind" };
        (self.skew() != Skew::Right)
            .then(|| format!("this machine's clock is {:.1} s {side} the control plane's", secs.abs()))
    }
}

/// Shared between the one who measures and those who show it.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Option<Measured>>);

impl Clock {
    /// The last measurement; `None` = there was none since the start.
    pub fn measured(&self) -> Option<Measured> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the skew when it is another than before.
    pub(crate) fn set(&self, measured: Measured) -> Option<Skew> {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(measured);
        let before = before.map_or(Skew::Right, Measured::skew);
        Some(measured.skew()).filter(|skew| *skew != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_counts_as_made_half_way_and_only_the_certain_part_as_skew() {
        const SEC: i64 = 1_000_000;
        let cases = [
            // Theirs when ours is 100 s, how long it took in milliseconds, the offset, the verdict.
            (100 * SEC, 0, 0, Skew::Right),
            (100 * SEC + 50_000, 100, 0, Skew::Right),
            (102 * SEC, 0, 2 * SEC, Skew::Right),
            (103 * SEC, 0, 3 * SEC, Skew::Off),
            (97 * SEC, 0, -3 * SEC, Skew::Off),
            (103 * SEC, 2000, 2 * SEC, Skew::Right),
            (105 * SEC, 4000, 3 * SEC, Skew::Right),
            (161 * SEC, 0, 61 * SEC, Skew::FarOff),
            (0, 0, -100 * SEC, Skew::FarOff),
            (i64::MAX, 0, i64::MAX - 100 * SEC, Skew::FarOff),
            (i64::MIN, 10, i64::MIN, Skew::FarOff),
        ];
        for (theirs, took, offset, skew) in cases {
            let measured = Measured::new(100 * SEC, Duration::from_millis(took), theirs);
            assert_eq!((measured.offset_micros, measured.skew()), (offset, skew), "{theirs} in {took}");
        }
    }

    #[test]
    fn a_change_is_said_once() {
        let clock = Clock::default();
        let at = |micros| Measured { offset_micros: micros, round_trip_micros: 0 };
        let told =
            [0, 3_000_000, 4_000_000, -3_000_000, 70_000_000, -80_000_000, 1, 0].map(|m| clock.set(at(m)));
        let expected = [None, Some(Skew::Off), None, None, Some(Skew::FarOff), None, Some(Skew::Right), None];
        assert_eq!(told, expected);
        let remark = |micros| at(micros).remark();
        assert_eq!(remark(2_000_000), None);
        assert_eq!(remark(-3_250_000).unwrap(), "this machine's clock is 3.2 s ahead of the control plane's");
        assert_eq!(remark(90_000_000).unwrap(), "this machine's clock is 90.0 s behind the control plane's");
    }
}
