//! Crash images by the thousand: a run that is recorded step by step, cut after each operation, and each way in which
//! what was not synced may have got to the disk. The log and the sealed batches lie on the same disk.
//!
//! All of it follows from numbers that a failure names.

use super::*;
use crate::disk::simulated::{Crash, Fate};
use crate::forward::SealedFiles;
use proto_wire::edge_v1::EventBatch;
use proto_wire::envelope::{Header, HeaderFields, SealedBatch, last_covered};
use proto_wire::keys::SigningKey;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::pin::Pin;

/// Deep enough to be lost together with what it lies in.
const LOG: &str = "/data/spool/log";
const SEALED: &str = "/data/spool/sealed";
const WINDOW: Window = Window { window_ms: 50, window_hits: 3 };

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn fate(&mut self) -> Fate {
        Fate::ALL[usize::try_from(self.below(3)).unwrap()]
    }
}

/// Who was answered, by the operations that the disk had seen by then.
#[derive(Clone, Copy)]
struct Answered {
    ops: usize,
    lane: Lane,
    ordinal: u64,
    tag: u32,
}

/// A node's storage, on one thread.
struct Node {
    spool: Spool,
    steps: Steps,
    files: PerLane<SealedFiles>,
}

impl Node {
    fn open(disk: &SimulatedDisk, durability: Durability) -> Self {
        let shared: Arc<SimulatedDisk> = Arc::new(disk.clone());
        let files = PerLane::build(|lane| {
            SealedFiles::open(shared.clone(), &Path::new(SEALED).join(lane.as_str())).unwrap()
        });
        let sealed = PerLane::build(|lane| files[lane].head().last);
        let config = SpoolConfig { durability, bounded: WINDOW, ..config() };
        let handle = SpoolHandle::absent(shared, Path::new(LOG), config, streams());
        let open = OpenAs { sealed, ..open_as() };
        let (spool, steps) = Spool::open_in_steps(&handle, open, Reading::Strict).unwrap();
        Self { spool, steps, files }
    }

    /// What was answered meanwhile, if it was.
    fn append(&self, lane: Lane, tag: u32) -> Option<(u64, Durable)> {
        let place = |address, out: &mut Vec<u8>| encode(event(address, tag), out);
        let (address, durable) = self.spool.handle().local().append(lane, place).ok()?;
        Some((address.ordinal, durable))
    }

    /// Seals what is durable, and gives up the segments that hold nothing else.
    fn seal(&mut self, key: &SigningKey) {
        for lane in [Lane::Money, Lane::Traffic] {
            let head = self.files[lane].head();
            let mut reader = self.spool.log().reader(lane, head.last);
            let (mut events, mut sidecar) = (EventBatch::default(), Sidecar::default());
            while let Some(spooled) = reader.read_next().unwrap() {
                events.events.push(spooled.event);
                sidecar.entries.extend(spooled.sidecar);
            }
            if events.events.is_empty() {
                continue;
            }
            let Streams { edge, epoch, .. } = streams();
            let stream = streams().stream(lane);
            let fields = HeaderFields { edge, epoch, lane, stream, prev_hash: head.hash };
            let batch = SealedBatch::seal(key, fields, &events, &sidecar).unwrap();
            let header = Header::parse(&batch.header_bytes).unwrap();
            if self.files[lane].store(&batch, &header, None, 0).is_err() {
                // The disk fails: another time.
                return;
            }
        }
        self.spool.log().release(PerLane::build(|lane| self.files[lane].head().last)).unwrap();
    }

    fn end(mut self, in_order: bool) {
        self.spool.end(in_order);
        while self.steps.turn() {}
    }

