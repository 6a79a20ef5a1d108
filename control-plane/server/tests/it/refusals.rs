//! What an edge must not send: refused with a reason, counted, and nothing else is changed or held up by it.

use crate::edge::{Edge, Publisher, click};
use crate::logged::Logged;
use crate::plane::{Catalog, Plane, seed};
use crate::publish::{clicks, heads, resealed};
use control_plane_server::app::clock;
use control_plane_server::app::outcomes::Outcome;
use control_plane_store::Store;
use control_plane_store::alerts::{AlertFilter, AlertKind, edge_subject, lane_subject};
use proto_model::{Lane, VerdictKind};
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{LaneHead, Open};
use proto_wire::envelope::SealedBatch;
use proto_wire::keys::{self, SigningKey};

/// The open alerts of a kind: subject, count, detail.
pub async fn alerts(store: &Store, kind: AlertKind) -> Vec<(String, u64, String)> {
    let filter = AlertFilter { kind: Some(kind), open: Some(true) };
    let page = store.list_alerts(filter, None, 100).await.unwrap();
    page.items.into_iter().map(|alert| (alert.subject, alert.count, alert.detail)).collect()
}

pub fn counted(plane: &Plane, outcome: Outcome) -> u64 {
    plane.app().outcomes.all().find(|(of, _)| *of == outcome).unwrap().1
}

/// Two clicks stand in the stream; what comes after them, and how it is answered.
async fn cases(plane: &Plane, catalog: &Catalog, edge: &Edge) -> Vec<(&'static str, Kind, SealedBatch)> {
    let key = &edge.keys.batch_key;
    let mut lane = edge.lane(Lane::Traffic);
    let start = lane.clone();
    clicks(edge, &mut lane, catalog, 2);
    let good = || clicks(edge, &mut lane.clone(), catalog, 1);
    let payload = || good().payload;
    let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
    let mut newer = good();
    newer.header_bytes[0] += 1;
    newer.signature = key.sign(keys::BATCH, &newer.header_bytes);
    let mut flipped = good();
    flipped.signature[7] ^= 1;
    let mut early = lane.clone();
    early.next += 5;
    let stranger = SigningKey::generate().unwrap();
    let other = Edge::join(plane, "other").await;
    let foreign = clicks(&other, &mut other.lane(Lane::Traffic), catalog, 1);
    let of_other = resealed(edge, good(), |header| header.edge = other.id, payload());
    let one = [click(catalog, VerdictKind::Allow)];
    let overlap = {
        let mut lane = start.clone();
        lane.next = 2;
        lane.seal(key, &[click(catalog, VerdictKind::Allow), click(catalog, VerdictKind::Allow)])
    };
    vec![
        ("a signature that is not one", Kind::Invalid, flipped),
        ("a signature by another key", Kind::Invalid, lane.clone().seal(&stranger, &one)),
        ("another edge's batch", Kind::Invalid, foreign),
        ("a batch that names another edge", Kind::Invalid, of_other),
        ("another epoch", Kind::Invalid, resealed(edge, good(), |header| header.epoch += 1, payload())),
        (
            "the other lane's stream",
            Kind::Invalid,
            resealed(edge, good(), |header| header.stream = edge.lane(Lane::Money).stream, payload()),
        ),
        ("a form that nobody knows", Kind::Invalid, newer),
        ("a bomb", Kind::Invalid, resealed(edge, good(), |_| {}, bomb.clone())),
        ("a bomb beside it", Kind::Invalid, SealedBatch { sidecar: bomb, ..good() }),
        ("not zstd", Kind::Invalid, resealed(edge, good(), |_| {}, b"not zstd".to_vec())),
        ("a gap", Kind::Gap, early.seal(key, &one)),
        // These contradict the stream, and stop it.
        ("an overlap", Kind::Quarantined, overlap),
        ("a fork", Kind::Quarantined, {
            let mut fork = start.clone();
            fork.seal(key, &[click(catalog, VerdictKind::Block), click(catalog, VerdictKind::Block)])
        }),
    ]
}

async fn traffic(publisher: &mut Publisher, edge: &Edge) -> LaneHead {
    let head = heads(edge).await.into_iter().find(|head| head.lane == 2).unwrap();
    *publisher = edge.open().await;
    head
}

