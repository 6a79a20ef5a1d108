//! What edges say of themselves: the newest counts, and it is bounded.

use crate::world::{Edge, NOW, edge, store};
use control_plane_store::StoreError;
use control_plane_store::edge_reports::{EdgeReport, LaneReport};
use proto_model::Lane;

impl Edge {
    pub fn report(&self, secs: i64) -> EdgeReport {
        let lane = |lane, stream| LaneReport {
            lane,
            stream,
            spooled: 9,
            sealed: 7,
            acked: 5,
            oldest_unacked_at: (lane == Lane::Traffic).then_some(NOW),
            halted: if lane == Lane::Money { "refused".into() } else { String::new() },
        };
        EdgeReport {
            received_at: NOW.plus_secs(secs),
            clock_offset: -1_500_000,
            epoch: self.epoch.epoch,
            snapshot_version: 12,
            spool_bytes: 1 << 40,
            spool_limit: 1 << 41,
            spool_free: None,
            spool_trouble: "the disk is full".into(),
            lanes: vec![
                lane(Lane::Money, self.epoch.money_stream),
                lane(Lane::Traffic, self.epoch.traffic_stream),
            ],
        }
    }
}

#[tokio::test]
async fn the_newest_report_of_an_edge_is_kept() {
    let store = store().await;
    let (one, two) = (edge(&store, 1).await, edge(&store, 2).await);
    assert_eq!(store.edge_report(one.id).await.unwrap(), None);
    let newer = EdgeReport { spool_free: Some(77), ..one.report(20) };
    for report in [one.report(10), newer.clone(), one.report(15)] {
        store.put_edge_report(one.id, "9.9.9", &report).await.unwrap();
    }
    assert_eq!(store.edge_report(one.id).await.unwrap(), Some(newer.clone()));
    let row = store.get_edge(one.id).await.unwrap();
    assert_eq!((row.version.as_str(), row.last_seen_at), ("9.9.9", Some(NOW.plus_secs(20))));

    store.put_edge_report(two.id, "1", &two.report(1)).await.unwrap();
    assert_eq!(store.edge_reports().await.unwrap(), [(one.id, newer), (two.id, two.report(1))]);
    store.revoke_edge(one.id).await.unwrap();
    let late = store.put_edge_report(one.id, "1", &one.report(30)).await;
    assert!(matches!(late, Err(StoreError::NotFound)), "{late:?}");
    assert_eq!(store.edge_reports().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_edge_writes_is_cut_to_a_bound() {
    let store = store().await;
    let edge = edge(&store, 1).await;
    let mut report = edge.report(0);
    report.spool_trouble = "ö".repeat(10_000);
    report.lanes[0].halted = "x".repeat(10_000);
    report.lanes[0].spooled = u64::MAX;
    store.put_edge_report(edge.id, &"v".repeat(10_000), &report).await.unwrap();
    let kept = store.edge_report(edge.id).await.unwrap().unwrap();
    assert_eq!((kept.spool_trouble.len(), kept.lanes[0].halted.len()), (500, 500));
    assert_eq!(kept.lanes[0].spooled, u64::MAX);
    assert_eq!(store.get_edge(edge.id).await.unwrap().version.len(), 500);
}
