//! A process that was killed, and a machine that went down.

use super::*;
use crate::disk::simulated::{Crash, Fate, Faults};
use std::pin::Pin;

const HITS: u32 = 8;

fn open_bounded(disk: &SimulatedDisk, segment_bytes: u64) -> (Spool, Steps) {
    let bounded = Window { window_ms: Window::MS_MAX, window_hits: HITS };
    let config = SpoolConfig { segment_bytes, durability: Durability::Bounded, bounded, ..config() };
    let handle = SpoolHandle::absent(Arc::new(disk.clone()), Path::new(DIR), config, streams());
    Spool::open_in_steps(&handle, open_as(), Reading::Strict).unwrap()
}

/// Written, and so answered.
fn write_clicks((spool, steps): &mut (Spool, Steps), tags: std::ops::RangeInclusive<u32>) {
    for tag in tags {
        let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
        let mut durable = spool.handle().local().append(Lane::Traffic, place).unwrap().1;
        assert!(steps.turn());
        let outcome = Pin::new(&mut durable).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(outcome, Poll::Ready(Ok(())));
    }
}

fn last_segment(disk: &SimulatedDisk) -> std::path::PathBuf {
    let names = Disk::list(disk, Path::new(DIR)).unwrap();
    let last = names.iter().filter_map(|name| log::parse_segment_name(name)).max().unwrap();
    Path::new(DIR).join(log::segment_name(last))
}

fn mark() -> std::path::PathBuf {
    Path::new(DIR).join("boot")
}

#[test]
fn clicks_are_declared_unless_it_was_the_process_alone_that_ended() {
    let disk = SimulatedDisk::default();
    // It stays in its first segment.
    disk.set_capacity(3 << 20);
    let mut node = open_bounded(&disk, 4 << 20);
    write_clicks(&mut node, 1..=5);
    assert_eq!(node.0.handle().status().unsynced_hits, 5);
    let killed = || disk.crashed(disk.ops(), Crash::Killed);
    let with = |change: fn(&SimulatedDisk)| {
        let image = killed();
        change(&image);
        image
    };
    let hits = u64::from(HITS);
    let cases: [(&str, SimulatedDisk, u64, u64); 9] = [
        // How many clicks are there, and how many are declared.
        ("killed", killed(), 5, 0),
        ("no power", disk.crashed(disk.ops(), Crash::Dropped), 0, hits),
        ("killed, and then no power", with(SimulatedDisk::reboot), 5, hits),
        (
            "the system does not name its boot",
            with(|image| image.set_faults(Faults { boot: true, ..Faults::default() })),
            5,
            hits,
        ),
        ("of software that made no mark", with(|image| image.remove(&mark()).unwrap()), 5, hits),
        (
            "a mark that is cut short",
            with(|image| image.create(&mark()).unwrap().write_all_at(0, b"").unwrap()),
            5,
            hits,
        ),
        ("the system could not write it since", with(|image| image.fail_some_syncs_after(0, 1)), 5, hits),
        (
            "a torn tail",
            with(|image| {
                let bytes = Disk::read(image, &last_segment(image)).unwrap();
                image
                    .create(&last_segment(image))
                    .unwrap()
                    .write_all_at(0, &bytes[..bytes.len() - 1])
                    .unwrap();
            }),
            4,
            hits,
        ),
        (
            "a hole",
            with(|image| {
                let bytes = Disk::read(image, &last_segment(image)).unwrap();
                let record = (bytes.len() - segment::HEADER_LEN) / 5;
                let (head, tail) = bytes.split_at(segment::HEADER_LEN + 2 * record);
                let bytes = [head, &tail[record..]].concat();
                image.create(&last_segment(image)).unwrap().write_all_at(0, &bytes).unwrap();
            }),
            4,
            hits,
        ),
    ];
    for (what, image, there, declared) in cases {
        // Without a name of the boot, or while the hole is there, each start declares anew.
        let starts = if image.boot(Path::new("/")).is_some() && what != "a hole" { 2 } else { 1 };
        for again in (0..starts).map(|start| start > 0) {
            let (spool, _steps) = open_bounded(&image, 4 << 20);
            let clicks = read_back(&spool, Lane::Traffic);
            assert_eq!(clicks.found.values().flatten().count() as u64, there, "{what}");
            assert_eq!(clicks.maybe_lost.len() as u64, declared, "{what}, again {again}");
            let new = if again { 0 } else { declared };
            assert_eq!(spool.handle().status().maybe_lost, new, "{what}, again {again}");
            assert!(read_back(&spool, Lane::Money).maybe_lost.is_empty());
        }
    }
}

