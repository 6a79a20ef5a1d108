//! The batch header, a fixed layout that is signed as it stands. All numbers big-endian.
//!
//! | offset | bytes | content |
//! |-------:|------:|---------|
//! | 0      | 1     | version, 1 |
//! | 1      | 1     | lane: 1 money, 2 traffic |
//! | 2      | 8     | edge id |
//! | 10     | 4     | epoch |
//! | 14     | 4     | stream number of (edge, epoch, lane) |
//! | 18     | 8     | first ordinal |
//! | 26     | 8     | last ordinal |
//! | 34     | 4     | events |
//! | 38     | 4     | length of the payload, decompressed |
//! | 42     | 4     | length of the payload |
//! | 46     | 32    | head hash of the batch before; zeros for the first of a stream |
//! | 78     | 32    | SHA-256 of the payload as sent |
//!
//! The signature is Ed25519 over `"tributary-batch-v1\0" || header`. The head hash of a stream after this
//! batch is `sha256("tributary-head-v1\0" || header)`: since `prev_hash` is in it, it stands for the whole
//! stream up to here.

use super::{EnvelopeError, MAX_COMPRESSED, MAX_EVENTS, MAX_RAW, at};
use crate::keys::sha256_of;
use proto_model::event::ORDINAL_MAX;
use proto_model::{EdgeId, Lane, StreamNo};

pub const HEADER_LEN: usize = 110;
/// The head hash of a stream without batches.
pub const GENESIS_HEAD: [u8; 32] = [0; 32];

const VERSION: u8 = 1;
const HEAD_DOMAIN: &[u8] = b"tributary-head-v1\0";

/// What the sealer must know beside the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFields {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    /// [`Header::head_hash`] of the batch before, [`GENESIS_HEAD`] for the first.
    pub prev_hash: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    pub last_ordinal: u64,
    pub events: u32,
    pub prev_hash: [u8; 32],
    /// Of the compressed bytes.
    pub payload_sha256: [u8; 32],
    pub payload_len: u32,
    /// Decompressed length, at most [`MAX_RAW`].
    pub raw_len: u32,
}

impl Header {
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = VERSION;
        out[1] = self.lane.code();
        out[2..10].copy_from_slice(&self.edge.get().to_be_bytes());
        out[10..14].copy_from_slice(&self.epoch.to_be_bytes());
        out[14..18].copy_from_slice(&self.stream.0.to_be_bytes());
        out[18..26].copy_from_slice(&self.first_ordinal.to_be_bytes());
        out[26..34].copy_from_slice(&self.last_ordinal.to_be_bytes());
        out[34..38].copy_from_slice(&self.events.to_be_bytes());
        out[38..42].copy_from_slice(&self.raw_len.to_be_bytes());
        out[42..46].copy_from_slice(&self.payload_len.to_be_bytes());
        out[46..78].copy_from_slice(&self.prev_hash);
        out[78..110].copy_from_slice(&self.payload_sha256);
        out
    }

    /// The lane that a header names, whether or not the rest of it can be read: in every version it is the second
    /// byte, so that a batch which nobody here understands holds up its own lane alone.
    pub fn claimed_lane(bytes: &[u8]) -> Option<Lane> {
        bytes.get(1).copied().and_then(Lane::from_code)
    }

    /// Reads a header and checks that its numbers can belong together.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let bytes: &[u8; HEADER_LEN] =
            bytes.try_into().map_err(|_| EnvelopeError::HeaderLength(bytes.len()))?;
        if bytes[0] != VERSION {
            return Err(EnvelopeError::HeaderVersion(bytes[0]));
        }
        let header = Self {
            lane: Lane::from_code(bytes[1]).ok_or(EnvelopeError::HeaderField("lane"))?,
            edge: EdgeId::new(u64::from_be_bytes(at(bytes, 2)))
                .ok_or(EnvelopeError::HeaderField("edge id"))?,
            epoch: u32::from_be_bytes(at(bytes, 10)),
            stream: StreamNo(u32::from_be_bytes(at(bytes, 14))),
            first_ordinal: u64::from_be_bytes(at(bytes, 18)),
            last_ordinal: u64::from_be_bytes(at(bytes, 26)),
            events: u32::from_be_bytes(at(bytes, 34)),
            raw_len: u32::from_be_bytes(at(bytes, 38)),
            payload_len: u32::from_be_bytes(at(bytes, 42)),
            prev_hash: at(bytes, 46),
            payload_sha256: at(bytes, 78),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), EnvelopeError> {
        let ordinals = 1 <= self.first_ordinal
            && self.first_ordinal <= self.last_ordinal
            && self.last_ordinal <= ORDINAL_MAX;
        if !ordinals {
            return Err(EnvelopeError::HeaderField("ordinal range"));
        }
        // A skipped range covers many ordinals with one event, so there may be fewer, never more.
        let covered = self.last_ordinal - self.first_ordinal + 1;
        if !within(self.events, MAX_EVENTS) || u64::from(self.events) > covered {
            return Err(EnvelopeError::HeaderField("number of events"));
        }
        if !within(self.raw_len, MAX_RAW) {
            return Err(EnvelopeError::HeaderField("decompressed length"));
        }
        if !within(self.payload_len, MAX_COMPRESSED) {
            return Err(EnvelopeError::HeaderField("payload length"));
        }
        Ok(())
    }

    /// The head of the stream once this batch is part of it.
    pub fn head_hash(&self) -> [u8; 32] {
        sha256_of(&[HEAD_DOMAIN, &self.to_bytes()])
    }
}

fn within(value: u32, max: usize) -> bool {
    value >= 1 && usize::try_from(value).is_ok_and(|value| value <= max)
}
