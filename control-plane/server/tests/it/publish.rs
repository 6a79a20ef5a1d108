//! The stream protocol: what is committed, what is acked again, what is refused and how.

use crate::edge::{Edge, LaneWriter, Publisher, click};
use crate::plane::{Catalog, Plane, eventually, seed};
use crate::refusals::alerts;
use control_plane_server::app::health::Status;
use control_plane_server::app::{clock, fleet};
use control_plane_store::alerts::AlertKind;
use control_plane_store::reports::ReportFilter;
use proto_model::{Lane, VerdictKind};
use proto_wire::convert::{SkipReason, skipped_to_wire};
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{Ack, LaneHead, Open, OpenEpochRequest};
use proto_wire::envelope::{AckStatement, Header, SealedBatch};
use proto_wire::keys::{self, SigningKey, sha256};
use tonic::Code;

pub fn clicks(edge: &Edge, lane: &mut LaneWriter, catalog: &Catalog, count: usize) -> SealedBatch {
    let events: Vec<_> = (0..count).map(|_| click(catalog, VerdictKind::Allow)).collect();
    lane.seal(&edge.keys.batch_key, &events)
}

fn proven(edge: &Edge, ack: &Ack) -> AckStatement {
    AckStatement::verify(&edge.control_key, edge.id, edge.epoch.epoch, ack).unwrap()
}

pub async fn heads(edge: &Edge) -> Vec<LaneHead> {
    let mut publisher = Publisher::connect(edge).await.unwrap();
    match publisher.ask(Up::Open(Open { epoch: edge.epoch.epoch, lanes: vec![] })).await.unwrap() {
        Down::OpenAck(ack) => ack.heads,
        other => panic!("{other:?}"),
    }
}

async fn hits(plane: &Plane, catalog: &Catalog) -> u64 {
    let now = clock::now();
    let filter = ReportFilter {
        from: now.plus_secs(-86_400),
        until: now.plus_days(1),
        advertiser: None,
        offer: None,
        partner: None,
        link: None,
    };
    let rows = plane.app().store.report_links(catalog.tenant, &filter, 100).await.unwrap();
    rows.iter().map(|row| row.clicks).sum()
}

#[tokio::test]
async fn batches_are_committed_acked_and_acked_again() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut traffic = edge.lane(Lane::Traffic);
    let (first, second) =
        (clicks(&edge, &mut traffic, &catalog, 3), clicks(&edge, &mut traffic, &catalog, 2));

    let mut publisher = edge.open().await;
    let ack = publisher.ack(&first).await;
    assert_eq!(proven(&edge, &ack).last_ordinal, 3);
    let head = proven(&edge, &publisher.ack(&second).await);
    assert_eq!((head.last_ordinal, head.head_hash), (5, traffic.prev_hash));
    // A lost ack: the same bytes again, after later ones were taken.
    assert_eq!(proven(&edge, &publisher.ack(&first).await).last_ordinal, 5);

    // A new session knows where the lanes stand, and fences the old one.
    let mut newer = edge.open().await;
    let third = clicks(&edge, &mut traffic, &catalog, 1);
    assert_eq!(publisher.refusal(&third).await.kind(), Kind::Fenced);
    assert_eq!(proven(&edge, &newer.ack(&third).await).last_ordinal, 6);
    let heads = heads(&edge).await;
    let traffic_head = heads.iter().find(|head| head.lane == i32::from(Lane::Traffic.code())).unwrap();
    assert_eq!((traffic_head.last_ordinal, &traffic_head.head_hash[..]), (6, &traffic.prev_hash[..]));

    eventually("six clicks in the report", async || (hits(&plane, &catalog).await == 6).then_some(())).await;
    plane.stop().await;
}

/// A batch that only declares `count` ordinals as skipped.
pub fn declaration(edge: &Edge, lane: &mut LaneWriter, count: u64, reason: SkipReason) -> SealedBatch {
    let skipped = skipped_to_wire(lane.next, lane.next + count - 1, reason);
    lane.next += count;
    lane.seal_wire(&edge.keys.batch_key, vec![skipped])
}

