//! Budgets of clicks: shared by edges, reported once, taken back when they expire.

use crate::world::{NOW, World, edge, store};
use control_plane_store::click_leases::{ClickClaim, ClickGrant, ClickUsage, ClickWant, LeaseTerms};
use control_plane_store::{Store, StoreError};
use proto_model::time::DAY_US;
use proto_model::{Capped, EdgeId, OfferId, UnixMicros};

const LASTS: i64 = 60;

/// A limit of clicks on one offer, and the edges that share it.
struct Network {
    store: Store,
    world: World,
    limit: u64,
    edges: Vec<EdgeId>,
}

impl Network {
    async fn new(limit: u64, edges: u8) -> Self {
        let store = store().await;
        let world = World::create(&store, 1).await;
        let mut ids = Vec::new();
        for n in 1..=edges {
            ids.push(edge(&store, n).await.id);
        }
        Self { store, world, limit, edges: ids }
    }

    fn claim(&self, number: u64, clicks: u64) -> ClickClaim {
        let want = (clicks > 0).then_some(ClickWant { number, clicks, ahead: false, limit: self.limit });
        let subject = Capped::Offer(self.world.offer);
        ClickClaim { subject, window_start: UnixMicros(0), report: None, want }
    }

    async fn ask(&self, edge: usize, claims: &[ClickClaim], now: UnixMicros) -> Vec<ClickGrant> {
        let edges = u32::try_from(self.edges.len()).unwrap();
        let terms = LeaseTerms { edges, now, expires_at: now.plus_secs(LASTS) };
        self.store.lease_clicks(self.world.tenant, self.edges[edge], claims, terms).await.unwrap()
    }

    async fn lease(&self, edge: usize, number: u64, clicks: u64, now: UnixMicros) -> u64 {
        self.ask(edge, &[self.claim(number, clicks)], now).await[0].granted
    }

    async fn report(&self, edge: usize, number: u64, spent: u64, now: UnixMicros) {
        self.ask(edge, &[ClickClaim { report: Some((number, spent)), ..self.claim(0, 0) }], now).await;
    }

    async fn usage(&self, now: UnixMicros) -> (u64, u64) {
        let subject = Capped::Offer(self.world.offer);
        let usage = self.store.click_usage(self.world.tenant, subject, UnixMicros(0), now).await.unwrap();
        (usage.used, usage.leased)
    }
}

#[tokio::test]
async fn a_repetition_is_the_same_lease_and_counts_once() {
    let network = Network::new(100, 1).await;
    let first = network.lease(0, 7, 20, NOW).await;
    assert_eq!((first, network.lease(0, 7, 50, NOW).await), (20, 20));
    assert_eq!(network.usage(NOW).await, (0, 20));
    for spent in [15, 15, 3] {
        network.report(0, 7, spent, NOW).await;
        assert_eq!(network.usage(NOW).await, (15, 0), "only the first report of {spent} counts");
    }
    assert_eq!(network.lease(0, 7, 20, NOW).await, 0, "what was reported on is over");
}

#[tokio::test]
async fn a_lease_that_nobody_reports_on_comes_back_and_a_late_report_still_counts() {
    let network = Network::new(10, 1).await;
    let held = network.lease(0, 1, 10, NOW).await;
    let later = NOW.plus_secs(LASTS);
    assert_eq!(network.usage(NOW).await, (0, held));
    assert_eq!(network.usage(later).await, (0, 0));
    network.report(0, 1, 1, later).await;
    assert_eq!(network.usage(later).await, (1, 0));
    // Of before a restore, perhaps: it was spent all the same.
    network.report(0, 99, 4, later).await;
    network.report(0, 99, 4, later).await;
    assert_eq!(network.usage(later).await, (5, 0));
}

