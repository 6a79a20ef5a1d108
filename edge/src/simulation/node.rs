//! An edge: the spool, the sealed batches and the sender as they are, on a disk and a network that are simulated; and
//! those who bring it hits and are answered.

use super::net::dial;
use super::plan::EDGES;
use super::plane::{edge_id, stream_no};
use super::random::Random;
use crate::disk::simulated::{Crash, SimulatedDisk};
use crate::forward::{ForwardConfig, Phase, SealedFiles, Sender, SenderParts};
use crate::identity::ControlLink;
use crate::lanes::PerLane;
use crate::spool::{
    Durability, Durable, LocalSpool, OpenAs, Reading, Spool, SpoolConfig, SpoolHandle, Steps, Streams,
};
use crate::state::State;
use prost::Message;
use proto_model::{Address, Lane, StreamNo};
use proto_wire::edge_v1::Event;
use proto_wire::keys::{PublicKey, SigningKey};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::watch;

/// A hit that was answered: its lane, its place, and what tells it from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub lane: Lane,
    pub ordinal: u64,
    pub tag: u32,
}

pub(super) struct Inner {
    disk: SimulatedDisk,
    starts: u64,
    /// Hits that came, answered or not.
    pub hits: u32,
    pub answered: Vec<Answered>,
    /// Places that were given out, by lane: a click's id is made of its place, whether or not it was answered.
    given: PerLane<BTreeSet<u64>>,
}

pub(super) struct Node {
    pub edge: usize,
    pub durability: Durability,
    seed: u64,
    pause: Duration,
    /// No more hits from then on.
    calm: Duration,
    batch_key: Vec<u8>,
    control_key: PublicKey,
    inner: Mutex<Inner>,
}

fn config(durability: Durability) -> SpoolConfig {
    // The simulated disk has no clock: all its files are of 1970.
    let retain_secs = 1 << 40;
    SpoolConfig { segment_bytes: 4096, retain_secs, durability, ..SpoolConfig::default() }
}

impl Node {
    pub fn new(
        edge: usize,
        seed: u64,
        (pause, calm): (Duration, Duration),
        keys: (&SigningKey, PublicKey),
    ) -> Arc<Self> {
        let disk = SimulatedDisk::default();
        let inner = Inner { disk, starts: 0, hits: 0, answered: Vec::new(), given: PerLane::default() };
        let (batch_key, control_key) = (keys.0.pkcs8().to_vec(), keys.1);
        // The last edge takes its chances.
        let durability = if edge == EDGES - 1 { Durability::Bounded } else { Durability::Strict };
        Arc::new(Self {
            edge,
            durability,
            seed,
            pause,
            calm,
            batch_key,
            control_key,
            inner: Mutex::new(inner),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// What the next start finds. The node must be down.
    pub fn crash(&self, crash: Crash) {
        let mut inner = self.lock();
        inner.disk = inner.disk.crashed(inner.disk.ops(), crash);
    }

    /// Runs until it is killed.
    pub async fn run(self: Arc<Self>) -> turmoil::Result {
        let (disk, starts) = {
            let mut inner = self.lock();
            inner.starts += 1;
            (Arc::new(inner.disk.clone()), inner.starts)
        };
        let part = u64::try_from(self.edge).unwrap() * 1000 + starts;
        let files = PerLane::try_build(|lane| {
            SealedFiles::open(disk.clone(), &Path::new("/sealed").join(lane.as_str()))
        })?;
        let sealed = PerLane::build(|lane| files[lane].head().last);
        let stream = |lane| StreamNo(stream_no(self.edge, lane));
        let streams = Streams {
            edge: edge_id(self.edge),
            epoch: 1,
            money: stream(Lane::Money),
            traffic: stream(Lane::Traffic),
        };
        let open = OpenAs { streams, sealed, existed: false };
        let handle = SpoolHandle::absent(disk, Path::new("/log"), config(self.durability), streams);
        let (spool, mut steps) = Spool::open_in_steps(&handle, open, Reading::Strict)?;
        let key = SigningKey::from_pkcs8(&self.batch_key)?;
        let link = ControlLink::of_a_simulation(edge_id(self.edge), self.control_key, key, dial);
        let (_running, phase) = watch::channel(Phase::Running);
        let mut jitter = Random::of(self.seed, part + 500);
        let sender = Sender::new(SenderParts {
            link: Arc::new(link),
            spool: spool.handle(),
            log: spool.log(),
            files,
            state: State::of_a_simulation(),
            status: Arc::default(),
            config: config(self.durability),
            forward: ForwardConfig::default(),
            phase,
            jitter: Box::new(move || [u8::try_from(jitter.below(256)).unwrap_or(0)]),
        });
        tokio::spawn(sender.run());
        self.take_hits(&spool.handle(), &mut steps, Random::of(self.seed, part)).await;
        std::future::pending().await
    }

    async fn take_hits(&self, spool: &SpoolHandle, steps: &mut Steps, mut random: Random) {
        let hits = spool.local();
        loop {
            tokio::time::sleep(random.between(Duration::ZERO, self.pause * 2)).await;
            if turmoil::sim_elapsed().is_some_and(|elapsed| elapsed >= self.calm) {
                steps.sync();
                steps.turn();
                return;
            }
            let waiting: Vec<_> =
                (0..1 + random.below(3)).filter_map(|_| self.come(&hits, &mut random)).collect();
            steps.turn();
            let waiting = self.answer(waiting);
            if random.one_in(2) {
                // Bounded: what was only written becomes durable now, or a few hits later.
                steps.sync();
                steps.turn();
            }
            self.answer(waiting);
        }
    }

    /// A hit comes and is given its place.
    fn come(&self, spool: &LocalSpool, random: &mut Random) -> Option<(Answered, Durable)> {
        let lane = if random.one_in(3) { Lane::Money } else { Lane::Traffic };
        let tag = {
            let mut inner = self.lock();
            inner.hits += 1;
            inner.hits
        };
        let place = |at: Address, out: &mut Vec<u8>| {
            let event = Event { ordinal: at.ordinal, tenant: tag, ..Event::default() };
            event.encode(out).ok().map(|()| event.encoded_len())
        };
        let (address, durable) = spool.append(lane, place).ok()?;
        let is_new = self.lock().given[lane].insert(address.ordinal);
        assert!(is_new, "edge {}, {lane:?}: {} was given out before", self.edge, address.ordinal);
        Some((Answered { lane, ordinal: address.ordinal, tag }, durable))
    }

    /// Answers those that need not wait any longer; the others remain. Nobody comes back for them: they are the hits
    /// that were on their way when a node died, or whose client has gone.
    fn answer(&self, waiting: Vec<(Answered, Durable)>) -> Vec<(Answered, Durable)> {
        let mut context = Context::from_waker(Waker::noop());
        let mut still = Vec::new();
        for (hit, mut durable) in waiting {
            match Pin::new(&mut durable).poll(&mut context) {
                Poll::Ready(Ok(())) => self.lock().answered.push(hit),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => still.push((hit, durable)),
            }
        }
        still
    }
}
