//! Batches that are gone: waited for, then declared lost in their place, and the chain goes on behind them.

use super::*;
use crate::forward::lane::LaneError;
use proto_wire::envelope::{GapDeclaration, GapReason};

pub(super) fn file(first: u64) -> std::path::PathBuf {
    Path::new(SEALED).join(format!("{first:020}-{:020}.batch", first + 3))
}

/// Twenty ordinals in five batches, and the node as it runs on.
pub(super) fn five_batches(key: &SigningKey) -> (SimulatedDisk, Vec<SealedBatch>, Node) {
    let disk = SimulatedDisk::default();
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    let mut sent = Vec::new();
    for _ in 0..5 {
        node.append(4);
        for batch in node.seal_and_send(key) {
            node.lane.ack(head(&batch));
            sent.push(batch);
        }
    }
    assert_eq!(sent.len(), 5);
    (disk, sent, node)
}

/// What a control plane gets that takes everything.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub head: Option<Head>,
    pub batches: Vec<u64>,
    pub gaps: Vec<GapDeclaration>,
}

impl Node {
    /// A session with a control plane at `theirs`, as long as it goes.
    pub(super) fn catch_up(&mut self, theirs: Head, now: Instant) -> (Taken, Result<(), LaneError>) {
        self.lane.begin_session();
        let next = self.next_ordinal();
        let mut taken = Taken { head: Some(theirs), ..Taken::default() };
        if let Err(error) = self.lane.open(4, theirs, next) {
            return (taken, Err(error));
        }
        loop {
            let (outgoing, last) = match self.lane.next_to_send(now) {
                Ok(Some(next)) => next,
                Ok(None) => return (taken, Ok(())),
                Err(error) => {
                    if let LaneError::Halt(halt) = &error {
                        self.lane.halt(halt, now, [0]);
                    }
                    return (taken, Err(error));
                }
            };
            let at = taken.head.unwrap();
            let (first, prev, next) = match outgoing {
                Outgoing::Batch(batch) => {
                    (header(&batch).first_ordinal, header(&batch).prev_hash, head(&batch))
                }
                Outgoing::Gap(gap) => {
                    let after = Head { last: gap.last_ordinal, hash: gap.resume_hash };
                    taken.gaps.push(gap.clone());
                    (gap.first_ordinal, gap.prev_hash, after)
                }
            };
            assert_eq!((first, prev, next.last), (at.last + 1, at.hash, last), "the chain goes on");
            if taken.gaps.last().is_none_or(|gap| gap.first_ordinal != first) {
                taken.batches.push(first);
            }
            taken.head = Some(next);
            assert_eq!(self.lane.ack(next), Acked::Through(next));
            self.lane.acquit();
        }
    }
}

