//! Clicks that are answered before they are durable: what that may cost, and what it may not.

use super::*;
use crate::disk::simulated::Crash;
use crate::spool::moving::SOON;
use std::pin::Pin;
use std::time::Duration;

/// So long that nothing becomes durable for the time alone.
const LONG: Window = Window { window_ms: Window::MS_MAX, window_hits: 8 };

fn bounded(window: Window) -> SpoolConfig {
    SpoolConfig { segment_bytes: 4 << 20, durability: Durability::Bounded, bounded: window, ..config() }
}

/// Its disk has no room for zeros, whose syncs would be held back, too.
fn open_bounded(disk: &SimulatedDisk, window: Window) -> Spool {
    disk.set_capacity(3 << 20);
    Spool::open(Arc::new(disk.clone()), Path::new(DIR), bounded(window), open_as()).unwrap()
}

fn queue(spool: &Spool, lane: Lane, tag: u32) -> Durable {
    let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
    spool.handle().local().append(lane, place).unwrap().1
}

fn is_pending(durable: &mut Durable) -> bool {
    Pin::new(durable).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn wait_until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn clicks_are_answered_while_an_fdatasync_is_under_way_and_conversions_wait_for_it() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    disk.hold_syncs();
    let mut conversion = queue(&spool, Lane::Money, 1);
    disk.wait_for_held_sync();
    for tag in 1..=8 {
        wait(queue(&spool, Lane::Traffic, tag)).unwrap();
    }
    assert_eq!(spool.handle().status().unsynced_hits, 8);
    // The window is full.
    let mut beyond = queue(&spool, Lane::Traffic, 9);
    let mut behind = queue(&spool, Lane::Money, 2);
    wait_until(|| spool.handle().status().unsynced_hits == 9);
    assert!(is_pending(&mut conversion) && is_pending(&mut beyond) && is_pending(&mut behind));
    assert_eq!(read(&spool, Lane::Traffic), BTreeMap::new(), "nothing is sent that is not durable");
    disk.release_syncs();
    for durable in [conversion, beyond, behind] {
        wait(durable).unwrap();
    }
    assert_eq!(spool.handle().status().unsynced_hits, 0);
    assert_eq!((read(&spool, Lane::Traffic).len(), read(&spool, Lane::Money).len()), (9, 2));
    spool.close();
    let spool = open(&disk);
    assert_eq!(append(&spool.handle(), Lane::Traffic, 1), Ok(10), "an orderly end");
}

/// A spool that is dropped by a test that fails waits for them.
struct ReleaseSyncs<'a>(&'a SimulatedDisk);

impl Drop for ReleaseSyncs<'_> {
    fn drop(&mut self) {
        self.0.release_syncs();
    }
}

/// What is written while an `fdatasync` is under way is none of those that it makes durable.
#[test]
fn only_what_was_written_before_an_fdatasync_is_durable_after_it() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    let _release = ReleaseSyncs(&disk);
    disk.hold_syncs();
    let first = queue(&spool, Lane::Money, 1);
    disk.wait_for_held_sync();
    let mut second = queue(&spool, Lane::Money, 2);
    for tag in 1..=3 {
        append(&spool.handle(), Lane::Traffic, tag).unwrap();
    }
    disk.release_one_sync();
    wait(first).unwrap();
    assert!(is_pending(&mut second));
    assert_eq!(spool.handle().status().unsynced_hits, 3);
    assert_eq!(spool.log().end().borrow().next, PerLane { money: 2, traffic: 1 });
    let dropped = open(&disk.crashed(disk.ops(), Crash::Dropped));
    for (spool, there) in [(&spool, "is read"), (&dropped, "is on disk")] {
        let kept = PerLane::build(|lane| read(spool, lane).values().flatten().copied().collect::<Vec<_>>());
        assert_eq!(kept, PerLane { money: vec![1], traffic: vec![] }, "{there}");
    }
    disk.wait_for_held_sync();
    disk.fail_some_syncs_after(0, 1);
    disk.release_syncs();
    wait(second).unwrap();
    wait_until(|| spool.handle().status().moved == 1 && !spool.handle().status().moving);
    let dropped = open(&disk.crashed(disk.ops(), Crash::Dropped));
    for (spool, there) in [(&spool, "is read"), (&dropped, "is on disk")] {
        let kept = PerLane::build(|lane| read(spool, lane).values().flatten().copied().collect::<Vec<_>>());
        assert_eq!(kept, PerLane { money: vec![1, 2], traffic: vec![1, 2, 3] }, "{there}");
    }
}

