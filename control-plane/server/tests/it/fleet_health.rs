//! What operators see of the fleet: reports, alerts, numbers.

use crate::edge::{Edge, Publisher};
use crate::plane::{Plane, eventually, seed};
use crate::publish::{clicks, declaration};
use crate::refusals::alerts;
use crate::rest::Api;
use control_plane_server::app::clock;
use control_plane_store::alerts::{AlertKind, edge_subject, lane_subject};
use http::Method;
use proto_model::Lane;
use proto_wire::convert::{SkipReason, lane_to_wire};
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{LaneClaim, LaneReport, Open, ReportRequest, SpoolReport};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;

/// Of an edge whose clock is `skew_secs` behind ours.
fn report(edge: &Edge, skew_secs: i64) -> ReportRequest {
    let now = clock::now().0 - skew_secs * SECOND;
    let lane = |lane, stream, acked_ordinal, halted: &str| LaneReport {
        lane: lane_to_wire(lane).into(),
        stream,
        spooled_ordinal: 9,
        sealed_ordinal: 7,
        acked_ordinal,
        oldest_unacked_at_micros: if acked_ordinal < 9 { now - 50 * SECOND } else { 0 },
        halted: halted.into(),
    };
    ReportRequest {
        version: "7.7.7".into(),
        now_micros: now,
        clock_offset_micros: Some(skew_secs * SECOND),
        round_trip_micros: 900,
        snapshot_version: 12,
        epoch: edge.epoch.epoch,
        lanes: vec![
            lane(Lane::Money, edge.epoch.money_stream, 9, ""),
            lane(Lane::Traffic, edge.epoch.traffic_stream, 4, "refused"),
        ],
        spool: Some(SpoolReport {
            bytes: 1_000,
            limit_bytes: 9_000,
            free_bytes: 5_000,
            trouble: "the disk is slow".into(),
        }),
    }
}

async fn tell(edge: &Edge, report: ReportRequest) -> i64 {
    edge.client().await.report(report).await.unwrap().into_inner().now_micros
}

async fn raised(plane: &Plane, kind: AlertKind) -> (String, u64, String) {
    let store = &plane.app().store;
    eventually(kind.as_str(), async || alerts(store, kind).await.into_iter().next()).await
}

fn lane_of<'a>(edge: &'a Value, lane: &str) -> &'a Value {
    edge["streams"].as_array().unwrap().iter().find(|stream| stream["lane"] == lane).unwrap()
}

#[tokio::test]
async fn an_edge_is_seen_as_it_reports_itself() {
    let api = Api::start().await;
    let catalog = seed(api.plane.app()).await;
    let edge = Edge::join(&api.plane, "one").await;
    let path = format!("/v1/edges/{}", edge.id);
    let silent = api.get(&path, &api.operator).await;
    assert_eq!((&silent["connection"], &silent["report"]), (&json!("unknown"), &Value::Null));
    assert_eq!(lane_of(&silent, "traffic")["edge"], Value::Null);

    let before = clock::now().0;
    assert!(tell(&edge, report(&edge, 3)).await >= before, "it is told the time");
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
    let gap = lane.gap(4);
    let declared = publisher.ask(Up::Gap(gap.to_message(&edge.keys.batch_key, publisher.session))).await;
    assert!(matches!(declared.unwrap(), Down::Ack(_)));

    let seen = api.get(&path, &api.operator).await;
    assert_eq!(api.get("/v1/edges", &api.operator).await["data"][0]["id"], seen["id"]);
    assert_eq!((&seen["connection"], &seen["version"]), (&json!("online"), &json!("7.7.7")));
    let told = &seen["report"];
    assert_eq!((&told["clock_skew_ms"], &told["clock"]), (&json!(3_000), &json!("warning")));
    assert_eq!(told["snapshot_version"], 12);
    let spool = json!({
        "bytes": 1_000, "limit_bytes": 9_000, "free_bytes": 5_000, "trouble": "the disk is slow",
    });
    assert_eq!(told["spool"], spool);
    let traffic = lane_of(&seen, "traffic");
    assert_eq!((&traffic["gaps"], &traffic["lost_ordinals"]), (&json!(1), &json!(4)));
    assert_eq!((&traffic["edge"]["lag"], &traffic["edge"]["halted"]), (&json!(5), &json!("refused")));
    let oldest = traffic["edge"]["oldest_unacked_secs"].as_i64().unwrap();
    assert!((50..110).contains(&oldest), "by our clock, not the edge's: {oldest}");
    let money = lane_of(&seen, "money");
    assert_eq!((&money["edge"]["lag"], &money["edge"]["oldest_unacked_secs"]), (&json!(0), &json!(0)));
    assert_eq!((&money["edge"]["halted"], &money["gaps"]), (&Value::Null, &json!(0)));
    api.plane.stop().await;
}

