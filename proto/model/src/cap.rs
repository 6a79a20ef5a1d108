//! Click caps, and the arithmetic of the leases by which edges share one.
//!
//! The control plane owns the budget of a window. An edge asks for a lease of some clicks, spends
//! them without asking anybody, and reports what it has spent when it asks again. A lease expires, so that
//! what a dead edge holds comes back.
//!
//! **Overshoot.** The sum of what is reported and what is leased never exceeds the limit, and an edge never
//! spends more than its lease nor after its end. So the cap holds exactly as long as every lease is reported
//! on. A lease that is taken back without a report may have been spent: the cap can then be exceeded by at
//! most the clicks of the leases that were taken back. Leases shrink as the budget does ([`Budget::lease`]),
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

/// One window of a cap: `start` belongs to it, `end` to the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Window {
    pub start: UnixMicros,
    pub end: UnixMicros,
}

impl CapWindow {
    /// The window that `at` lies in. `offset` is the offset from UTC, in seconds, of the offer's time zone: a day on
    /// which clocks change has 23 or 25 hours, and is one window all the same.
    pub fn around(self, at: UnixMicros, offset: impl Fn(UnixMicros) -> i32) -> Window {
        let offset_us = |at| i64::from(offset(at)) * SECOND_US;
        let now = offset_us(at);
        let floor = |length: i64| at.0.saturating_add(now).div_euclid(length).saturating_mul(length);
        let local = match self {
            Self::Total => return Window { start: UnixMicros(0), end: UnixMicros(i64::MAX) },
            // Clocks change by whole hours.
            Self::Hour => {
                let start = floor(HOUR_US).saturating_sub(now);
                return Window { start: UnixMicros(start), end: UnixMicros(start.saturating_add(HOUR_US)) };
            }
            Self::Day => floor(DAY_US),
        };
        // When the clocks of the zone show `local`: its offset then may be another one than at `at`.
        let instant = |local: i64| {
            let first = local.saturating_sub(now);
            let then = offset_us(UnixMicros(first));
            let second = local.saturating_sub(then);
            match offset_us(UnixMicros(second)) == then {
                true => second,
                // It is skipped by the change: the window begins with what comes instead.
                false => first.max(second),
            }
        };
        Window { start: UnixMicros(instant(local)), end: UnixMicros(instant(local.saturating_add(DAY_US))) }
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
    /// The window that it is good for.
    pub window: Window,
    pub granted: u64,
    pub expires_at: UnixMicros,
}

impl ClickLease {
    /// Whether one more click may be taken, `spent` having been taken of this lease.
    pub fn allows(&self, spent: u64, now: UnixMicros) -> bool {
        spent < self.granted && now < self.expires_at && now < self.window.end
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

    /// [`Budget::grant`], but for a lease that nobody waits for yet (`ahead`): that is not given out of the last
    /// clicks, which belong to whoever has somebody to send. For a moment an edge holds two leases, the one that it
    /// spends and the one it goes on with: the budget is shared as if there were twice as many edges.
    pub fn lease(&mut self, wanted: u64, edges: u32, ahead: bool) -> u64 {
        let holders = edges.max(1).saturating_mul(2);
        if ahead && self.left() < 2 * u64::from(holders) {
            return 0;
        }
        self.grant(wanted, holders)
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

    const DAY_0: i64 = 20_000 * 86_400;

    #[test]
    fn windows_begin_where_the_day_does() {
        let at = UnixMicros::from_secs(DAY_0 + 17 * 3_600 + 120);
        let secs = |window: CapWindow, offset| window.around(at, |_| offset).start.secs() - DAY_0;
        assert_eq!(secs(CapWindow::Day, 0), 0);
        assert_eq!(secs(CapWindow::Day, 8 * 3_600), 16 * 3_600, "it is tomorrow in Shenzhen");
        assert_eq!(secs(CapWindow::Day, -8 * 3_600), 8 * 3_600);
        assert_eq!(secs(CapWindow::Hour, 0), 17 * 3_600);
        assert_eq!(secs(CapWindow::Hour, 1_800), 16 * 3_600 + 1_800, "India's hours begin at half past");
        assert_eq!(CapWindow::Total.around(at, |_| 3_600).start, UnixMicros(0));
    }

    /// Clocks change by so many seconds at this second of day 0.
    fn changing(at: i64, before: i32, by: i32) -> impl Fn(UnixMicros) -> i32 {
        move |now| if now.secs() < DAY_0 + at { before } else { before + by }
    }

    #[test]
    fn a_day_on_which_clocks_change_is_one_window() {
        // Berlin in March and in October, Beirut, where midnight itself is skipped, and a midnight that comes twice.
        let cases = [
            (3_600, 3_600, 3_600, -3_600, 23),
            (3_600, 7_200, -3_600, -7_200, 25),
            (-7_200, 7_200, 3_600, -7_200, 23),
            (-3_600, 3_600, -3_600, 0, 24),
        ];
        for (at, before, by, start, hours) in cases {
            let offset = changing(at, before, by);
            for second in [start, start + 3_600, start + 7_200, start + hours * 3_600 - 1] {
                let found = CapWindow::Day.around(UnixMicros::from_secs(DAY_0 + second), &offset);
                let end = DAY_0 + start + hours * 3_600;
                assert_eq!((found.start.secs(), found.end.secs()), (DAY_0 + start, end), "{before} {second}");
            }
        }
    }

    #[test]
    fn a_lease_ends_with_its_clicks_its_time_or_its_window() {
        let until = UnixMicros::from_secs(100);
        let subject = Capped::Offer(OfferId::new(1).unwrap());
        let window = Window { start: UnixMicros(0), end: UnixMicros(i64::MAX) };
        let lease = ClickLease { subject, window, granted: 10, expires_at: until };
        assert!(lease.allows(9, UnixMicros::from_secs(99)));
        assert!(!lease.allows(10, UnixMicros::from_secs(99)) && !lease.allows(0, until));
        let over = ClickLease { window: Window { end: UnixMicros::from_secs(50), ..window }, ..lease };
        assert!(over.allows(0, UnixMicros::from_secs(49)) && !over.allows(0, UnixMicros::from_secs(50)));
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
        fn windows_follow_each_other(
            at in -90_000i64..180_000, change in -2i64..26, hours in -12i32..=12, by in -1i32..=1,
        ) {
            let offset = changing(change * 3_600, hours * 3_600, by * 3_600);
            let at = UnixMicros::from_secs(DAY_0 + at);
            for window in [CapWindow::Day, CapWindow::Hour] {
                let found = window.around(at, &offset);
                prop_assert!(found.start <= at && at < found.end, "{found:?}");
                prop_assert_eq!(window.around(found.end, &offset).start, found.end);
                prop_assert_eq!(window.around(UnixMicros(found.end.0 - 1), &offset), found);
                prop_assert_eq!(window.around(found.start, &offset), found);
            }
        }

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

        #[test]
        fn what_is_asked_for_ahead_leaves_the_last_clicks(limit in 1u64..2_000, edges in 0u32..20) {
            let mut budget = Budget { limit, ..Budget::default() };
            while budget.lease(u64::MAX, edges, true) > 0 {}
            prop_assert!(budget.left() > 0, "whoever has a click to send finds something");
            prop_assert!(budget.lease(1, edges, false) == 1);
        }
    }
}
