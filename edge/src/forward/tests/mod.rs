//! The chain of sealed batches: durable before it is sent, the same bytes after any crash.

mod causes;
mod losses;
mod room;

use super::flow::Acked;
use super::lane::{LaneSender, Outgoing};
use super::retain::{Head, Retention, SealedFiles};
use super::seal::Decision;
use crate::disk::Disk;
use crate::disk::simulated::{Crash, SimulatedDisk};
use crate::lanes::PerLane;
use crate::spool::{OpenAs, Spool, SpoolConfig, Streams};
use prost::Message;
use proto_model::{EdgeId, Lane, StreamNo};
use proto_wire::edge_v1::Event;
use proto_wire::envelope::{Header, SealedBatch};
use proto_wire::keys::SigningKey;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SEALED: &str = "/sealed";
const LOG: &str = "/log";
/// Longer than any test that does not want a declaration.
const PATIENCE: Duration = Duration::from_secs(1000);

fn streams() -> Streams {
    Streams { edge: EdgeId::new(7).unwrap(), epoch: 1, money: StreamNo(3), traffic: StreamNo(4) }
}

/// A node's storage on one disk, without a network.
struct Node {
    spool: Spool,
    lane: LaneSender,
}

impl Node {
    fn open(disk: &SimulatedDisk) -> Self {
        let shared = Arc::new(disk.clone());
        let files = SealedFiles::open(shared.clone(), Path::new(SEALED)).unwrap();
        let sealed = PerLane { money: 0, traffic: files.head().last };
        let open = OpenAs { streams: streams(), sealed, existed: false };
        let config = SpoolConfig { segment_bytes: 2000, ..SpoolConfig::default() };
        let spool = Spool::open(shared, Path::new(LOG), config, open).unwrap();
        let lane = LaneSender::new(Lane::Traffic, &spool.log(), files, Head::GENESIS, PATIENCE);
        Self { spool, lane }
    }

    fn append(&self, count: u32) {
        for tag in 0..count {
            let place = |at: proto_model::Address, out: &mut Vec<u8>| {
                let occurred_at_micros = 1000 + i64::try_from(at.ordinal).unwrap();
                let event =
                    Event { ordinal: at.ordinal, tenant: tag + 1, occurred_at_micros, ..Event::default() };
                event.encode(out).ok().map(|()| event.encoded_len())
            };
            let (_, durable) = self.spool.handle().local().append(Lane::Traffic, place).unwrap();
            crate::spool::wait_for_test(durable).unwrap();
        }
    }

    fn next_ordinal(&self) -> u64 {
        self.spool.handle().status().next.traffic
    }

    /// Begins a session with a control plane that stands at `theirs`.
    fn session(&mut self, theirs: Head) -> Result<(), String> {
        let next = self.next_ordinal();
        self.lane.open(4, theirs, next).map_err(|error| error.to_string())
    }

    /// The first of a session is acknowledged, so that others may follow.
    fn next_to_send(&mut self) -> Result<Option<SealedBatch>, String> {
        let next = self.lane.next_to_send(Instant::now()).map_err(|error| error.to_string())?;
        let batch = next.map(|(outgoing, _)| as_batch(outgoing));
        if let Some(first) = batch.as_ref().filter(|_| self.lane.flow.as_ref().unwrap().window() == 1) {
            assert_eq!(self.lane.ack(head(first)), Acked::Through(head(first)));
        }
        Ok(batch)
    }

    /// Seals what there is and hands out what may be sent.
    fn seal_and_send(&mut self, key: &SigningKey) -> Vec<SealedBatch> {
        let mut sent = Vec::new();
        loop {
            sent.extend(std::iter::from_fn(|| self.next_to_send().unwrap()));
            self.lane.fill(Instant::now()).unwrap();
            if self.lane.decide(Instant::now(), true) != Decision::Seal {
                return sent;
            }
            self.lane.seal(key, 0).unwrap();
            let sealed = PerLane { money: 0, traffic: self.lane.sealed() };
            self.spool.log().release(sealed).unwrap();
        }
    }
}

fn as_batch(outgoing: Outgoing) -> SealedBatch {
    match outgoing {
        Outgoing::Batch(batch) => batch,
        Outgoing::Gap(gap) => panic!("nothing is lost: {gap:?}"),
    }
}

fn header(batch: &SealedBatch) -> Header {
    Header::parse(&batch.header_bytes).unwrap()
}

fn head(batch: &SealedBatch) -> Head {
    let header = header(batch);
    Head { last: header.last_ordinal, hash: header.head_hash() }
}

