//! Click caps, and the arithmetic of the leases by which edges share one.
//!
//! The control plane owns the budget of a window. An edge asks for a lease of some clicks, spends
//! them without asking anybody, and reports what it has spent when it asks again. A lease expires, so that
//! what a dead edge holds comes back.
//!
//! **Overshoot.** The sum of what is reported and what is leased never exceeds the limit, and an edge never
//! spends more than its lease nor after its end. So the cap holds exactly as long as every lease is reported
//! on. A lease that is taken back without a report may have been spent: the cap can then be exceeded by at
//! most the clicks of the leases that were taken back. Leases shrink as the budget does ([`Budget::grant`]),
//! so that this is a small part of what was left when the edge was last heard of: at most half, for all edges
//! together. Without a lease an edge counts the offer as over its cap.

use crate::facts::coded_enum;
use crate::id::{LinkId, OfferId};
use crate::time::{DAY_US, HOUR_US, SECOND_US, UnixMicros};

coded_enum!(
    CapWindow {
        /// As long as the offer lives.
        Total = 1 "total",
        /// A day in the offer's time zone.
        Day = 2 "day",
        Hour = 3 "hour",
    }
);

impl CapWindow {
    /// When the window that `at` lies in begins; the offset is that of the offer's time zone at `at`.
    pub const fn start(self, at: UnixMicros, utc_offset_secs: i32) -> UnixMicros {
        let length = match self {
            Self::Total => return UnixMicros(0),
            Self::Day => DAY_US,
            Self::Hour => HOUR_US,
        };
        let offset = utc_offset_secs as i64 * SECOND_US;
        UnixMicros(
            at.0.saturating_add(offset).div_euclid(length).saturating_mul(length).saturating_sub(offset),
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickCap {
    /// At least 1.
    pub limit: u64,
    pub window: CapWindow,
}

/// Whose clicks are counted. A link that is good for so many uses is one with a [`CapWindow::Total`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Capped {
    Offer(OfferId),
    Link(LinkId),
}

/// Clicks that an edge may take without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickLease {
    pub subject: Capped,
    /// [`CapWindow::start`] of the window that it is good for.
    pub window_start: UnixMicros,
    pub granted: u64,
    pub expires_at: UnixMicros,
}

impl ClickLease {
    /// Whether one more click may be taken, `spent` having been taken of this lease.
    pub fn allows(&self, spent: u64, now: UnixMicros) -> bool {
        spent < self.granted && now < self.expires_at
    }

    /// Time to ask again: half is spent, or half of its `length` is over.
    pub fn wants_renewal(&self, spent: u64, now: UnixMicros, length_secs: u32) -> bool {
        let early = UnixMicros(self.expires_at.0.saturating_sub(i64::from(length_secs) * SECOND_US / 2));
        spent.saturating_mul(2) >= self.granted || now >= early
    }
}

/// What the control plane knows of one window of one offer, or of one link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Budget {
    pub limit: u64,
    /// Clicks that edges have reported.
    pub used: u64,
    /// Clicks in leases that nobody has reported on yet.
    pub leased: u64,
}

