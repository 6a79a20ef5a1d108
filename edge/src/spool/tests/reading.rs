//! How much of the log is read for one lane.

use super::*;
use std::time::Instant;

#[test]
fn a_reader_reads_no_segment_that_holds_nothing_for_it() {
    let disk = SimulatedDisk::default();
    let mut node = open_alone(&disk);
    for tag in 1..=400 {
        append_alone(&mut node, Lane::Traffic, tag);
    }
    let sale = append_alone(&mut node, Lane::Money, 7);
    let (spool, _steps) = &node;
    let segments = spool.log().end().borrow().sequence;
    assert!(segments > 20, "{segments}");
    // The segment that is written takes in what comes while the next one is prepared.
    let some = 4 * 600;
    for (lane, sealed, expected) in [(Lane::Money, sale - 1, 7), (Lane::Traffic, 399, 400)] {
        let before = disk.bytes_read();
        let mut reader = spool.log().reader(lane, sealed);
        assert_eq!(reader.read_next().unwrap().unwrap().event.tenant, expected);
        assert_eq!(reader.read_next().unwrap(), None);
        let read = disk.bytes_read() - before;
        assert!(read < some, "{lane:?}: {read}");
    }
    // And so it is after a restart.
    drop(node);
    let (spool, _steps) = open_alone(&disk);
    let before = disk.bytes_read();
    assert_eq!(spool.log().reader(Lane::Money, 0).read_next().unwrap().unwrap().event.tenant, 7);
    assert!(disk.bytes_read() - before < 2 * some, "{}", disk.bytes_read() - before);
}

/// How long it takes to find a conversion behind a million clicks, with and without reading these.
#[test]
#[ignore = "a measurement, which takes minutes"]
fn the_first_conversion_behind_a_million_clicks() {
    const CLICKS: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<crate::disk::RealDisk> = Arc::default();
    let config = SpoolConfig::default();
    let handle = SpoolHandle::absent(disk, dir.path(), config, streams());
    let (spool, mut steps) = Spool::open_in_steps(&handle, open_as(), Reading::Strict).unwrap();
    let local = handle.local();
    let place = |address: Address, out: &mut Vec<u8>| {
        let event = Event { ordinal: address.ordinal, ..Event::default() };
        let value = vec![3; 330];
        let entry = SidecarEntry { ordinal: address.ordinal, personal_class: 1, salt: vec![1; 16], value };
        encode((event, vec![entry]), out)
    };
    for at in 1..=CLICKS {
        drop(local.append(Lane::Traffic, place).unwrap().1);
        if at % 1000 == 0 {
            assert!(steps.turn());
        }
    }
    drop(local.append(Lane::Money, place).unwrap().1);
    assert!(steps.turn());
    let bytes = handle.status().bytes;
    let begun = Instant::now();
    assert!(spool.log().reader(Lane::Money, 0).read_next().unwrap().is_some());
    let conversion = begun.elapsed();
    let begun = Instant::now();
    let mut reader = spool.log().reader(Lane::Traffic, 0);
    let count = std::iter::from_fn(|| reader.read_next().unwrap()).count();
    println!(
        "{bytes} bytes: a conversion after {conversion:?}, all {count} clicks after {:?}",
        begun.elapsed()
    );
}
