//! The bytes both planes must agree on: protobuf messages, sealed click ids, signed and hash-chained
//! batches, personal sidecars, signed manifests, join bundles. All cryptography is aws-lc-rs.
//!
//! What is signed is never decoded before its signature was verified, and every reader here is bounded:
//! nothing that arrives from outside decides how much memory is taken.

pub mod click_id;
pub mod convert;
pub mod deep_link;
pub mod envelope;
pub mod join;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod personal;
pub mod postback;

/// Generated from `proto/tributary/edge/v1/edge.proto`.
#[allow(clippy::all, clippy::pedantic)]
pub mod edge_v1 {
    tonic::include_proto!("tributary.edge.v1");
}
