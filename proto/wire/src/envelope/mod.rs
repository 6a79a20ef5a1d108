//! Sealed batches: what an edge signs once, stores, and sends byte for byte until it is acknowledged.
//!
//! The order of reading is part of the protocol: [`SealedBatch::verify`] checks the signature over the
//! raw header and the payload's length and hash; only then [`SealedBatch::open`] decompresses and decodes,
//! never more than the signed header and our own limits allow.
//!
//! The sidecar is not signed, so that entries can be erased; see [`crate::personal`].

mod ack;
mod file;
mod frames;
mod gap;
mod header;
mod meter;

pub use ack::AckStatement;
pub use gap::{GapDeclaration, GapError, GapReason};
pub use header::{GENESIS_HEAD, HEADER_LEN, Header, HeaderFields};
pub use meter::BatchMeter;

use crate::edge_v1::{self, Event, EventBatch, Sidecar, SidecarEntry, event};
use crate::keys::{self, PublicKey, SIGNATURE_LEN, SignatureError, SigningKey, sha256};
use crate::limits::{EVENT_LEN_MAX, SIDECAR_ENTRY_LEN_MAX};
use prost::Message;
use proto_model::event::{ORDINAL_MAX, PersonalClass};
use std::ops::RangeInclusive;

/// Events of one batch.
pub const MAX_EVENTS: usize = 4096;
/// Bytes of an encoded `EventBatch` before compression.
pub const MAX_RAW: usize = 4 * 1024 * 1024;
/// Bytes of an encoded `Sidecar` before compression.
pub const MAX_SIDECAR_RAW: usize = 4 * 1024 * 1024;
/// What zstd may make of [`MAX_RAW`] bytes that do not compress.
pub const MAX_COMPRESSED: usize = MAX_RAW + MAX_RAW / 128;
/// The largest `PublishRequest`: the gRPC decoding limit of the control plane.
pub const MAX_MESSAGE: usize = 2 * MAX_COMPRESSED + 4096;