/// The system says once that it could not write. A start that hears it may end before it has declared anything.
#[test]
fn what_a_failed_start_has_heard_the_next_one_knows() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(3 << 20);
    let mut node = open_bounded(&disk, 4 << 20);
    write_clicks(&mut node, 1..=5);
    let image = disk.crashed(disk.ops(), Crash::Killed);
    image.fail_some_syncs_after(0, usize::MAX);
    let bounded = Window { window_ms: Window::MS_MAX, window_hits: HITS };
    let config = SpoolConfig { segment_bytes: 4 << 20, durability: Durability::Bounded, bounded, ..config() };
    let handle = SpoolHandle::absent(Arc::new(image.clone()), Path::new(DIR), config, streams());
    assert!(Spool::open_in_steps(&handle, open_as(), Reading::Strict).is_err());
    let later = image.crashed(image.ops(), Crash::Killed);
    let (spool, _steps) = open_bounded(&later, 4 << 20);
    assert_eq!(read_back(&spool, Lane::Traffic).maybe_lost.len(), HITS as usize);
}

#[test]
fn after_a_failed_fdatasync_the_kernel_is_not_relied_on_until_all_is_durable_again() {
    let disk = SimulatedDisk::default();
    // It stays in its first segment.
    disk.set_capacity(3 << 20);
    let mut node = open_bounded(&disk, 4 << 20);
    write_clicks(&mut node, 1..=3);
    disk.fail_some_syncs_after(0, 1);
    node.1.sync();
    let check = |there: usize, declared: usize| {
        let image = disk.crashed(disk.ops(), Crash::Evicted);
        let (spool, _steps) = open_bounded(&image, 4 << 20);
        let clicks = read_back(&spool, Lane::Traffic);
        let found = clicks.found.values().flatten().count();
        assert_eq!((found, clicks.maybe_lost.len()), (there, declared));
        assert!(clicks.lost.is_empty());
    };
    check(0, 8);
    assert!(node.1.turn());
    assert_eq!(node.0.handle().status().moved, 1);
    write_clicks(&mut node, 4..=6);
    check(6, 0);
    // And soon once more.
    disk.fail_some_syncs_after(0, usize::MAX);
    node.1.sync();
    while node.1.turn() {}
    check(3, 8);
}

/// What a removal that is not durable brings back must be nothing that a start goes on from.
#[test]
fn a_segment_that_could_not_be_begun_hides_nothing() {
    let disk = SimulatedDisk::default();
    let mut node = open_bounded(&disk, 600);
    disk.set_faults(Faults { share: true, ..Faults::default() });
    for tag in 1..=40 {
        write_clicks(&mut node, tag..=tag);
        node.1.sync();
    }
    assert_eq!(node.0.log().end().borrow().sequence, 1, "it went on in the first");
    for data in Fate::ALL {
        for names in Fate::ALL {
            let crash = Crash::Mixed { data, lengths: Fate::Kept, names, seed: 1 };
            let (spool, _steps) = open_bounded(&disk.crashed(disk.ops(), crash), 600);
            let clicks = read_back(&spool, Lane::Traffic);
            assert_eq!(clicks.found.values().flatten().count(), 40, "{crash:?}");
            assert!(clicks.lost.is_empty(), "{crash:?}: {:?}", clicks.lost);
            assert!(spool.handle().status().next.traffic > 40);
        }
    }
}

/// Files that are of no use any more hold up neither a start nor the deletion of others.
#[test]
fn what_cannot_be_removed_is_in_nobodys_way() {
    let disk = SimulatedDisk::default();
    let mut node = open_alone(&disk);
    let last = (1..=40).fold(0, |_, tag| append_alone(&mut node, Lane::Traffic, tag));
    drop(node);
    disk.set_faults(Faults { remove: Some("segment"), ..Faults::default() });
    let check = |spool: &Spool| {
        let (found, lost) = read_with_lost(spool, Lane::Traffic);
        assert_eq!(found.values().flatten().count() as u64, last);
        assert!(lost.is_empty());
    };
    for _ in 0..3 {
        check(&open_alone(&disk).0);
    }
    let (spool, _steps) = open_alone(&disk);
    check(&spool);
    let segments = || Disk::list(&disk, Path::new(DIR)).unwrap().len();
    disk.set_faults(Faults { remove: Some("segment-00000000000000000001"), ..Faults::default() });
    let before = segments();
    let sealed = PerLane { money: 0, traffic: last };
    assert!(spool.log().release(sealed).is_err());
    assert!(segments() < before, "the others are gone");
    disk.set_faults(Faults::default());
    spool.log().release(sealed).unwrap();
    drop(spool);
    let again = OpenAs { sealed, existed: true, ..open_as() };
    let spool = Spool::open(Arc::new(disk.clone()), Path::new(DIR), config(), again).unwrap();
    assert!(append(&spool.handle(), Lane::Traffic, 1).unwrap() > last);
}