#[test]
fn a_click_becomes_durable_although_nobody_waits_for_it() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, Window { window_ms: 10, ..Window::default() });
    append(&spool.handle(), Lane::Traffic, 1).unwrap();
    wait_until(|| spool.log().end().borrow().next.traffic == 2);
    let dropped = disk.crashed(disk.ops(), Crash::Dropped);
    assert_eq!(read(&open(&dropped), Lane::Traffic).get(&1), Some(&Some(1)));
}

#[test]
fn what_is_too_long_on_its_way_to_the_disk_holds_up_what_comes_then() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, Window { window_ms: 1, ..Window::default() });
    disk.hold_syncs();
    wait(queue(&spool, Lane::Traffic, 1)).unwrap();
    disk.wait_for_held_sync();
    std::thread::sleep(Duration::from_millis(2));
    let mut late = queue(&spool, Lane::Traffic, 2);
    wait_until(|| spool.handle().status().unsynced_hits == 2);
    assert!(is_pending(&mut late));
    disk.release_syncs();
    wait(late).unwrap();
}

#[test]
fn a_failed_fdatasync_loses_nothing_that_was_written() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    for tag in 1..=20 {
        append(&spool.handle(), Lane::Money, tag).unwrap();
    }
    disk.hold_syncs();
    disk.fail_some_syncs_after(0, 1);
    let conversion = queue(&spool, Lane::Money, 21);
    disk.wait_for_held_sync();
    for tag in 1..=3 {
        append(&spool.handle(), Lane::Traffic, tag).unwrap();
    }
    disk.release_syncs();
    wait(conversion).unwrap();
    let check = |spool: &Spool| {
        let clicks = read_back(spool, Lane::Traffic);
        assert!((1..=3).all(|at| clicks.found.get(&u64::from(at)) == Some(&Some(at))), "{:?}", clicks.found);
        assert_eq!(read(spool, Lane::Money).values().flatten().count(), 21);
        assert!(clicks.lost.is_empty());
        clicks.maybe_lost
    };
    wait_until(|| !spool.handle().status().moving);
    assert!(check(&spool).is_empty());
    assert_eq!(spool.handle().status().moved, 1);
    let next = append(&spool.handle(), Lane::Traffic, 4).unwrap();
    let crashed = disk.crashed(disk.ops(), Crash::Dropped);
    spool.close();
    assert!(check(&open(&disk)).is_empty());
    assert!(check(&open(&crashed)).contains(&next), "it was not durable yet");
}

#[test]
fn an_fdatasync_that_fails_at_the_end_loses_nothing_either() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    for tag in 1..=3 {
        append(&spool.handle(), Lane::Traffic, tag).unwrap();
    }
    disk.fail_some_syncs_after(0, 1);
    spool.close();
    assert!(disk.first_failed_sync().is_some());
    let spool = open(&disk.crashed(disk.ops(), Crash::Dropped));
    let kept = (1..=3).map(|at| (u64::from(at), Some(at))).collect();
    assert_eq!(read(&spool, Lane::Traffic), kept);
    assert_eq!(append(&spool.handle(), Lane::Traffic, 4), Ok(4), "an orderly end");
}

/// A disk that fails again at once: what was answered may be gone, and is declared so by the next start.
#[test]
fn what_a_poisoned_spool_has_answered_is_declared() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    disk.hold_syncs();
    disk.fail_syncs_after(0);
    let conversion = queue(&spool, Lane::Money, 1);
    disk.wait_for_held_sync();
    for tag in 1..=3 {
        append(&spool.handle(), Lane::Traffic, tag).unwrap();
    }
    disk.release_syncs();
    assert_eq!(wait(conversion), Err(SpoolError::Poisoned));
    wait_until(|| spool.handle().status().poisoned);
    drop(spool);
    disk.fail_syncs_after(usize::MAX);
    let crashed = disk.crashed(disk.ops(), Crash::Dropped);
    for (disk, declared) in [(crashed, 1..=8), (disk, 4..=11)] {
        // Whatever this run does: the segment says how the one before it answered.
        let spool = open(&disk);
        let clicks = read_back(&spool, Lane::Traffic);
        assert_eq!(clicks.maybe_lost, declared.collect::<Vec<u64>>());
        let kept: Vec<u32> = clicks.found.values().flatten().copied().collect();
        assert_eq!(kept, if clicks.maybe_lost[0] == 1 { vec![] } else { vec![1, 2, 3] });
        let money = read_back(&spool, Lane::Money);
        assert!(money.maybe_lost.is_empty() && money.lost.is_empty());
        assert_eq!(spool.handle().status().maybe_lost, 8);
        drop(spool);
        // This one waited for all it answered, but what may be lost stays so.
        let spool = open(&disk);
        assert_eq!(read_back(&spool, Lane::Traffic).maybe_lost, clicks.maybe_lost);
        assert_eq!(spool.handle().status().maybe_lost, 0);
    }
}

