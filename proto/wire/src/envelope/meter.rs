//! Where to cut a batch: counts what would be in it against the limits of [`super::SealedBatch::seal`].

use super::{MAX_EVENTS, MAX_RAW, MAX_SIDECAR_RAW};
use crate::edge_v1::{Event, SidecarEntry};
use prost::Message;

/// Key and length of one item of a repeated field.
const ITEM_OVERHEAD: usize = 1 + 5;

#[derive(Debug, Clone, Default)]
pub struct BatchMeter {
    events: usize,
    raw: usize,
    sidecar_raw: usize,
}

impl BatchMeter {
    /// Counts one more event and answers true, or false when the batch must be sealed without it.
    pub fn admit(&mut self, event: &Event, sidecar: &[SidecarEntry]) -> bool {
        let entries: usize = sidecar.iter().map(|entry| ITEM_OVERHEAD + entry.encoded_len()).sum();
        let next = Self {
            events: self.events + 1,
            raw: self.raw + ITEM_OVERHEAD + event.encoded_len(),
            sidecar_raw: self.sidecar_raw + entries,
        };
        let fits = next.events <= MAX_EVENTS && next.raw <= MAX_RAW && next.sidecar_raw <= MAX_SIDECAR_RAW;
        if fits {
            *self = next;
        }
        fits
    }

    pub fn events(&self) -> usize {
        self.events
    }
}
