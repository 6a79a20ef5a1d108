//! A disk that is smaller than the spool may be: it is filled, and empties itself again.

use super::*;
use proto_wire::edge_v1::{Sidecar, SidecarEntry};

const CAPACITY: u64 = 12 << 20;
const NOTHING: Retention = Retention { secs: 0, bytes: 0 };

struct Full {
    spool: Spool,
    lanes: PerLane<LaneSender>,
}

impl Full {
    fn open(disk: &SimulatedDisk) -> Self {
        disk.set_capacity(CAPACITY);
        let shared = Arc::new(disk.clone());
        let files =
            |lane: Lane| SealedFiles::open(shared.clone(), &Path::new(SEALED).join(lane.as_str())).unwrap();
        let files = PerLane::build(files);
        let sealed = PerLane::build(|lane| files[lane].head().last);
        let open = OpenAs { streams: streams(), sealed, existed: false };
        let config = SpoolConfig { segment_bytes: 1 << 20, ..SpoolConfig::default() };
        let spool = Spool::open(shared.clone(), Path::new(LOG), config, open).unwrap();
        let PerLane { money, traffic } = files;
        let lane = |lane, files| LaneSender::new(lane, &spool.log(), files, Head::GENESIS, PATIENCE);
        let lanes = PerLane { money: lane(Lane::Money, money), traffic: lane(Lane::Traffic, traffic) };
        Self { spool, lanes }
    }

    /// Hits that do not compress, until there is no room; returns how many were answered.
    fn fill(&self, lane: Lane) -> u64 {
        let local = self.spool.handle().local();
        let mut random = 88_172_645_463_325_252u64;
        let value = std::iter::repeat_with(|| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.to_be_bytes()
        });
        let mut values = value.flatten();
        let mut answered = 0;
        loop {
            let value: Vec<u8> = values.by_ref().take(3000).collect();
            let place = |at: proto_model::Address, out: &mut Vec<u8>| {
                let event = Event { ordinal: at.ordinal, tenant: 1, ..Event::default() };
                let entry = SidecarEntry { ordinal: at.ordinal, personal_class: 1, salt: vec![1; 16], value };
                event.encode(out).ok()?;
                Sidecar { entries: vec![entry] }.encode(out).ok()?;
                Some(event.encoded_len())
            };
            let Ok((_, durable)) = local.append(lane, place) else { return answered };
            if crate::spool::wait_for_test(durable).is_err() {
                return answered;
            }
            answered += 1;
        }
    }

    /// Seals and sends as long as that goes, then acknowledges what is under way; until all is sent. Returns the
    /// last ordinal of each lane that was acknowledged.
    fn drain(&mut self, key: &SigningKey) -> PerLane<u64> {
        let mut acked = PerLane::<u64>::default();
        for lane in Lane::ALL.iter().copied() {
            let next = self.spool.handle().status().next[lane];
            self.lanes[lane].open(streams().stream(lane).0, Head::GENESIS, next).unwrap();
        }
        loop {
            let under_way = PerLane::build(|lane| self.send(lane, key));
            let before = acked;
            for lane in Lane::ALL.iter().copied() {
                for head in under_way[lane].iter().copied() {
                    assert_eq!(self.lanes[lane].ack(head), Acked::Through(head));
                    acked[lane] = head.last;
                }
            }
            self.relieve();
            if Lane::ALL.iter().all(|lane| self.lanes[*lane].is_drained()) {
                return acked;
            }
            assert_ne!(acked, before, "it stands still: {:?}", self.spool.handle().status());
        }
    }

    fn send(&mut self, lane: Lane, key: &SigningKey) -> Vec<Head> {
        let mut sent = Vec::new();
        loop {
            sent.extend(
                std::iter::from_fn(|| self.lanes[lane].next_to_send(Instant::now()).unwrap())
                    .map(|(outgoing, _)| head(&as_batch(outgoing))),
            );
            self.lanes[lane].fill(Instant::now()).unwrap();
            let seals = self.lanes[lane].decide(Instant::now(), true) == Decision::Seal;
            // A full disk may fail it; acknowledgements then make room.
            if !seals || self.lanes[lane].seal(key, 0).is_err() {
                return sent;
            }
            let sealed = PerLane::build(|lane| self.lanes[lane].sealed());
            self.spool.log().release(sealed).unwrap();
            self.relieve();
        }
    }

    fn relieve(&mut self) {
        for lane in Lane::ALL.iter().copied().filter(|_| self.spool.log().is_tight()) {
            self.lanes[lane].collect(0, NOTHING).unwrap();
        }
    }
}

#[test]
fn a_disk_that_was_filled_empties_itself_also_after_a_crash() {
    let key = SigningKey::generate().unwrap();
    let disk = SimulatedDisk::default();
    let mut node = Full::open(&disk);
    let clicks = node.fill(Lane::Traffic);
    let conversions = node.fill(Lane::Money);
    assert!(clicks > 500 && conversions > clicks / 5, "{clicks} {conversions}");
    assert_eq!(node.fill(Lane::Traffic), 0);
    assert!(!node.spool.handle().status().has_room());

    let images = [Crash::Killed, Crash::Dropped, Crash::Torn { seed: 3 }, Crash::Torn { seed: 4 }];
    for crash in images {
        let image = disk.crashed(disk.ops(), crash);
        let mut node = Full::open(&image);
        let acked = node.drain(&key);
        assert!(acked.money >= conversions && acked.traffic >= clicks, "{crash:?}: {acked:?}");
    }
    let acked = node.drain(&key);
    assert_eq!(acked, PerLane { money: conversions, traffic: clicks });
    // And takes hits again, several times over: nothing piles up. It is less, since the last segment, a prepared one
    // and the newest batch of each lane stay, a megabyte each.
    for _ in 0..4 {
        let again = node.fill(Lane::Traffic);
        assert!(again > clicks / 8, "{again} of {clicks}");
        node.drain_again(&key);
    }
}

impl Full {
    /// In the same session with the control plane.
    fn drain_again(&mut self, key: &SigningKey) {
        while !Lane::ALL.iter().all(|lane| self.lanes[*lane].is_drained()) || self.has_unsealed() {
            for lane in Lane::ALL.iter().copied() {
                for head in self.send(lane, key) {
                    assert_eq!(self.lanes[lane].ack(head), Acked::Through(head));
                }
            }
            self.relieve();
        }
    }

    fn has_unsealed(&self) -> bool {
        let next = self.spool.handle().status().next;
        Lane::ALL.iter().any(|lane| self.lanes[*lane].sealed() + 1 < next[*lane])
    }
}