    /// All that a lane holds, sealed or not. Each ordinal comes once.
    fn book(&self, lane: Lane, opened: &OpenedBatches) -> Book {
        let mut book = Book { next: 1, ..Book::default() };
        let files = &self.files[lane];
        let sealed = if files.head().last > 0 { files.firsts_from(1).unwrap() } else { Vec::new() };
        for first in sealed {
            let (batch, header) = files.load(first).unwrap();
            let mut opened = opened.borrow_mut();
            let batch = opened.entry(batch.to_file_bytes()).or_insert_with(|| open_batch(&batch, &header));
            for (event, sidecar) in batch {
                book.enter(event, sidecar);
            }
        }
        assert_eq!(book.next, files.head().last + 1);
        let mut reader = self.spool.log().reader(lane, files.head().last);
        while let Some(Spooled { event, sidecar }) = reader.read_next().unwrap() {
            book.enter(&event, &sidecar);
        }
        book
    }
}

fn record_of(ordinal: u64, tag: u32) -> (Event, Vec<SidecarEntry>) {
    event(Address { stream: StreamNo(0), ordinal }, tag)
}

#[derive(Debug, Default, PartialEq)]
struct Book {
    next: u64,
    tags: BTreeMap<u64, u32>,
    lost: Vec<RangeInclusive<u64>>,
    maybe_lost: Vec<RangeInclusive<u64>>,
}

impl Book {
    fn enter(&mut self, event: &Event, sidecar: &[SidecarEntry]) {
        assert_eq!(event.ordinal, self.next, "dense");
        let through = last_covered(event);
        match &event.body {
            Some(event::Body::Skipped(skipped)) => match SkipReason::from_code(skipped.reason).unwrap() {
                SkipReason::Unclean => {}
                SkipReason::Lost => self.lost.push(event.ordinal..=through),
                SkipReason::Bounded => self.maybe_lost.push(event.ordinal..=through),
            },
            _ => {
                let (expected, entries) = record_of(event.ordinal, event.tenant);
                assert_eq!((event, sidecar), (&expected, &entries[..]), "to the byte");
                self.tags.insert(event.ordinal, event.tenant);
            }
        }
        self.next = through + 1;
    }

    fn declares(&self, ordinal: u64) -> bool {
        self.maybe_lost.iter().chain(&self.lost).any(|range| range.contains(&ordinal))
    }
}

/// What stands in sealed batches, by their bytes: thousands of images hold the same ones.
type OpenedBatches = RefCell<HashMap<Vec<u8>, Vec<(Event, Vec<SidecarEntry>)>>>;

fn open_batch(batch: &SealedBatch, header: &Header) -> Vec<(Event, Vec<SidecarEntry>)> {
    let mut entries = batch.open_sidecar().unwrap().entries.into_iter().peekable();
    let with_entries = |event: Event| {
        let of_event =
            std::iter::from_fn(|| entries.next_if(|entry| entry.ordinal == event.ordinal)).collect();
        (event, of_event)
    };
    batch.open(header).unwrap().events.into_iter().map(with_entries).collect()
}

/// A run that was recorded.
struct Run {
    disk: SimulatedDisk,
    durability: Durability,
    given: HashMap<(Lane, u64), u32>,
    answered: Vec<Answered>,
    opened: OpenedBatches,
    met: Met,
    /// After so many operations an `fdatasync` has failed, and so many later the mark of the boot is gone.
    failed: Option<usize>,
}

/// What a run has met with.
#[derive(Debug, Default, PartialEq)]
struct Met {
    failed_sync: bool,
    moved: bool,
    orderly_end: bool,
    rotated: bool,
}

impl Met {
    const ALL: Self = Self { failed_sync: true, moved: true, orderly_end: true, rotated: true };
}

