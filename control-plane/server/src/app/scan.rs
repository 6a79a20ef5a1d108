//! What a batch of the journal holds of one tenant, and places in the journal as one number.

use control_plane_store::journal::JournalRow;
use proto_model::event::TrackingEvent;
use proto_model::{Address, TenantId};
use proto_wire::convert::{JournalEvent, event_from_wire};
use proto_wire::envelope::{Header, SealedBatch};

/// A place is the batch, then the event in it, counted from 1 (at most 4096).
const EVENT_BITS: u32 = 16;

/// Before the first event of this batch.
pub fn start_of(seq: u64) -> u64 {
    seq << EVENT_BITS
}

/// The batch in which this place is.
pub fn batch_of(place: u64) -> u64 {
    place >> EVENT_BITS
}

pub struct Scanned {
    pub place: u64,
    pub address: Address,
    pub event: TrackingEvent,
}

/// In the order of the batch. Decompressing is work for a thread that nobody waits on.
pub fn events_of(row: JournalRow, tenant: TenantId) -> Vec<Scanned> {
    let (seq, stream) = (row.seq, row.stream);
    let sealed = SealedBatch {
        header_bytes: row.header_bytes,
        signature: row.signature,
        payload: row.payload,
        sidecar: Vec::new(),
    };
    // It was verified when it came in; a batch that cannot be opened is the projector's to report.
    let Ok(batch) = Header::parse(&sealed.header_bytes).and_then(|header| sealed.open(&header)) else {
        return Vec::new();
    };
    let scanned = |(index, event): (u64, &proto_wire::edge_v1::Event)| {
        let Ok(JournalEvent::Tracking { ordinal, event }) = event_from_wire(event) else { return None };
        let found = Scanned { place: start_of(seq) | index, address: Address { stream, ordinal }, event };
        (found.event.tenant == tenant).then_some(found)
    };
    (1..).zip(&batch.events).filter_map(scanned).collect()
}