#[test]
fn after_any_crash_what_was_sent_is_sent_again_to_the_byte() {
    let key = SigningKey::generate().unwrap();
    let disk = SimulatedDisk::default();
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    // By the number of operations after which it was first sent.
    let mut sent: BTreeMap<usize, Vec<SealedBatch>> = BTreeMap::new();
    for _ in 0..3 {
        node.append(4);
        let batches = node.seal_and_send(&key);
        assert_eq!(batches.len(), 1);
        sent.insert(disk.ops(), batches);
    }
    drop(node);
    for ops in 0..=disk.ops() {
        for crash in [Crash::Killed, Crash::Dropped, Crash::Torn { seed: 3 }, Crash::Torn { seed: 77 }] {
            let mut node = Node::open(&disk.crashed(ops, crash));
            node.session(Head::GENESIS).unwrap();
            let again = node.seal_and_send(&key);
            let before = sent.range(..=ops).flat_map(|(_, batches)| batches);
            let mut chain = Head::GENESIS;
            for (at, batch) in before.enumerate() {
                assert_eq!(again.get(at), Some(batch), "{crash:?} after {ops}");
            }
            for batch in &again {
                let header = header(batch);
                assert_eq!(
                    (header.first_ordinal, header.prev_hash),
                    (chain.last + 1, chain.hash),
                    "{crash:?} {ops}"
                );
                chain = head(batch);
            }
        }
    }
}

#[test]
fn a_batch_whose_storing_failed_is_stored_again_as_it_was() {
    let key = SigningKey::generate().unwrap();
    let disk = SimulatedDisk::default();
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    node.append(3);
    node.lane.fill(Instant::now()).unwrap();
    disk.limit_room(Some(0));
    assert!(node.lane.seal(&key, 0).is_err());
    assert!(node.next_to_send().unwrap().is_none(), "what is not durable is not sent");
    disk.limit_room(None);
    node.append(2);
    let sent = node.seal_and_send(&key);
    let bounds: Vec<_> =
        sent.iter().map(|batch| (header(batch).first_ordinal, header(batch).last_ordinal)).collect();
    assert_eq!(bounds, [(1, 3), (4, 5)]);
}

/// Three batches of four events; the node as it is found later.
fn three_batches(key: &SigningKey) -> (SimulatedDisk, Vec<SealedBatch>) {
    let disk = SimulatedDisk::default();
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    let mut sent = Vec::new();
    for _ in 0..3 {
        node.append(4);
        sent.extend(node.seal_and_send(key));
    }
    node.append(1);
    node.spool.close();
    (disk, sent)
}

#[test]
fn where_the_control_plane_stands_decides_what_is_sent() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent) = three_batches(&key);
    let at = |index: usize| head(&sent[index]);
    let stranger = |last: u64| Head { last, hash: [9; 32] };
    let cases: &[(&str, Head, Result<usize, &str>)] = &[
        ("nothing", Head::GENESIS, Ok(4)),
        ("the first", at(0), Ok(3)),
        ("all that was sealed", at(2), Ok(1)),
        ("inside a batch", stranger(6), Err("other events")),
        ("other bytes", stranger(4), Err("other events")),
        ("other bytes at the end", stranger(12), Err("other events")),
        ("ahead of this node", stranger(500), Err("only at 12")),
    ];
    for (what, theirs, expected) in cases {
        let mut node = Node::open(&disk.fork());
        match (node.session(*theirs), expected) {
            (Ok(()), Ok(batches)) => assert_eq!(node.seal_and_send(&key).len(), *batches, "{what}"),
            (Err(error), Err(text)) => assert!(error.contains(text), "{what}: {error}"),
            (found, _) => panic!("{what}: {found:?}"),
        }
    }
}

#[test]
fn a_damaged_last_batch_is_taken_over_from_who_has_it_or_declared_lost() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent) = three_batches(&key);
    let newest = Path::new(SEALED).join(format!("{:020}-{:020}.batch", 9, 12));
    disk.corrupt(&newest, 200);
    // The control plane has it: nothing is lost.
    let mut node = Node::open(&disk.fork());
    node.session(head(&sent[2])).unwrap();
    let next = node.seal_and_send(&key);
    assert_eq!((header(&next[0]).first_ordinal, header(&next[0]).prev_hash), (13, head(&sent[2]).hash));
    // It does not: the chain goes on behind the batch before, and says what is missing.
    let again = disk.fork();
    let mut node = Node::open(&again);
    node.session(head(&sent[1])).unwrap();
    let next = node.seal_and_send(&key);
    assert_eq!((header(&next[0]).first_ordinal, header(&next[0]).prev_hash), (9, head(&sent[1]).hash));
    drop(node);
    // From here on a control plane that is ahead is no longer explained by the damage.
    let mut node = Node::open(&again);
    let far = Head { last: node.lane.sealed() + 1, hash: [1; 32] };
    assert!(node.session(far).is_err());
}

