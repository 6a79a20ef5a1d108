//! Leases as clicks spend them and the keeper keeps them, against a control plane that is a few lines.

use super::plan::{Line, MAX_CLAIMS, Note, Plan, Report};
use super::{Budgets, Held, Key, Moment};
use crate::decide::testing::{NOW, link, offer, tenant};
use crate::snapshot::Snapshot;
use proto_model::time::{HOUR_US, SECOND_US};
use proto_model::{CapWindow, Capped, UnixMicros};
use proto_wire::edge_v1::{self, Chunk, LeaseClaim, LeaseGrant, LinkChunk, TenantChunk, chunk};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const LASTS: u32 = 60;

/// An offer with a cap, and a link that is good for some clicks.
fn snapshot(limit: u64, window: CapWindow, max_clicks: u64) -> Snapshot {
    let click_cap = Some(edge_v1::ClickCap { limit, window: window.code().into() });
    let routing = (limit > 0).then(|| edge_v1::OfferRouting { click_cap, ..Default::default() });
    let destination = "https://shop.example/".to_owned();
    let offer = edge_v1::Offer {
        id: 1,
        advertiser: 1,
        program: 1,
        destination,
        active: true,
        routing,
        ..Default::default()
    };
    let settings = TenantChunk {
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        offers: vec![offer],
        ..TenantChunk::default()
    };
    let settings = Chunk { tenant: 1, content: Some(chunk::Content::Settings(settings)) };
    let own = (max_clicks > 0).then(|| edge_v1::LinkSettings { max_clicks, ..Default::default() });
    let links = vec![edge_v1::Link { id: 11, offer: 1, partner: 9, active: true, settings: own }];
    let links = Chunk { tenant: 1, content: Some(chunk::Content::Links(LinkChunk { links })) };
    Snapshot::from_chunks(1, &[settings, links]).unwrap()
}

fn capped_offer() -> Key {
    (tenant(1), Capped::Offer(offer(1)))
}

fn capped_link() -> Key {
    (tenant(1), Capped::Link(link(11)))
}

struct Node {
    budgets: Budgets,
    plan: Plan,
    drawn: u64,
    now: UnixMicros,
    /// By how many seconds the clock was set.
    set_by: i64,
    began: Instant,
}

impl Node {
    fn new(snapshot: &Snapshot) -> Self {
        let budgets = Budgets::default();
        budgets.follow(snapshot);
        Self { budgets, plan: Plan::default(), drawn: 0, now: NOW, set_by: 0, began: Instant::now() }
    }

    fn moment(&self) -> Moment {
        let passed = u64::try_from(self.now.0 - NOW.0 - self.set_by * SECOND_US).unwrap();
        Moment { at: self.now, steady: self.began + Duration::from_micros(passed) }
    }

    fn set_clock(&mut self, by: i64) {
        self.now = self.now.plus_secs(by);
        self.set_by += by;
    }

    /// What it would say now.
    fn claims(&mut self) -> Vec<(Line, LeaseClaim)> {
        let now = self.moment();
        let drawn = &mut self.drawn;
        let mut draw = || {
            *drawn += 2;
            *drawn
        };
        self.plan.look(&self.budgets, now, &mut draw);
        self.plan.lines()
    }

    /// Says it, and is granted what `grant` gives. Returns what it wanted and what it reported as spent.
    fn call(&mut self, grant: impl Fn(&LeaseClaim) -> u64) -> (Vec<u64>, Vec<u64>) {
        let (lines, claims): (Vec<_>, Vec<_>) = self.claims().into_iter().unzip();
        let answer =
            |claim: &LeaseClaim| LeaseGrant { lease: claim.next, granted: grant(claim), lasts_secs: LASTS };
        let grants: Vec<LeaseGrant> = claims.iter().map(answer).collect();
        for note in self.plan.answer(&self.budgets, &lines, &grants, self.moment()) {
            if let Note::Begun(key, held) = note {
                self.plan.begin(&self.budgets, key, &held, self.now);
            }
        }
        let wanted = claims.iter().filter(|claim| claim.wanted > 0).map(|claim| claim.wanted).collect();
        let spent = claims.iter().filter(|claim| claim.lease > 0).map(|claim| claim.spent).collect();
        (wanted, spent)
    }