#[test]
fn whatever_is_lost_is_declared_for_exactly_its_ordinals() {
    let key = SigningKey::generate().unwrap();
    let (damaged, missing, not_retained) = (GapReason::Damaged, GapReason::Missing, GapReason::NotRetained);
    // Batches that are damaged, and that are missing; what is declared, and what arrives. Each begins at 4 n + 1.
    type Case<'a> = (&'a [u64], &'a [u64], &'a [(u64, u64, GapReason)], &'a [u64]);
    let cases: &[Case] = &[
        (&[], &[], &[], &[1, 5, 9, 13, 17]),
        (&[9], &[], &[(9, 12, damaged)], &[1, 5, 13, 17]),
        (&[5, 9, 13], &[], &[(5, 16, damaged)], &[1, 17]),
        (&[5, 13], &[], &[(5, 8, damaged), (13, 16, damaged)], &[1, 9, 17]),
        (&[17], &[], &[(17, 20, damaged)], &[1, 5, 9, 13]),
        (&[], &[17], &[(17, 20, missing)], &[1, 5, 9, 13]),
        (&[], &[5, 9], &[(5, 12, missing)], &[1, 13, 17]),
        (&[13], &[9, 17], &[(9, 20, missing)], &[1, 5]),
        (&[], &[1], &[(1, 4, not_retained)], &[5, 9, 13, 17]),
        (&[5], &[1], &[(1, 8, not_retained)], &[9, 13, 17]),
        (&[], &[1, 5, 9, 13, 17], &[(1, 20, missing)], &[]),
        (&[1, 5, 9, 13, 17], &[], &[(1, 20, damaged)], &[]),
    ];
    for (damaged, missing, gaps, arrive) in cases {
        let what = format!("damaged {damaged:?}, missing {missing:?}");
        let (disk, sent, mut node) = five_batches(&key);
        damaged.iter().for_each(|first| disk.corrupt(&file(*first), 200));
        missing.iter().for_each(|first| disk.remove(&file(*first)).unwrap());
        let mut now = Instant::now();
        let (mut all, mut theirs) = (Taken::default(), Head::GENESIS);
        // Each loss is waited for.
        for at in 0..=gaps.len() {
            let (taken, end) = node.catch_up(theirs, now);
            assert!(taken.gaps.is_empty(), "{what}: nothing is declared at once");
            assert_eq!(end.is_err(), at < gaps.len(), "{what}");
            theirs = taken.head.unwrap();
            all.batches.extend(taken.batches);
            if end.is_err() {
                now += PATIENCE;
                let (taken, _) = node.catch_up(theirs, now);
                theirs = taken.head.unwrap();
                all.batches.extend(taken.batches);
                all.gaps.extend(taken.gaps);
            }
        }
        let found: Vec<_> =
            all.gaps.iter().map(|gap| (gap.first_ordinal, gap.last_ordinal, gap.reason)).collect();
        assert_eq!((found.as_slice(), all.batches.as_slice()), (*gaps, *arrive), "{what}");
        assert_eq!(theirs, head(&sent[4]), "{what}");
        // And the chain goes on.
        node.append(2);
        let next = node.seal_and_send(&key);
        assert_eq!((header(&next[0]).first_ordinal, header(&next[0]).prev_hash), (21, theirs.hash), "{what}");
    }
}

#[test]
fn a_file_that_is_put_back_in_time_is_sent() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    let start = Instant::now();
    disk.remove(&file(9)).unwrap();
    disk.corrupt(&file(13), 200);
    let (taken, end) = node.catch_up(Head::GENESIS, start);
    assert!(end.is_err() && taken.batches == [1, 5]);
    let theirs = taken.head.unwrap();
    // One of two: the rest is another loss, with as much time.
    crate::disk::write_durably(&disk, Path::new(SEALED), &name(9), &sent[2].to_file_bytes()).unwrap();
    let (taken, end) = node.catch_up(theirs, start + PATIENCE - Duration::from_secs(1));
    assert!(end.is_err() && taken.batches == [9] && taken.gaps.is_empty());
    disk.corrupt(&file(13), 200);
    let (taken, end) = node.catch_up(taken.head.unwrap(), start + PATIENCE);
    assert!(end.is_ok() && taken.batches == [13, 17] && taken.gaps.is_empty());
}

fn name(first: u64) -> String {
    file(first).file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_disk_that_cannot_be_read_just_now_is_no_loss() {
    let key = SigningKey::generate().unwrap();
    let (disk, _, mut node) = five_batches(&key);
    let start = Instant::now();
    disk.corrupt(&file(5), 200);
    assert!(node.catch_up(Head::GENESIS, start).1.is_err());
    // The first intact one decides what is declared: as long as it cannot be read, nothing is.
    disk.make_unreadable(&file(9), 0..1, 2);
    let theirs = Head { last: 4, hash: node.lane.confirmed.hash };
    for _ in 0..2 {
        let (taken, end) = node.catch_up(theirs, start + PATIENCE * 2);
        assert!(matches!(end, Err(LaneError::Disk(_))) && taken.gaps.is_empty());
    }
    disk.make_unreadable(&file(5), 0..1, 1);
    let (taken, end) = node.catch_up(theirs, start + PATIENCE * 2);
    assert!(matches!(end, Err(LaneError::Disk(_))) && taken.gaps.is_empty());
    let (taken, end) = node.catch_up(theirs, start + PATIENCE * 2);
    assert!(end.is_ok() && taken.gaps.len() == 1 && taken.batches == [9, 13, 17]);
}

#[test]
fn what_is_declared_again_is_the_same_to_the_byte() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    disk.corrupt(&file(9), 200);
    let (theirs, start) = (head(&sent[1]), Instant::now());
    assert!(node.catch_up(theirs, start).1.is_err());
    let (first, _) = node.catch_up(theirs, start + PATIENCE);
    assert!(node.lane.is_news(&first.gaps[0]));
    // The answer was lost, and the declaration too: not in the next session at once.
    let (taken, end) = node.catch_up(theirs, start + PATIENCE);
    assert!(end.is_err() && taken.gaps.is_empty());
    let (second, _) = node.catch_up(theirs, start + PATIENCE * 3);
    assert_eq!(first.gaps[0].to_message(&key, 1), second.gaps[0].to_message(&key, 1));
    assert!(!node.lane.is_news(&second.gaps[0]));
    // After a restart as well.
    node.spool.close();
    let mut node = Node::open(&disk);
    assert!(node.catch_up(theirs, start).1.is_err());
    assert_eq!(node.catch_up(theirs, start + PATIENCE).0.gaps, first.gaps);
    // Or it was not lost: then it stands.
    let (taken, end) = node.catch_up(first.head.unwrap(), start);
    assert!(end.is_ok() && taken.gaps.is_empty());
}

