//! A journal row as events and the personal values that belong to them.

use control_plane_store::journal::JournalRow;
use proto_model::event::{Personal, PersonalClass, TrackingEvent};
use proto_model::{StreamNo, TenantId};
use proto_wire::convert::{ConvertError, JournalEvent, SkipReason, event_from_wire};
use proto_wire::edge_v1::{Event, SidecarEntry};
use proto_wire::envelope::{EnvelopeError, Header, SealedBatch};
use proto_wire::personal;
use std::collections::BTreeMap;

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
    pub visitor_id: Option<String>,
}

#[derive(Debug, Default)]
pub struct OpenBatch {
    pub events: Vec<OpenEvent>,
    /// Events that could not be read; the others of the batch still count.
    pub unreadable: u64,
    pub first_error: Option<ConvertError>,
    /// Ordinals that the edge declares as lost: hits that it had answered and holds no more.
    pub lost: u64,
    /// Ordinals of clicks that it may have answered, and holds no more.
    pub maybe_lost: u64,
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

/// Both come in the order of their ordinals, but for entries that nobody honest has sent.
fn assemble(wire: &[Event], mut entries: Vec<SidecarEntry>, stream: StreamNo) -> OpenBatch {
    entries.sort_by_key(|entry| entry.ordinal);
    let mut entries = entries.into_iter().peekable();
    let mut batch = OpenBatch { events: Vec::with_capacity(wire.len()), ..OpenBatch::default() };
    for event in wire {
        while entries.next_if(|entry| entry.ordinal < event.ordinal).is_some() {}
        let entries = std::iter::from_fn(|| entries.next_if(|entry| entry.ordinal == event.ordinal));
        match event_from_wire(event) {
            Ok(JournalEvent::Tracking { ordinal, event: tracked }) => {
                let Bound { values, customer_id, visitor_id, refused } = bind(event, entries, stream);
                if refused > 0 {
                    batch.mismatched.entry(tracked.tenant).or_insert((0, ordinal)).0 += refused;
                }
                batch.events.push(OpenEvent { ordinal, event: tracked, values, customer_id, visitor_id });
            }
            Ok(JournalEvent::Skipped { from, through, reason: SkipReason::Lost }) => {
                batch.lost = batch.lost.saturating_add(through - from + 1);
            }
            Ok(JournalEvent::Skipped { from, through, reason: SkipReason::Bounded }) => {
                batch.maybe_lost = batch.maybe_lost.saturating_add(through - from + 1);
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

#[derive(Default)]
struct Bound {
    values: Vec<BoundValue>,
    customer_id: Option<String>,
    visitor_id: Option<String>,
    refused: u64,
}

/// Keeps one entry per class, and only what the event commits to and what can be read.
fn bind(event: &Event, entries: impl Iterator<Item = SidecarEntry>, stream: StreamNo) -> Bound {
    let mut bound = Bound::default();
    for entry in entries {
        match read(event, &entry, stream) {
            Some((class, salt, personal)) if bound.values.iter().all(|value| value.class != class) => {
                bound.customer_id = bound.customer_id.or(personal.customer_id);
                bound.visitor_id = bound.visitor_id.or(personal.visitor_id);
                bound.values.push(BoundValue { class, salt, value: entry.value });
            }
            _ => bound.refused += 1,
        }
    }
    bound
}

fn read(
    event: &Event,
    entry: &SidecarEntry,
    stream: StreamNo,
) -> Option<(PersonalClass, [u8; personal::SALT_LEN], Personal)> {
    let class = personal::class_from_wire(entry.personal_class).ok()?;
    let salt = entry.salt.as_slice().try_into().ok()?;
    if !personal::verify_entry(event, stream, entry) {
        return None;
    }
    Some((class, salt, personal::decode([(class, entry.value.as_slice())]).ok()?))
}

#[cfg(test)]
mod tests;
