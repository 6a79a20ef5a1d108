//! A node under test and its control plane.

use crate::control_plane::{ControlPlane, Inner, Listener};
use edge::{Config, EdgeHandle};
use prost::Message;
use proto_model::{Address, Lane};
use proto_wire::edge_v1::{Event, Sidecar, SidecarEntry, event};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub struct World {
    pub control: Arc<ControlPlane>,
    pub listener: Option<Listener>,
    pub dir: TempDir,
    /// What was acknowledged as durable: address to tag.
    pub expected: BTreeMap<(u8, u64), u32>,
    tags: u32,
}

impl World {
    /// An enrolled node that is not running yet.
    pub async fn new() -> Self {
        Self::enrolled_by(ControlPlane::new()).await
    }

    pub async fn enrolled_by(control: Arc<ControlPlane>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), control).await
    }

    /// Keeps what it has in `dir`.
    pub async fn at(dir: TempDir, control: Arc<ControlPlane>) -> Self {
        let listener = control.listen().await;
        edge::enroll(dir.path(), &control.bundle()).await.unwrap();
        Self { control, listener: Some(listener), dir, expected: BTreeMap::new(), tags: 0 }
    }

    pub fn config(&self) -> Config {
        Config {
            data_dir: self.dir.path().to_path_buf(),
            listen: ([127, 0, 0, 1], 0).into(),
            admin_listen: None,
            workers: 1,
            ..Config::default()
        }
    }

    pub async fn start(&self) -> EdgeHandle {
        edge::start(self.config()).await.unwrap()
    }

    /// Spools an event, waits until it is durable, and remembers it.
    pub async fn spool(&mut self, node: &EdgeHandle, lane: Lane) {
        self.tags += 1;
        let tag = self.tags;
        let place = |address: Address, out: &mut Vec<u8>| {
            let event = Event { ordinal: address.ordinal, tenant: tag, ..Event::default() };
            let salt = vec![1; 16];
            let value = tag.to_be_bytes().to_vec();
            let entry = SidecarEntry { ordinal: address.ordinal, personal_class: 1, salt, value };
            event.encode(out).unwrap();
            Sidecar { entries: vec![entry] }.encode(out).unwrap();
            Some(event.encoded_len())
        };
        let (address, durable) = node.parts().spool.local().append(lane, place).unwrap();
        durable.await.unwrap();
        self.expected.insert((lane.code(), address.ordinal), tag);
    }

    pub async fn spool_some(&mut self, node: &EdgeHandle, count: u32) {
        for at in 0..count {
            let lane = if at % 3 == 0 { Lane::Money } else { Lane::Traffic };
            self.spool(node, lane).await;
        }
    }

    /// Waits until everything that was durable has arrived, then checks that it arrived once, in order.
    pub async fn all_arrived(&self) {
        let expected = &self.expected;
        let everything = |inner: &Inner| {
            expected.keys().all(|(lane, ordinal)| {
                let lane = Lane::from_code(*lane).unwrap();
                inner.journals.get(&lane).is_some_and(|journal| journal.head().0 >= *ordinal)
            })
        };
        self.control.until("everything arrived", everything).await;
        assert_eq!(&self.arrived(), expected);
    }

    /// What the journal holds, without what is declared as skipped. Checks that it is dense.
    pub fn arrived(&self) -> BTreeMap<(u8, u64), u32> {
        let inner = self.control.lock();
        let mut found = BTreeMap::new();
        for (lane, journal) in &inner.journals {
            let mut next = 1;
            for event in journal.events() {
                // What is declared lost takes the place of what it was.
                if let Some(gap) = journal.gaps.get(&next) {
                    next = gap.last_ordinal + 1;
                }
                assert_eq!(event.ordinal, next);
                next = proto_wire::envelope::last_covered(&event) + 1;
                if !matches!(event.body, Some(event::Body::Skipped(_))) {
                    found.insert((lane.code(), event.ordinal), event.tenant);
                }
            }
        }
        found
    }

    pub fn skipped(&self, lane: Lane) -> usize {
        let inner = self.control.lock();
        let events = inner.journals.get(&lane).map(|journal| journal.events()).unwrap_or_default();
        events.iter().filter(|event| matches!(event.body, Some(event::Body::Skipped(_)))).count()
    }
}

/// Polls; the deadline only ends a test that has failed.
pub async fn until(what: &str, mut met: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