#[test]
fn after_a_declared_end_a_restart_goes_on_from_the_control_plane() {
    let key = SigningKey::generate().unwrap();
    for (lost, damage) in [(17, true), (17, false), (1, false)] {
        let (disk, sent, mut node) = five_batches(&key);
        for first in (lost..=17).step_by(4) {
            if damage { disk.corrupt(&file(first), 200) } else { disk.remove(&file(first)).unwrap() }
        }
        let start = Instant::now();
        let (taken, _) = node.catch_up(Head::GENESIS, start);
        let (taken, end) = node.catch_up(taken.head.unwrap(), start + PATIENCE);
        assert!(end.is_ok() && taken.gaps.len() == 1);
        node.append(1);
        node.spool.close();
        let mut node = Node::open(&disk);
        assert_eq!(taken.head, Some(head(&sent[4])));
        assert!(node.catch_up(head(&sent[4]), start).1.is_ok(), "from {lost} on, damaged: {damage}");
        let next = node.seal_and_send(&key);
        assert_eq!((header(&next[0]).first_ordinal, header(&next[0]).prev_hash), (21, head(&sent[4]).hash));
    }
}

#[test]
fn a_batch_of_another_node_is_no_batch_of_this_one() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    let foreign = {
        let fields = proto_wire::envelope::HeaderFields {
            edge: EdgeId::new(8).unwrap(),
            epoch: 1,
            lane: Lane::Traffic,
            stream: StreamNo(4),
            prev_hash: header(&sent[2]).prev_hash,
        };
        SealedBatch::seal(&key, fields, &sent[2].open(&header(&sent[2])).unwrap(), &Default::default())
    };
    let bytes = foreign.unwrap().to_file_bytes();
    crate::disk::write_durably(&disk, Path::new(SEALED), &name(9), &bytes).unwrap();
    let (taken, end) = node.catch_up(Head::GENESIS, Instant::now());
    assert_eq!(taken.batches, [1, 5]);
    assert!(end.is_err_and(|error| crate::with_causes(&error).contains("holds another one")));
}

#[test]
fn what_is_under_way_is_answered_before_anything_behind_it_counts_as_lost() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    disk.corrupt(&file(13), 200);
    let now = Instant::now();
    node.session(Head::GENESIS).unwrap();
    for batch in &sent[..3] {
        assert_eq!(
            node.lane.next_to_send(now).unwrap().map(|(next, _)| as_batch(next)).as_ref(),
            Some(batch)
        );
        if batch == &sent[0] {
            node.lane.ack(head(batch));
        }
    }
    assert!(node.lane.next_to_send(now).unwrap().is_none(), "two are under way");
    node.lane.ack(head(&sent[2]));
    assert!(node.lane.next_to_send(now).is_err());
    assert_eq!(node.lane.confirmed, head(&sent[2]), "where the declaration will begin");
}