impl Budget {
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used).saturating_sub(self.leased)
    }

    /// Leases part of what is left to one of `edges`: all of them together never hold more than half, until
    /// one click at a time is left to give. 0 = the cap is reached.
    pub fn grant(&mut self, wanted: u64, edges: u32) -> u64 {
        let left = self.left();
        let share = left / (2 * u64::from(edges.max(1)));
        let granted = wanted.min(share.max(1)).min(left);
        self.leased += granted;
        granted
    }

    /// An edge reports how many clicks of a lease it has spent; the rest comes back.
    pub fn settle(&mut self, granted: u64, spent: u64) {
        self.leased = self.leased.saturating_sub(granted);
        self.used = self.used.saturating_add(spent);
    }

    /// Nobody has reported on a lease that is over. The cap may be exceeded by at most what was in it; a
    /// report that comes late goes through [`Budget::settle`] with nothing granted.
    pub fn take_back(&mut self, granted: u64) {
        self.leased = self.leased.saturating_sub(granted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_begin_where_the_day_does() {
        let at = UnixMicros::from_secs(20_000 * 86_400 + 17 * 3_600 + 120);
        let secs = |window: CapWindow, offset| window.start(at, offset).secs() - 20_000 * 86_400;
        assert_eq!(secs(CapWindow::Day, 0), 0);
        assert_eq!(secs(CapWindow::Day, 8 * 3_600), 16 * 3_600, "it is tomorrow in Shenzhen");
        assert_eq!(secs(CapWindow::Day, -8 * 3_600), 8 * 3_600);
        assert_eq!(secs(CapWindow::Hour, 0), 17 * 3_600);
        assert_eq!(secs(CapWindow::Hour, 1_800), 16 * 3_600 + 1_800, "India's hours begin at half past");
        assert_eq!(CapWindow::Total.start(at, 3_600), UnixMicros(0));
    }

    #[test]
    fn a_lease_ends_with_its_clicks_or_its_time() {
        let until = UnixMicros::from_secs(100);
        let subject = Capped::Offer(OfferId::new(1).unwrap());
        let lease = ClickLease { subject, window_start: UnixMicros(0), granted: 10, expires_at: until };
        assert!(lease.allows(9, UnixMicros::from_secs(99)));
        assert!(!lease.allows(10, UnixMicros::from_secs(99)) && !lease.allows(0, until));
        assert!(!lease.wants_renewal(4, UnixMicros::from_secs(69), 60));
        assert!(lease.wants_renewal(5, UnixMicros::from_secs(69), 60));
        assert!(lease.wants_renewal(0, UnixMicros::from_secs(70), 60));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask { edge: usize, wanted: u64 },
        Click { edge: usize, clicks: u64 },
        Vanish { edge: usize },
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0usize..4, 1u64..50).prop_map(|(edge, wanted)| Step::Ask { edge, wanted }),
            6 => (0usize..4, 1u64..20).prop_map(|(edge, clicks)| Step::Click { edge, clicks }),
            1 => (0usize..4).prop_map(|edge| Step::Vanish { edge }),
        ]
    }

    proptest! {
        #[test]
        fn the_cap_is_exceeded_by_no_more_than_what_was_taken_back(
            limit in 1u64..300, steps in prop::collection::vec(any_step(), 1..120),
        ) {
            let mut budget = Budget { limit, ..Budget::default() };
            // Of each edge: what it was granted, and what it has spent of it.
            let mut leases = [(0u64, 0u64); 4];
            let (mut clicks, mut lost) = (0, 0);
            for step in steps {
                match step {
                    Step::Ask { edge, wanted } => {
                        let (granted, spent) = leases[edge];
                        budget.settle(granted, spent);
                        leases[edge] = (budget.grant(wanted, 4), 0);
                    }
                    Step::Click { edge, clicks: n } => {
                        let taken = n.min(leases[edge].0 - leases[edge].1);
                        leases[edge].1 += taken;
                        clicks += taken;
                    }
                    Step::Vanish { edge } => {
                        budget.take_back(leases[edge].0);
                        lost += leases[edge].0;
                        leases[edge] = (0, 0);
                    }
                }
                prop_assert!(budget.used + budget.leased <= limit);
                prop_assert!(clicks <= limit + lost);
            }
        }

        #[test]
        fn a_budget_is_given_out_to_the_last_click(limit in 1u64..2_000, edges in 1u32..20) {
            let mut budget = Budget { limit, ..Budget::default() };
            let mut given = 0;
            while budget.left() > 0 {
                let before = budget.left();
                let granted = budget.grant(u64::MAX, edges);
                prop_assert!(granted >= 1 && granted <= (before / (2 * u64::from(edges))).max(1));
                budget.settle(granted, granted);
                given += granted;
            }
            prop_assert_eq!(given, limit);
            prop_assert_eq!(budget.grant(1, edges), 0);
        }
    }
}
