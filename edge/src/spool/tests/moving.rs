//! A failed `fdatasync`: the spool goes on in a new segment, and loses nothing that was answered.

use super::crash::{Given, check};
use super::*;
use crate::disk::simulated::Crash;
use crate::spool::moving::SOON;

/// Appends until it is taken; returns also how often it was refused.
fn insist(spool: &Spool, lane: Lane, tag: u32) -> (u64, usize) {
    let mut refused = 0;
    loop {
        match append(&spool.handle(), lane, tag) {
            Ok(ordinal) => return (ordinal, refused),
            Err(SpoolError::Poisoned) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(!spool.handle().status().poisoned);
        std::thread::yield_now();
    }
}

#[test]
fn a_failed_fdatasync_costs_its_group_and_no_restart() {
    let disk = SimulatedDisk::default();
    let spool = open_small(&disk);
    let mut follower = spool.log().reader(Lane::Money, 0);
    let mut expected = PerLane::<BTreeMap<u64, u32>>::default();
    let mut take = |spool: &Spool, lane, tag| {
        let (ordinal, refused) = insist(spool, lane, tag);
        expected[lane].insert(ordinal, tag);
        refused
    };
    for round in 0..3u32 {
        for tag in 0..u32::try_from(SOON).unwrap() {
            let lane = if tag % 3 == 0 { Lane::Money } else { Lane::Traffic };
            assert_eq!(take(&spool, lane, 1000 * round + tag), 0);
        }
        assert_eq!(
            follower.read_next().unwrap().map(|found| found.event.ordinal),
            Some(u64::from(round) + 1)
        );
        disk.fail_some_syncs_after(0, 1);
        assert!(take(&spool, Lane::Money, 1000 * round + 900) > 0);
        let status = spool.handle().status();
        assert_eq!((status.moved, status.poisoned), (u64::from(round) + 1, false));
    }
    assert_eq!(Disk::list(&disk, Path::new(DIR)).unwrap(), [log::segment_name(4)], "what was copied is gone");
    // A reader that was in the middle of it goes on.
    let mut ordinals = Vec::new();
    while let Some(found) = follower.read_next().unwrap() {
        ordinals.push(found.event.ordinal);
    }
    assert!(ordinals.is_sorted() && ordinals.first() == Some(&4), "{ordinals:?}");
    // The next failure comes too soon.
    disk.fail_some_syncs_after(0, 1);
    assert_eq!(append(&spool.handle(), Lane::Money, 1), Err(SpoolError::Poisoned));
    while !spool.handle().status().poisoned {
        std::thread::yield_now();
    }
    drop(spool);
    let spool = open(&disk);
    for lane in [Lane::Money, Lane::Traffic] {
        let (found, lost) = read_with_lost(&spool, lane);
        assert!(lost.is_empty());
        assert!(expected[lane].iter().all(|(ordinal, tag)| found.get(ordinal) == Some(&Some(*tag))));
    }
}

/// What was answered and what was refused, by the operations there were then.
fn failing_run(disk: &SimulatedDisk) -> (Vec<Given>, Vec<Given>) {
    let (mut acked, mut given) = (Vec::new(), Vec::new());
    let spool = open(disk);
    for tag in 1..=50u32 {
        let lane = if tag % 4 == 0 { Lane::Money } else { Lane::Traffic };
        let next = spool.handle().status().next[lane];
        let outcome = append(&spool.handle(), lane, tag);
        // A refusal while it moves takes no ordinal.
        if spool.handle().status().next[lane] > next {
            given.push(Given { ops: disk.ops(), lane, ordinal: next, tag });
        }
        match outcome {
            Ok(ordinal) => acked.push(Given { ops: disk.ops(), lane, ordinal, tag }),
            Err(error) => assert_eq!(error, SpoolError::Poisoned),
        }
    }
    (acked, given)
}

#[test]
fn crashes_around_a_failed_fdatasync_lose_nothing() {
    for fails_at in 1..50 {
        let disk = SimulatedDisk::default();
        disk.fail_some_syncs_after(fails_at, 1);
        let (acked, given) = failing_run(&disk);
        let Some(failed) = disk.first_failed_sync() else { continue };
        for ops in (failed..=(failed + 11).min(disk.ops())).chain([disk.ops()]) {
            // Each step of the copy meets each of them, in another run.
            let torn = Crash::Torn { seed: (fails_at * 1000 + ops) as u64 };
            let crash = [Crash::Killed, Crash::Dropped, torn][(fails_at + ops - failed) % 3];
            let what = format!("sync {fails_at} fails, {crash:?} after {ops}");
            check(&disk.crashed(ops, crash), &acked, ops, &given, &what);
        }
    }
}

#[test]
fn who_queued_behind_the_failure_is_told_and_who_comes_after_it_is_spooled() {
    let disk = SimulatedDisk::default();
    let spool = open_small(&disk);
    let local = spool.handle().local();
    let queue = |tag| {
        let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
        local.append(Lane::Money, place).unwrap().1
    };
    disk.hold_syncs();
    let under_way = queue(1);
    disk.wait_for_held_sync();
    let behind = queue(2);
    disk.fail_some_syncs_after(0, 1);
    disk.release_syncs();
    assert_eq!((wait(under_way), wait(behind)), (Err(SpoolError::Poisoned), Err(SpoolError::Poisoned)));
    assert_eq!(insist(&spool, Lane::Money, 3).0, 3);
    assert_eq!(read_with_lost(&spool, Lane::Money).0, BTreeMap::from([(1, None), (2, None), (3, Some(3))]));
    spool.close();
    let spool = open(&disk);
    assert_eq!(append(&spool.handle(), Lane::Money, 4), Ok(4), "an orderly end");
}

#[test]
fn many_threads_lose_nothing_that_was_answered() {
    for fails_at in [3, 40, 150] {
        let disk = SimulatedDisk::default();
        let spool = open(&disk);
        disk.fail_some_syncs_after(fails_at, 1);
        let append_some = |thread: u32| {
            let handle = spool.handle();
            let tags = (0..200).map(move |at| thread * 1000 + at + 1);
            let lane = if thread == 0 { Lane::Money } else { Lane::Traffic };
            let outcomes = tags.filter_map(move |tag| match append(&handle, lane, tag) {
                Ok(ordinal) => Some((lane, ordinal, tag)),
                Err(error) => {
                    assert_eq!(error, SpoolError::Poisoned);
                    None
                }
            });
            outcomes.collect::<Vec<_>>()
        };
        let append_some = &append_some;
        let acked: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|at| scope.spawn(move || append_some(at))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(!spool.handle().status().poisoned);
        let check = |spool: &Spool| {
            let read = PerLane::build(|lane| read(spool, lane));
            for (lane, ordinal, tag) in &acked {
                assert_eq!(read[*lane].get(ordinal), Some(&Some(*tag)), "sync {fails_at} fails");
            }
        };
        check(&spool);
        let crashed = disk.crashed(disk.ops(), Crash::Dropped);
        check(&open(&crashed));
        spool.close();
        check(&open(&disk));
    }
}