#[test]
fn without_a_header_the_most_that_may_be_at_stake_is_given_up() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    append(&spool.handle(), Lane::Money, 1).unwrap();
    append(&spool.handle(), Lane::Traffic, 1).unwrap();
    drop(spool);
    disk.corrupt(&Path::new(DIR).join(log::segment_name(1)), 30);
    let next = append(&open(&disk).handle(), Lane::Traffic, 1).unwrap();
    assert!(next > u64::from(Window::HITS_MAX), "{next}");
    let spool = open_bounded(&disk, LONG);
    drop(spool);
    disk.corrupt(&Path::new(DIR).join(log::segment_name(3)), 30);
    let before = open_bounded(&disk, LONG).handle().status().maybe_lost;
    assert_eq!(before, 8, "as this run would answer");
}

/// Several blocks that are not durable: any of them may be there without those before it.
#[test]
fn holes_that_a_power_cut_leaves_are_no_damage() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    append(&spool.handle(), Lane::Money, 1).unwrap();
    disk.hold_syncs();
    let mut waiting = vec![queue(&spool, Lane::Money, 2)];
    disk.wait_for_held_sync();
    for tag in 1..=40 {
        waiting.push(queue(&spool, Lane::Traffic, tag));
        waiting.extend((tag % 4 == 0).then(|| queue(&spool, Lane::Money, 10 + tag)));
        wait_until(|| spool.handle().status().unsynced_hits == u64::from(tag));
    }
    let ops = disk.ops();
    disk.release_syncs();
    let mut holes = 0;
    for seed in 0..200 {
        let image = disk.crashed(ops, Crash::Torn { seed });
        let (node, _steps) = open_alone(&image);
        let (money, traffic) = (read_back(&node, Lane::Money), read_back(&node, Lane::Traffic));
        assert_eq!((money.lost, traffic.lost), (vec![], vec![]), "seed {seed}");
        assert_eq!((money.maybe_lost, money.found[&1]), (vec![], Some(1)), "seed {seed}");
        // So many had been answered, and no more can be gone.
        let gone: Vec<u64> = (1..=8).filter(|at| traffic.found[at].is_none()).collect();
        assert!(gone.iter().all(|at| traffic.maybe_lost.contains(at)), "seed {seed}: {gone:?}");
        assert!(traffic.maybe_lost.len() <= 8, "seed {seed}: {:?}", traffic.maybe_lost);
        assert_eq!(node.handle().status().maybe_lost, traffic.maybe_lost.len() as u64);
        let last = traffic.found.iter().rev().find(|(_, tag)| tag.is_some()).map_or(0, |(at, _)| *at);
        holes += usize::from((1..last).any(|at| traffic.found[&at].is_none()));
    }
    assert!(holes > 20, "{holes}");
}

/// A byte that flips leaves no sector empty: what stood there may have been durable, and answered.
#[test]
fn a_damaged_conversion_is_lost_in_this_mode_too() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    append(&spool.handle(), Lane::Money, 1).unwrap();
    let from = usize::try_from(spool.log().end().borrow().offset).unwrap();
    append(&spool.handle(), Lane::Money, 2).unwrap();
    let to = usize::try_from(spool.log().end().borrow().offset).unwrap();
    append(&spool.handle(), Lane::Traffic, 1).unwrap();
    drop(spool);
    for at in from..to {
        let image = disk.fork();
        image.corrupt(&Path::new(DIR).join(log::segment_name(1)), at);
        let money = read_back(&open_alone(&image).0, Lane::Money);
        assert_eq!((money.found[&1], money.lost), (Some(1), vec![2]), "byte {at}");
    }
}

/// Each failure is survived, as long as they are far enough apart.
#[test]
fn failures_that_are_far_apart_are_survived_again_and_again() {
    let disk = SimulatedDisk::default();
    let spool = open_bounded(&disk, LONG);
    let mut clicks = 0;
    for round in 1..=3 {
        for _ in 0..=SOON {
            wait(queue(&spool, Lane::Money, 1)).unwrap();
        }
        disk.fail_some_syncs_after(0, 1);
        clicks += usize::from(append(&spool.handle(), Lane::Traffic, 1).is_ok());
        wait(queue(&spool, Lane::Money, 1)).ok();
        wait_until(|| spool.handle().status().moved == round && !spool.handle().status().moving);
    }
    spool.close();
    let spool = open(&disk);
    assert_eq!(read(&spool, Lane::Traffic).values().flatten().count(), clicks);
}