    /// Takes clicks as long as there is room, at most so many.
    fn click(&self, (_, subject): Key, at_most: u64) -> u64 {
        let subjects = match subject {
            Capped::Link(_) => [Some(subject), None],
            Capped::Offer(_) => [None, Some(subject)],
        };
        (0..at_most).take_while(|_| self.budgets.take(tenant(1), subjects, self.now)).count() as u64
    }

    fn waits_for(&self, key: Key) {
        self.budgets.wish([(key, true)]);
    }

    fn has_room(&self, key: Key) -> bool {
        self.budgets.look(key.0, self.now).has_room(key.1)
    }
}

#[test]
fn an_offer_has_a_lease_before_its_first_click_and_a_link_when_somebody_comes() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 1));
    let ahead: Vec<bool> = node.claims().iter().map(|(_, claim)| claim.ahead).collect();
    assert_eq!(ahead, [true], "only for the offer");
    node.call(|claim| claim.wanted);
    assert!(node.has_room(capped_offer()) && !node.has_room(capped_link()));
    node.waits_for(capped_link());
    assert_eq!(node.call(|_| 1).0, [32]);
    assert_eq!((node.click(capped_link(), 5), node.click(capped_offer(), 5)), (1, 5));
}

#[test]
fn a_lease_is_followed_by_the_next_and_reported_on_once() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.call(|_| 32);
    assert_eq!(node.click(capped_offer(), 15), 15);
    assert_eq!(node.claims(), [], "there is enough");
    node.click(capped_offer(), 5);
    assert_eq!(node.call(|claim| claim.wanted), (vec![40], vec![]), "twice what was spent");
    // What was left of the first comes back.
    assert_eq!(node.call(|_| 0), (vec![], vec![20]));
    assert_eq!(node.claims(), []);
    assert_eq!(node.click(capped_offer(), 100), 40);
}

#[test]
fn what_was_said_in_vain_is_said_again_with_the_same_number() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    let first = node.claims();
    assert_eq!(first.len(), 1);
    assert_eq!(node.claims(), first);
    node.waits_for(capped_offer());
    let again = node.claims();
    assert_eq!(again[0].1, LeaseClaim { ahead: false, ..first[0].1 }, "now somebody waits");
}

#[test]
fn cut_off_a_lease_ends_and_nothing_is_taken_any_more() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.call(|_| 100);
    node.now = NOW.plus_secs(59);
    assert_eq!(node.click(capped_offer(), 3), 3);
    node.now = NOW.plus_secs(60);
    assert_eq!((node.click(capped_offer(), 3), node.has_room(capped_offer())), (0, false));
    let (wanted, spent) = node.call(|_| 0);
    assert_eq!((wanted, spent), (vec![32], vec![3]));
}

#[test]
fn nobody_is_asked_again_soon_when_there_is_nothing() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.waits_for(capped_offer());
    node.call(|_| 0);
    let lacks = |node: &Node| {
        let look = node.budgets.look(tenant(1), node.now);
        assert!(!look.has_room(capped_offer().1));
        look.is_lacking()
    };
    assert!(!lacks(&node), "a click goes on at once");
    node.now = NOW.plus_secs(60);
    assert!(lacks(&node));
    // A limit that is raised is asked for at once.
    node.waits_for(capped_offer());
    node.call(|_| 0);
    assert!(!lacks(&node));
    node.budgets.follow(&snapshot(2_000, CapWindow::Total, 0));
    assert!(lacks(&node));
}

