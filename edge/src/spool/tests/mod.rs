//! The promise under test: what was acknowledged as durable is read back after any end, nothing is read
//! that was never appended, no address is used twice, nothing panics.

mod boot;
mod bounded;
mod crash;
mod faults;
mod idle;
mod images;
mod moving;
mod panics;
mod reading;
mod unreadable;
mod waiting;

use super::*;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::lanes::PerLane;
use prost::Message;
use proto_model::Address;
use proto_wire::convert::SkipReason;
use proto_wire::edge_v1::{Event, Sidecar, SidecarEntry, event};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const DIR: &str = "/spool";

fn streams() -> Streams {
    let edge = EdgeId::new(7).unwrap();
    Streams { edge, epoch: 1, money: StreamNo(3), traffic: StreamNo(4) }
}

fn config() -> SpoolConfig {
    SpoolConfig { segment_bytes: 600, ..SpoolConfig::default() }
}

fn open_as() -> OpenAs {
    OpenAs { streams: streams(), sealed: PerLane::default(), existed: false }
}

fn open(disk: &SimulatedDisk) -> Spool {
    Spool::open(Arc::new(disk.clone()), Path::new(DIR), config(), open_as()).unwrap()
}

/// A spool that stays in its first segment: its disk has no room for a second one with zeros.
fn open_small(disk: &SimulatedDisk) -> Spool {
    disk.set_capacity(3 << 20);
    let config = SpoolConfig { segment_bytes: 4 << 20, ..config() };
    Spool::open(Arc::new(disk.clone()), Path::new(DIR), config, open_as()).unwrap()
}

/// An event that names what it stands for, so that a mix-up is seen.
fn event(address: Address, tag: u32) -> (Event, Vec<SidecarEntry>) {
    let event = Event { ordinal: address.ordinal, tenant: tag, ..Event::default() };
    let value = tag.to_be_bytes().to_vec();
    let entry = SidecarEntry { ordinal: address.ordinal, personal_class: 1, salt: vec![1; 16], value };
    (event, vec![entry])
}

fn encode((event, entries): (Event, Vec<SidecarEntry>), out: &mut Vec<u8>) -> Option<usize> {
    event.encode(out).unwrap();
    Sidecar { entries }.encode(out).unwrap();
    Some(event.encoded_len())
}

fn append(handle: &SpoolHandle, lane: Lane, tag: u32) -> Result<u64, SpoolError> {
    let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
    let (address, durable) = handle.local().append(lane, place)?;
    wait(durable).map(|()| address.ordinal)
}

/// A spool without threads: what thousands of images are looked at with.
fn open_alone(disk: &SimulatedDisk) -> (Spool, Steps) {
    let handle = SpoolHandle::absent(Arc::new(disk.clone()), Path::new(DIR), config(), streams());
    Spool::open_in_steps(&handle, open_as(), Reading::Strict).unwrap()
}

fn append_alone((spool, steps): &mut (Spool, Steps), lane: Lane, tag: u32) -> u64 {
    let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
    let (address, durable) = spool.handle().local().append(lane, place).unwrap();
    assert!(steps.turn());
    let outcome = std::pin::pin!(durable).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(outcome, Poll::Ready(Ok(())));
    address.ordinal
}