#[test]
fn a_file_that_comes_back_behind_a_damaged_one_is_not_declared_with_it() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, node) = five_batches(&key);
    node.spool.close();
    disk.corrupt(&file(9), 200);
    disk.remove(&file(13)).unwrap();
    let (mut node, start) = (Node::open(&disk), Instant::now());
    let (taken, end) = node.catch_up(Head::GENESIS, start);
    assert!(end.is_err() && taken.batches == [1, 5]);
    crate::disk::write_durably(&disk, Path::new(SEALED), &name(13), &sent[3].to_file_bytes()).unwrap();
    let (taken, end) = node.catch_up(taken.head.unwrap(), start + PATIENCE);
    let gaps: Vec<_> = taken.gaps.iter().map(|gap| (gap.first_ordinal, gap.last_ordinal)).collect();
    assert!(end.is_ok() && gaps == [(9, 12)] && taken.batches == [13, 17], "{gaps:?}");
}

#[test]
fn a_loss_does_not_hide_that_the_control_plane_has_another_history() {
    let key = SigningKey::generate().unwrap();
    // What is known here of ordinal 4: nothing, its batch, or what the control plane has signed.
    for (intact, signed) in [(false, false), (true, false), (false, true)] {
        let (disk, sent, node) = five_batches(&key);
        node.spool.close();
        let mut node = Node::open(&disk);
        if signed {
            node.session(Head::GENESIS).unwrap();
            assert!(node.next_to_send().unwrap().is_some());
        }
        disk.corrupt(&file(5), 200);
        if !intact {
            disk.corrupt(&file(1), 200);
        }
        let diverged =
            node.session(Head { last: 4, hash: [9; 32] }).is_err_and(|error| error.contains("other events"));
        assert_eq!(diverged, intact || signed, "intact: {intact}, signed: {signed}");
        if diverged {
            assert_eq!(node.session(head(&sent[0])), Ok(()), "the loss is met when it should be sent");
        }
    }
}

#[test]
fn a_damaged_end_explains_no_more_than_it_held() {
    let key = SigningKey::generate().unwrap();
    // The newest file is found damaged at the start; or it was gone, and its end was given up.
    for gone in [false, true] {
        let (disk, sent, mut node) = five_batches(&key);
        if gone {
            disk.remove(&file(17)).unwrap();
            let start = Instant::now();
            let (taken, _) = node.catch_up(Head::GENESIS, start);
            let (taken, _) = node.catch_up(taken.head.unwrap(), start + PATIENCE);
            assert_eq!(taken.head, Some(head(&sent[4])));
        } else {
            disk.corrupt(&file(17), 200);
        }
        node.append(4);
        node.spool.close();
        // A second start finds only the name under which the damaged batch was set aside.
        for start in 1..=2 {
            let mut node = Node::open(&disk);
            let end = node.session(Head { last: 21, hash: [9; 32] });
            assert!(end.is_err_and(|error| error.contains("only at 16")), "gone: {gone}, start {start}");
            assert_eq!(node.session(head(&sent[4])), Ok(()));
            node.spool.close();
        }
    }
}

#[test]
fn a_batch_of_newer_software_is_neither_lost_nor_set_aside() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent, mut node) = five_batches(&key);
    let newer = |at: usize| {
        let mut batch = sent[at].clone();
        batch.header_bytes[0] = 200;
        let first = header(&sent[at]).first_ordinal;
        crate::disk::write_durably(&disk, Path::new(SEALED), &name(first), &batch.to_file_bytes()).unwrap();
    };
    newer(2);
    disk.corrupt(&file(5), 200);
    let start = Instant::now();
    let (taken, end) = node.catch_up(Head::GENESIS, start);
    assert!(end.is_err() && taken.batches == [1]);
    // Neither as the end of a loss, nor by itself.
    for theirs in [head(&sent[0]), head(&sent[1])] {
        let (taken, end) = node.catch_up(theirs, start + PATIENCE * 2);
        assert!(taken.gaps.is_empty() && taken.batches.is_empty());
        let Err(LaneError::Halt(halt)) = end else { panic!("it halts") };
        assert!(halt.gap().is_none() && !halt.loses() && crate::with_causes(&halt).contains("version 200"));
    }
    newer(4);
    node.spool.close();
    let opened = SealedFiles::open(Arc::new(disk.clone()), Path::new(SEALED));
    assert!(opened.is_err_and(|error| crate::with_causes(&error).contains("version 200")));
    assert!(disk.list(Path::new(SEALED)).unwrap().contains(&name(17)), "it stays where it is");
}
