//! A database that was put back: no money leaves before somebody has looked, and edges that know more give it away.

use crate::edge::{Edge, Publisher};
use crate::money::World;
use crate::plane::{Plane, eventually};
use control_plane_domain::intake::Input;
use control_plane_domain::order::CommissionStatus;
use control_plane_server::app::health::Status;
use control_plane_server::app::restore::{self, Reconciliation};
use control_plane_server::app::verify::Walked;
use control_plane_server::app::{clock, money};
use control_plane_store::fleet::LaneClaim;
use proto_model::event::Authority;
use proto_model::{Lane, StreamNo};
use proto_wire::convert::lane_to_wire;
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::{self, Open};

/// As `ctl restore` leaves it, as far as money goes.
const FREEZE: &str = "UPDATE deployment SET restores = 1, frozen_at = 1, frozen_reason = 'the disk died'; \
    UPDATE streams SET held = NULL, frozen_ordinal = last_ordinal";

impl World {
    async fn freeze(&self) {
        self.raw().await.run(FREEZE).await;
    }

    async fn reconcile(&self, accept_missing: bool) -> Reconciliation {
        restore::reconcile(self.plane.app(), accept_missing, &Walked::default()).await.unwrap()
    }

    /// Opens a session in which the edge says what it has.
    async fn comes_back(&self, held: u64) {
        let claim =
            |lane, stream| LaneClaim { lane, stream: StreamNo(stream), held, signed_for: 0, held_hash: None };
        let epoch = &self.edge.epoch;
        let claims = [claim(Lane::Money, epoch.money_stream), claim(Lane::Traffic, epoch.traffic_stream)];
        let store = &self.plane.app().store;
        store.open_session(self.edge.id, epoch.epoch, &claims, clock::now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_close_from_before_the_restore_waits_until_the_freeze_is_lifted() {
    let mut world = World::new().await;
    let clicked = world.click().await;
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    world.commission(CommissionStatus::Pending).await;
    world.deliver("A-1").await;
    world.commission(CommissionStatus::Approved).await;
    let (store, tenant) = (&world.plane.app().store, world.catalog.tenant);
    let [advertiser, settlement] = world.shards();
    let credited = eventually("the credit", async || {
        let applied = store.applied_through(settlement).await.unwrap();
        (applied > 0).then_some(applied)
    })
    .await;

    // The backup was made between the close and its effect.
    world.freeze().await;
    let through = clock::now();
    let closing = store.append_intake(settlement, &Input::ClosePeriod { through }, through).await.unwrap();
    eventually("the shard waits", async || {
        matches!(world.plane.status(money::PART), Some(Status::Degraded(why)) if why.contains("frozen"))
            .then_some(())
    })
    .await;
    assert_eq!(store.applied_through(settlement).await.unwrap(), closing - 1);
    assert!(closing > credited);
    let statements = async || store.list_statements(tenant, None, None, 10).await.unwrap().items;
    assert!(statements().await.is_empty());
    // The others go on.
    let before = store.applied_through(advertiser).await.unwrap();
    world.deliver("A-2").await;
    eventually("another shard", async || {
        (store.applied_through(advertiser).await.unwrap() > before).then_some(())
    })
    .await;

    let found = world.reconcile(false).await;
    assert!(found.frozen.is_some() && found.lifted.is_none(), "the edge has not come back: {found:?}");
    assert_eq!(store.applied_through(settlement).await.unwrap(), closing - 1);
    let found = world.reconcile(true).await;
    assert!(found.frozen.is_none() && found.lifted.is_some(), "{found:?}");
    eventually("the close", async || {
        (store.applied_through(settlement).await.unwrap() >= closing).then_some(())
    })
    .await;
    let closed = statements().await;
    assert_eq!(closed.len(), 1);
    assert!(closed[0].statement.payout.is_some());
    eventually("all is well", async || (world.plane.status(money::PART) == Some(Status::Ok)).then_some(()))
        .await;
    assert_eq!(world.differences().await, [None, None]);
    world.plane.stop().await;
}

/// What an edge looks like, and what an operator can do about it.
#[derive(Clone, Copy, Debug)]
enum Case {
    NotSeen,
    Behind,
    Quarantined,
    Lossy,
    Whole,
}

#[tokio::test]
async fn a_freeze_is_lifted_when_every_edge_is_whole_or_done_without() {
    for case in [Case::NotSeen, Case::Behind, Case::Quarantined, Case::Lossy, Case::Whole] {
        let mut world = World::new().await;
        world.click().await;
        world.freeze().await;
        let stream = StreamNo(world.edge.epoch.traffic_stream);
        match case {
            Case::NotSeen => {}
            Case::Behind => world.comes_back(7).await,
            Case::Quarantined => {
                world.comes_back(0).await;
                world
                    .plane
                    .app()
                    .store
                    .quarantine(stream, "two batches for one ordinal", clock::now())
                    .await
                    .unwrap();
            }
            Case::Lossy => {
                world.declare_lost(3).await;
                world.comes_back(4).await;
            }
            Case::Whole => world.comes_back(0).await,
        }
        let found = world.reconcile(false).await;
        let edge = &found.edges[0];
        let seen = (edge.is_back(), edge.is_whole(), found.frozen.is_none());
        let expected = match case {
            Case::NotSeen => (false, false, false),
            Case::Behind | Case::Quarantined | Case::Lossy => (true, false, false),
            Case::Whole => (true, true, true),
        };
        assert_eq!(seen, expected, "{case:?}: {found:?}");
        let quarantined = edge.lanes.iter().any(|lane| lane.quarantined.is_some());
        assert_eq!(quarantined, matches!(case, Case::Quarantined), "{found:?}");
        let lost: Vec<_> =
            edge.lost.named.iter().map(|lost| (lost.first_ordinal, lost.last_ordinal)).collect();
        assert_eq!(lost, vec![(2, 4); usize::from(matches!(case, Case::Lossy))], "{found:?}");
        let found = world.reconcile(true).await;
        assert!(found.frozen.is_none(), "{case:?}: {found:?}");
        assert_eq!(found.lifted.is_none(), matches!(case, Case::Whole), "it was lifted once: {found:?}");
        world.plane.stop().await;
    }
}

#[tokio::test]
async fn what_does_not_verify_is_not_accepted() {
    let mut world = World::new().await;
    let clicked = world.click().await;
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    world.commission(CommissionStatus::Pending).await;
    world.deliver("A-1").await;
    world.commission(CommissionStatus::Approved).await;
    world.freeze().await;
    world.comes_back(0).await;
    let mut raw = world.database().await;
    let kept =
        "CREATE TABLE kept AS SELECT * FROM journal WHERE lane = 1; DELETE FROM journal WHERE lane = 1";
    raw.run(kept).await;
    let found = world.reconcile(true).await;
    assert!(found.frozen.is_some() && !found.journal.ok(), "{found:?}");
    raw.run("INSERT INTO journal SELECT * FROM kept").await;
    raw.run("UPDATE ledger_transactions SET posted_at = posted_at + 1").await;
    let found = world.reconcile(true).await;
    assert!(found.frozen.is_some() && found.journal.ok(), "{found:?}");
    assert!(!found.ledger_problems.is_empty(), "{found:?}");
    raw.run("UPDATE ledger_transactions SET posted_at = posted_at - 1").await;
    let found = world.reconcile(false).await;
    assert!(found.frozen.is_none(), "{found:?}");
    drop(raw);
    world.plane.stop().await;
}

fn forgotten(plane: &Plane) -> Option<String> {
    match plane.status("restore") {
        Some(Status::Degraded(what)) => Some(what),
        _ => None,
    }
}

async fn opens(edge: &Edge, epoch: u32, signed_for: u64) -> bool {
    let claim = |lane: Lane, stream| edge_v1::LaneClaim {
        lane: lane_to_wire(lane).into(),
        stream,
        held_ordinal: signed_for,
        acked_ordinal: signed_for,
        ..Default::default()
    };
    let lanes =
        vec![claim(Lane::Money, edge.epoch.money_stream), claim(Lane::Traffic, edge.epoch.traffic_stream)];
    let Ok(mut publisher) = Publisher::connect(edge).await else { return false };
    publisher.ask(Up::Open(Open { epoch, lanes })).await.is_ok()
}

#[tokio::test]
async fn an_edge_that_knows_more_than_the_database_gives_it_away() {
    // The epoch it comes with, what we have signed for as it says, whether it may send, and what health says.
    let cases = [
        (1, 0, true, None),
        (1, 9, true, Some("was acknowledged up to 9 and stands at 0")),
        (2, 0, false, Some("epoch 2, which was never given out")),
    ];
    for (epoch, signed_for, may_send, expected) in cases {
        let plane = Plane::start().await;
        let edge = Edge::join(&plane, "one").await;
        assert_eq!(opens(&edge, epoch, signed_for).await, may_send, "{expected:?}");
        let said = forgotten(&plane);
        match expected {
            None => assert_eq!(said, None),
            Some(what) => assert!(said.as_ref().is_some_and(|said| said.contains(what)), "{said:?}"),
        }
        plane.stop().await;
    }
    // Once it is said that this was restored, an edge that is ahead is what everybody waits for.
    let world = World::new().await;
    world.freeze().await;
    assert!(opens(&world.edge, 1, 9).await);
    assert_eq!(forgotten(&world.plane), None);
    // One that was enrolled after the backup.
    world.database().await.run(&format!("DELETE FROM edges WHERE id = {}", world.edge.id.get())).await;
    assert!(!opens(&world.edge, 1, 0).await);
    assert!(forgotten(&world.plane).is_some_and(|what| what.contains("not known here")));
    world.plane.stop().await;
}
