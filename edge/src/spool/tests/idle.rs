//! A thread that says when it runs out of work gets one `fdatasync` for all that it found at once.

use super::*;
use std::pin::Pin;
use std::time::Duration;

fn queue(local: &LocalSpool, tag: u32) -> Durable {
    let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
    local.append(Lane::Traffic, place).unwrap().1
}

fn is_pending(durable: &mut Durable) -> bool {
    Pin::new(durable).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn a_busy_thread_shares_one_fdatasync() {
    let disk = SimulatedDisk::default();
    // No room for zeros, whose syncs would be held back, too.
    let spool = open_small(&disk);
    let idle = spool.handle().idle();
    let local = spool.handle().local_until(Arc::clone(&idle));
    let before = spool.handle().status().syncs;
    disk.hold_syncs();
    let alone = queue(&local, 0);
    idle.now();
    disk.wait_for_held_sync();
    let mut queued: Vec<Durable> = (1..300).map(|tag| queue(&local, tag)).collect();
    assert!(queued.iter_mut().all(is_pending));
    idle.now();
    disk.release_syncs();
    wait(alone).unwrap();
    queued.into_iter().for_each(|durable| wait(durable).unwrap());
    assert_eq!(spool.handle().status().syncs, before + 2);
    // With nothing queued it means nothing, however often it is said.
    idle.now();
    idle.now();
    let one = queue(&local, 300);
    idle.now();
    wait(one).unwrap();
    assert_eq!(spool.handle().status().syncs, before + 3);
}

/// A runtime with work for ever never says that it is idle.
#[test]
fn a_thread_that_never_says_so_is_not_waited_for() {
    let spool = open(&SimulatedDisk::default());
    let local = spool.handle().local_until(spool.handle().idle());
    for tag in 0..3 {
        wait(queue(&local, tag)).unwrap();
        // Long enough for the writer to fall asleep, and to be woken from that.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Adaptive by itself: who comes alone pays for one, who comes while one is under way shares the next.
#[test]
fn one_fdatasync_is_under_way_and_the_next_takes_all_who_wait() {
    let disk = SimulatedDisk::default();
    // No room for zeros, whose syncs would be held back, too.
    let spool = open_small(&disk);
    let local = spool.handle().local();
    let before = spool.handle().status().syncs;
    wait(queue(&local, 0)).unwrap();
    assert_eq!(spool.handle().status().syncs, before + 1, "a lone one waits for nobody");
    disk.hold_syncs();
    let mut alone = queue(&local, 1);
    disk.wait_for_held_sync();
    let mut queued: Vec<Durable> = (2..302).map(|tag| queue(&local, tag)).collect();
    assert!(is_pending(&mut alone) && queued.iter_mut().all(is_pending));
    disk.release_syncs();
    wait(alone).unwrap();
    queued.into_iter().for_each(|durable| wait(durable).unwrap());
    assert_eq!(spool.handle().status().syncs, before + 3);
}

#[test]
fn who_never_idles_is_written_all_the_same() {
    let spool = open(&SimulatedDisk::default());
    let local = spool.handle().local_until(spool.handle().idle());
    let mut queued: Vec<Durable> = (0..5_000).map(|tag| queue(&local, tag)).collect();
    wait(queued.swap_remove(0)).unwrap();
}

#[test]
fn another_threads_hit_takes_along_what_is_queued() {
    let spool = open(&SimulatedDisk::default());
    let idle = spool.handle().idle();
    let local = spool.handle().local_until(Arc::clone(&idle));
    let mine = queue(&local, 1);
    append(&spool.handle(), Lane::Money, 2).unwrap();
    wait(mine).unwrap();
    // It is late to say so, and nothing is queued: the writer goes on.
    idle.now();
    append(&spool.handle(), Lane::Money, 3).unwrap();
    assert_eq!(read(&spool, Lane::Money).len(), 2);
}

#[test]
fn an_orderly_end_writes_what_nobody_asked_for() {
    let disk = SimulatedDisk::default();
    let spool = open(&disk);
    let local = spool.handle().local_until(spool.handle().idle());
    let queued = queue(&local, 1);
    spool.close();
    wait(queued).unwrap();
    assert_eq!(read(&open(&disk), Lane::Traffic).len(), 1);
}

/// The spool ends just as the writer has waited long enough to fall asleep: nobody will wake it again.
#[test]
fn an_end_is_not_slept_through() {
    for _ in 0..20 {
        let disk = Arc::new(SimulatedDisk::default());
        let handle = SpoolHandle::absent(disk, Path::new(DIR), config(), streams());
        let shared = Arc::clone(handle.shared());
        let writer = std::thread::spawn(move || drop(queue::wait(&shared)));
        std::thread::sleep(Duration::from_micros(500));
        let mut queue = handle.shared().lock();
        std::thread::sleep(Duration::from_millis(5));
        queue.state = queue::QueueState::Dropped;
        handle.shared().wake.notify_all();
        drop(queue);
        writer.join().unwrap();
    }
}