#[tokio::test]
async fn numbers_are_for_operators_and_have_their_names() {
    let api = Api::start().await;
    let catalog = seed(api.plane.app()).await;
    let edge = Edge::join(&api.plane, "one").await;
    tell(&edge, report(&edge, -3)).await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut fork = lane.clone();
    let mut publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
    let gap = lane.gap(4);
    publisher.ask(Up::Gap(gap.to_message(&edge.keys.batch_key, publisher.session))).await.unwrap();
    assert_eq!(publisher.refusal(&clicks(&edge, &mut fork, &catalog, 1)).await.kind(), Kind::Quarantined);

    let answer = api.call(Method::GET, "/metrics", Some(&api.operator), None).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let id = edge.id;
    let value = |series: &str| {
        let line = answer.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{}", answer.text)).parse::<f64>().unwrap()
    };
    let of = |name: &str| value(&format!("tributary_{name}{{edge=\"{id}\"}}"));
    let of_lane = |name: &str, lane| value(&format!("tributary_{name}{{edge=\"{id}\",lane=\"{lane}\"}}"));
    let whole: [(f64, f64); 17] = [
        (of_lane("edge_lag_events", "traffic"), 5.0),
        (of_lane("edge_lag_events", "money"), 0.0),
        (of_lane("edge_oldest_unacked_seconds", "money"), 0.0),
        (of("edge_spool_bytes"), 1_000.0),
        (of("edge_spool_limit_bytes"), 9_000.0),
        (of("edge_disk_free_bytes"), 5_000.0),
        (of("edge_clock_skew_seconds"), -3.0),
        (of_lane("edge_halted", "traffic"), 1.0),
        (of_lane("edge_halted", "money"), 0.0),
        (of_lane("stream_quarantined", "traffic"), 1.0),
        (of_lane("stream_quarantined", "money"), 0.0),
        (of_lane("stream_gaps", "traffic"), 1.0),
        (of_lane("stream_gaps", "money"), 0.0),
        (of_lane("stream_lost_ordinals", "traffic"), 4.0),
        (value("tributary_alerts_open{kind=\"gap_declared\"}"), 1.0),
        (value("tributary_alerts_open{kind=\"disk_cloned\"}"), 0.0),
        (value("tributary_batches_total{outcome=\"appended\"}"), 1.0),
    ];
    for (at, (found, expected)) in whole.iter().enumerate() {
        assert!((found - expected).abs() < 1e-9, "number {at}: {found} is not {expected}\n{}", answer.text);
    }
    assert!(of_lane("edge_oldest_unacked_seconds", "traffic") >= 50.0);
    assert!(of("edge_last_report_seconds") < 600.0);
    assert!(value("tributary_unprojected_batches") <= 1.0);
    assert!(answer.text.ends_with("# EOF\n"));
    // An edge that is revoked is no longer watched.
    api.post(&format!("/v1/edges/{id}/revoke"), &api.operator, json!({})).await;
    let answer = api.call(Method::GET, "/metrics", Some(&api.operator), None).await;
    assert!(!answer.text.contains(&id.to_string()), "{}", answer.text);
    api.plane.stop().await;
}

