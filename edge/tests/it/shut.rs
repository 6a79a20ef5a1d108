//! Nobody is told that a hit was taken which will never arrive.

use crate::node::{World, until};
use edge::EdgeHandle;
use edge::spool::{Shut, SpoolError};
use proto_model::Lane;
use std::path::Path;

fn shut(node: &EdgeHandle, lane: Lane) -> Option<Shut> {
    node.parts().spool.status().shut[lane]
}

pub fn is_refused(node: &EdgeHandle, lane: Lane) -> Option<Shut> {
    match node.parts().spool.local().append(lane, |_, _| None) {
        Err(SpoolError::Shut(why)) => Some(why),
        _ => None,
    }
}

#[tokio::test]
async fn a_quarantined_lane_is_shut_and_sent_again_when_it_was_released() {
    let mut world = World::new().await;
    world.control.lock().quarantined.insert(Lane::Traffic);
    let node = world.start().await;
    world.spool(&node, Lane::Traffic).await;
    until("shut", || shut(&node, Lane::Traffic).is_some()).await;
    assert_eq!(is_refused(&node, Lane::Traffic), Some(Shut::Refused));
    for _ in 0..5 {
        world.spool(&node, Lane::Money).await;
    }
    let money = |inner: &crate::control_plane::Inner| {
        inner.journals.get(&Lane::Money).is_some_and(|journal| journal.head().0 == 5)
    };
    world.control.until("the other lane goes on", money).await;
    assert!(world.arrived().keys().all(|(lane, _)| *lane == Lane::Money.code()));
    let before = node.parts().forward.progress().lanes.traffic;
    assert!(before.halted.is_some() && before.halts == 1);

    // An operator has looked; nobody restarts the edge, and the session stays open.
    world.control.lock().quarantined.clear();
    until("open again", || shut(&node, Lane::Traffic).is_none()).await;
    world.spool(&node, Lane::Traffic).await;
    world.all_arrived().await;
    let after = node.parts().forward.progress().lanes.traffic;
    assert_eq!((after.halted, after.halts), (None, 1), "trials are not counted");
    assert_eq!(world.control.lock().sessions, 1);
    node.shutdown().await;
}

#[tokio::test]
async fn a_lane_that_is_refused_with_nothing_under_way_opens_again_in_the_same_session() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool(&node, Lane::Money).await;
    world.all_arrived().await;
    let halts = || node.parts().forward.progress().lanes.money.halts;
    world.control.lock().refuses_unasked = Some(Lane::Money);
    world.spool(&node, Lane::Traffic).await;
    until("refused", || halts() == 1).await;
    until("open again", || shut(&node, Lane::Money).is_none()).await;
    world.spool(&node, Lane::Money).await;
    world.all_arrived().await;
    assert_eq!((halts(), world.control.lock().sessions), (1, 1));
    node.shutdown().await;
}

#[tokio::test]
async fn a_refusal_that_names_no_lane_stops_the_lane_it_is_about() {
    for lane in Lane::ALL.iter().copied() {
        let other = if lane == Lane::Money { Lane::Traffic } else { Lane::Money };
        let mut world = World::new().await;
        world.control.lock().unreadable = Some(lane);
        world.listener = None;
        let node = world.start().await;
        // Both have something to send when the session opens.
        world.spool(&node, lane).await;
        world.spool(&node, other).await;
        world.listener = Some(world.control.listen().await);
        until("shut", || shut(&node, lane) == Some(Shut::Refused)).await;
        for _ in 0..5 {
            world.spool(&node, other).await;
        }
        let arrived = |inner: &crate::control_plane::Inner| {
            inner.journals.get(&other).is_some_and(|journal| journal.head().0 == 6)
        };
        world.control.until("the other lane goes on", arrived).await;
        let progress = node.parts().forward.progress();
        assert_eq!((progress.lanes[lane].halts, progress.lanes[other].halts), (1, 0));
        assert_eq!(world.control.lock().sessions, 1);

        world.control.lock().unreadable = None;
        world.all_arrived().await;
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_revoked_edge_takes_nothing_more_unless_it_is_welcome_again() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool_some(&node, 3).await;
    world.all_arrived().await;
    world.control.lock().denies = true;
    world.control.hang_up();
    until("shut", || Lane::ALL.iter().all(|lane| is_refused(&node, *lane) == Some(Shut::Denied))).await;
    // As when a control plane that did not know the edge was restored from a newer backup.
    world.control.lock().denies = false;
    until("open again", || Lane::ALL.iter().all(|lane| shut(&node, *lane).is_none())).await;
    world.spool_some(&node, 3).await;
    world.all_arrived().await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_machine_that_was_put_back_gives_out_no_addresses_again() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool_some(&node, 10).await;
    world.all_arrived().await;
    node.shutdown().await;
    let old = tempfile::tempdir().unwrap();
    copy(world.dir.path(), old.path());
    let node = world.start().await;
    world.spool_some(&node, 10).await;
    world.all_arrived().await;
    node.shutdown().await;

    world.dir = old;
    let node = world.start().await;
    until("shut", || Lane::ALL.iter().all(|lane| is_refused(&node, *lane) == Some(Shut::Behind))).await;
    node.shutdown().await;
    assert_eq!(world.arrived(), world.expected);
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
