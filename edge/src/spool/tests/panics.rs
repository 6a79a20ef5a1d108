//! Threads of the spool that panic: nobody waits for them for ever.

use super::*;
use crate::disk::simulated::Faults;

fn panic_once(disk: &SimulatedDisk) {
    disk.set_faults(Faults { panic: true, ..Faults::default() });
}

/// What was written is written again, as after a failed `fdatasync`.
#[test]
fn a_panic_of_the_thread_that_syncs_loses_nothing_that_was_written() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(3 << 20);
    let bounded = Window { window_ms: Window::MS_MAX, window_hits: 8 };
    let config = SpoolConfig { durability: Durability::Bounded, bounded, segment_bytes: 4 << 20, ..config() };
    let spool = Spool::open(Arc::new(disk.clone()), Path::new(DIR), config, open_as()).unwrap();
    let handle = spool.handle();
    append(&handle, Lane::Traffic, 1).unwrap();
    panic_once(&disk);
    assert_eq!(append(&handle, Lane::Money, 2), Ok(1));
    while handle.status().moving {
        std::thread::yield_now();
    }
    assert_eq!(handle.status().moved, 1);
    assert_eq!(append(&handle, Lane::Money, 3), Ok(2), "and the thread goes on");
    assert_eq!((read(&spool, Lane::Traffic).len(), read(&spool, Lane::Money).len()), (1, 2));
    // Soon once more: as a disk that fails again.
    panic_once(&disk);
    assert_eq!(append(&handle, Lane::Money, 4), Err(SpoolError::Poisoned));
}

#[test]
fn a_panic_of_the_writer_poisons() {
    let disk = SimulatedDisk::default();
    let spool = open_small(&disk);
    let handle = spool.handle();
    append(&handle, Lane::Money, 1).unwrap();
    panic_once(&disk);
    assert_eq!(append(&handle, Lane::Money, 2), Err(SpoolError::Poisoned));
    while !handle.status().poisoned {
        std::thread::yield_now();
    }
    assert_eq!(append(&handle, Lane::Traffic, 3), Err(SpoolError::Poisoned));
    drop(spool);
    assert_eq!(read(&open(&disk), Lane::Money).get(&1), Some(&Some(1)));
}