#[tokio::test]
async fn alerts_are_listed_and_acknowledged() {
    let api = Api::start().await;
    let edge = Edge::join(&api.plane, "one").await;
    for _ in 0..3 {
        tell(&edge, report(&edge, 61)).await;
    }
    let (subject, ..) = raised(&api.plane, AlertKind::ClockSkew).await;
    assert_eq!(subject, edge_subject(edge.id));
    let list = async |query: &str| {
        let list = api.get(&format!("/v1/alerts{query}"), &api.operator).await;
        list["data"].as_array().unwrap().clone()
    };
    let open = list("?status=open&kind=clock_skew").await;
    assert_eq!((open.len(), &open[0]["subject"], &open[0]["status"]), (1, &json!(subject), &json!("open")));
    assert!(open[0]["detail"].as_str().unwrap().contains("61 s ahead"));
    for nothing in ["?status=acknowledged", "?kind=disk_cloned"] {
        assert_eq!(list(nothing).await, [] as [Value; 0], "{nothing}");
    }
    let path = format!("/v1/alerts/{}", open[0]["id"].as_str().unwrap());
    assert_eq!(api.get(&path, &api.operator).await, open[0]);
    let path = format!("{path}/acknowledge");
    let read = open[0]["count"].as_u64().unwrap();
    // It has happened once more than this reader knows.
    let stale = api.call(Method::POST, &path, Some(&api.operator), Some(json!({"count": read - 1}))).await;
    assert_eq!((stale.status.as_u16(), stale.problem()), (409, "alert_moved_on".into()), "{}", stale.text);
    assert!(stale.text.contains("read it again"), "{}", stale.text);
    let silent = api.call(Method::POST, &path, Some(&api.operator), Some(json!({}))).await;
    assert_eq!(
        (silent.status.as_u16(), silent.problem()),
        (422, "invalid_request".into()),
        "{}",
        silent.text
    );
    assert_eq!(list("?status=open").await, open);
    let seen = api.post(&path, &api.operator, json!({"count": read})).await;
    assert_eq!(seen["status"], "acknowledged");
    assert!(seen["acknowledged_by"].as_str().unwrap().starts_with("key_"));
    assert_eq!(api.post(&path, &api.operator, json!({"count": read})).await, seen, "once");
    assert_eq!(list("?status=open").await, [] as [Value; 0]);
    for (wrong, status) in [("?status=shut", 400), ("?kind=Nothing", 400), ("?limit=0", 400), ("?x=1", 400)] {
        let answer = api.call(Method::GET, &format!("/v1/alerts{wrong}"), Some(&api.operator), None).await;
        assert_eq!(answer.status, status, "{wrong}: {}", answer.text);
    }
    for unknown in ["alr_77", "77", "alr_", "alr_x"] {
        let path = format!("/v1/alerts/{unknown}/acknowledge");
        let count = Some(json!({"count": 1}));
        let answer = api.call(Method::POST, &path, Some(&api.operator), count).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (404, "not_found".into()), "{unknown}");
    }
    api.plane.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_raises_nothing() {
    let plane = Plane::start().await;
    let edge = Edge::join(&plane, "one").await;
    for skew in [0, 59, -59] {
        tell(&edge, report(&edge, skew)).await;
    }
    let plane = plane.restart().await;
    assert_eq!(alerts(&plane.app().store, AlertKind::ClockSkew).await, []);
    plane.stop().await;
}

#[tokio::test]
async fn hits_that_were_lost_raise_an_alert_once_with_how_many() {
    for (reason, kind, says) in [
        (SkipReason::Lost, AlertKind::HitsLost, "7 hits"),
        (SkipReason::Bounded, AlertKind::HitsMaybeLost, "at most 7"),
    ] {
        let plane = Plane::start().await;
        let edge = Edge::join(&plane, "one").await;
        let mut lane = edge.lane(Lane::Traffic);
        let mut publisher = edge.open().await;
        publisher.ack(&declaration(&edge, &mut lane, 1024, SkipReason::Unclean)).await;
        let lost = declaration(&edge, &mut lane, 7, reason);
        publisher.ack(&lost).await;
        publisher.ack(&lost).await;
        let (subject, count, detail) = raised(&plane, kind).await;
        assert_eq!((subject, count), (lane_subject(edge.id, Lane::Traffic), 7));
        assert!(detail.contains(says), "{detail}");
        plane.stop().await;
    }
}

#[tokio::test]
async fn sessions_that_fence_each_other_raise_an_alert() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let batch = clicks(&edge, &mut edge.lane(Lane::Traffic), &catalog, 1);
    let mut old = edge.open().await;
    // The other node: neither of them comes back by itself.
    let newer = edge.open().await;
    assert_eq!(old.refusal(&batch).await.kind(), Kind::Fenced);
    let (subject, ..) = raised(&plane, AlertKind::SessionContention).await;
    assert_eq!(subject, edge_subject(edge.id));
    drop(newer);
    plane.stop().await;
}

#[tokio::test]
async fn a_spool_that_is_replaced_is_no_contention() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let batch = clicks(&edge, &mut edge.lane(Lane::Traffic), &catalog, 1);
    let mut old = edge.open().await;
    plane.app().store.open_epoch(edge.id, "disk lost", clock::now()).await.unwrap();
    assert_eq!(old.refusal(&batch).await.kind(), Kind::Fenced);
    let plane = plane.restart().await;
    assert_eq!(alerts(&plane.app().store, AlertKind::SessionContention).await, []);
    plane.stop().await;
}

/// Opens a session that says how its lane of clicks ends.
async fn opens(edge: &Edge, held_ordinal: u64, held_hash: [u8; 32]) -> Publisher {
    let claim = LaneClaim {
        lane: lane_to_wire(Lane::Traffic).into(),
        stream: edge.epoch.traffic_stream,
        held_ordinal,
        acked_ordinal: 0,
        held_hash: held_hash.to_vec(),
    };
    let mut publisher = Publisher::connect(edge).await.unwrap();
    let open = Open { epoch: edge.epoch.epoch, lanes: vec![claim] };
    match publisher.ask(Up::Open(open)).await.unwrap() {
        Down::OpenAck(ack) => publisher.session = ack.session,
        other => panic!("{other:?}"),
    }
    publisher
}