/// Hits come in groups, batches are sealed, the disk fails once, the node stops in order and otherwise.
fn record(seed: u64, durability: Durability, key: &SigningKey) -> Run {
    let disk = SimulatedDisk::default();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (given, answered, opened) = (HashMap::new(), Vec::new(), OpenedBatches::default());
    let mut run =
        Run { disk: disk.clone(), durability, given, answered, opened, met: Met::default(), failed: None };
    let mut tag = 0;
    for round in 0..3 {
        let mut node = Node::open(&disk, durability);
        let begun = node.spool.log().end().borrow().sequence;
        let mut waiting = Vec::new();
        for step in 0..14 {
            if (round, step) == (1, 7) && random.below(2) == 0 {
                disk.fail_some_syncs_after(0, 1);
            }
            for _ in 0..=random.below(4) {
                tag += 1;
                let lane = if random.below(4) == 0 { Lane::Money } else { Lane::Traffic };
                if let Some((ordinal, durable)) = node.append(lane, tag) {
                    run.given.insert((lane, ordinal), tag);
                    waiting.push((lane, ordinal, tag, durable));
                }
            }
            let turns = node.steps.turn();
            run.note(&mut waiting);
            match random.below(4) {
                0 if turns => node.seal(key),
                1 | 2 => node.steps.sync(),
                _ => {}
            }
            run.note(&mut waiting);
        }
        let moved = node.spool.handle().status().moved;
        run.met.moved |= moved > 0;
        run.met.rotated |= node.spool.log().end().borrow().sequence - begun > moved;
        node.end(random.below(2) == 0);
        run.met.orderly_end |= Disk::len(&disk, &Path::new(LOG).join("clean")).is_ok();
        disk.fail_some_syncs_after(0, 0);
        run.note(&mut waiting);
    }
    run.failed = disk.first_failed_sync().map(|at| at + 1);
    run.met.failed_sync = run.failed.is_some();
    run
}

impl Run {
    fn note(&mut self, waiting: &mut Vec<(Lane, u64, u32, Durable)>) {
        let ops = self.disk.ops();
        waiting.retain_mut(|(lane, ordinal, tag, durable)| {
            let outcome = Pin::new(durable).poll(&mut Context::from_waker(Waker::noop()));
            if outcome == Poll::Ready(Ok(())) {
                self.answered.push(Answered { ops, lane: *lane, ordinal: *ordinal, tag: *tag });
            }
            outcome.is_pending()
        });
    }

    /// Opens what is left after `ops` operations, and holds it to the promise. Says how many operations the disk has
    /// seen after the start.
    fn check(&self, image: &SimulatedDisk, ops: usize, end: End) -> usize {
        let is_marked = Disk::len(image, &Path::new(LOG).join("boot")).is_ok();
        let mut node = Node::open(image, self.durability);
        let started = image.ops();
        let books = PerLane::build(|lane| node.book(lane, &self.opened));
        for lane in [Lane::Money, Lane::Traffic] {
            let answered = || self.answered.iter().filter(move |it| it.lane == lane && it.ops <= ops);
            let last = answered().map(|it| it.ordinal).max().unwrap_or_default();
            let missing = answered().filter(|it| books[lane].tags.get(&it.ordinal) != Some(&it.tag));
            let missing: BTreeSet<u64> = missing.map(|it| it.ordinal).collect();
            let may_miss =
                lane == Lane::Traffic && self.durability == Durability::Bounded && end != End::Killed;
            let window = if may_miss { u64::from(WINDOW.window_hits) } else { 0 };
            let at_the_end = missing.iter().all(|ordinal| ordinal + window > last);
            assert!(at_the_end, "{lane:?}: answered up to {last}, but lost: {missing:?}");
            assert!(
                missing.iter().all(|ordinal| books[lane].declares(*ordinal)),
                "not declared: {missing:?}"
            );
            // What is dropped between two writes leaves less than a sector empty.
            if self.durability == Durability::Bounded && end != End::Evicted {
                assert_eq!(books[lane].lost, [], "{lane:?}: a power cut is no damage");
            }
            assert!(lane == Lane::Traffic || books[lane].maybe_lost.is_empty());
            // Not marked: before it ever was, or between a failed sync and the copy.
            if end == End::Killed && is_marked {
                assert_eq!(node.spool.handle().status().maybe_lost, 0, "{lane:?}: it was only killed");
            }
            for (ordinal, tag) in &books[lane].tags {
                assert_eq!(self.given.get(&(lane, *ordinal)), Some(tag), "phantom {ordinal}");
            }
            let (fresh, mut durable) = node.append(lane, 7).unwrap();
            assert!(fresh > last, "address {fresh} used twice, {last} was answered");
            assert!(node.steps.turn());
            node.steps.sync();
            assert!(Pin::new(&mut durable).poll(&mut Context::from_waker(Waker::noop())).is_ready());
            let found = node.spool.log().reader(lane, fresh - 1).read_next().unwrap();
            assert_eq!(found.map(|found| found.event), Some(record_of(fresh, 7).0), "goes on");
        }
        drop(node);
        // Another end finds the same again, in the segment that was copied.
        let again = Node::open(&image.fork(), self.durability);
        for lane in [Lane::Money, Lane::Traffic] {
            let mut tags = again.book(lane, &self.opened).tags;
            tags.pop_last();
            assert_eq!(tags, books[lane].tags, "a second start");
        }
        started
    }
}

