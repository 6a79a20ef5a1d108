//! The bytes of a segment: one header, then records. All numbers big-endian.
//!
//! Header, 68 bytes: magic `TRIBSEG1` · sequence (8) · edge (8) · epoch (4) · money stream (4) · traffic
//! stream (4) · first money ordinal (8) · first traffic ordinal (8) · sequence of the segment this one
//! replaces, 0 = none (8) · clicks that may be answered and not durable (4) · CRC32C of what precedes it (4).
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
use std::ops::RangeInclusive;

pub(super) const HEADER_LEN: usize = 68;
const MAGIC: &[u8; 8] = b"TRIBSEG1";
const RECORD_MAGIC: &[u8; 4] = b"TREC";
const RECORD_HEAD: usize = 12;
const BODY_LEN_AT: usize = 4;
const CHECKSUM_AT: usize = 8;
const BODY_HEAD: usize = 21;
const EVENT_LEN_AT: usize = RECORD_HEAD + 17;
/// The largest record, head included.
pub(super) const MAX_FRAME: usize = RECORD_HEAD + BODY_HEAD + super::queue::MAX_RECORD + 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub sequence: u64,
    pub streams: Streams,
    /// No record of this or a later segment has a lower ordinal.
    pub first: PerLane<u64>,
    pub replaces: u64,
    /// Clicks that may have been answered before they were durable; 0 = none.
    pub window: u32,
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
        out[60..64].copy_from_slice(&self.window.to_be_bytes());
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
            window: be32(bytes, 60)?,
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

/// What is left of a record that is damaged, as far as it can be made out. Nothing vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub lane: Option<Lane>,
    pub first: u64,
    pub last: u64,
    len: usize,
    /// As its event says; a declaration of many ordinals may be damaged, too.
    covers: Option<u64>,
}

impl Claim {
    /// The last ordinal it covers, if it begins with `first`.
    pub fn through(&self, first: u64) -> u64 {
        self.covers.filter(|last| self.first == first && *last == self.last).unwrap_or(first)
    }

    /// Whether `bytes`, which begin with this record, may have held another one.
    pub fn leaves_room_in(&self, bytes: &[u8]) -> bool {
        bytes.len().saturating_sub(self.len) > RECORD_HEAD + BODY_HEAD
    }
}

/// `None` when too little is left.
pub(super) fn claim(bytes: &[u8]) -> Option<Claim> {
    let len = usize::try_from(be32(bytes, BODY_LEN_AT)?).ok()?.saturating_add(RECORD_HEAD);
    let body = bytes.get(RECORD_HEAD..)?;
    let (lane, first, last) = (Lane::from_code(*body.first()?), be64(body, 1)?, be64(body, 9)?);
    let event = be32(body, 17).and_then(|len| body.get(BODY_HEAD..)?.get(..usize::try_from(len).ok()?));
    let event = event.and_then(|event| Event::decode(event).ok()).filter(|event| event.ordinal == first);
    Some(Claim { lane, first, last, len, covers: event.as_ref().map(last_covered) })
}

/// Where the next record may start after damage at the start of `bytes`; `None` = nowhere in them.
pub(super) fn resume(bytes: &[u8]) -> Option<usize> {
    let behind = bytes.get(1..)?;
    behind.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC).map(|at| at + 1)
}

/// Appends a record without its checksum. `content` appends the event, then the sidecar, and returns the
/// length of the event; with `None`, `out` is as it was.
pub(super) fn append_record(
    out: &mut Vec<u8>,
    lane: Lane,
    covers: RangeInclusive<u64>,
    content: impl FnOnce(&mut Vec<u8>) -> Option<usize>,
) -> Option<()> {
    let start = out.len();
    let mut record = Unfinished { out, start };
    record.out.extend_from_slice(RECORD_MAGIC);
    record.out.extend_from_slice(&[0; RECORD_HEAD - RECORD_MAGIC.len()]);
    record.out.push(lane.code());
    record.out.extend_from_slice(&covers.start().to_be_bytes());
    record.out.extend_from_slice(&covers.end().to_be_bytes());
    record.out.extend_from_slice(&[0; 4]);
    let event_len = content(record.out)?;
    record.set_len(BODY_LEN_AT, record.out.len() - start - RECORD_HEAD);
    record.set_len(EVENT_LEN_AT, event_len);
    // Complete: nothing is to be cut off.
    record.start = record.out.len();
    Some(())
}

/// Cuts off a record that was not completed, even if its maker panicked.
struct Unfinished<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl Unfinished<'_> {
    fn set_len(&mut self, at: usize, len: usize) {
        if let Some(field) = self.out.get_mut(self.start + at..self.start + at + 4) {
            field.copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

/// Appends a record for an event that covers skipped ordinals.
pub(super) fn append_skipped(out: &mut Vec<u8>, lane: Lane, skipped: &Event) {
    append_record(out, lane, skipped.ordinal..=last_covered(skipped), |out| {
        // Encoding into a growing vector cannot fail: the only error is a full buffer.
        skipped.encode(out).ok().map(|()| skipped.encoded_len())
    });
}

/// Copies a record, for another segment.
pub(super) fn copy_record(out: &mut Vec<u8>, frame: &Frame<'_>) {
    append_record(out, frame.lane, frame.first..=frame.last, |out| {
        out.extend_from_slice(frame.event);
        out.extend_from_slice(frame.sidecar);
        Some(frame.event.len())
    });
}

/// Completes records with the checksums they have in segment `sequence`.
pub(super) fn finish_records(mut records: &mut [u8], sequence: u64) {
    while let Some((head, rest)) = records.split_at_mut_checked(RECORD_HEAD) {
        let len = be32(head, BODY_LEN_AT).and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
        let Some((body, behind)) = rest.split_at_mut_checked(len) else { return };
        head[CHECKSUM_AT..].copy_from_slice(&checksum(sequence, body).to_be_bytes());
        records = behind;
    }
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&sequence.to_be_bytes());
    place[8..].copy_from_slice(&u64::try_from(body.len()).unwrap_or(u64::MAX).to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), body)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
