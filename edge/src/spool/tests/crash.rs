//! Crash images: everything that a recorded run may have left, at each point, in several ways.

use super::*;
use crate::disk::simulated::Crash;

/// An address that had been given out by the time the disk had seen so many operations.
pub(super) struct Given {
    pub ops: usize,
    pub lane: Lane,
    pub ordinal: u64,
    pub tag: u32,
}

fn recorded_run(disk: &SimulatedDisk) -> Vec<Given> {
    let mut acked = Vec::new();
    for round in 0..2u32 {
        let spool = open(disk);
        for at in 0..16u32 {
            let lane = if at % 4 == 0 { Lane::Money } else { Lane::Traffic };
            let tag = 1000 * (round + 1) + at;
            let ordinal = append(&spool.handle(), lane, tag).unwrap();
            acked.push(Given { ops: disk.ops(), lane, ordinal, tag });
        }
        if round == 0 {
            spool.close();
        }
    }
    acked
}

/// Opens what a crash left; `given` are all addresses handed out before.
pub(super) fn check(image: &SimulatedDisk, acked: &[Given], ops: usize, given: &[Given], what: &str) {
    let spool = open(image);
    for lane in [Lane::Money, Lane::Traffic] {
        let found = read(&spool, lane);
        for ack in acked.iter().filter(|ack| ack.lane == lane && ack.ops <= ops) {
            assert_eq!(found.get(&ack.ordinal), Some(&Some(ack.tag)), "{what}: acknowledged, but lost");
        }
        for (ordinal, tag) in found.iter().filter_map(|(ordinal, tag)| Some((ordinal, (*tag)?))) {
            let real = given.iter().any(|g| g.lane == lane && g.ordinal == *ordinal && g.tag == tag);
            assert!(real, "{what}: phantom {ordinal}");
        }
        let fresh = append(&spool.handle(), lane, 1).unwrap();
        let used = given.iter().filter(|g| g.lane == lane && g.ops <= ops).map(|g| g.ordinal).max();
        assert!(Some(fresh) > used, "{what}: address {fresh} used twice");
        assert_eq!(read(&spool, lane).get(&fresh), Some(&Some(1)), "{what}: goes on");
    }
    drop(spool);
    // A second start finds the same, now from the copied segment.
    let again = open(image);
    for ack in acked.iter().filter(|ack| ack.ops <= ops) {
        assert_eq!(read(&again, ack.lane).get(&ack.ordinal), Some(&Some(ack.tag)), "{what}: second start");
    }
}

#[test]
fn every_prefix_of_a_run_recovers() {
    let disk = SimulatedDisk::default();
    let acked = recorded_run(&disk);
    for ops in 0..=disk.ops() {
        check(&disk.crashed(ops, Crash::Killed), &acked, ops, &acked, &format!("killed after {ops}"));
        check(&disk.crashed(ops, Crash::Dropped), &acked, ops, &acked, &format!("dropped after {ops}"));
        for seed in 0..4 {
            let image = disk.crashed(ops, Crash::Torn { seed: seed * 1000 + 17 });
            check(&image, &acked, ops, &acked, &format!("torn after {ops}, seed {seed}"));
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing() {
    let disk = SimulatedDisk::default();
    let acked = recorded_run(&disk);
    // Cut in the middle of the second round, then cut the recovery of that at each point.
    let cut = acked[acked.len() - 4].ops;
    let image = disk.crashed(cut, Crash::Torn { seed: 5 });
    drop(open(&image));
    for ops in 0..=image.ops() {
        for crash in [Crash::Killed, Crash::Dropped, Crash::Torn { seed: 3 }, Crash::Torn { seed: 11 }] {
            let second = image.crashed(ops, crash);
            let spool = open(&second);
            for ack in acked.iter().filter(|ack| ack.ops <= cut) {
                let found = read(&spool, ack.lane);
                assert_eq!(found.get(&ack.ordinal), Some(&Some(ack.tag)), "{crash:?} after {ops}");
            }
        }
    }
}