/// Polls without a runtime.
pub(crate) fn wait(durable: Durable) -> Result<(), SpoolError> {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut durable = std::pin::pin!(durable);
    loop {
        match durable.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Reads a lane from its start: ordinal to tag, `None` for what is declared as skipped. Checks that it
/// is dense.
fn read(spool: &Spool, lane: Lane) -> BTreeMap<u64, Option<u32>> {
    read_with_lost(spool, lane).0
}

/// Also gives the ordinals that are declared as lost.
fn read_with_lost(spool: &Spool, lane: Lane) -> (BTreeMap<u64, Option<u32>>, Vec<u64>) {
    let ReadBack { found, lost, .. } = read_back(spool, lane);
    (found, lost)
}

struct ReadBack {
    found: BTreeMap<u64, Option<u32>>,
    /// What is declared as lost, and as lost perhaps.
    lost: Vec<u64>,
    maybe_lost: Vec<u64>,
}

fn read_back(spool: &Spool, lane: Lane) -> ReadBack {
    let mut reader = spool.log().reader(lane, 0);
    let mut found = BTreeMap::new();
    let (mut lost, mut maybe_lost) = (Vec::new(), Vec::new());
    let mut next = 1;
    while let Some(Spooled { event, sidecar }) = reader.read_next().unwrap() {
        assert_eq!(event.ordinal, next, "dense");
        let through = proto_wire::envelope::last_covered(&event);
        if let Some(event::Body::Skipped(skipped)) = &event.body {
            match SkipReason::from_code(skipped.reason).unwrap() {
                SkipReason::Lost => lost.extend(event.ordinal..=through),
                SkipReason::Bounded => maybe_lost.extend(event.ordinal..=through),
                SkipReason::Unclean => {}
            }
            found.extend((event.ordinal..=through).map(|ordinal| (ordinal, None)));
        } else {
            assert_eq!(sidecar[0].value, event.tenant.to_be_bytes());
            found.insert(event.ordinal, Some(event.tenant));
        }
        next = through + 1;
    }
    ReadBack { found, lost, maybe_lost }
}

#[test]
fn what_is_appended_reads_back_in_order_across_segments_and_restarts() {
    let disk = SimulatedDisk::default();
    let mut expected = PerLane::<BTreeMap<u64, Option<u32>>>::default();
    for round in 0..3u32 {
        let spool = open(&disk);
        for at in 0..20u32 {
            let lane = if at % 3 == 0 { Lane::Money } else { Lane::Traffic };
            let tag = round * 100 + at;
            let ordinal = append(&spool.handle(), lane, tag).unwrap();
            expected[lane].insert(ordinal, Some(tag));
        }
        for lane in [Lane::Money, Lane::Traffic] {
            assert_eq!(read(&spool, lane), expected[lane]);
        }
        spool.close();
    }
}

#[test]
fn a_reader_follows_the_writer() {
    let spool = open(&SimulatedDisk::default());
    let mut reader = spool.log().reader(Lane::Traffic, 0);
    for tag in 0..50 {
        assert_eq!(reader.read_next().unwrap(), None);
        append(&spool.handle(), Lane::Money, 1).unwrap();
        append(&spool.handle(), Lane::Traffic, tag).unwrap();
        assert_eq!(reader.read_next().unwrap().unwrap().event.tenant, tag);
    }
}

/// Appends clicks tagged with their ordinal until so many segments have begun; returns the last ordinal. How many
/// go into one depends on when the next one is ready.
fn fill_segments(spool: &Spool, segments: u64) -> u64 {
    loop {
        let tag = u32::try_from(spool.handle().status().next.traffic).unwrap();
        let last = append(&spool.handle(), Lane::Traffic, tag).unwrap();
        if spool.log().end().borrow().sequence >= segments {
            return last;
        }
    }
}

#[test]
fn sealed_segments_are_deleted_and_their_ordinals_stay_used() {
    let disk = SimulatedDisk::default();
    let spool = open(&disk);
    let last = fill_segments(&spool, 4);
    let before = spool.handle().status().bytes;
    let sealed = PerLane { money: 0, traffic: last };
    spool.log().release(sealed).unwrap();
    let after = spool.handle().status().bytes;
    assert!(after < before && after < 200, "{before} {after}");
    drop(spool);
    let again = OpenAs { sealed, existed: true, ..open_as() };
    let spool = Spool::open(Arc::new(disk), Path::new(DIR), config(), again).unwrap();
    assert!(append(&spool.handle(), Lane::Traffic, 1).unwrap() > last);
}

#[test]
fn a_prepared_segment_that_never_began_is_no_part_of_the_log() {
    let disk = SimulatedDisk::default();
    let spool = open(&disk);
    let last = fill_segments(&spool, 3);
    let name = |sequence| Path::new(DIR).join(log::segment_name(sequence));
    let is_there = |sequence| Disk::len(&disk, &name(sequence)).is_ok();
    // Killed while the next one stands ready.
    let ready = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        is_there(4)
    });
    assert!(ready);
    let image = disk.fork();
    let again = open(&image);
    assert_eq!(
        read(&again, Lane::Traffic).range(..=last).filter(|(_, tag)| tag.is_some()).count() as u64,
        last
    );
    spool.close();
    assert!(!is_there(4), "an orderly end takes it back");
    let spool = open(&disk);
    assert_eq!(append(&spool.handle(), Lane::Traffic, 1), Ok(last + 1), "and is one in spite of it");
}

