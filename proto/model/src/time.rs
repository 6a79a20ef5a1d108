//! Instants as whole microseconds since 1970-01-01T00:00:00Z. Nothing here reads a clock.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMicros(pub i64);

pub const SECOND_US: i64 = 1_000_000;
pub const HOUR_US: i64 = 3_600 * SECOND_US;
pub const DAY_US: i64 = 24 * HOUR_US;

impl UnixMicros {
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(SECOND_US))
    }

    /// Whole seconds, rounded towards the past.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(SECOND_US)
    }

    pub const fn plus_days(self, days: u32) -> Self {
        Self(self.0.saturating_add(DAY_US.saturating_mul(days as i64)))
    }

    pub const fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(SECOND_US.saturating_mul(secs)))
    }

    /// The start of the hour this instant lies in: the key of the hourly roll-ups.
    pub const fn hour_start(self) -> Self {
        Self(self.0.div_euclid(HOUR_US) * HOUR_US)
    }
}

impl fmt::Debug for UnixMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_towards_the_past() {
        assert_eq!(UnixMicros(-1).secs(), -1);
        assert_eq!(UnixMicros(HOUR_US + 1).hour_start(), UnixMicros(HOUR_US));
        assert_eq!(UnixMicros(-1).hour_start(), UnixMicros(-HOUR_US));
    }
}
