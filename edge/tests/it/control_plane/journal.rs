//! What a control plane has taken of one lane.

use proto_wire::edge_v1::Event;
use proto_wire::envelope::{GENESIS_HEAD, GapDeclaration, Header, SealedBatch};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Journal {
    /// By first ordinal.
    pub batches: BTreeMap<u64, (SealedBatch, Header)>,
    /// By first ordinal; they stand between the batches.
    pub gaps: BTreeMap<u64, GapDeclaration>,
}

/// What was sent begins behind the end of the journal.
pub struct Ahead {
    pub expected: u64,
}

impl Journal {
    pub fn head(&self) -> (u64, [u8; 32]) {
        let batch =
            self.batches.values().next_back().map(|(_, header)| (header.last_ordinal, header.head_hash()));
        let gap = self.gaps.values().next_back().map(|gap| (gap.last_ordinal, gap.resume_hash));
        batch.max(gap).unwrap_or((0, GENESIS_HEAD))
    }

    pub fn events(&self) -> Vec<Event> {
        let open = |(batch, header): &(SealedBatch, Header)| batch.open(header).unwrap().events;
        self.batches.values().flat_map(open).collect()
    }

    pub fn put_batch(&mut self, batch: SealedBatch, header: Header) -> Result<(), Ahead> {
        let first = header.first_ordinal;
        if self.continues(first, header.prev_hash)? {
            self.batches.insert(first, (batch, header));
        } else {
            assert!(self.batches.contains_key(&first), "the same boundaries as before");
        }
        Ok(())
    }

    pub fn put_gap(&mut self, gap: GapDeclaration) -> Result<(), Ahead> {
        let first = gap.first_ordinal;
        if self.continues(first, gap.prev_hash)? {
            self.gaps.insert(first, gap);
        } else {
            assert_eq!(self.gaps.get(&first), Some(&gap), "the same declaration as before");
        }
        Ok(())
    }

    /// Whether it is new here.
    fn continues(&self, first: u64, prev: [u8; 32]) -> Result<bool, Ahead> {
        let (last, hash) = self.head();
        if first > last + 1 {
            return Err(Ahead { expected: last + 1 });
        }
        if first == last + 1 {
            assert_eq!(prev, hash, "the chain continues");
        }
        Ok(first == last + 1)
    }

    /// As a backup from before `first` has it.
    pub fn forget_from(&mut self, first: u64) {
        self.batches.split_off(&first);
        self.gaps.split_off(&first);
    }
}