#[test]
fn the_next_window_is_asked_for_at_once() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Hour, 0));
    let end = NOW.0 - NOW.0.rem_euclid(HOUR_US) + HOUR_US;
    node.now = UnixMicros(end - 1_000_000);
    node.waits_for(capped_offer());
    node.call(|_| 0);
    let lacks = |node: &Node| {
        let look = node.budgets.look(tenant(1), node.now);
        assert!(!look.has_room(capped_offer().1));
        look.is_lacking()
    };
    assert!(!lacks(&node), "this hour is used up");
    node.now = UnixMicros(end);
    assert!(lacks(&node), "and the next one is not");
}

#[test]
fn an_idle_link_gives_back_and_an_idle_offer_leaves_the_last_clicks() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 3));
    node.waits_for(capped_link());
    node.call(|_| 3);
    node.now = NOW.plus_secs(31);
    let claims = node.claims();
    let told: Vec<_> =
        claims.iter().filter(|(_, claim)| claim.lease > 0).map(|(_, claim)| claim.spent).collect();
    assert_eq!(told, [0, 0]);
    let asked: Vec<_> =
        claims.iter().filter(|(_, claim)| claim.wanted > 0).map(|(_, claim)| claim.ahead).collect();
    assert_eq!(asked, [true], "for the offer, and out of plenty");
}

#[test]
fn a_window_ends_at_midnight() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Day, 0));
    node.call(|_| 100);
    node.click(capped_offer(), 10);
    let day = |at: UnixMicros| at.secs().div_euclid(86_400);
    let midnight = UnixMicros::from_secs((day(NOW) + 1) * 86_400);
    // A lease of just before it.
    node.now = midnight.plus_secs(-10);
    node.waits_for(capped_offer());
    node.call(|_| 100);
    assert!(node.click(capped_offer(), 1) == 1);
    node.now = midnight;
    assert_eq!(node.click(capped_offer(), 1), 0, "it was for yesterday");
    let claims = node.claims();
    let starts: Vec<_> = claims.iter().map(|(_, claim)| (claim.lease > 0, claim.window_start_secs)).collect();
    let (yesterday, today) = (day(NOW) * 86_400, (day(NOW) + 1) * 86_400);
    assert!(starts.contains(&(true, yesterday)) && starts.contains(&(false, today)), "{starts:?}");
    node.call(|_| 5);
    assert_eq!(node.click(capped_offer(), 9), 5);
}

#[test]
fn a_cap_that_is_gone_is_settled() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.call(|_| 100);
    node.click(capped_offer(), 10);
    node.budgets.follow(&snapshot(0, CapWindow::Total, 0));
    assert_eq!(node.call(|_| 0), (vec![], vec![10]));
    assert_eq!(node.claims(), []);
}

#[test]
fn the_keeper_is_woken_by_the_click_after_which_it_renews() {
    for granted in 1..=9 {
        let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
        node.call(|_| granted);
        let woken = |node: &Node| {
            let wakes = std::pin::pin!(node.budgets.wake.notified());
            wakes.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
        };
        woken(&node);
        let clicks = (1..=granted).filter(|_| node.click(capped_offer(), 1) == 1 && woken(&node));
        let clicks: Vec<u64> = clicks.collect();
        let half = granted.div_ceil(2);
        assert_eq!(clicks, if half == granted { vec![half] } else { vec![half, granted] }, "of {granted}");
        // Of all clicks, it is the first after which a look finds something to ask for.
        let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
        node.call(|_| granted);
        node.click(capped_offer(), half - 1);
        assert_eq!(node.claims(), [], "of {granted}");
        node.click(capped_offer(), 1);
        assert!(!node.claims().is_empty(), "of {granted}");
    }
}

