//! The bytes of a segment: one header, then records. All numbers big-endian.
//!
//! Header, 68 bytes: magic `TRIBSEG1` · sequence (8) · edge (8) · epoch (4) · money stream (4) · traffic
//! stream (4) · first money ordinal (8) · first traffic ordinal (8) · sequence of the segment this one
//! replaces, 0 = none (8) · reserved, zero (4) · CRC32C of what precedes it (4).
//!
//! Record: magic `TREC` (4) · length of the body (4) · CRC32C over sequence, length and body (4) · body.
//! Body: lane (1) · ordinal (8) · last ordinal covered (8) · length of the event (4) · event · sidecar.
//!
//! The sequence is part of each CRC, so that blocks of a deleted segment which a crash brings back never
//! pass for records. The magic is what a reader looks for after damage: one bad record does not hide
//! those behind it.

use super::Streams;
use crate::lanes::PerLane;
use prost::Message;
use proto_model::{EdgeId, Lane, StreamNo};
use proto_wire::edge_v1::{Event, Sidecar, SidecarEntry};
use proto_wire::envelope::last_covered;

pub(super) const HEADER_LEN: usize = 68;
const MAGIC: &[u8; 8] = b"TRIBSEG1";
const RECORD_MAGIC: &[u8; 4] = b"TREC";
const RECORD_HEAD: usize = 12;
const BODY_HEAD: usize = 21;
/// The largest record, head included.
pub(super) const MAX_FRAME: usize = RECORD_HEAD + BODY_HEAD + super::queue::MAX_RECORD + 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub sequence: u64,
    pub streams: Streams,
    /// No record of this or a later segment has a lower ordinal.
    pub first: PerLane<u64>,
    pub replaces: u64,
}

impl SegmentHeader {
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        out[16..24].copy_from_slice(&self.streams.edge.get().to_be_bytes());
        out[24..28].copy_from_slice(&self.streams.epoch.to_be_bytes());
        out[28..32].copy_from_slice(&self.streams.money.0.to_be_bytes());
        out[32..36].copy_from_slice(&self.streams.traffic.0.to_be_bytes());
        out[36..44].copy_from_slice(&self.first.money.to_be_bytes());
        out[44..52].copy_from_slice(&self.first.traffic.to_be_bytes());
        out[52..60].copy_from_slice(&self.replaces.to_be_bytes());
        let crc = crc32c::crc32c(&out[..HEADER_LEN - 4]);
        out[HEADER_LEN - 4..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// `None` when these bytes are no header: cut short or damaged.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
        let intact = bytes[..8] == MAGIC[..]
            && crc32c::crc32c(&bytes[..HEADER_LEN - 4]) == be32(bytes, HEADER_LEN - 4)?;
        if !intact {
            return None;
        }
        Some(Self {
            sequence: be64(bytes, 8)?,
            streams: Streams {
                edge: EdgeId::new(be64(bytes, 16)?)?,
                epoch: be32(bytes, 24)?,
                money: StreamNo(be32(bytes, 28)?),
                traffic: StreamNo(be32(bytes, 32)?),
            },
            first: PerLane { money: be64(bytes, 36)?, traffic: be64(bytes, 44)? },
            replaces: be64(bytes, 52)?,
        })
    }
}

/// One record in the bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub lane: Lane,
    pub first: u64,
    pub last: u64,
    pub event: &'a [u8],
    pub sidecar: &'a [u8],
    /// Bytes of the whole record.
    pub len: usize,
}

impl Frame<'_> {
    /// `None` if these are not the messages they should be.
    pub fn decode(&self) -> Option<(Event, Vec<SidecarEntry>)> {
        let event = Event::decode(self.event).ok()?;
        let sidecar = Sidecar::decode(self.sidecar).ok()?;
        Some((event, sidecar.entries))
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// The bytes end before the record does.
    Short,
    Damaged,
}

/// Reads the record at the start of `bytes`.
pub(super) fn parse(sequence: u64, bytes: &[u8]) -> Parsed<'_> {
    let Some(head) = bytes.get(..RECORD_HEAD) else {
        let prefix = &bytes[..bytes.len().min(RECORD_MAGIC.len())];
        return if RECORD_MAGIC.starts_with(prefix) { Parsed::Short } else { Parsed::Damaged };
    };
    let len = be32(head, 4).and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
    if head[..4] != RECORD_MAGIC[..] || !(BODY_HEAD..=MAX_FRAME - RECORD_HEAD).contains(&len) {
        return Parsed::Damaged;
    }
    let Some(body) = bytes.get(RECORD_HEAD..RECORD_HEAD + len) else {
        return Parsed::Short;
    };
    if be32(head, 8) != Some(checksum(sequence, body)) {
        return Parsed::Damaged;
    }
    parse_body(body).map_or(Parsed::Damaged, Parsed::Frame)
}

fn parse_body(body: &[u8]) -> Option<Frame<'_>> {
    let lane = Lane::from_code(*body.first()?)?;
    let (first, last) = (be64(body, 1)?, be64(body, 9)?);
    let event_len = usize::try_from(be32(body, 17)?).ok()?;
    let (event, sidecar) = body.get(BODY_HEAD..)?.split_at_checked(event_len)?;
    let frame = Frame { lane, first, last, event, sidecar, len: RECORD_HEAD + body.len() };
    (first >= 1 && first <= last).then_some(frame)
}

/// Where the next record may start after damage at the start of `bytes`; `None` = nowhere in them.
pub(super) fn resume(bytes: &[u8]) -> Option<usize> {
    let behind = bytes.get(1..)?;
    behind.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC).map(|at| at + 1)
}

/// Appends a record for `event` to `out`.
pub(super) fn write_record(
    out: &mut Vec<u8>,
    sequence: u64,
    lane: Lane,
    event: &Event,
    sidecar: Vec<SidecarEntry>,
) {
    let sidecar = Sidecar { entries: sidecar };
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD]);
    out.push(lane.code());
    out.extend_from_slice(&event.ordinal.to_be_bytes());
    out.extend_from_slice(&last_covered(event).to_be_bytes());
    out.extend_from_slice(&u32::try_from(event.encoded_len()).unwrap_or(u32::MAX).to_be_bytes());
    // Encoding into a growing vector cannot fail: the only error is a full buffer.
    let _ = event.encode(out);
    let _ = sidecar.encode(out);
    finish_record(out, start, sequence);
}

/// Copies a record into another segment.
pub(super) fn copy_record(out: &mut Vec<u8>, sequence: u64, frame: &Frame<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD]);
    out.push(frame.lane.code());
    out.extend_from_slice(&frame.first.to_be_bytes());
    out.extend_from_slice(&frame.last.to_be_bytes());
    out.extend_from_slice(&u32::try_from(frame.event.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(frame.event);
    out.extend_from_slice(frame.sidecar);
    finish_record(out, start, sequence);
}

fn finish_record(out: &mut [u8], start: usize, sequence: u64) {
    let (head, body) = out[start..].split_at_mut(RECORD_HEAD);
    head[..4].copy_from_slice(RECORD_MAGIC);
    head[4..8].copy_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    head[8..].copy_from_slice(&checksum(sequence, body).to_be_bytes());
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&sequence.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &u64::try_from(body.len()).unwrap_or(u64::MAX).to_be_bytes());
    crc32c::crc32c_append(crc, body)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