#[tokio::test]
async fn edges_together_never_hold_more_than_is_left() {
    let network = Network::new(1_000, 2).await;
    let mut given = 0;
    for number in 0.. {
        let edge = usize::try_from(number % 2).unwrap();
        let granted = network.lease(edge, number, 300, NOW).await;
        given += granted;
        let (used, leased) = network.usage(NOW).await;
        assert!(used + leased <= 1_000);
        if granted == 0 {
            break;
        }
        network.report(edge, number, granted, NOW).await;
    }
    assert_eq!((given, network.usage(NOW).await), (1_000, (1_000, 0)));
    let grants = network.ask(0, &[network.claim(5_000, 1)], NOW).await;
    assert!(grants[0].used_up, "it says that there will be no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_that_ask_at_once_share_one_budget() {
    let network = std::sync::Arc::new(Network::new(50, 2).await);
    let asking = (0..2).map(|edge| {
        let network = network.clone();
        tokio::spawn(async move {
            let mut given = 0;
            for number in 1..80 {
                given += network.lease(edge, number, 5, NOW).await;
            }
            given
        })
    });
    let mut given = 0;
    for task in asking.collect::<Vec<_>>() {
        given += task.await.unwrap();
    }
    assert_eq!((given, network.usage(NOW).await), (50, (0, 50)));
}

#[tokio::test]
async fn the_limit_may_change_while_edges_hold_leases() {
    let mut network = Network::new(100, 1).await;
    assert_eq!(network.lease(0, 1, 30, NOW).await, 25, "a quarter: it may come to hold two");
    network.limit = 20;
    assert_eq!(network.lease(0, 2, 30, NOW).await, 0, "lower: more is held than there is");
    network.report(0, 1, 5, NOW).await;
    assert_eq!(network.lease(0, 3, 30, NOW).await, 3);
    network.limit = 1_000;
    assert_eq!(network.lease(0, 4, 30, NOW).await, 30);
    assert_eq!(network.usage(NOW).await, (5, 33));
}

#[tokio::test]
async fn what_nobody_waits_for_leaves_the_last_clicks() {
    let network = Network::new(3, 2).await;
    let want = network.claim(1, 10).want.map(|want| ClickWant { ahead: true, ..want });
    let grants = network.ask(0, &[ClickClaim { want, ..network.claim(1, 10) }], NOW).await;
    assert_eq!((grants[0].granted, grants[0].used_up), (0, false));
    assert_eq!(network.lease(1, 2, 10, NOW).await, 1);
}

#[tokio::test]
async fn windows_are_apart_and_forgotten_when_they_are_old() {
    let network = Network::new(10, 1).await;
    let day = |n: i64| UnixMicros(NOW.0 / DAY_US * DAY_US + n * DAY_US);
    for n in 0..3 {
        let claim = ClickClaim { window_start: day(n), ..network.claim(u64::try_from(n).unwrap() + 1, 1) };
        assert_eq!(network.ask(0, &[claim], day(n)).await[0].granted, 1);
        let report = ClickClaim { report: Some((u64::try_from(n).unwrap() + 1, 1)), want: None, ..claim };
        network.ask(0, &[report], day(n)).await;
    }
    assert_eq!(network.lease(0, 9, 1, day(0)).await, 1, "the one without windows");
    network.report(0, 9, 1, day(0)).await;
    // Two windows, and the leases of two days.
    assert_eq!(network.store.forget_click_windows(day(2)).await.unwrap(), 4);
    let subject = Capped::Offer(network.world.offer);
    for (window, used) in [(day(0), 0), (day(1), 0), (day(2), 1), (UnixMicros(0), 1)] {
        let usage = network.store.click_usage(network.world.tenant, subject, window, day(2)).await.unwrap();
        assert_eq!(usage, ClickUsage { used, leased: 0 }, "{window:?}");
    }
}

#[tokio::test]
async fn however_late_a_report_comes_it_counts_once() {
    let network = Network::new(1_000, 1).await;
    // Reported on in time, late, never, and in vain.
    for number in 1..=4 {
        network.lease(0, number, 10, NOW).await;
    }
    network.report(0, 1, 5, NOW).await;
    network.report(0, 2, 0, NOW).await;
    let weeks = |n: i64| NOW.plus_secs(n * 7 * 86_400);
    let forget = async |n| network.store.forget_click_windows(weeks(n)).await.unwrap();
    assert_eq!(forget(2).await, 3, "what nobody spent, and what nobody has said anything of");
    for (number, spent, used) in [(1, 5, 5), (2, 0, 5), (3, 7, 12), (3, 7, 12), (1, 5, 12)] {
        network.report(0, number, spent, weeks(3)).await;
        assert_eq!(network.usage(weeks(3)).await, (used, 0), "{number}");
    }
    forget(60).await;
    network.report(0, 3, 7, weeks(61)).await;
    network.report(0, 1, 5, weeks(61)).await;
    assert_eq!(network.usage(weeks(61)).await, (12, 0));
}

#[tokio::test]
async fn a_budget_is_of_an_offer_or_link_of_the_tenant() {
    let network = Network::new(10, 1).await;
    let theirs = World::create(&network.store, 2).await;
    let unknown = Capped::Offer(OfferId::from_random(12_345));
    for subject in [Capped::Offer(theirs.offer), Capped::Link(theirs.link), unknown] {
        let claims = [ClickClaim { subject, ..network.claim(1, 1) }];
        let terms = LeaseTerms { edges: 1, now: NOW, expires_at: NOW.plus_secs(LASTS) };
        let refused =
            network.store.lease_clicks(network.world.tenant, network.edges[0], &claims, terms).await;
        assert!(matches!(refused, Err(StoreError::MissingReference)), "{subject:?}");
    }
}