/// Edges are short of CPU and their batches small: higher levels cost more than they save.
const ZSTD_LEVEL: i32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the batch header has {0} bytes instead of {HEADER_LEN}")]
    HeaderLength(usize),
    #[error("the batch header has version {0}, which this software does not know (upgrade it)")]
    HeaderVersion(u8),
    #[error("the batch header holds an impossible {0}")]
    HeaderField(&'static str),
    #[error("the batch signature has {0} bytes instead of {SIGNATURE_LEN}")]
    SignatureLength(usize),
    #[error("the batch header is not signed by this edge")]
    Signature(#[from] SignatureError),
    #[error("the batch payload is not the one its signed header names")]
    PayloadMismatch,
    #[error(
        "the batch {what} is not the zstd frame that its header promises (expected {expected} bytes in it)"
    )]
    Frame { what: &'static str, expected: u64 },
    #[error("the batch {what} does not decompress within {limit} bytes")]
    Decompress {
        what: &'static str,
        limit: usize,
        #[source]
        source: std::io::Error,
    },
    #[error("the batch {what} could not be compressed")]
    Compress {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("the batch {what} is not the expected protobuf message")]
    Decode {
        what: &'static str,
        #[source]
        source: prost::DecodeError,
    },
    #[error("the batch {what} is cut short or holds something else than its items")]
    NotARepetition { what: &'static str },
    #[error("the batch {what} has {found}, at most {limit} are allowed")]
    TooLarge { what: &'static str, found: usize, limit: usize },
    #[error("a batch needs at least one event")]
    Empty,
    #[error("the batch header says {expected} {what}, the payload has {found}")]
    Mismatch { what: &'static str, expected: u64, found: u64 },
    #[error("event ordinals must follow each other: expected {expected}, found {found}")]
    NotDense { expected: u64, found: u64 },
    #[error("the sidecar has an entry for ordinal {ordinal}, which is not in the batch")]
    StraySidecar { ordinal: u64 },
    #[error("the batch file is not one, is cut short or damaged ({0})")]
    File(&'static str),
}

/// One batch as it is stored and sent. Fields are raw: nothing is known to be true before
/// [`SealedBatch::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBatch {
    pub header_bytes: Vec<u8>,
    pub signature: [u8; SIGNATURE_LEN],
    /// zstd of an `EventBatch`.
    pub payload: Vec<u8>,
    /// zstd of a `Sidecar`.
    pub sidecar: Vec<u8>,
}

impl SealedBatch {
    /// Seals `events`, which must be dense, and the sidecar entries that belong to them.
    pub fn seal(
        key: &SigningKey,
        fields: HeaderFields,
        events: &EventBatch,
        sidecar: &Sidecar,
    ) -> Result<Self, EnvelopeError> {
        let ordinals = check_events(&events.events)?;
        check_sidecar(&sidecar.entries, &ordinals)?;
        let raw = encode("payload", events, MAX_RAW)?;
        let raw_sidecar = encode("sidecar", sidecar, MAX_SIDECAR_RAW)?;
        let payload = compress("payload", &raw)?;
        let header = Header {
            edge: fields.edge,
            epoch: fields.epoch,
            lane: fields.lane,
            stream: fields.stream,
            first_ordinal: *ordinals.start(),
            last_ordinal: *ordinals.end(),
            events: checked_u32("events", events.events.len())?,
            prev_hash: fields.prev_hash,
            payload_sha256: sha256(&payload),
            payload_len: checked_u32("payload", payload.len())?,
            raw_len: checked_u32("payload", raw.len())?,
        };
        let header_bytes = header.to_bytes();
        // Reads its own writing, so that a header which a reader would refuse is never signed.
        Header::parse(&header_bytes)?;
        let signature = key.sign(keys::BATCH, &header_bytes);
        let sidecar = compress("sidecar", &raw_sidecar)?;
        Ok(Self { header_bytes: header_bytes.to_vec(), signature, payload, sidecar })
    }

    /// Checks the signature over the raw header, then that the payload is the one it names. Whether the
    /// batch continues its stream (edge, epoch, ordinals, `prev_hash`) is for the caller to compare.
    pub fn verify(&self, key: &PublicKey) -> Result<Header, EnvelopeError> {
        if self.header_bytes.len() != HEADER_LEN {
            return Err(EnvelopeError::HeaderLength(self.header_bytes.len()));
        }
        key.verify(keys::BATCH, &self.header_bytes, &self.signature)?;
        let header = Header::parse(&self.header_bytes)?;
        let same_len = u64::try_from(self.payload.len()) == Ok(u64::from(header.payload_len));
        if !same_len || sha256(&self.payload) != header.payload_sha256 {
            return Err(EnvelopeError::PayloadMismatch);
        }
        at_most("sidecar", self.sidecar.len(), MAX_COMPRESSED)?;
        Ok(header)
    }

    /// Whether payload and sidecar say of themselves that they unpack to what `header` and the limits allow. Costs
    /// nothing, so that a bomb is refused when it comes and not when it is read.
    pub fn check_frames(&self, header: &Header) -> Result<(), EnvelopeError> {
        let raw_len = u64::from(header.raw_len);
        if frame_len(&self.payload) != Some(raw_len) {
            return Err(EnvelopeError::Frame { what: "payload", expected: raw_len });
        }
        let most = u64::try_from(MAX_SIDECAR_RAW).unwrap_or(u64::MAX);
        if !self.sidecar.is_empty() && frame_len(&self.sidecar).is_none_or(|len| len > most) {
            return Err(EnvelopeError::Frame { what: "sidecar", expected: most });
        }
        Ok(())
    }

    /// The events of a verified batch: exactly as many as `header` says, dense from its first to its last
    /// ordinal. What stands in each event is checked by [`crate::convert::event_from_wire`].
    pub fn open(&self, header: &Header) -> Result<EventBatch, EnvelopeError> {
        let raw_len = usize::try_from(header.raw_len).unwrap_or(usize::MAX).min(MAX_RAW);
        let raw = decompress("payload", &self.payload, raw_len)?;
        same("bytes", u64::from(header.raw_len), raw.len())?;
        let bodies = frames::split("payload", &raw, MAX_EVENTS, EVENT_LEN_MAX)?;
        same("events", u64::from(header.events), bodies.len())?;
        let events: Vec<Event> = frames::decode("payload", &bodies)?;
        let ordinals = check_events(&events)?;
        for (expected, found) in
            [(header.first_ordinal, *ordinals.start()), (header.last_ordinal, *ordinals.end())]
        {
            if expected != found {
                return Err(EnvelopeError::NotDense { expected, found });
            }
        }
        Ok(EventBatch { events })
    }

    /// The personal values that came along. They are as yet only claims: keep an entry when
    /// [`crate::personal::verify_entry`] binds it to its event.
    pub fn open_sidecar(&self) -> Result<Sidecar, EnvelopeError> {
        if self.sidecar.is_empty() {
            return Ok(Sidecar::default());
        }
        let raw = decompress("sidecar", &self.sidecar, MAX_SIDECAR_RAW)?;
        let most = MAX_EVENTS * PersonalClass::ALL.len();
        let bodies = frames::split("sidecar", &raw, most, SIDECAR_ENTRY_LEN_MAX)?;
        Ok(Sidecar { entries: frames::decode("sidecar", &bodies)? })
    }

    /// Replaces the sidecar, as erasure does. The signed part is untouched.
    pub fn with_sidecar(mut self, sidecar: &Sidecar) -> Result<Self, EnvelopeError> {
        self.sidecar = compress("sidecar", &encode("sidecar", sidecar, MAX_SIDECAR_RAW)?)?;
        Ok(self)
    }

    pub fn to_message(&self, session: u64) -> edge_v1::Batch {
        edge_v1::Batch {
            session,
            header: self.header_bytes.clone(),
            signature: self.signature.to_vec(),
            payload: self.payload.clone(),
            sidecar: self.sidecar.clone(),
        }
    }

    /// Takes a received message apart; the session is not part of the sealed bytes.
    pub fn from_message(message: edge_v1::Batch) -> Result<Self, EnvelopeError> {
        let edge_v1::Batch { session: _, header, signature, payload, sidecar } = message;
        let signature =
            signature.as_slice().try_into().map_err(|_| EnvelopeError::SignatureLength(signature.len()))?;
        Ok(Self { header_bytes: header, signature, payload, sidecar })
    }
}

/// `N` bytes of a fixed layout; the caller's layout says that they are there.
fn at<const N: usize, const LEN: usize>(bytes: &[u8; LEN], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

/// The last ordinal `event` covers: its own, or the end of the range it declares as skipped.
pub fn last_covered(event: &Event) -> u64 {
    match &event.body {
        Some(event::Body::Skipped(skipped)) => skipped.through,
        _ => event.ordinal,
    }
}

/// The ordinals that `events` cover without a gap.
fn check_events(events: &[Event]) -> Result<RangeInclusive<u64>, EnvelopeError> {
    at_most("events", events.len(), MAX_EVENTS)?;
    let first = events.first().ok_or(EnvelopeError::Empty)?.ordinal;
    if first == 0 {
        return Err(EnvelopeError::NotDense { expected: 1, found: 0 });
    }
    let mut next = first;
    for event in events {
        let last = last_covered(event);
        if event.ordinal != next {
            return Err(EnvelopeError::NotDense { expected: next, found: event.ordinal });
        }
        if last < next || last > ORDINAL_MAX {
            return Err(EnvelopeError::NotDense { expected: next, found: last });
        }
        at_most("event bytes", event.encoded_len(), EVENT_LEN_MAX)?;
        next = last + 1;
    }
    Ok(first..=next - 1)
}

fn check_sidecar(entries: &[SidecarEntry], ordinals: &RangeInclusive<u64>) -> Result<(), EnvelopeError> {
    at_most("sidecar entries", entries.len(), MAX_EVENTS * PersonalClass::ALL.len())?;
    for entry in entries {
        if !ordinals.contains(&entry.ordinal) {
            return Err(EnvelopeError::StraySidecar { ordinal: entry.ordinal });
        }
        at_most("sidecar entry bytes", entry.encoded_len(), SIDECAR_ENTRY_LEN_MAX)?;
    }
    Ok(())
}

fn encode(what: &'static str, message: &impl Message, limit: usize) -> Result<Vec<u8>, EnvelopeError> {
    at_most(what, message.encoded_len(), limit)?;
    Ok(message.encode_to_vec())
}

fn compress(what: &'static str, raw: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    zstd::bulk::compress(raw, ZSTD_LEVEL).map_err(|source| EnvelopeError::Compress { what, source })
}

/// What a zstd frame says of its content's length.
fn frame_len(compressed: &[u8]) -> Option<u64> {
    zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten()
}

/// Decompresses into one buffer of at most `limit` bytes; a frame that holds more is an error.
fn decompress(what: &'static str, compressed: &[u8], limit: usize) -> Result<Vec<u8>, EnvelopeError> {
    at_most(what, compressed.len(), MAX_COMPRESSED)?;
    zstd::bulk::decompress(compressed, limit).map_err(|source| EnvelopeError::Decompress {
        what,
        limit,
        source,
    })
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), EnvelopeError> {
    if found > limit { Err(EnvelopeError::TooLarge { what, found, limit }) } else { Ok(()) }
}

fn same(what: &'static str, expected: u64, found: usize) -> Result<(), EnvelopeError> {
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    if expected == found { Ok(()) } else { Err(EnvelopeError::Mismatch { what, expected, found }) }
}

fn checked_u32(what: &'static str, len: usize) -> Result<u32, EnvelopeError> {
    u32::try_from(len).map_err(|_| EnvelopeError::TooLarge { what, found: len, limit: MAX_RAW })
}