#[test]
fn a_missing_batch_takes_nothing_else_with_it() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent) = three_batches(&key);
    disk.remove(&Path::new(SEALED).join(format!("{:020}-{:020}.batch", 5, 8))).unwrap();
    let files = SealedFiles::open(Arc::new(disk.fork()), Path::new(SEALED)).unwrap();
    assert_eq!(files.holes(), [5..=8]);
    assert!(files.has(1) && files.has(9), "nothing that may be needed is deleted");
    assert!(files.firsts_from(3).is_err(), "not all of it is there");
    assert_eq!(files.firsts_from(9).unwrap(), [9]);

    // Where the control plane stands, and how many of the old batches still go there.
    let cases = [
        (Head::GENESIS, vec![&sent[0]], true),
        (head(&sent[0]), vec![], true),
        (head(&sent[1]), vec![&sent[2]], false),
        (head(&sent[2]), vec![], false),
    ];
    for (theirs, expected, stuck) in cases {
        let mut node = Node::open(&disk.fork());
        let opened = node.session(theirs);
        let mut found = Vec::new();
        let end = opened.and_then(|()| {
            loop {
                match node.next_to_send()? {
                    Some(batch) => found.push(batch),
                    None => return Ok(()),
                }
            }
        });
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        let missing = end.is_err_and(|error| error.contains("5 to 8 are missing"));
        assert_eq!(missing, stuck, "{theirs:?}");
    }
}

#[test]
fn acknowledged_batches_age_out_but_never_the_newest() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent) = three_batches(&key);
    let mut files = SealedFiles::open(Arc::new(disk), Path::new(SEALED)).unwrap();
    let last = head(&sent[2]).last;
    let keep = Retention { secs: 100, bytes: 1 << 20 };
    files.collect(last, 100, keep).unwrap();
    assert!(files.has(1), "young enough");
    files.collect(4, 101, keep).unwrap();
    assert!(!files.has(1) && files.has(5), "only what is acknowledged");
    files.collect(last, 0, Retention { secs: 100, bytes: 1 }).unwrap();
    assert!(!files.has(5) && files.has(9), "too much, but the newest stays");
    assert_eq!(files.head(), head(&sent[2]));
}

#[test]
fn before_the_first_acknowledgement_of_a_session_one_batch_is_under_way() {
    let key = SigningKey::generate().unwrap();
    let (disk, sent) = three_batches(&key);
    let sends = |node: &mut Node| {
        node.lane.next_to_send(Instant::now()).unwrap().map(|(outgoing, _)| as_batch(outgoing))
    };
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    let bytes = u64::try_from(sent[0].payload.len() + sent[0].sidecar.len()).unwrap();
    assert_eq!(sends(&mut node), Some(sent[0].clone()));
    assert_eq!((sends(&mut node), node.lane.largest_in_flight()), (None, bytes));
    assert_eq!(node.lane.ack(head(&sent[0])), Acked::Through(head(&sent[0])));
    assert_eq!(sends(&mut node), Some(sent[1].clone()));
    assert_eq!(sends(&mut node), Some(sent[2].clone()));
    // A session that broke off starts as carefully, behind what it has achieved.
    node.session(head(&sent[0])).unwrap();
    assert_eq!(sends(&mut node), Some(sent[1].clone()));
    assert_eq!(sends(&mut node), None);
}

#[test]
fn the_window_bounds_what_is_sealed() {
    let key = SigningKey::generate().unwrap();
    let disk = SimulatedDisk::default();
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    let mut sent = Vec::new();
    for _ in 0..10 {
        node.append(2);
        sent.extend(node.seal_and_send(&key));
    }
    assert_eq!(sent.len(), 1 + super::MAX_IN_FLIGHT, "the rest stays in the spool");
    assert_eq!(node.lane.ack(head(&sent[4])), Acked::Through(head(&sent[4])));
    let next = node.seal_and_send(&key);
    assert_eq!(next.len(), 1);
    assert_eq!((header(&next[0]).first_ordinal, header(&next[0]).last_ordinal), (11, 20), "as one batch");
}

#[test]
fn the_oldest_hit_that_waits_is_known_by_its_own_time() {
    let key = SigningKey::generate().unwrap();
    let disk = SimulatedDisk::default();
    let mut node = Node::open(&disk);
    node.session(Head::GENESIS).unwrap();
    assert_eq!(node.lane.oldest_micros(), 0);
    node.append(4);
    node.lane.fill(Instant::now()).unwrap();
    assert_eq!(node.lane.oldest_micros(), 1001, "read");
    node.lane.seal(&key, 7).unwrap();
    assert_eq!(node.lane.oldest_micros(), 1001, "sealed");
    let sent = node.seal_and_send(&key);
    assert_eq!((sent.len(), node.lane.oldest_micros()), (1, 0), "acknowledged");
    node.append(2);
    let behind = node.seal_and_send(&key);
    assert_eq!(node.lane.oldest_micros(), 1005);
    node.lane.ack(head(&behind[0]));
    node.session(Head::GENESIS).unwrap();
    assert_eq!(node.lane.oldest_micros(), 1001, "the control plane has forgotten it");
}
