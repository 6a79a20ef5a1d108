//! Sealed batches that the control plane asks for and that are gone here: what is lost is declared under the edge's name,
//! once, and all the rest arrives.

use crate::control_plane::Fault;
use crate::losses::key;
use crate::node::{World, until};
use edge::{Config, EdgeHandle};
use proto_model::Lane;
use proto_wire::envelope::GapReason;
use std::fs;
use std::path::PathBuf;

const LANE: Lane = Lane::Money;

fn config(world: &World, patience: u64) -> Config {
    let mut config = world.config();
    config.forward.declare_gap_after_secs = patience;
    config
}

/// A node that has sent five batches of the lane, of one hit each.
async fn five_batches(world: &mut World, patience: u64) -> EdgeHandle {
    let node = edge::start(config(world, patience)).await.unwrap();
    for _ in 0..5 {
        world.spool(&node, LANE).await;
        world.all_arrived().await;
    }
    assert!(world.control.lock().journals[&LANE].batches.keys().eq(&[1, 2, 3, 4, 5]));
    node
}

fn files(world: &World) -> Vec<PathBuf> {
    let dir = world.dir.path().join("spool/epoch-0000000001/sealed").join(LANE.as_str());
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn damage(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    bytes[150] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The control plane comes back from a backup that ends before ordinal `first`.
fn put_back(world: &World, first: u64) {
    world.control.lock().journals.get_mut(&LANE).unwrap().forget_from(first);
    world.control.hang_up();
}

fn gaps(world: &World) -> Vec<(u64, u64, GapReason)> {
    let inner = world.control.lock();
    let gaps = inner.journals[&LANE].gaps.values();
    gaps.map(|gap| (gap.first_ordinal, gap.last_ordinal, gap.reason)).collect()
}

/// What was declared lost is not waited for.
fn forget_lost(world: &mut World) {
    for (first, last, _) in gaps(world) {
        world.expected.retain(|(lane, ordinal), _| *lane != LANE.code() || !(first..=last).contains(ordinal));
    }
}

async fn goes_on(world: &mut World, node: &EdgeHandle) {
    until("open again", || node.parts().spool.status().shut[LANE].is_none()).await;
    world.spool_some(node, 5).await;
    forget_lost(world);
    world.all_arrived().await;
    assert_eq!(node.parts().forward.progress().lanes[LANE].halted, None);
}

#[tokio::test]
async fn what_is_lost_is_declared_and_the_rest_arrives() {
    use GapReason::{Damaged, Missing, NotRetained};
    // Which batches are damaged, or deleted, where the control plane goes on, and what is declared.
    type Case<'a> = (&'a [usize], &'a [usize], u64, (u64, u64, GapReason));
    let cases: &[Case] = &[
        (&[3], &[], 2, (3, 3, Damaged)),
        (&[5], &[], 2, (5, 5, Damaged)),
        (&[2, 3, 4], &[], 2, (2, 4, Damaged)),
        (&[], &[3, 4], 2, (3, 4, Missing)),
        (&[], &[4, 5], 3, (4, 5, Missing)),
        (&[], &[1, 2], 1, (1, 2, NotRetained)),
    ];
    for (damaged, missing, from, gap) in cases {
        let mut world = World::new().await;
        let node = five_batches(&mut world, 0).await;
        let sealed = files(&world);
        damaged.iter().for_each(|at| damage(&sealed[at - 1]));
        missing.iter().for_each(|at| fs::remove_file(&sealed[at - 1]).unwrap());
        node.parts().state.remember_conversion(key());
        put_back(&world, *from);
        let what = format!("damaged {damaged:?}, missing {missing:?}");
        world.control.until(&what, |inner| inner.journals[&LANE].head().0 >= 5).await;
        assert_eq!(gaps(&world), [*gap], "{what}");
        assert!(!node.parts().state.seen_conversion(key()), "it may be one of those");
        goes_on(&mut world, &node).await;
        let progress = node.parts().forward.progress().lanes[LANE].clone();
        assert_eq!((progress.gaps, progress.lost), (1, gap.1 - gap.0 + 1), "{what}");
        node.shutdown().await;
    }
}

#[tokio::test]
async fn files_that_are_put_back_in_time_are_sent() {
    let mut world = World::new().await;
    let node = five_batches(&mut world, 900).await;
    let sealed = files(&world);
    let (damaged, missing) = (fs::read(&sealed[2]).unwrap(), fs::read(&sealed[3]).unwrap());
    damage(&sealed[2]);
    fs::remove_file(&sealed[3]).unwrap();
    put_back(&world, 2);
    until("shut", || node.parts().spool.status().shut[LANE].is_some()).await;
    fs::write(&sealed[3], missing).unwrap();
    fs::write(&sealed[2], damaged).unwrap();
    world.all_arrived().await;
    goes_on(&mut world, &node).await;
    assert!(world.control.lock().declared.is_empty(), "in the same session, without a restart");
    node.shutdown().await;
}

#[tokio::test]
async fn a_declaration_whose_answer_is_lost_takes_effect_once() {
    for faults in [vec![Fault::Break], vec![Fault::LoseAck], vec![Fault::LoseBatch, Fault::Break]] {
        let mut world = World::new().await;
        let node = five_batches(&mut world, 0).await;
        damage(&files(&world)[2]);
        world.control.script(&faults);
        put_back(&world, 3);
        for declared in 1..=faults.len() {
            world.control.until("declared", |inner| inner.declared.len() >= declared).await;
            // What was lost without a word.
            world.control.hang_up();
        }
        goes_on(&mut world, &node).await;
        assert_eq!(gaps(&world), [(3, 3, GapReason::Damaged)], "{faults:?}");
        let declared = world.control.lock().declared.clone();
        assert_eq!(declared.len(), faults.len(), "{faults:?}");
        assert!(declared.windows(2).all(|pair| pair[0] == pair[1]), "the same each time");
        assert_eq!(node.parts().forward.progress().lanes[LANE].gaps, 1, "{faults:?}");
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_control_plane_that_is_older_than_declarations_takes_the_other_lane() {
    let mut world = World::new().await;
    let node = five_batches(&mut world, 0).await;
    damage(&files(&world)[2]);
    world.control.lock().knows_no_gaps = true;
    put_back(&world, 3);
    let sessions = world.control.lock().sessions;
    world.control.until("the session ends", |inner| inner.sessions > sessions + 1).await;
    for _ in 0..5 {
        world.spool(&node, Lane::Traffic).await;
    }
    let traffic = |inner: &crate::control_plane::Inner| {
        inner.journals.get(&Lane::Traffic).is_some_and(|journal| journal.head().0 == 5)
    };
    world.control.until("the other lane goes on", traffic).await;
    assert!(world.control.lock().declared.is_empty());
    // It is upgraded.
    world.control.lock().knows_no_gaps = false;
    world.control.until("declared", |inner| inner.declared.len() == 1).await;
    goes_on(&mut world, &node).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_lane_whose_disk_cannot_be_read_leaves_the_session_to_the_other() {
    let mut world = World::new().await;
    let node = five_batches(&mut world, 900).await;
    // Reading a directory fails, and it is not missing.
    let unreadable = files(&world)[2].clone();
    let bytes = fs::read(&unreadable).unwrap();
    fs::remove_file(&unreadable).unwrap();
    fs::create_dir(&unreadable).unwrap();
    let sessions = world.control.lock().sessions;
    put_back(&world, 3);
    let traffic = |inner: &crate::control_plane::Inner| {
        inner.journals.get(&Lane::Traffic).is_some_and(|journal| journal.head().0 == 5)
    };
    for _ in 0..5 {
        world.spool(&node, Lane::Traffic).await;
    }
    world.control.until("the other lane goes on", traffic).await;
    fs::remove_dir(&unreadable).unwrap();
    fs::write(&unreadable, bytes).unwrap();
    world.all_arrived().await;
    let (is_undeclared, opened) = {
        let inner = world.control.lock();
        (inner.declared.is_empty(), inner.sessions - sessions)
    };
    assert!(is_undeclared && opened == 1, "in the same session: {is_undeclared}, {opened}");
    node.shutdown().await;
}