#[test]
fn the_next_hour_begins_with_a_lease() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Hour, 0));
    node.call(|claim| claim.wanted);
    let end = UnixMicros(NOW.0 - NOW.0.rem_euclid(HOUR_US) + HOUR_US);
    // A lease of just before the end, in use.
    node.now = end.plus_secs(-20);
    node.waits_for(capped_offer());
    node.call(|_| 100);
    assert_eq!(node.click(capped_offer(), 20), 20);
    assert_eq!(node.claims(), [], "not yet");
    node.now = end.plus_secs(-4);
    let claims: Vec<_> = node.claims().iter().map(|(_, claim)| *claim).collect();
    let [claim] = &claims[..] else { panic!("one question: {claims:?}") };
    assert_eq!((claim.window_start_secs, claim.wanted, claim.ahead), (end.secs(), 40, true));
    node.call(|_| 50);
    assert_eq!(node.claims(), [], "it is asked for once");
    assert_eq!(node.click(capped_offer(), 30), 30, "this hour's clicks are of its own lease");
    node.now = end;
    assert_eq!(node.click(capped_offer(), 40), 40, "before anybody has looked");
    let (wanted, spent) = node.call(|claim| claim.wanted);
    assert_eq!((wanted, spent), (vec![80], vec![50]), "the last hour is reported on, and this one renewed");
    assert_eq!(node.click(capped_offer(), 200), 80);
}

#[test]
fn what_of_the_next_hour_is_not_given_out_of_plenty_is_asked_for_by_its_first_click() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Hour, 0));
    let end = UnixMicros(NOW.0 - NOW.0.rem_euclid(HOUR_US) + HOUR_US);
    node.call(|_| 0);
    node.now = end.plus_secs(-4);
    assert_eq!(node.call(|_| 0).0.len(), 1);
    assert_eq!(node.claims(), []);
    node.now = end;
    assert_eq!(node.claims(), []);
    node.waits_for(capped_offer());
    assert_eq!(node.call(|_| 1).0.len(), 1);
    assert!(node.has_room(capped_offer()));
    // A cap that goes away takes the next hour with it.
    node.now = end.plus_secs(3_596);
    node.call(|_| 7);
    node.budgets.follow(&snapshot(0, CapWindow::Hour, 0));
    assert_eq!(node.call(|_| 0), (vec![], vec![0, 0]));
}

#[test]
fn a_clock_that_is_set_does_not_make_a_lease_longer() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.call(|_| 100);
    node.now = node.now.plus_secs(20);
    node.set_clock(-10);
    node.click(capped_offer(), 3);
    // It is over by the clock that nobody sets; the other one is ten seconds behind.
    node.now = node.now.plus_secs(40);
    assert_eq!(node.call(|_| 0), (vec![32], vec![3]));
    assert!(!node.has_room(capped_offer()));
    // Set forward it ends early: a question, and no click too many.
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.call(|_| 100);
    node.set_clock(60);
    assert_eq!(node.click(capped_offer(), 3), 0);
    assert_eq!(node.call(|_| 100).1, [0]);
    assert_eq!(node.click(capped_offer(), 3), 3);
}

#[test]
fn a_clock_that_is_set_back_does_not_shut_an_offer() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 0));
    node.now = NOW.plus_secs(3_600);
    node.waits_for(capped_offer());
    node.call(|_| 0);
    let lacks = |node: &Node| {
        let look = node.budgets.look(tenant(1), node.now);
        assert!(!look.has_room(capped_offer().1));
        look.is_lacking()
    };
    assert!(!lacks(&node));
    node.set_clock(-3_600);
    node.claims();
    assert!(lacks(&node), "or it would count as full for an hour");
}

#[test]
fn a_lease_of_before_a_restart_goes_on_for_what_is_left_of_it() {
    let snapshot = snapshot(1_000, CapWindow::Hour, 0);
    let end = UnixMicros(NOW.0 - NOW.0.rem_euclid(HOUR_US) + HOUR_US);
    let mut before = Node::new(&snapshot);
    before.call(|_| 0);
    before.now = end.plus_secs(-4);
    before.call(|_| 10);
    let held = before.budgets.meter(&capped_offer()).unwrap().next.load_full().unwrap();
    let (key, held) = (capped_offer(), Held::new(held.number, held.lease, 0));
    let mut node = Node::new(&snapshot);
    node.now = end.plus_secs(-2);
    node.plan.resume(&node.budgets, key, held, node.moment());
    assert_eq!(node.click(key, 20), 0, "its hour has not begun");
    node.now = end;
    assert_eq!(node.click(key, 5), 5);
    node.set_clock(-30);
    node.now = node.now.plus_secs(56);
    assert_eq!(node.call(|_| 0).1, [5], "a minute after it was given");
}

