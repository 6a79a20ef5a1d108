//! Between the vocabulary of `proto-model` and `proto-rules` and protobuf messages.
//!
//! Towards the wire conversion cannot fail. From the wire everything is checked: a code must be known, an
//! id possible, a text within [`crate::limits`], so that what the control plane stores and computes with
//! is well-formed even if an edge is not.

mod conditions;
mod event_in;
mod event_out;
mod hit;
mod keys;
mod routes;
mod rules;
mod unplaced;

pub use event_in::{JournalEvent, event_from_wire};
pub use event_out::{SkipReason, event_to_wire, skipped_to_wire};
pub use hit::{BodyRef, ConversionRef, FactsRef, FineRef, HitRef, NetworkRef, PersonalRef, RefusedRef};
pub use keys::{ClickKeyError, click_keys_from_wire, deep_link_keys_from_wire};
pub use routes::{route_table_from_wire, route_table_to_wire};
pub use rules::{RuleSetError, rule_set_from_wire, rule_set_to_wire};
pub use unplaced::Unplaced;

use crate::edge_v1;
use proto_model::Lane;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    #[error("event {ordinal}: {field} is missing, too long, malformed or unknown")]
    Field { ordinal: u64, field: &'static str },
    #[error("lane {0} is unknown")]
    Lane(i32),
}

pub fn lane_to_wire(lane: Lane) -> edge_v1::Lane {
    match lane {
        Lane::Money => edge_v1::Lane::Money,
        Lane::Traffic => edge_v1::Lane::Traffic,
    }
}

/// Takes the number as it stands in a message.
pub fn lane_from_wire(lane: i32) -> Result<Lane, ConvertError> {
    match edge_v1::Lane::try_from(lane) {
        Ok(edge_v1::Lane::Money) => Ok(Lane::Money),
        Ok(edge_v1::Lane::Traffic) => Ok(Lane::Traffic),
        Ok(edge_v1::Lane::Unspecified) | Err(_) => Err(ConvertError::Lane(lane)),
    }
}
