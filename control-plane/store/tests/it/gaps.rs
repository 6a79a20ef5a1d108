//! What an edge has lost takes its place in the stream, once.

use crate::raw::{Place, Raw};
use crate::world::{Edge, NOW, edge, store};
use control_plane_store::alerts::{AlertFilter, AlertKind, lane_subject};
use control_plane_store::gaps::{GapRow, Lost, NewGap, WatchedLane};
use control_plane_store::journal::AppendOutcome;
use control_plane_store::{Store, StoreError};
use proto_model::Lane;

impl Edge {
    /// Of the traffic lane; hashes are those of [`Edge::batch`].
    pub fn gap(&self, first: u64, last: u64, prev: u8, resume: u8) -> NewGap {
        let row = GapRow {
            stream: self.epoch.traffic_stream,
            first_ordinal: first,
            last_ordinal: last,
            reason: "damaged".into(),
            declaration: format!("{first}-{last} {prev} {resume}").into_bytes(),
            signature: [resume; 64],
            prev_hash: [prev; 32],
            resume_hash: [resume; 32],
            received_at: NOW,
        };
        NewGap { edge: self.id, session: self.session, epoch: self.epoch.epoch, lane: Lane::Traffic, row }
    }
}

async fn declare(store: &Store, gap: &NewGap) -> AppendOutcome {
    store.append_gap(gap).await.unwrap()
}

/// Ordinals 1 to 3 are there, 4 to 6 are lost.
async fn lossy(store: &Store) -> (Edge, NewGap) {
    let edge = edge(store, 1).await;
    store.append_batch(&edge.batch(1, 3, [0; 32], 1)).await.unwrap();
    let gap = edge.gap(4, 6, 1, 9);
    assert_eq!(declare(store, &gap).await, AppendOutcome::Declared);
    (edge, gap)
}

/// Of each lane, money first.
async fn lost(store: &Store) -> Vec<Lost> {
    store.watched_lanes().await.unwrap().into_iter().map(|lane| lane.lost).collect()
}

async fn alerts(store: &Store, kind: AlertKind) -> Vec<(String, u64)> {
    let filter = AlertFilter { kind: Some(kind), open: Some(true) };
    let page = store.list_alerts(filter, None, 10).await.unwrap();
    page.items.into_iter().map(|alert| (alert.subject, alert.count)).collect()
}

#[tokio::test]
async fn a_gap_stands_where_the_batches_would_have_stood() {
    let store = store().await;
    let (edge, gap) = lossy(&store).await;
    let stream = edge.epoch.traffic_stream;
    assert_eq!(store.gaps_beginning_after(stream, 0, 9).await.unwrap(), std::slice::from_ref(&gap.row));
    assert_eq!(store.stream_head(stream).await.unwrap(), (6, [9; 32]));
    assert_eq!(lost(&store).await, [Lost::default(), Lost { gaps: 1, ordinals: 3 }]);
    assert_eq!(store.edge_streams(edge.id).await.unwrap()[1].lost, Lost { gaps: 1, ordinals: 3 });
    assert_eq!(alerts(&store, AlertKind::GapDeclared).await, [(lane_subject(edge.id, Lane::Traffic), 1)]);
    // What follows continues the hash that the gap names.
    let after = edge.batch(7, 8, [9; 32], 2);
    assert_eq!(store.append_batch(&after).await.unwrap(), AppendOutcome::Appended { seq: 2 });
    assert!(store.headless().await.unwrap().is_empty());
    // The same declaration, after a lost acknowledgement: no second alert.
    let covered = AppendOutcome::AlreadyCovered { last_ordinal: 8, head_hash: [2; 32] };
    assert_eq!(declare(&store, &gap).await, covered);
    assert_eq!(alerts(&store, AlertKind::GapDeclared).await[0].1, 1);
    assert_eq!(lost(&store).await[1], Lost { gaps: 1, ordinals: 3 }, "nor is it counted twice");
    assert_eq!(declare(&store, &edge.gap(9, 9, 2, 3)).await, AppendOutcome::Declared);
    assert_eq!(alerts(&store, AlertKind::GapDeclared).await[0].1, 2, "one row, counted up");
    assert!(store.headless().await.unwrap().is_empty(), "a head may be that of a gap");
}

type Sends = fn(&Edge) -> NewGap;

