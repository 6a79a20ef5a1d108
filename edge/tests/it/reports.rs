//! The control plane hears how a node is doing, as soon as there is a session; the node hears the time.

use crate::node::{World, until};
use proto_model::Lane;
use proto_wire::edge_v1::ReportRequest;

const HOUR: i64 = 3_600_000_000;

/// A new session, and what is reported then.
async fn next_report(world: &World) -> ReportRequest {
    let before = world.control.lock().reports.len();
    world.control.hang_up();
    world.control.until("a report", |inner| inner.reports.len() > before).await;
    world.control.lock().reports.last().unwrap().clone()
}

#[tokio::test]
async fn a_report_comes_with_each_session_and_tells_the_clocks_apart() {
    let mut world = World::new().await;
    world.control.publish_snapshot(3, &[]);
    world.control.lock().clock_ahead_micros = HOUR;
    let node = world.start().await;
    world.control.until("the first report", |inner| !inner.reports.is_empty()).await;
    assert_eq!(world.control.lock().reports[0].clock_offset_micros, None, "nothing was measured yet");
    until("measured", || node.parts().clock.measured().is_some()).await;
    let measured = node.parts().clock.measured().unwrap();
    // The fake answers with the time of the question.
    let half = measured.round_trip_micros / 2;
    assert_eq!(measured.offset_micros, HOUR - half, "{measured:?}");
    assert!(measured.remark().is_some());

    world.spool_some(&node, 9).await;
    world.all_arrived().await;
    until("the snapshot is there", || node.snapshot_version() == 3).await;
    let report = next_report(&world).await;
    assert_eq!(report.clock_offset_micros, Some(HOUR - report.round_trip_micros / 2));
    assert!(report.round_trip_micros > 0);
    assert_eq!((report.epoch, report.snapshot_version), (1, 3));
    let reach = |at: usize| {
        let lane = &report.lanes[at];
        (
            lane.stream,
            lane.spooled_ordinal,
            lane.sealed_ordinal,
            lane.acked_ordinal,
            lane.oldest_unacked_at_micros,
        )
    };
    assert_eq!((reach(0), reach(1)), ((11, 3, 3, 3, 0), (12, 6, 6, 6, 0)));
    assert!(report.lanes.iter().all(|lane| lane.halted.is_empty()));
    let spool = report.spool.unwrap();
    assert_eq!((spool.limit_bytes > 0, spool.free_bytes > 0, spool.trouble.as_str()), (true, true, ""));
    node.shutdown().await;
}

#[tokio::test]
async fn a_lane_that_stands_still_is_reported_with_its_oldest_hit() {
    let mut world = World::new().await;
    world.control.lock().quarantined.insert(Lane::Traffic);
    let node = world.start().await;
    world.spool(&node, Lane::Traffic).await;
    until("halted", || node.parts().forward.progress().lanes.traffic.halted.is_some()).await;
    // It may be from before.
    world.control.until("the first report", |inner| !inner.reports.is_empty()).await;
    let report = next_report(&world).await;
    let traffic = &report.lanes[1];
    assert!(traffic.halted.contains("as scripted"), "{traffic:?}");
    assert_eq!((traffic.spooled_ordinal, traffic.acked_ordinal), (1, 0));
    let age = report.now_micros - traffic.oldest_unacked_at_micros;
    assert!((0..HOUR).contains(&age), "{age}");
    assert!(report.spool.unwrap().trouble.contains("the lane traffic takes no hits"));
    // The same hit: it does not get younger.
    let again = next_report(&world).await;
    assert_eq!(again.lanes[1].oldest_unacked_at_micros, traffic.oldest_unacked_at_micros);
    node.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_that_knows_no_reports_is_asked_by_each_session() {
    let mut world = World::new().await;
    world.control.lock().knows_no_reports = true;
    let node = world.start().await;
    world.control.until("asked", |inner| inner.refused_reports >= 1).await;
    world.spool_some(&node, 9).await;
    world.all_arrived().await;
    assert_eq!((world.control.lock().sessions, node.parts().clock.measured()), (1, None));
    // It is upgraded.
    world.control.lock().knows_no_reports = false;
    next_report(&world).await;
    node.shutdown().await;
}
