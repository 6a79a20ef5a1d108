//! Everything that was durable arrives once, in order, as the same bytes; whatever happens in between.

use crate::control_plane::Fault;
use crate::node::{World, until};
use crate::shut::is_refused;
use edge::spool::Shut;
use proto_model::Lane;
use std::time::Duration;

#[tokio::test]
async fn events_of_both_lanes_arrive_and_a_stop_leaves_nothing_behind() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool_some(&node, 50).await;
    world.all_arrived().await;
    world.spool_some(&node, 7).await;
    node.shutdown().await;
    assert_eq!(world.arrived(), world.expected, "the stop waited for the last ones");

    let node = world.start().await;
    world.spool_some(&node, 5).await;
    world.all_arrived().await;
    assert_eq!(
        (world.skipped(Lane::Money), world.skipped(Lane::Traffic)),
        (0, 0),
        "an orderly stop skips nothing"
    );
    node.shutdown().await;
}

#[tokio::test]
async fn lost_acknowledgements_lost_batches_and_broken_connections() {
    let mut world = World::new().await;
    let scripts: &[&[Fault]] = &[
        &[Fault::LoseAck, Fault::Fine, Fault::LoseAck],
        &[Fault::Break, Fault::Fine, Fault::Break],
        &[Fault::Fine, Fault::LoseBatch, Fault::Fine, Fault::Fine],
        &[Fault::LoseBatch, Fault::Fine, Fault::LoseBatch, Fault::LoseBatch, Fault::Break],
        &[Fault::Unavailable, Fault::LoseAck, Fault::Unavailable],
        &[Fault::ForgeAck, Fault::Fine],
    ];
    let node = world.start().await;
    for script in scripts {
        world.control.script(script);
        // New events make new batches, until each fault had its batch.
        for round in 0..2000 {
            if world.control.lock().faults.is_empty() {
                break;
            }
            // Before its first acknowledgement a session sends nothing more: its end shows that one was lost.
            if round % 20 == 19 {
                world.control.hang_up();
            }
            world.spool_some(&node, 3).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.control.until("the script was played", |inner| inner.faults.is_empty()).await;
        // A batch lost without a word is only noticed with the next one, or when the session is given up.
        world.control.hang_up();
        world.all_arrived().await;
    }
    node.shutdown().await;
}

#[tokio::test]
async fn crashes_resend_the_same_bytes_and_lose_nothing() {
    let mut world = World::new().await;
    for round in 0..4 {
        world.control.script(&[Fault::LoseAck, Fault::LoseAck, Fault::LoseBatch, Fault::LoseAck]);
        let node = world.start().await;
        world.spool_some(&node, 40).await;
        if round % 2 == 0 {
            let sent = world.control.lock().received.len();
            world.control.until("something was sent", |inner| inner.received.len() >= sent.max(1)).await;
        }
        // Not shut down: the next start finds sealed, unacknowledged and unsealed events.
        drop(node);
    }
    world.control.lock().faults.clear();
    let node = world.start().await;
    world.all_arrived().await;
    assert!(world.skipped(Lane::Traffic) > 0, "unclean ends skip ordinals, visibly");
    node.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_that_was_away_gets_everything_on_its_return() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool_some(&node, 5).await;
    world.all_arrived().await;
    world.listener = None;
    world.control.hang_up();
    until("the node notices", || !node.parts().forward.progress().connected).await;
    world.spool_some(&node, 300).await;
    world.listener = Some(world.control.listen().await);
    world.all_arrived().await;
    node.shutdown().await;

    // Also when the node starts while it is away.
    world.listener = None;
    world.control.hang_up();
    let node = world.start().await;
    world.spool_some(&node, 20).await;
    node.shutdown().await;
    let node = world.start().await;
    world.listener = Some(world.control.listen().await);
    world.all_arrived().await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_restored_from_a_backup_is_filled_up_again() {
    let mut world = World::new().await;
    let node = world.start().await;
    for _ in 0..6 {
        world.spool_some(&node, 10).await;
        world.all_arrived().await;
    }
    let cut = {
        let mut inner = world.control.lock();
        let journal = inner.journals.get_mut(&Lane::Traffic).unwrap();
        let boundary = *journal.batches.keys().nth(2).unwrap();
        let before = journal.batches.len();
        journal.forget_from(boundary);
        before - journal.batches.len()
    };
    assert!(cut > 0);
    world.control.hang_up();
    world.all_arrived().await;
    world.spool_some(&node, 10).await;
    world.all_arrived().await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_fenced_node_stops_sending_until_it_is_restarted() {
    let mut world = World::new().await;
    world.control.script(&[Fault::Fence]);
    let node = world.start().await;
    world.spool(&node, Lane::Money).await;
    until("fenced", || node.parts().forward.progress().fenced).await;
    let refused = Lane::ALL.iter().map(|lane| is_refused(&node, *lane));
    assert!(refused.into_iter().all(|why| why == Some(Shut::Fenced)), "it would never arrive");
    let sessions = world.control.lock().sessions;
    node.shutdown().await;
    assert_eq!(world.control.lock().sessions, sessions, "no further attempt");
    assert!(world.arrived().is_empty());

    let node = world.start().await;
    world.spool_some(&node, 10).await;
    world.all_arrived().await;
    node.shutdown().await;
}

/// The network holds an opening back, the node gives it up, and it arrives behind the next one.
#[tokio::test]
async fn an_opening_of_its_own_that_comes_late_does_not_fence_a_node_for_good() {
    let mut world = World::new().await;
    world.control.lock().unanswered_opens = 2;
    let node = world.start().await;
    for _ in 0..2 {
        world.spool_some(&node, 5).await;
        world.all_arrived().await;
        world.control.lock().sessions += 1;
    }
    world.spool_some(&node, 5).await;
    world.all_arrived().await;
    assert!(!node.parts().forward.progress().fenced);
    // No opening is left that explains another one.
    world.control.lock().sessions += 1;
    world.spool(&node, Lane::Money).await;
    until("fenced", || node.parts().forward.progress().fenced).await;
    node.shutdown().await;
}

/// A stopped process, or a load balancer without anybody behind it: the kernel accepts, and nobody ever answers.
#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_given_up() {
    let mut world = World::new().await;
    world.listener = None;
    let addr = world.control.bundle().url.trim_start_matches("https://").to_owned();
    let silent = loop {
        // Until the task that listened has ended.
        match tokio::net::TcpListener::bind(&addr).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    world.control.publish_snapshot(3, &[]);
    let node = world.start().await;
    world.spool_some(&node, 10).await;
    // Whoever sends, and whoever follows the snapshots. Their connections stay open.
    let held = [silent.accept().await.unwrap(), silent.accept().await.unwrap()];
    drop(silent);
    world.listener = Some(world.control.listen().await);
    world.all_arrived().await;
    until("the snapshot is there", || node.snapshot_version() == 3).await;
    drop(held);
    node.shutdown().await;
}

#[tokio::test]
async fn a_forged_acknowledgement_is_not_believed() {
    let mut world = World::new().await;
    world.control.script(&[Fault::ForgeAck; 3]);
    let node = world.start().await;
    let signed_for = || node.parts().state.ack_cursor(1, Lane::Money).map(|cursor| cursor.last_ordinal);
    for round in 1..=3 {
        world.control.until("a session", |inner| inner.sessions >= round).await;
        world.spool(&node, Lane::Money).await;
        world.control.until("the session is given up", |inner| inner.sessions > round).await;
        assert_eq!(signed_for(), None);
    }
    world.spool(&node, Lane::Money).await;
    until("acknowledged", || signed_for() == Some(4)).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_lost_spool_gets_a_new_epoch() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool_some(&node, 10).await;
    world.all_arrived().await;
    node.shutdown().await;
    std::fs::remove_dir_all(world.dir.path().join("spool")).unwrap();
    world.listener = None;
    assert!(edge::start(world.config()).await.is_err(), "old addresses must not be used again");
    world.listener = Some(world.control.listen().await);
    let node = world.start().await;
    assert_eq!(world.control.lock().epoch, 2);
    world.expected.clear();
    world.spool_some(&node, 10).await;
    world.all_arrived().await;
    node.shutdown().await;
}

#[tokio::test]
async fn two_nodes_on_one_directory_are_refused() {
    let world = World::new().await;
    let node = world.start().await;
    assert!(matches!(edge::start(world.config()).await, Err(edge::StartError::InUse { .. })));
    node.shutdown().await;
    world.start().await.shutdown().await;
}

/// The node's disk is as good as full: nothing new can be put where the log is.
#[tokio::test]
async fn a_node_that_cannot_open_its_spool_answers_and_tries_again() {
    let mut world = World::new().await;
    let node = world.start().await;
    world.spool(&node, Lane::Money).await;
    drop(node);
    let epochs = std::fs::read_dir(world.dir.path().join("spool")).unwrap();
    let log = epochs.last().unwrap().unwrap().path().join("log");
    let in_the_way: Vec<_> =
        (1..9).map(|sequence| log.join(format!("segment-{sequence:020}.log.tmp"))).collect();
    in_the_way.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    let node = world.start().await;
    let spool = node.parts().spool.clone();
    assert!(spool.status().absent.is_some_and(|why| why.contains("disk")));
    let local = spool.local();
    assert_eq!(local.append(Lane::Money, |_, _| None).err(), Some(edge::spool::SpoolError::Absent));
    in_the_way.iter().for_each(|path| std::fs::remove_dir(path).unwrap());
    until("the spool is open", || spool.status().absent.is_none()).await;
    world.spool(&node, Lane::Money).await;
    world.all_arrived().await;
    node.shutdown().await;
}