/// Every way in which kinds of things can fare, that of each sector and each name being drawn.
fn crashes(seed: u64) -> Vec<Crash> {
    let mut all = Vec::new();
    for data in Fate::ALL {
        for lengths in Fate::ALL {
            for names in Fate::ALL {
                all.push(Crash::Mixed { data, lengths, names, seed });
            }
        }
    }
    all
}

/// What has ended, as far as bounded mode is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    /// Killed, and then what a failed sync had left was dropped.
    Evicted,
    PowerCut,
}

impl End {
    fn of(crash: Crash) -> Self {
        match crash {
            Crash::Evicted => Self::Evicted,
            crash if crash.is_kill() => Self::Killed,
            _ => Self::PowerCut,
        }
    }
}

/// Names what it does when that fails.
struct Doing(String);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the image: {}", self.0);
        }
    }
}

/// Returns how many images there were, and what the run has met with.
fn check_all(seed: u64, durability: Durability, key: &SigningKey) -> (usize, Met) {
    let run = record(seed, durability, key);
    let mut random = Random(seed | 1);
    let mut images = 0;
    for ops in 0..=run.disk.ops() {
        // As soon as whoever was told of the failure has had the time to say so.
        let evicted = run.failed.filter(|failed| ops > *failed).map(|_| Crash::Evicted);
        for crash in crashes(random.below(1 << 40)).into_iter().chain(evicted) {
            let doing = Doing(format!("run {seed} {durability:?}, {crash:?} after {ops}"));
            let end = End::of(crash);
            let image = if end == End::Killed { run.disk.killed(ops) } else { run.disk.crashed(ops, crash) };
            let before = image.ops();
            let started = run.check(&image, ops, end);
            images += 1;
            drop(doing);
            // The power goes again while this is recovered.
            let cut = before + usize::try_from(random.below((started - before) as u64 + 1)).unwrap();
            let (data, lengths, names) = (random.fate(), random.fate(), random.fate());
            let second = Crash::Mixed { data, lengths, names, seed: random.below(1 << 40) };
            if random.below(4) == 0 {
                let _doing = Doing(format!(
                    "run {seed} {durability:?}, {crash:?} after {ops}, {second:?} after {cut}"
                ));
                let stays = second.is_kill() || end == End::Evicted;
                let end = if stays { end } else { End::PowerCut };
                run.check(&image.crashed(cut, second), ops, end);
                images += 1;
            }
        }
    }
    (images, run.met)
}

/// Of each run; together more than 10,000.
const IMAGES: usize = 8_000;

#[test]
fn whatever_a_crash_leaves_of_a_strict_run() {
    let (images, met) = check_all(5, Durability::Strict, &SigningKey::generate().unwrap());
    assert!(images > IMAGES && met == Met::ALL, "{images} {met:?}");
}

#[test]
fn whatever_a_crash_leaves_of_a_bounded_run() {
    let (images, met) = check_all(4, Durability::Bounded, &SigningKey::generate().unwrap());
    assert!(images > IMAGES && met == Met::ALL, "{images} {met:?}");
}

/// Of runs that follow from other numbers, for nights.
#[test]
#[ignore = "takes minutes"]
fn whatever_a_crash_leaves_of_many_runs() {
    let key = SigningKey::generate().unwrap();
    let (begun, mut all) = (std::time::Instant::now(), 0);
    for seed in 3..11 {
        let durability = if seed % 2 == 0 { Durability::Strict } else { Durability::Bounded };
        all += check_all(seed, durability, &key).0;
        println!("{all} images in {:?}", begun.elapsed());
    }
}
