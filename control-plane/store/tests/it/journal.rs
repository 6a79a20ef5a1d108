//! A stream takes its batches in order, once, from one session.

use crate::world::{Edge, NOW, edge, store};
use control_plane_store::journal::{AppendOutcome, JournalRow, NewBatch};
use control_plane_store::{Store, StoreError};
use proto_model::{Address, Lane, StreamNo};

async fn append(store: &Store, batch: &NewBatch) -> AppendOutcome {
    store.append_batch(batch).await.unwrap()
}

/// Two batches: ordinals 1-3 and 4-5.
async fn two_batches(store: &Store) -> (Edge, NewBatch, NewBatch) {
    let edge = edge(store, 1).await;
    let first = edge.batch(1, 3, [0; 32], 1);
    let second = edge.batch(4, 5, [1; 32], 2);
    assert_eq!(append(store, &first).await, AppendOutcome::Appended { seq: 1 });
    assert_eq!(append(store, &second).await, AppendOutcome::Appended { seq: 2 });
    (edge, first, second)
}

fn ranges(rows: &[JournalRow]) -> Vec<(u64, u64)> {
    rows.iter().map(|row| (row.first_ordinal, row.last_ordinal)).collect()
}

#[tokio::test]
async fn a_batch_is_kept_byte_for_byte() {
    let store = store().await;
    let mut signal = store.signals().journal.subscribe();
    let (edge, first, _) = two_batches(&store).await;
    assert!(signal.has_changed().unwrap());
    signal.mark_unchanged();
    let row = store.journal_batch(1).await.unwrap();
    let expected = JournalRow {
        seq: 1,
        edge: edge.id,
        epoch: 1,
        lane: Lane::Traffic,
        stream: edge.epoch.traffic_stream,
        first_ordinal: 1,
        last_ordinal: 3,
        events: 3,
        header_bytes: first.header_bytes,
        signature: first.signature,
        payload: first.payload,
        head_hash: first.head_hash,
        received_at: NOW,
        sidecar: Some(first.sidecar),
    };
    assert_eq!(row, expected);
    assert_eq!(store.get_edge(edge.id).await.unwrap().last_seen_at, Some(NOW));
}

