//! The journal: sealed batches byte for byte as the edges signed them, insert-only.

use crate::fleet::LaneHead;
use crate::{Store, StoreError};
use proto_model::{Address, EdgeId, Lane, StreamNo, UnixMicros};

/// The envelope's header in plain fields; the caller has verified the signature over its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub events: u32,
    pub prev_hash: [u8; 32],
}

/// A verified batch on its way into the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewBatch {
    /// From the client certificate.
    pub edge: EdgeId,
    pub session: u64,
    pub header: BatchHeader,
    pub head_hash: [u8; 32],
    pub header_bytes: Vec<u8>,
    pub signature: [u8; 64],
    pub payload: Vec<u8>,
    /// Kept apart from the journal, and only until the projection has taken it up.
    pub sidecar: Vec<u8>,
    pub received_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AppendOutcome {
    /// Committed; ack up to the batch's last ordinal and its head hash.
    Appended { seq: u64 },
    /// The same bytes were here before: ack again, up to where the stream stands now.
    AlreadyCovered { last_ordinal: u64, head_hash: [u8; 32] },
    /// Something before it is missing.
    Gap { expected: u64 },
    /// Other bytes at ordinals that are taken, or a chain that does not continue: the stream is
    /// quarantined, now or since earlier.
    Fork { why: String },
    /// The session or the epoch is not the edge's newest.
    Fenced,
}

/// A batch as it stands in the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRow {
    /// Dense from 1, in commit order, over all streams.
    pub seq: u64,
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub events: u32,
    pub header_bytes: Vec<u8>,
    pub signature: [u8; 64],
    pub payload: Vec<u8>,
    pub head_hash: [u8; 32],
    pub received_at: UnixMicros,
    /// Gone once projected.
    pub sidecar: Option<Vec<u8>>,
}
impl Store {
    pub async fn append_batch(&self, batch: &NewBatch) -> Result<AppendOutcome, StoreError> {
        let _ = batch;
        Err(StoreError::NotFound)
    }
    /// Takes nothing more from the stream until an operator has looked.
    pub async fn quarantine(&self, stream: StreamNo, why: &str) -> Result<(), StoreError> {
        let _ = (stream, why);
        Err(StoreError::NotFound)
    }
    /// Batches after `seq`, in commit order.
    pub async fn journal_after(&self, seq: u64, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        let _ = (seq, limit);
        Err(StoreError::NotFound)
    }
    /// A stream's batches that end after `ordinal`, in order.
    pub async fn stream_batches(
        &self,
        stream: StreamNo,
        after_ordinal: u64,
        limit: u32,
    ) -> Result<Vec<JournalRow>, StoreError> {
        let _ = (stream, after_ordinal, limit);
        Err(StoreError::NotFound)
    }
    /// The newest batches of a lane, newest first.
    pub async fn recent_batches(&self, lane: Lane, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        let _ = (lane, limit);
        Err(StoreError::NotFound)
    }
    /// The batch that holds the event at `address`.
    pub async fn batch_at(&self, address: Address) -> Result<Option<JournalRow>, StoreError> {
        let _ = address;
        Err(StoreError::NotFound)
    }
    /// The streams of an edge's every epoch, oldest first.
    pub async fn edge_streams(&self, edge: EdgeId) -> Result<Vec<LaneHead>, StoreError> {
        let _ = edge;
        Err(StoreError::NotFound)
    }
}