#[tokio::test]
async fn a_copied_disk_is_known_by_its_history() {
    // Two clicks, a gap of three, one click: ordinals 1-2, 3-5, 6. What the edge says it holds.
    let cases = [
        ("all of it", 6, Some(2), false),
        ("up to the gap", 5, Some(1), false),
        ("up to the clicks before it", 2, Some(0), false),
        ("nothing", 0, None, false),
        ("more than is here", 9, None, false),
        ("another end", 6, None, true),
        ("another gap", 5, None, true),
        ("other clicks", 2, None, true),
        ("an end within a batch", 1, Some(0), true),
        ("an end within the gap", 4, None, false),
    ];
    for (case, held, hash, cloned) in cases {
        let plane = Plane::start().await;
        let catalog = seed(plane.app()).await;
        let edge = Edge::join(&plane, "one").await;
        let mut lane = edge.lane(Lane::Traffic);
        let mut publisher = edge.open().await;
        let mut hashes = Vec::new();
        publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
        hashes.push(lane.prev_hash);
        let gap = lane.gap(3);
        publisher.ask(Up::Gap(gap.to_message(&edge.keys.batch_key, publisher.session))).await.unwrap();
        lane.go_on_after(&gap);
        hashes.push(lane.prev_hash);
        publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
        hashes.push(lane.prev_hash);

        let hash = hash.map_or([0x77; 32], |at: usize| hashes[at]);
        let mut publisher = opens(&edge, held, hash).await;
        let next = clicks(&edge, &mut lane, &catalog, 1);
        match publisher.send(&next).await.unwrap() {
            Down::Ack(_) => assert!(!cloned, "{case}"),
            Down::Refusal(refusal) => {
                assert_eq!((refusal.kind(), cloned), (Kind::Quarantined, true), "{case}");
                assert!(refusal.detail.contains("another history"), "{case}: {}", refusal.detail);
            }
            Down::OpenAck(ack) => panic!("{case}: {ack:?}"),
        }
        // Once, however often it comes back.
        opens(&edge, held, hash).await;
        let raised = alerts(&plane.app().store, AlertKind::DiskCloned).await;
        let counts: Vec<u64> = raised.iter().map(|(_, count, _)| *count).collect();
        assert_eq!(counts, vec![1; usize::from(cloned)], "{case}: {raised:?}");
        plane.stop().await;
    }
}

#[tokio::test]
async fn what_was_dropped_contradicts_nobody() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut lane = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 2)).await;
    let store = &plane.app().store;
    eventually("projected", async || (store.projected_through().await.unwrap() == 2).then_some(())).await;
    let later = clock::now().plus_days(2);
    store.drop_journal_before(later, later).await.unwrap();
    publisher = edge.open().await;
    publisher.ack(&clicks(&edge, &mut lane, &catalog, 1)).await;
    opens(&edge, 2, [0x77; 32]).await;
    assert_eq!(alerts(store, AlertKind::DiskCloned).await, []);
    plane.stop().await;
}

#[tokio::test]
async fn an_edge_that_knows_more_than_the_database_raises_an_alert() {
    let api = Api::start().await;
    let edge = Edge::join(&api.plane, "one").await;
    let claim = LaneClaim {
        lane: lane_to_wire(Lane::Traffic).into(),
        stream: edge.epoch.traffic_stream,
        held_ordinal: 9,
        acked_ordinal: 9,
        held_hash: vec![1; 32],
    };
    let mut publisher = Publisher::connect(&edge).await.unwrap();
    publisher.ask(Up::Open(Open { epoch: edge.epoch.epoch, lanes: vec![claim] })).await.unwrap();
    let (subject, _, detail) = raised(&api.plane, AlertKind::RestoreRewind).await;
    assert_eq!(subject, edge_subject(edge.id));
    assert!(detail.contains("acknowledged up to 9"), "{detail}");
    api.plane.stop().await;
}

#[tokio::test]
async fn a_report_of_a_spool_that_was_replaced_changes_nothing() {
    let plane = Plane::start().await;
    let edge = Edge::join(&plane, "one").await;
    let store = &plane.app().store;
    tell(&edge, report(&edge, 0)).await;
    let first = store.edge_report(edge.id).await.unwrap();
    store.open_epoch(edge.id, "disk lost", clock::now()).await.unwrap();
    tell(&edge, ReportRequest { snapshot_version: 99, ..report(&edge, 0) }).await;
    assert_eq!(store.edge_report(edge.id).await.unwrap(), first);
    plane.stop().await;
}