#[test]
fn what_did_not_change_is_not_written_down_again() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 9));
    node.waits_for(capped_link());
    node.call(|_| 8);
    let changed = |node: &mut Node| {
        node.plan.changed().into_iter().map(|(key, _, spent)| (key, spent)).collect::<Vec<_>>()
    };
    assert_eq!(changed(&mut node), [], "both were written when they began");
    node.click(capped_link(), 2);
    assert_eq!(changed(&mut node), [(capped_link(), 2)]);
    assert_eq!(changed(&mut node), []);
    node.click(capped_link(), 1);
    node.click(capped_offer(), 1);
    let mut both = changed(&mut node);
    both.sort_unstable();
    assert_eq!(both, [(capped_offer(), 1), (capped_link(), 3)]);
}

#[test]
fn where_somebody_waits_is_asked_first() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 9));
    let lost = |subject| Report { key: (tenant(1), subject), window_start: UnixMicros(0), spent: 1 };
    for number in 1..=300 {
        node.plan.owe(number, lost(capped_offer().1));
    }
    node.plan.owe(301, lost(capped_link().1));
    node.waits_for(capped_link());
    let lines: Vec<_> = node.claims().into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines.len(), MAX_CLAIMS);
    assert_eq!(lines[..3], [Line::Report(301), Line::Ask(capped_link(), UnixMicros(0)), Line::Report(1)]);
    assert!(!lines.contains(&Line::Ask(capped_offer(), UnixMicros(0))), "nobody waits for it yet");
}

#[test]
fn a_click_of_before_a_cap_was_removed_is_not_held_up_by_it() {
    let node = Node::new(&snapshot(1_000, CapWindow::Total, 9));
    let both = [Some(capped_link().1), Some(capped_offer().1)];
    assert!(!node.has_room(capped_offer()) && !node.budgets.take(tenant(1), both, NOW));
    // It was resolved before, and is decided now.
    node.budgets.follow(&snapshot(0, CapWindow::Total, 0));
    assert!(node.has_room(capped_offer()) && node.has_room(capped_link()));
    assert!(node.budgets.take(tenant(1), both, NOW));
}

#[tokio::test]
async fn an_answer_that_comes_while_a_click_is_decided_is_not_waited_for() {
    let node = Node::new(&snapshot(1_000, CapWindow::Total, 9));
    let look = node.budgets.look(tenant(1), node.now);
    assert!(!look.has_room(capped_link().1) && look.is_lacking());
    node.budgets.answered(true);
    // No time is left to wait for another one.
    assert!(look.wait(tokio::time::Instant::now()).await);
    let look = node.budgets.look(tenant(1), node.now);
    assert!(!look.has_room(capped_link().1));
    assert!(!look.wait(tokio::time::Instant::now()).await, "and none comes twice");
}

#[test]
fn a_click_is_taken_of_both_or_of_none() {
    let mut node = Node::new(&snapshot(1_000, CapWindow::Total, 9));
    node.waits_for(capped_link());
    node.call(
        |claim| if matches!(claim.subject, Some(edge_v1::lease_claim::Subject::Link(_))) { 9 } else { 4 },
    );
    let both = [Some(capped_link().1), Some(capped_offer().1)];
    let taken = (0..9).filter(|_| node.budgets.take(tenant(1), both, NOW)).count();
    assert_eq!(taken, 4);
    assert_eq!(node.click(capped_link(), 9), 5, "what the offer refused came back to the link");
}

#[test]
fn threads_share_a_lease_to_the_last_click() {
    let mut node = Node::new(&snapshot(100_000, CapWindow::Total, 0));
    node.call(|_| 1_000);
    let node = &node;
    let taken: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || node.click(capped_offer(), 700))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 1_000);
}