#[tokio::test]
async fn a_gap_that_contradicts_the_stream_is_a_fork() {
    let cases: [(&str, Sends); 5] = [
        ("over a batch", |edge| edge.gap(1, 3, 0, 1)),
        ("over a batch and beyond", |edge| edge.gap(3, 9, 1, 2)),
        ("other bytes for the same gap", |edge| edge.gap(4, 6, 1, 8)),
        ("longer than it was", |edge| edge.gap(4, 7, 1, 9)),
        ("does not continue the chain", |edge| edge.gap(7, 8, 1, 2)),
    ];
    for (what, make) in cases {
        let store = store().await;
        let (edge, gap) = lossy(&store).await;
        assert!(matches!(declare(&store, &make(&edge)).await, AppendOutcome::Fork { .. }), "{what}");
        assert_eq!(alerts(&store, AlertKind::StreamQuarantined).await.len(), 1, "{what}");
        for again in [gap, edge.gap(7, 7, 9, 3)] {
            assert!(matches!(declare(&store, &again).await, AppendOutcome::Fork { .. }), "{what}");
        }
        let counted = alerts(&store, AlertKind::StreamQuarantined).await;
        assert_eq!(counted, [(lane_subject(edge.id, Lane::Traffic), 1)], "{what}: it stays what it is");
        assert_eq!(lost(&store).await[1].ordinals, 3, "{what}: nothing was taken");
    }
}

#[tokio::test]
async fn a_lane_is_watched_with_all_that_its_edge_has_lost() {
    let store = store().await;
    let (mut lossy, _) = lossy(&store).await;
    let healthy = edge(&store, 2).await;
    let traffic = |edge: &Edge, quarantined, gaps, ordinals| {
        let lost = Lost { gaps, ordinals };
        WatchedLane { edge: edge.id, lane: Lane::Traffic, quarantined, lost }
    };
    let watched = async || {
        let lanes = store.watched_lanes().await.unwrap().into_iter();
        lanes.filter(|lane| lane.lane == Lane::Traffic).collect::<Vec<_>>()
    };
    store.quarantine(lossy.epoch.traffic_stream, "a clone", NOW).await.unwrap();
    assert_eq!(watched().await, [traffic(&lossy, true, 1, 3), traffic(&healthy, false, 0, 0)]);
    // What it loses in a new epoch comes on top; the old stream is nobody's concern any more.
    lossy.epoch = store.open_epoch(lossy.id, "disk lost", NOW).await.unwrap();
    lossy.session = store.open_session(lossy.id, lossy.epoch.epoch, &[], NOW).await.unwrap().session;
    assert_eq!(declare(&store, &lossy.gap(1, 10, 0, 1)).await, AppendOutcome::Declared);
    assert_eq!(watched().await, [traffic(&lossy, false, 2, 13), traffic(&healthy, false, 0, 0)]);
    store.revoke_edge(lossy.id).await.unwrap();
    assert_eq!(watched().await, [traffic(&healthy, false, 0, 0)]);
}

#[tokio::test]
async fn batches_that_were_declared_lost_are_not_taken_after_all() {
    let store = store().await;
    let (edge, _) = lossy(&store).await;
    let found_again = edge.batch(4, 6, [1; 32], 9);
    assert!(matches!(store.append_batch(&found_again).await.unwrap(), AppendOutcome::Fork { .. }));
}

#[tokio::test]
async fn a_gap_comes_in_its_turn_and_from_its_edge() {
    let store = store().await;
    let (edge, _) = lossy(&store).await;
    assert_eq!(declare(&store, &edge.gap(8, 9, 9, 3)).await, AppendOutcome::Gap { expected: 7 });
    let old = NewGap { session: edge.session - 1, ..edge.gap(7, 8, 9, 3) };
    assert_eq!(declare(&store, &old).await, AppendOutcome::Fenced);
    let other_lane = NewGap { lane: Lane::Money, ..edge.gap(7, 8, 9, 3) };
    assert!(matches!(store.append_gap(&other_lane).await, Err(StoreError::NotFound)));
    for (first, last) in [(0, 1), (8, 7), (7, 1 << 48)] {
        let mut gap = edge.gap(7, 8, 9, 3);
        (gap.row.first_ordinal, gap.row.last_ordinal) = (first, last);
        assert!(matches!(store.append_gap(&gap).await, Err(StoreError::Conflict("header"))));
    }
    assert_eq!(store.stream_head(edge.epoch.traffic_stream).await.unwrap(), (6, [9; 32]));
}

#[tokio::test]
async fn a_head_that_no_gap_and_no_batch_explains_is_found() {
    let place = Place::new().await;
    let store = place.open().await;
    let (edge, _) = lossy(&store).await;
    let mut raw = Raw::open(&place.url).await;
    raw.run("UPDATE streams SET last_ordinal = 7 WHERE lane = 2").await.unwrap();
    let found = store.headless().await.unwrap();
    assert_eq!((found[0].edge, found[0].last_ordinal), (edge.id, 7));
}