#[tokio::test]
async fn a_declared_loss_alerts_and_the_stream_goes_on() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    publisher.ack(&declaration(&edge, &mut lane, 1024, SkipReason::Unclean)).await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    eventually("the click in the report", async || (hits(&plane, &catalog).await == 1).then_some(())).await;
    eventually("no alert", async || (plane.status("project") == Some(Status::Ok)).then_some(())).await;

    publisher.ack(&declaration(&edge, &mut lane, 7, SkipReason::Lost)).await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    let why = eventually("the alert", async || match plane.status("project") {
        Some(Status::Degraded(why)) => Some(why),
        _ => None,
    });
    let why = why.await;
    assert!(
        why.contains("events_lost") && why.contains("7 hits") && why.contains(&edge.id.to_string()),
        "{why}"
    );
    publisher.ack(&declaration(&edge, &mut lane, 40, SkipReason::Bounded)).await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    let said = |why: &str| why.contains("7 hits") && why.contains("events_maybe_lost: at most 40 clicks");
    eventually("what may be lost", async || match plane.status("project") {
        Some(Status::Degraded(why)) => said(&why).then_some(()),
        _ => None,
    })
    .await;
    eventually("what came after it", async || (hits(&plane, &catalog).await == 3).then_some(())).await;
    plane.stop().await;
}

#[tokio::test]
async fn gaps_say_what_is_expected_and_forks_end_the_stream() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    let first = clicks(&edge, &mut lane, &catalog, 2);
    publisher.ack(&first).await;

    let mut cloned_disk = lane.clone();
    let second = clicks(&edge, &mut lane, &catalog, 2);
    let third = clicks(&edge, &mut lane, &catalog, 2);
    let gap = publisher.refusal(&third).await;
    assert_eq!((gap.kind(), gap.expected_ordinal), (Kind::Gap, 3));
    publisher.ack(&second).await;
    publisher.ack(&third).await;

    let fork = clicks(&edge, &mut cloned_disk, &catalog, 1);
    assert_eq!(publisher.refusal(&fork).await.kind(), Kind::Quarantined);
    let fourth = clicks(&edge, &mut lane, &catalog, 1);
    assert_eq!(publisher.refusal(&fourth).await.kind(), Kind::Quarantined, "until an operator has looked");
    // The other lane goes on.
    let mut money = edge.lane(Lane::Money);
    publisher.ack(&clicks(&edge, &mut money, &catalog, 1)).await;
    plane.stop().await;
}

#[tokio::test]
async fn what_the_edge_has_not_signed_is_refused() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let other = Edge::join(&plane, "two").await;
    let mut publisher = edge.open().await;

    // Another edge's batch, under this edge's certificate.
    let foreign = clicks(&other, &mut other.lane(Lane::Traffic), &catalog, 1);
    assert_eq!(publisher.refusal(&foreign).await.kind(), Kind::Invalid);
    // The right header with other bytes behind it.
    let mut lane = edge.lane(Lane::Traffic);
    let good = clicks(&edge, &mut lane.clone(), &catalog, 1);
    let mut swapped = good.clone();
    swapped.payload.push(0);
    assert_eq!(publisher.refusal(&swapped).await.kind(), Kind::Invalid);
    let mut cut = good.clone();
    cut.header_bytes.truncate(20);
    assert_eq!(publisher.refusal(&cut).await.kind(), Kind::Invalid);
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;

    // Our own streams, signed by another key: whoever that was, the edge is not stopped for it.
    let stranger = SigningKey::generate().unwrap();
    let forged = lane.clone().seal(&stranger, &[click(&catalog, VerdictKind::Allow)]);
    let refusal = publisher.refusal(&forged).await;
    assert_eq!((refusal.kind(), refusal.lane), (Kind::Invalid, i32::from(Lane::Traffic.code())));
    assert!(refusal.detail.contains("not signed by this edge"), "{refusal:?}");
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    plane.stop().await;
}

#[tokio::test]
async fn a_stream_begins_with_open_in_the_newest_epoch() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let mut edge = Edge::join(&plane, "one").await;
    let batch = clicks(&edge, &mut edge.lane(Lane::Traffic), &catalog, 1);

    let mut early = Publisher::connect(&edge).await.unwrap();
    assert_eq!(early.send(&batch).await.unwrap_err().code(), Code::FailedPrecondition);
    let mut unknown = Publisher::connect(&edge).await.unwrap();
    let open = Up::Open(Open { epoch: edge.epoch.epoch + 7, lanes: vec![] });
    assert_eq!(unknown.ask(open).await.unwrap_err().code(), Code::FailedPrecondition);
    let suspected = plane.status("restore");
    assert!(matches!(suspected, Some(Status::Degraded(_))), "was the database put back? {suspected:?}");

    // A new spool: the old epoch's batches are refused, ordinals start again in new streams.
    let mut publisher = edge.open().await;
    publisher.ack(&batch).await;
    let old = edge.epoch;
    let reason = OpenEpochRequest { reason: "the disk was replaced".into() };
    edge.epoch = edge.client().await.open_epoch(reason).await.unwrap().into_inner();
    assert!(edge.epoch.epoch > old.epoch && edge.epoch.traffic_stream != old.traffic_stream);
    let mut late = Publisher::connect(&edge).await.unwrap();
    let refused = late.ask(Up::Open(Open { epoch: old.epoch, lanes: vec![] })).await.unwrap();
    assert!(matches!(&refused, Down::Refusal(refusal) if refusal.kind() == Kind::Fenced), "{refused:?}");
    let mut publisher = edge.open().await;
    assert_eq!(publisher.refusal(&batch).await.kind(), Kind::Invalid);
    publisher.ack(&clicks(&edge, &mut edge.lane(Lane::Traffic), &catalog, 1)).await;
    plane.stop().await;
}

