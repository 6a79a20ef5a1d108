//! Disks that fail, fill up and rot.

use super::*;
use crate::spool::log::segment_name;

#[test]
fn a_disk_that_goes_on_failing_poisons_and_a_restart_goes_on_with_what_was_acknowledged() {
    for fails_at in 1..8 {
        let disk = SimulatedDisk::default();
        let spool = open(&disk);
        disk.fail_syncs_after(fails_at);
        let mut acked = Vec::new();
        let refused = loop {
            let tag = u32::try_from(acked.len()).unwrap();
            match append(&spool.handle(), Lane::Traffic, tag) {
                Ok(ordinal) => acked.push((ordinal, tag)),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, SpoolError::Poisoned);
        // Not before the copy has failed as well.
        while !spool.handle().status().poisoned {
            std::thread::yield_now();
        }
        disk.fail_syncs_after(usize::MAX);
        assert_eq!(append(&spool.handle(), Lane::Money, 1), Err(SpoolError::Poisoned), "never retried");
        drop(spool);

        let spool = open(&disk);
        let (found, lost) = read_with_lost(&spool, Lane::Traffic);
        assert!(lost.is_empty(), "nobody was told of what is missing: {lost:?}");
        for (ordinal, tag) in &acked {
            assert_eq!(found.get(ordinal), Some(&Some(*tag)));
        }
        let next = append(&spool.handle(), Lane::Traffic, 9).unwrap();
        assert!(next > u64::try_from(acked.len()).unwrap() + recover::SKIP);
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room_again() {
    let disk = SimulatedDisk::default();
    let spool = open(&disk);
    let first = append(&spool.handle(), Lane::Money, 1).unwrap();
    disk.limit_room(Some(20));
    assert_eq!(append(&spool.handle(), Lane::Money, 2), Err(SpoolError::Full));
    assert_eq!(append(&spool.handle(), Lane::Money, 3), Err(SpoolError::Full));
    disk.limit_room(None);
    let last = append(&spool.handle(), Lane::Money, 4).unwrap();
    let expected = BTreeMap::from([(first, Some(1)), (2, None), (3, None), (last, Some(4))]);
    // No reply counts on what could not be written, so it is no loss.
    assert_eq!(read_with_lost(&spool, Lane::Money), (expected.clone(), vec![]));

    // Neither is it when nothing was written after it: the orderly end declares it.
    disk.limit_room(Some(20));
    assert_eq!(append(&spool.handle(), Lane::Money, 5), Err(SpoolError::Full));
    assert_eq!(append(&spool.handle(), Lane::Traffic, 5), Err(SpoolError::Full));
    disk.limit_room(None);
    spool.close();
    let spool = open(&disk);
    let found = expected.into_iter().chain([(5, None)]).collect();
    assert_eq!(read_with_lost(&spool, Lane::Money), (found, vec![]), "a clean end: nothing else is skipped");
    assert_eq!(append(&spool.handle(), Lane::Money, 6), Ok(6));
    assert_eq!(append(&spool.handle(), Lane::Traffic, 6), Ok(2));
}

/// What says that the log was closed is not used up by a start that comes to nothing.
#[test]
fn a_start_that_fails_leaves_an_orderly_end_one() {
    let disk = SimulatedDisk::default();
    let spool = open(&disk);
    let last = append(&spool.handle(), Lane::Traffic, 1).unwrap();
    spool.close();
    for failing in ["the disk", "reading"] {
        match failing {
            "the disk" => disk.fail_some_syncs_after(0, 1),
            _ => disk.make_unreadable(&Path::new(DIR).join(segment_name(1)), 0..8, 1),
        }
        let refused = Spool::open(Arc::new(disk.clone()), Path::new(DIR), config(), open_as()).err();
        assert!(matches!(refused, Some(OpenError::Io(_))), "{failing}");
    }
    assert_eq!(append(&open(&disk).handle(), Lane::Traffic, 2), Ok(last + 1));
    // It holds for one start.
    assert!(append(&open(&disk).handle(), Lane::Traffic, 3).unwrap() > last + 2);
}

/// A sector that reads as zeros costs what stood in it, and not the segment.
#[test]
fn a_segment_whose_first_sector_is_gone_is_read_behind_it() {
    let disk = SimulatedDisk::default();
    let mut node = open_alone(&disk);
    let last = (1..=20).fold(0, |_, tag| append_alone(&mut node, Lane::Traffic, tag));
    drop(node);
    // The first is left as soon as the second is prepared.
    let path = Path::new(DIR).join(segment_name(2));
    let mut bytes = Disk::read(&disk, &path).unwrap();
    bytes[..512].fill(0);
    disk.create(&path).unwrap().write_all_at(0, &bytes).unwrap();
    let spool = open(&disk);
    let (found, lost) = read_with_lost(&spool, Lane::Traffic);
    let gone: Vec<u64> = (1..=last).filter(|at| found.get(at) == Some(&None)).collect();
    assert!((1..10).contains(&gone.len()), "{gone:?}");
    assert_eq!(lost, gone);
    assert!(append(&spool.handle(), Lane::Traffic, 1).unwrap() > last);
}

#[test]
fn each_flipped_byte_is_found_and_hides_one_record_at_most() {
    let disk = SimulatedDisk::default();
    let spool = open(&disk);
    // The third begins behind two that are read back.
    let last = fill_segments(&spool, 3);
    drop(spool);
    for sequence in [1, 2] {
        let path = Path::new(DIR).join(segment_name(sequence));
        let len = crate::disk::Disk::read(&disk, &path).unwrap().len();
        for at in 0..len {
            let image = disk.fork();
            image.corrupt(&path, at);
            let mut node = open_alone(&image);
            let (found, declared) = read_with_lost(&node.0, Lane::Traffic);
            let lost = (1..=last).filter(|ordinal| found.get(ordinal) != Some(&Some(*ordinal as u32)));
            let lost: Vec<u64> = lost.collect();
            assert!(lost.len() <= 1, "byte {at} of segment {sequence}: {lost:?}");
            assert!(lost.iter().all(|ordinal| found.get(ordinal) == Some(&None)), "declared");
            // A third segment begins behind them: these had been answered.
            assert_eq!(declared, lost, "byte {at} of segment {sequence}");
            assert!(append_alone(&mut node, Lane::Traffic, 99) > last);
            drop(node);
            assert!(append_alone(&mut open_alone(&image), Lane::Traffic, 99) > last);
        }
    }
}

/// Damage before an intact record is no torn tail: what stood there had been durable, and answered.
#[test]
fn a_damaged_record_is_declared_lost_also_as_the_last_of_its_lane() {
    const LANES: [Lane; 5] = [Lane::Traffic, Lane::Money, Lane::Traffic, Lane::Money, Lane::Traffic];
    for lanes in [LANES, LANES.map(|lane| if lane == Lane::Money { Lane::Traffic } else { Lane::Money })] {
        let disk = SimulatedDisk::default();
        let spool = open(&disk);
        // One group, so that all of it is in one segment.
        let local = spool.handle().local_until(spool.handle().idle());
        let mut given = Vec::new();
        for (tag, lane) in (1..).zip(lanes) {
            let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
            given.push((lane, local.append(lane, place).unwrap().0.ordinal, tag));
        }
        let path = Path::new(DIR).join(segment_name(1));
        drop(spool);
        for at in 0..Disk::read(&disk, &path).unwrap().len() {
            let image = disk.fork();
            image.corrupt(&path, at);
            for again in [false, true] {
                let (spool, _steps) = open_alone(&image);
                let missing = |lane| {
                    let (found, declared) = read_with_lost(&spool, lane);
                    let of_lane = given.iter().filter(move |given| given.0 == lane);
                    let gone = of_lane.filter(move |given| found.get(&given.1) != Some(&Some(given.2)));
                    (gone.copied().collect::<Vec<_>>(), declared)
                };
                let (money, traffic) = (missing(Lane::Money), missing(Lane::Traffic));
                let gone = [money.0, traffic.0].concat();
                assert!(gone.len() <= 1, "byte {at}, again {again}: {gone:?}");
                let lost = gone.iter().filter(|given| given.2 < 5);
                let lost: Vec<u64> = lost.map(|given| given.1).collect();
                assert_eq!([money.1, traffic.1].concat(), lost, "byte {at}, again {again}: {gone:?}");
            }
        }
    }
}

#[test]
fn zeros_do_not_take_the_room_of_hits() {
    let disk = SimulatedDisk::default();
    // A segment has 1 MiB there. It fits, but would leave nothing.
    let spool = open_small(&disk);
    let local = spool.handle().local();
    let mut answered = 0;
    let kilobytes = |_, out: &mut Vec<u8>| {
        out.resize(out.len() + 4000, 1);
        Some(4000)
    };
    while let Ok((_, durable)) = local.append(Lane::Money, kilobytes) {
        wait(durable).unwrap();
        answered += 1;
    }
    // Half of it is the reserve.
    assert!(answered > 300, "{answered}");
    // It went on in small files all the same.
    let segments = Disk::list(&disk, Path::new(DIR)).unwrap();
    assert_eq!(segments.len(), 2, "{segments:?}");
    let written = disk.writes_of_zeros();
    assert_eq!(written, 0, "tried and failed");
    drop(spool);
    open(&disk);
}