#[tokio::test]
async fn a_batch_that_came_before_is_acked_again() {
    let store = store().await;
    let (edge, first, second) = two_batches(&store).await;
    let covered = AppendOutcome::AlreadyCovered { last_ordinal: 5, head_hash: [2; 32] };
    assert_eq!(append(&store, &first).await, covered);
    assert_eq!(append(&store, &second).await, covered);
    assert_eq!(append(&store, &edge.batch(6, 6, [2; 32], 3)).await, AppendOutcome::Appended { seq: 3 });
    assert_eq!(store.batches_beginning_after(edge.epoch.traffic_stream, 0, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_gap_says_what_was_expected() {
    let store = store().await;
    let (edge, ..) = two_batches(&store).await;
    let gap = edge.batch(7, 8, [2; 32], 3);
    assert_eq!(append(&store, &gap).await, AppendOutcome::Gap { expected: 6 });
    assert_eq!(append(&store, &edge.batch(6, 6, [2; 32], 4)).await, AppendOutcome::Appended { seq: 3 });
}

type Make = fn(&Edge) -> NewBatch;

#[tokio::test]
async fn other_bytes_at_taken_ordinals_quarantine_the_stream() {
    // What is sent after the two batches, and why it is a fork.
    let cases: [(&str, Make); 4] = [
        ("same range, other bytes", |edge| edge.batch(4, 5, [1; 32], 9)),
        ("overlaps the end", |edge| edge.batch(5, 6, [1; 32], 9)),
        ("inside a batch", |edge| edge.batch(2, 2, [1; 32], 9)),
        ("does not continue the chain", |edge| edge.batch(6, 7, [1; 32], 9)),
    ];
    for (what, make) in cases {
        let store = store().await;
        let (edge, first, _) = two_batches(&store).await;
        assert!(matches!(append(&store, &make(&edge)).await, AppendOutcome::Fork { .. }), "{what}");
        // From now on nothing is taken, not even what would be right.
        for batch in [first, edge.batch(6, 7, [2; 32], 3)] {
            assert!(matches!(append(&store, &batch).await, AppendOutcome::Fork { .. }), "{what}");
        }
        assert_eq!(
            ranges(&store.batches_beginning_after(edge.epoch.traffic_stream, 0, 10).await.unwrap()),
            [(1, 3), (4, 5)],
            "{what}"
        );
        let heads = store.edge_streams(edge.id).await.unwrap();
        let stopped: Vec<bool> = heads.iter().map(|head| head.quarantined.is_some()).collect();
        assert_eq!(stopped, [false, true], "only this lane: {what}");
    }
}

#[tokio::test]
async fn an_operator_can_quarantine_and_the_first_reason_stays() {
    let store = store().await;
    let (edge, ..) = two_batches(&store).await;
    let stream = edge.epoch.traffic_stream;
    store.quarantine(stream, "bad signature", NOW).await.unwrap();
    store.quarantine(stream, "another", NOW).await.unwrap();
    let outcome = append(&store, &edge.batch(6, 6, [2; 32], 3)).await;
    assert_eq!(outcome, AppendOutcome::Fork { why: "bad signature".into() });
    assert!(matches!(store.quarantine(StreamNo(77), "x", NOW).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn only_the_newest_session_and_epoch_write() {
    let store = store().await;
    let (edge, ..) = two_batches(&store).await;
    let next = edge.batch(6, 6, [2; 32], 3);
    let session = store.open_session(edge.id, 1, &[], NOW).await.unwrap().session;
    assert_eq!(append(&store, &next).await, AppendOutcome::Fenced);
    let current = NewBatch { session, ..next.clone() };
    assert_eq!(append(&store, &current).await, AppendOutcome::Appended { seq: 3 });
    store.open_epoch(edge.id, "disk lost", NOW).await.unwrap();
    let session = store.open_session(edge.id, 2, &[], NOW).await.unwrap().session;
    let old_epoch = NewBatch { session, ..edge.batch(7, 7, [3; 32], 4) };
    assert_eq!(append(&store, &old_epoch).await, AppendOutcome::Fenced);
    store.revoke_edge(edge.id).await.unwrap();
    let mut revoked = NewBatch { session: session + 1, ..old_epoch };
    revoked.header.epoch = 2;
    revoked.header.stream = StreamNo(4);
    assert_eq!(append(&store, &revoked).await, AppendOutcome::Fenced);
}

#[tokio::test]
async fn a_stream_belongs_to_its_edge() {
    let store = store().await;
    let (one, ..) = two_batches(&store).await;
    let two = edge(&store, 2).await;
    let stolen = NewBatch { edge: two.id, session: two.session, ..one.batch(6, 6, [2; 32], 3) };
    assert!(matches!(store.append_batch(&stolen).await, Err(StoreError::NotFound)));
    let mut lane = one.batch(6, 6, [2; 32], 3);
    lane.header.lane = Lane::Money;
    assert!(matches!(store.append_batch(&lane).await, Err(StoreError::NotFound)));
    for (first, last) in [(0, 1), (6, 1 << 48)] {
        let mut batch = one.batch(6, 6, [2; 32], 3);
        (batch.header.first_ordinal, batch.header.last_ordinal) = (first, last);
        assert!(matches!(store.append_batch(&batch).await, Err(StoreError::Conflict("header"))));
    }
}

#[tokio::test]
async fn batches_are_found_by_address() {
    let store = store().await;
    let (edge, ..) = two_batches(&store).await;
    let stream = edge.epoch.traffic_stream;
    for (ordinal, expected) in [(1, Some(1)), (3, Some(1)), (4, Some(2)), (5, Some(2)), (6, None), (0, None)]
    {
        let row = store.batch_at(Address { stream, ordinal }).await.unwrap();
        assert_eq!(row.map(|row| row.seq), expected, "{ordinal}");
    }
    for (after, expected) in [(0, vec![(1, 3), (4, 5)]), (1, vec![(4, 5)]), (3, vec![(4, 5)]), (4, vec![])] {
        let rows = store.batches_beginning_after(stream, after, 10).await.unwrap();
        assert_eq!(ranges(&rows), expected, "{after}");
    }
}
