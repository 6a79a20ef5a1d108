//! A journal row as events and the personal values that belong to them.

use control_plane_store::journal::JournalRow;
use proto_model::event::{Personal, PersonalClass, TrackingEvent};
use proto_model::{StreamNo, TenantId};
use proto_wire::convert::{ConvertError, JournalEvent, SkipReason, event_from_wire};
use proto_wire::edge_v1::{Event, SidecarEntry};
use proto_wire::envelope::{EnvelopeError, Header, SealedBatch};
use proto_wire::personal;
use std::collections::{BTreeMap, HashMap};

/// A personal value whose commitment stands in its event.
#[derive(Debug, Clone)]
pub struct BoundValue {
    pub class: PersonalClass,
    pub salt: [u8; 16],
    pub value: Vec<u8>,
}

#[derive(Debug)]
pub struct OpenEvent {
    pub ordinal: u64,
    pub event: TrackingEvent,
    pub values: Vec<BoundValue>,
    pub customer_id: Option<String>,
}

#[derive(Debug, Default)]
pub struct OpenBatch {
    pub events: Vec<OpenEvent>,
    /// Events that could not be read; the others of the batch still count.
    pub unreadable: u64,
    pub first_error: Option<ConvertError>,
    /// Ordinals that the edge declares as lost: hits that it had answered and holds no more.
    pub lost: u64,
    /// Entries that no event of this batch commits to, or that cannot be read, by the tenant of the event.
    pub mismatched: BTreeMap<TenantId, (u64, u64)>,
}

impl OpenBatch {
    pub fn first_unreadable(&self) -> Option<String> {
        self.first_error.as_ref().map(ToString::to_string)
    }
}

pub fn open(row: &JournalRow) -> Result<OpenBatch, EnvelopeError> {
    let sealed = SealedBatch {
        header_bytes: row.header_bytes.clone(),
        signature: row.signature,
        payload: row.payload.clone(),
        sidecar: row.sidecar.clone().unwrap_or_default(),
    };
    let header = Header::parse(&sealed.header_bytes)?;
    let wire = sealed.open(&header)?.events;
    // The sidecar is not signed: a broken one costs its values, never the events.
    let entries = match sealed.open_sidecar() {
        Ok(sidecar) => sidecar.entries,
        Err(error) => {
            tracing::warn!(edge = %row.edge, seq = row.seq, "the sidecar is dropped: {error}");
            Vec::new()
        }
    };
    Ok(assemble(&wire, entries, row.stream))
}

fn assemble(wire: &[Event], entries: Vec<SidecarEntry>, stream: StreamNo) -> OpenBatch {
    let mut by_ordinal: HashMap<u64, Vec<SidecarEntry>> = HashMap::new();
    for entry in entries {
        by_ordinal.entry(entry.ordinal).or_default().push(entry);
    }
    let mut batch = OpenBatch::default();
    for event in wire {
        let entries = by_ordinal.remove(&event.ordinal).unwrap_or_default();
        match event_from_wire(event) {
            Ok(JournalEvent::Tracking { ordinal, event: tracked }) => {
                let claimed = entries.len();
                let (values, personal) = bind(event, entries, stream);
                if values.len() < claimed {
                    let counted = batch.mismatched.entry(tracked.tenant).or_insert((0, ordinal));
                    counted.0 += u64::try_from(claimed - values.len()).unwrap_or_default();
                }
                let customer_id = personal.customer_id;
                batch.events.push(OpenEvent { ordinal, event: tracked, values, customer_id });
            }
            Ok(JournalEvent::Skipped { from, through, reason: SkipReason::Lost }) => {
                batch.lost = batch.lost.saturating_add(through - from + 1);
            }
            Ok(JournalEvent::Skipped { reason: SkipReason::Unclean, .. }) => {}
            Err(error) => {
                batch.unreadable += 1;
                batch.first_error.get_or_insert(error);
            }
        }
    }
    batch
}

/// Keeps one entry per class, and only what the event commits to and what can be read.
fn bind(event: &Event, entries: Vec<SidecarEntry>, stream: StreamNo) -> (Vec<BoundValue>, Personal) {
    let mut values: Vec<BoundValue> = Vec::new();
    let mut all = Personal::default();
    for entry in entries {
        let (Ok(class), Ok(salt)) =
            (personal::class_from_wire(entry.personal_class), entry.salt.as_slice().try_into())
        else {
            continue;
        };
        let repeated = values.iter().any(|value| value.class == class);
        if repeated || !personal::verify_entry(event, stream, &entry) {
            continue;
        }
        let Ok(read) = personal::decode([(class, entry.value.as_slice())]) else { continue };
        all.customer_id = all.customer_id.or(read.customer_id);
        values.push(BoundValue { class, salt, value: entry.value });
    }
    (values, all)
}

#[cfg(test)]
mod tests;
