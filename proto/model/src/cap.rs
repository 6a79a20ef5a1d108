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
//! together, and of the last clicks, which are leased one by one, at most two of each edge. Without a lease an edge
//! counts the offer as over its cap.

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

    /// How many clicks one of `edges` is given now; 0 = the cap is reached.
    ///
    /// For a moment an edge holds two leases, the one that it spends and the one it goes on with: the budget is shared
    /// as if there were twice as many edges. All of those together never hold more than half, until one click at a time
    /// is left to give. A lease that nobody waits for yet (`ahead`) is not given out of the last clicks, which belong
    /// to whoever has somebody to send.
    pub fn lease(&self, wanted: u64, edges: u32, ahead: bool) -> u64 {
        let left = self.left();
        let parts = 4 * u64::from(edges.max(1));
        if ahead && left < parts {
            return 0;
        }
        wanted.min((left / parts).max(1)).min(left)
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

    const EDGES: usize = 4;

    #[derive(Clone, Debug)]
    enum Step {
        Ask {
            edge: usize,
            wanted: u64,
            ahead: bool,
        },
        Click {
            edge: usize,
            clicks: u64,
        },
        Report {
            edge: usize,
        },
        /// Nobody reports on the leases of the edge before they are over.
        Expire {
            edge: usize,
        },
        /// On one that is over.
        ReportLate,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let edge = || 0..EDGES;
        prop_oneof![
            4 => (edge(), 1u64..200, any::<bool>())
                .prop_map(|(edge, wanted, ahead)| Step::Ask { edge, wanted, ahead }),
            6 => (edge(), 1u64..60).prop_map(|(edge, clicks)| Step::Click { edge, clicks }),
            3 => edge().prop_map(|edge| Step::Report { edge }),
            1 => edge().prop_map(|edge| Step::Expire { edge }),
            1 => Just(Step::ReportLate),
        ]
    }

    #[derive(Clone, Copy, Debug)]
    struct Given {
        granted: u64,
        spent: u64,
        /// What was left when it was given.
        left: u64,
    }

    /// A budget, and those who spend it. What is leased is the sum of what is open, as the control plane keeps it.
    #[derive(Debug, Default)]
    struct World {
        limit: u64,
        used: u64,
        open: [Vec<Given>; EDGES],
        over: Vec<Given>,
        clicks: u64,
        /// What was spent of leases that nobody had reported on when they were over.
        lost: u64,
    }

    impl World {
        fn all_open(&self) -> impl Iterator<Item = &Given> {
            self.open.iter().flatten()
        }

        fn budget(&self) -> Budget {
            let leased = self.all_open().map(|given| given.granted).sum();
            Budget { limit: self.limit, used: self.used, leased }
        }

        fn step(&mut self, step: &Step) {
            match *step {
                Step::Ask { edge, wanted, ahead } => {
                    // An edge reports on what it no longer spends before it asks for more.
                    if self.open[edge].len() == 2 {
                        self.step(&Step::Report { edge });
                    }
                    let budget = self.budget();
                    let granted = budget.lease(wanted, EDGES as u32, ahead);
                    if granted > 0 {
                        self.open[edge].push(Given { granted, spent: 0, left: budget.left() });
                    }
                }
                Step::Click { edge, clicks } => {
                    if let Some(given) = self.open[edge].last_mut() {
                        let taken = clicks.min(given.granted - given.spent);
                        given.spent += taken;
                        self.clicks += taken;
                    }
                }
                Step::Report { edge } => {
                    if !self.open[edge].is_empty() {
                        self.used += self.open[edge].remove(0).spent;
                    }
                }
                Step::Expire { edge } => {
                    let over = std::mem::take(&mut self.open[edge]);
                    self.lost += over.iter().map(|given| given.spent).sum::<u64>();
                    self.over.extend(over);
                }
                Step::ReportLate => self.used += self.over.pop().map_or(0, |given| given.spent),
            }
        }
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
        fn the_cap_is_exceeded_by_no_more_than_what_nobody_reported_on(
            limit in 1u64..2_000, steps in prop::collection::vec(any_step(), 1..120),
        ) {
            let mut world = World { limit, ..World::default() };
            for step in &steps {
                world.step(step);
                prop_assert!(world.clicks <= limit + world.lost, "never a click too many, as long as edges report");
                // What could be lost now is bounded by what was left when the leases were given.
                let large = world.all_open().filter(|given| given.granted > 1);
                let most_left = world.all_open().map(|given| given.left).max().unwrap_or(0);
                prop_assert!(large.map(|given| given.granted).sum::<u64>() <= most_left / 2, "{world:?}");
                prop_assert!(world.open.iter().all(|open| open.len() <= 2), "one click of each, when little is left");
            }
        }

        #[test]
        fn a_budget_is_given_out_to_the_last_click(limit in 1u64..2_000, edges in 1u32..20) {
            let mut budget = Budget { limit, ..Budget::default() };
            while budget.left() > 0 {
                let granted = budget.lease(u64::MAX, edges, false);
                prop_assert!(granted >= 1 && granted <= (budget.left() / (4 * u64::from(edges))).max(1));
                budget.used += granted;
            }
            prop_assert_eq!(budget.used, limit);
            prop_assert_eq!(budget.lease(1, edges, false), 0);
        }

        #[test]
        fn what_is_asked_for_ahead_leaves_the_last_clicks(limit in 1u64..2_000, edges in 0u32..20) {
            let mut budget = Budget { limit, ..Budget::default() };
            loop {
                match budget.lease(u64::MAX, edges, true) {
                    0 => break,
                    granted => budget.leased += granted,
                }
            }
            prop_assert!(budget.left() > 0, "whoever has a click to send finds something");
            prop_assert_eq!(budget.lease(1, edges, false), 1);
        }
    }
}