#[test]
fn zeros_are_written_as_fast_as_the_log_grows() {
    const MIB: u64 = 1 << 20;
    let disk = SimulatedDisk::default();
    let large = SpoolConfig { segment_bytes: 8 * MIB, ..config() };
    let spool = Spool::open(Arc::new(disk.clone()), Path::new(DIR), large, open_as()).unwrap();
    fill_segments(&spool, 2);
    let end = || *spool.log().end().borrow();
    let next = Path::new(DIR).join(log::segment_name(end().sequence + 1));
    let zeros = || Disk::len(&disk, &next).unwrap_or_default();
    let megabyte = |_, out: &mut Vec<u8>| {
        out.resize(out.len() + MIB as usize, 0);
        Some(MIB as usize)
    };
    for _ in 0..3 {
        let before = end().offset;
        assert!(zeros() <= 2 * before + MIB, "no more than the log has earned");
        wait(spool.handle().local().append(Lane::Traffic, megabyte).unwrap().1).unwrap();
        while zeros() < 2 * before {
            std::thread::yield_now();
        }
    }
    assert_eq!(end().sequence, 2);
    spool.close();
}

#[test]
fn a_spool_of_another_edge_or_a_lost_one_is_refused() {
    let disk = SimulatedDisk::default();
    open(&disk).close();
    let mut other = open_as();
    other.streams.epoch = 2;
    let refused =
        |disk: SimulatedDisk, open| Spool::open(Arc::new(disk), Path::new(DIR), config(), open).err();
    assert!(matches!(refused(disk, other), Some(OpenError::Foreign { .. })));
    let gone = OpenAs { existed: true, ..open_as() };
    assert!(matches!(refused(SimulatedDisk::default(), gone), Some(OpenError::Lost)));
}

#[test]
fn an_event_that_could_never_be_sealed_is_refused_and_takes_no_ordinal() {
    let spool = open(&SimulatedDisk::default());
    let handle = spool.handle();
    let unfit = |_, out: &mut Vec<u8>| {
        out.extend_from_slice(b"a part of it");
        None
    };
    assert_eq!(handle.local().append(Lane::Money, unfit).err(), Some(SpoolError::Unfit));
    let panics = std::panic::AssertUnwindSafe(|| handle.local().append(Lane::Money, |_, _| panic!("a test")));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(append(&handle, Lane::Money, 1), Ok(1));
    assert_eq!(read(&spool, Lane::Money), BTreeMap::from([(1, Some(1))]));
}

#[test]
fn the_last_fifth_is_kept_for_money() {
    let config = SpoolConfig { segment_bytes: 1 << 20, max_bytes: 5000, ..SpoolConfig::default() };
    let disk = Arc::new(SimulatedDisk::default());
    let spool = Spool::open(disk, Path::new(DIR), config, open_as()).unwrap();
    let fill = |lane| (0..).take_while(|tag| append(&spool.handle(), lane, *tag).is_ok()).count();
    assert!(fill(Lane::Traffic) > 0);
    assert_eq!(append(&spool.handle(), Lane::Traffic, 1), Err(SpoolError::Full));
    assert!(fill(Lane::Money) > 5);
    assert!(!spool.handle().status().has_room());
}
