//! Each cause that makes a lane stand still has its own clock, and a disk that fails is not asked all the time.

use super::losses::{file, five_batches};
use super::*;
use crate::forward::halt::Halt;
use crate::forward::lane::LaneError;
use crate::spool::Reading;
use proto_wire::envelope::{GapDeclaration, GapReason};

fn bounds(gaps: &[GapDeclaration]) -> Vec<(u64, u64)> {
    gaps.iter().map(|gap| (gap.first_ordinal, gap.last_ordinal)).collect()
}

#[test]
fn a_file_that_stays_unreadable_is_waited_for_like_a_damaged_one_and_declared() {
    let key = SigningKey::generate().unwrap();
    // How often reading it fails, and what is declared in the end.
    for (times, gaps) in [(9, vec![]), (12, vec![]), (usize::MAX, vec![(9, 12)])] {
        let (disk, sent, mut node) = five_batches(&key);
        disk.make_unreadable(&file(9), 0..1, times);
        let start = Instant::now();
        let mut theirs = Head::GENESIS;
        for attempt in 1..=9 {
            let (taken, end) = node.catch_up(theirs, start);
            assert!(matches!(end, Err(LaneError::Disk(_))), "attempt {attempt}");
            theirs = taken.head.unwrap();
        }
        let (taken, end) = node.catch_up(theirs, start);
        match end {
            Ok(()) => assert_eq!((times, taken.head), (9, Some(head(&sent[4])))),
            Err(LaneError::Halt(halt)) => assert_eq!(halt.gap(), Some(GapReason::Damaged)),
            Err(error) => panic!("{error:?}"),
        }
        let (taken, end) = node.catch_up(taken.head.unwrap(), start + PATIENCE);
        assert!(end.is_ok() && bounds(&taken.gaps) == gaps, "{times}: {taken:?}");
        assert_eq!(taken.head, Some(head(&sent[4])), "{times}");
    }
}

#[test]
fn a_loss_whose_declaration_is_refused_does_not_wait_anew() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    disk.corrupt(&file(9), 200);
    let (theirs, start) = (head(&sent[1]), Instant::now());
    assert!(node.catch_up(theirs, start).1.is_err());
    let mut now = start + PATIENCE;
    for _ in 0..3 {
        node.lane.begin_session();
        node.session(theirs).unwrap();
        assert!(matches!(node.lane.next_to_send(now), Ok(Some((Outgoing::Gap(_), 12)))));
        node.lane.halt(&Halt::Refused("quarantine".into()), now, [0]);
        assert_eq!(node.lane.halted().unwrap().patience(now), None, "nothing that is put back helps");
        // Too early for another one: the loss is met again, and that begins nothing anew either.
        node.lane.begin_session();
        node.session(theirs).unwrap();
        let Err(LaneError::Halt(halt)) = node.lane.next_to_send(now) else { panic!("it was just said") };
        assert!(!node.lane.halt(&halt, now, [0]), "it is no news");
        now += Duration::from_secs(600);
    }
}

#[test]
fn each_loss_is_waited_for_from_when_it_was_found() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    disk.corrupt(&file(9), 200);
    disk.corrupt(&file(13), 200);
    let start = Instant::now();
    assert!(node.catch_up(head(&sent[1]), start).1.is_err());
    // The control plane comes back from a newer backup, which has the first of them.
    let found = start + PATIENCE - Duration::from_secs(1);
    for now in [found, start + PATIENCE] {
        let (taken, end) = node.catch_up(head(&sent[2]), now);
        assert!(end.is_err() && taken.gaps.is_empty());
    }
    let (taken, end) = node.catch_up(head(&sent[2]), found + PATIENCE);
    assert!(end.is_ok() && bounds(&taken.gaps) == [(13, 16)], "{taken:?}");
}

#[test]
fn a_newest_batch_that_stays_unreadable_does_not_keep_the_edge_from_its_spool() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, node) = five_batches(&key);
    node.append(1);
    node.spool.close();
    disk.make_unreadable(&file(17), 0..1, usize::MAX);
    let open = |reading| SealedFiles::open_for(Arc::new(disk.clone()), Path::new(SEALED), reading);
    assert!(open(Reading::Strict).is_err_and(|error| crate::disk::is_damage(&error)));
    assert_eq!(open(Reading::Around).unwrap().head(), head(&sent[3]));
    let mut node = Node::open(&disk);
    node.session(head(&sent[4])).unwrap();
    let next = node.seal_and_send(&key);
    assert_eq!((header(&next[0]).first_ordinal, header(&next[0]).prev_hash), (21, head(&sent[4]).hash));
}

#[test]
fn a_disk_that_fails_is_left_alone_whatever_wakes_the_sender() {
    let key = SigningKey::generate().unwrap();
    let (disk, _, mut node) = five_batches(&key);
    disk.make_unreadable(&file(1), 0..1, 1);
    let (next, now) = (node.next_ordinal(), Instant::now());
    node.lane.begin_session();
    node.lane.meet(4, Head::GENESIS);
    assert!(matches!(node.lane.settle(next, now), Err(LaneError::Disk(_))));
    let rest = node.lane.rest(now, [255]);
    // In this session, and in the next.
    for _ in 0..2 {
        assert_eq!(node.lane.settle(next, now + rest / 4).unwrap(), Some(rest / 4 * 3));
        assert_eq!(node.lane.try_again(now + rest / 4), Some(rest / 4 * 3));
        assert!(node.lane.flow.is_none(), "the two ends have not been compared");
        node.lane.begin_session();
        node.lane.meet(4, Head::GENESIS);
    }
    assert_eq!((node.lane.try_again(now + rest), node.lane.settle(next, now + rest).unwrap()), (None, None));
    assert!(node.next_to_send().unwrap().is_some());
}