#[tokio::test]
async fn whatever_must_not_be_sent_is_refused_and_holds_nobody_up() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let (mut lane, mut money) = (edge.lane(Lane::Traffic), edge.lane(Lane::Money));
    let mut publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
    let before = traffic(&mut publisher, &edge).await;
    let logged = Logged::here();
    let (mut invalid, mut early) = (0, false);
    for (case, kind, batch) in cases(&plane, &catalog, &edge).await {
        logged.take();
        let refusal = publisher.refusal(&batch).await;
        let lines = logged.of(edge.id);
        assert_eq!(lines.len(), 1, "{case}: {lines:?}");
        assert!(lines[0].contains("lane=\"traffic\""), "{case}: {lines:?}");
        assert!(kind == Kind::Gap || lines[0].contains(&refusal.detail), "{case}: {lines:?}");
        assert_eq!((refusal.kind(), refusal.lane), (kind, 2), "{case}: {refusal:?}");
        assert!(!refusal.detail.is_empty(), "{case}: the reason");
        invalid += u64::from(kind == Kind::Invalid);
        early |= kind == Kind::Gap;
        assert_eq!(counted(&plane, Outcome::Invalid), invalid, "{case}");
        assert_eq!(counted(&plane, Outcome::Early), u64::from(early), "{case}");
        // In the same session, at once.
        publisher.ack(&clicks(&edge, &mut money, &catalog, 1)).await;
        if kind == Kind::Quarantined {
            plane.app().store.release_edge(edge.id).await.unwrap();
        }
        let now = traffic(&mut publisher, &edge).await;
        assert_eq!((now.last_ordinal, &now.head_hash), (before.last_ordinal, &before.head_hash), "{case}");
    }
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    // What is not written yet is written before the end.
    let (subject, store) = (lane_subject(edge.id, Lane::Traffic), plane.app().store.clone());
    let forks = alerts(&store, AlertKind::StreamQuarantined).await;
    assert_eq!((forks.len(), &forks[0].0, forks[0].1), (1, &subject, 2), "{forks:?}");
    let plane = plane.restart().await;
    let refused = alerts(&plane.app().store, AlertKind::BatchRefused).await;
    assert_eq!((refused.len(), &refused[0].0, refused[0].1), (1, &subject, invalid), "{refused:?}");
    assert!(refused[0].2.contains("zstd"), "the last reason: {refused:?}");
    plane.stop().await;
}

#[tokio::test]
async fn what_comes_too_early_is_logged_once_for_each_rewind() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    let logged = Logged::here();
    for rewind in 1..=2 {
        let batches: Vec<_> = (0..3).map(|_| clicks(&edge, &mut lane, &catalog, 1)).collect();
        for early in &batches[1..] {
            assert_eq!(publisher.refusal(early).await.kind(), Kind::Gap);
        }
        assert_eq!(counted(&plane, Outcome::Early), 2 * rewind);
        let lines = logged.of(edge.id);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(&format!("expected={}", 3 * rewind - 2)), "{lines:?}");
        for batch in &batches {
            publisher.ack(batch).await;
        }
        logged.take();
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_session_in_an_older_epoch_is_logged_and_raises_an_alert_at_once() {
    let plane = Plane::start().await;
    let edge = Edge::join(&plane, "one").await;
    plane.app().store.open_epoch(edge.id, "disk lost", clock::now()).await.unwrap();
    let logged = Logged::here();
    let mut old = Publisher::connect(&edge).await.unwrap();
    let open = Up::Open(Open { epoch: edge.epoch.epoch, lanes: vec![] });
    let Down::Refusal(refusal) = old.ask(open).await.unwrap() else { panic!("it was taken") };
    assert_eq!(refusal.kind(), Kind::Fenced);
    let lines = logged.of(edge.id);
    assert!(lines.len() == 1 && lines[0].contains(&refusal.detail), "{lines:?}");
    let plane = plane.restart().await;
    let raised = alerts(&plane.app().store, AlertKind::SessionContention).await;
    assert_eq!((raised.len(), &raised[0].0, raised[0].1), (1, &edge_subject(edge.id), 1), "{raised:?}");
    assert!(raised[0].2.contains("a spool of epoch 1"), "{raised:?}");
    plane.stop().await;
}