#[tokio::test]
async fn a_revoked_edge_is_cut_off_in_mid_stream() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    fleet::revoke_edge(plane.app(), edge.id).await.unwrap();
    let error = publisher.send(&clicks(&edge, &mut lane, &catalog, 1)).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    plane.stop().await;
}

/// The batch with another payload and whatever else is changed in its header, signed again.
pub fn resealed(
    edge: &Edge,
    mut batch: SealedBatch,
    change: impl FnOnce(&mut Header),
    payload: Vec<u8>,
) -> SealedBatch {
    let mut header = Header::parse(&batch.header_bytes).unwrap();
    (header.payload_sha256, header.payload_len) = (sha256(&payload), u32::try_from(payload.len()).unwrap());
    change(&mut header);
    batch.payload = payload;
    batch.header_bytes = header.to_bytes().to_vec();
    batch.signature = edge.keys.batch_key.sign(keys::BATCH, &batch.header_bytes);
    batch
}

/// What an edge has signed and could never be read is refused for its lane alone, and changes nothing.
#[tokio::test]
async fn what_could_never_be_read_is_refused_when_it_comes() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
    let before = heads(&edge).await;
    publisher = edge.open().await;

    let good = || clicks(&edge, &mut lane.clone(), &catalog, 1);
    let raw_len = Header::parse(&good().header_bytes).unwrap().raw_len;
    let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
    let mut newer = good();
    newer.header_bytes[0] += 1;
    newer.signature = edge.keys.batch_key.sign(keys::BATCH, &newer.header_bytes);
    let payload = good().payload;
    let cases = [
        ("a bomb", resealed(&edge, good(), |_| {}, bomb.clone())),
        ("a bomb beside it", SealedBatch { sidecar: bomb, ..good() }),
        ("not zstd", resealed(&edge, good(), |_| {}, b"not zstd".to_vec())),
        (
            "a length that is not so",
            resealed(&edge, good(), |header| header.raw_len = raw_len + 1, payload.clone()),
        ),
        ("a newer form", newer),
        ("another epoch", resealed(&edge, good(), |header| header.epoch += 1, payload)),
    ];
    for (case, batch) in cases {
        let refusal = publisher.refusal(&batch).await;
        assert_eq!(refusal.kind(), Kind::Invalid, "{case}");
        assert_eq!(refusal.lane, i32::from(Lane::Traffic.code()), "{case}: the other lane goes on");
        assert!(!refusal.detail.is_empty(), "{case}");
    }
    // Nothing has changed, and both lanes go on in the same session.
    publisher.ack(&clicks(&edge, &mut edge.lane(Lane::Money), &catalog, 1)).await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    let after = heads(&edge).await;
    let ordinals = |heads: &[LaneHead]| heads.iter().map(|head| head.last_ordinal).collect::<Vec<_>>();
    assert_eq!((ordinals(&before), ordinals(&after)), (vec![0, 2], vec![1, 3]));
    plane.stop().await;
}

/// Signed by the edge, but not events: taken (the edge may forget it), set aside, and nobody waits for it.
#[tokio::test]
async fn an_unreadable_batch_is_set_aside_and_blocks_nobody() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let noise = zstd::bulk::compress(b"no protobuf at all", 1).unwrap();
    let sealed = clicks(&edge, &mut lane.clone(), &catalog, 1);
    let sealed = resealed(&edge, sealed, |header| header.raw_len = 18, noise);
    let header = Header::parse(&sealed.header_bytes).unwrap();
    (lane.next, lane.prev_hash) = (2, header.head_hash());

    let mut publisher = edge.open().await;
    publisher.ack(&sealed).await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 4)).await;
    eventually("the clicks behind it", async || (hits(&plane, &catalog).await == 4).then_some(())).await;
    let status = eventually("a visible trace", async || match plane.status("project") {
        Some(Status::Degraded(why)) => Some(why),
        _ => None,
    });
    assert!(status.await.contains("1 set aside"));
    let kept = alerts(&plane.app().store, AlertKind::SetAside).await;
    assert_eq!((kept.len(), kept[0].1), (1, 1), "it outlives this process: {kept:?}");
    // The parts that have nothing to do with it may still be starting.
    eventually("readiness", async || plane.app().health.is_ready().then_some(())).await;
    plane.stop().await;
}
