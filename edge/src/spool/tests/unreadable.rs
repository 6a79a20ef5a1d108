//! Disks that cannot read what they hold.

use super::*;
use crate::spool::log::segment_name;

/// Clicks and one conversion, the last of its lane, in one group and so in one segment.
fn many_clicks(spool: &Spool) -> u64 {
    let local = spool.handle().local_until(spool.handle().idle());
    let place = |tag| move |address, out: &mut Vec<u8>| encode(event(address, tag), out);
    let queued: Vec<_> = (1..=1500).map(|tag| local.append(Lane::Traffic, place(tag)).unwrap()).collect();
    append(&spool.handle(), Lane::Money, 1).unwrap();
    queued.last().unwrap().0.ordinal
}

#[test]
fn what_the_disk_cannot_read_is_declared_lost_and_holds_up_nothing() {
    let bad = 8192..8200;
    for times in [usize::try_from(reader::ATTEMPTS).unwrap(), usize::MAX] {
        let disk = SimulatedDisk::default();
        let spool = open_small(&disk);
        let last = many_clicks(&spool);
        disk.make_unreadable(&Path::new(DIR).join(segment_name(1)), bad.clone(), times);
        let mut reader = spool.log().reader(Lane::Traffic, 0);
        let failed = std::iter::repeat_with(|| reader.read_next()).take_while(Result::is_err).count();
        assert_eq!(failed, usize::try_from(reader::ATTEMPTS).unwrap());
        let mut events = Vec::new();
        while let Some(Spooled { event, .. }) = reader.read_next().unwrap() {
            events.push(event);
        }
        let skipped: Vec<u64> = events
            .iter()
            .filter(|event| matches!(event.body, Some(event::Body::Skipped(_))))
            .map(|event| proto_wire::envelope::last_covered(event) - event.ordinal + 1)
            .collect();
        assert_eq!(proto_wire::envelope::last_covered(events.last().unwrap()), last);
        // A block of 4 KiB has some fifty of these.
        let lost = skipped.iter().sum::<u64>();
        assert!(if times == usize::MAX { (20..200).contains(&lost) } else { lost == 0 }, "{lost}");
    }
}

#[test]
fn a_start_that_cannot_read_fails_until_it_is_to_read_around() {
    let disk = SimulatedDisk::default();
    let spool = open_small(&disk);
    let last = many_clicks(&spool);
    let len = spool.log().end().borrow().offset;
    drop(spool);
    for bad in [20..24, 8192..8200, len - 10..len] {
        let image = disk.fork();
        let path = Path::new(DIR).join(segment_name(1));
        let sound = Disk::read(&image, &path).unwrap();
        image.make_unreadable(&path, bad.clone(), usize::MAX);
        let shared = Arc::new(image.clone());
        let handle = SpoolHandle::absent(shared, Path::new(DIR), config(), streams());
        handle.set_absent("it cannot be read".into());
        assert!(matches!(Spool::open_for(&handle, open_as(), Reading::Strict), Err(OpenError::Io(_))));
        assert_eq!(append(&handle, Lane::Money, 2), Err(SpoolError::Absent));
        assert_eq!(handle.status().absent.as_deref(), Some("it cannot be read"));
        assert!(!handle.status().has_room());
        assert_eq!(Disk::len(&image, &path).unwrap(), sound.len() as u64, "nothing is given up yet");

        let local = handle.local();
        let spool = Spool::open_for(&handle, open_as(), Reading::Around).unwrap();
        assert!(handle.status().absent.is_none() && handle.status().has_room());
        let (clicks, lost_clicks) = read_with_lost(&spool, Lane::Traffic);
        let (money, lost_money) = read_with_lost(&spool, Lane::Money);
        let missing = (1..=last).filter(|ordinal| clicks.get(ordinal) == Some(&None)).count();
        assert!(missing < 200 && money.len() >= 1024, "{bad:?}: {missing}");
        let is_lost = money.get(&1) != Some(&Some(1));
        assert_eq!((is_lost, lost_money.first() == Some(&1)), (is_lost, is_lost), "{bad:?}: {lost_clicks:?}");
        assert_eq!(lost_clicks.is_empty(), missing == 0, "{bad:?}: {lost_clicks:?}");
        // Whoever had an end of it before can use it now.
        let place = |address, out: &mut Vec<u8>| encode(event(address, 9), out);
        wait(local.append(Lane::Money, place).unwrap().1).unwrap();
    }
}
