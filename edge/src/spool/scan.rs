//! Reads all of a segment, also behind damage, and tells what the damage has hidden. Pure.

use super::segment::{self, Claim, Frame, HEADER_LEN, Parsed};
use crate::lanes::PerLane;
use proto_model::Lane;
use std::ops::Range;

/// What stands in a segment, piece by piece.
pub(super) enum Piece<'a> {
    Record(Frame<'a>),
    /// Bytes that are no record, at their place in the segment. They end where the next one may begin.
    Damaged(usize, &'a [u8]),
}

/// Visits each piece of a segment in order; returns how many bytes are no records.
pub(super) fn scan(sequence: u64, bytes: &[u8], mut visit: impl FnMut(Piece<'_>)) -> usize {
    let mut damaged = 0;
    let mut at = HEADER_LEN.min(bytes.len());
    while at < bytes.len() {
        match segment::parse(sequence, &bytes[at..]) {
            Parsed::Frame(frame) => {
                at += frame.len;
                visit(Piece::Record(frame));
            }
            // What was prepared for records that never came.
            Parsed::Short | Parsed::Damaged if is_zeros(&bytes[at..]) => break,
            Parsed::Short | Parsed::Damaged => {
                let step = segment::resume(&bytes[at..]).unwrap_or(bytes.len() - at);
                visit(Piece::Damaged(at, &bytes[at..at + step]));
                damaged += step;
                at += step;
            }
        }
    }
    damaged
}

/// The least that a disk writes as a whole.
const SECTOR: usize = 512;

/// Whether `bytes` at this place of a segment hold a sector that was not written, or not since the record before them.
fn has_a_hole(at: usize, bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_at_checked(SECTOR - at % SECTOR) else { return false };
    is_zeros(first) || rest.chunks_exact(SECTOR).any(is_zeros)
}

pub(super) fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Which ordinals the segments hold, and which they must have held.
///
/// Damage at the end of the log is what a crash leaves of a write that nobody was answered for. Damage with an
/// intact record behind it is another matter: the record before was written no later, so it had most likely been
/// durable and answered. Where a record of the same lane follows, the hole shows by itself; where none does, only
/// what is left of the damaged record tells that there was one.
///
/// Where clicks are answered before they are durable, many writes may be under way, and a power cut keeps any of their
/// sectors. The first that is missing holds zeros. From there on nothing was known to be durable: what is missing is no
/// damage, and no conversion among it was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    /// The next ordinals behind the intact records.
    next: PerLane<u64>,
    /// The same, counting the damaged records seen since.
    hidden: PerLane<u64>,
    /// The same, but only those with an intact record behind them.
    lost: PerLane<u64>,
    /// Sectors may be missing.
    may_have_holes: bool,
    /// What was expected where the first one is missing.
    hole: Option<PerLane<u64>>,
    /// No record came without those before it.
    is_dense: bool,
}

impl Tally {
    pub fn new(next: PerLane<u64>) -> Self {
        Self { next, hidden: next, lost: next, may_have_holes: false, hole: None, is_dense: true }
    }

    pub fn see(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Record(frame) => self.intact(frame),
            Piece::Damaged(at, bytes) => self.damaged(*at, bytes),
        }
    }

    /// Of a segment that may end in writes which were under way.
    pub fn with_holes(self, may_have_holes: bool) -> Self {
        Self { may_have_holes, ..self }
    }

    /// The ordinals before a record that a power cut took. Ask before it is seen.
    pub fn torn_before(&self, frame: &Frame<'_>) -> Range<u64> {
        let expected = self.hidden[frame.lane];
        if self.hole.is_some() { expected..frame.first.max(expected) } else { expected..expected }
    }

    fn intact(&mut self, frame: &Frame<'_>) {
        self.lost = self.hidden;
        self.is_dense &= frame.first <= self.next[frame.lane];
        let next = self.next[frame.lane].max(frame.last.saturating_add(1));
        for ordinals in [&mut self.next, &mut self.hidden, &mut self.lost] {
            ordinals[frame.lane] = next;
        }
    }

    fn damaged(&mut self, at: usize, bytes: &[u8]) {
        if self.hole.is_none() && self.may_have_holes && has_a_hole(at, bytes) {
            // Also what came just before it: the record that reaches into the hole may hold the magic of another one.
            self.hidden = self.lost;
            self.hole = Some(self.lost);
        }
        if self.hole.is_some() {
            return;
        }
        let expected = self.hidden;
        let claim = segment::claim(bytes);
        self.hidden = PerLane::build(|lane| match claim {
            Some(claim) if is_of(claim, lane, expected) => claim.through(expected[lane]).saturating_add(1),
            // It is the other lane's, and there was nothing else.
            Some(claim) if is_of(claim, other(lane), expected) && !claim.leaves_room_in(bytes) => {
                expected[lane]
            }
            _ => expected[lane].saturating_add(1),
        });
    }

    /// Also what stands at the end: it was not cut short by a crash, the disk could not read it.
    pub fn all_damage_is_loss(&mut self) {
        self.lost = self.hidden;
    }

    /// The next ordinals behind the intact records, and behind those that are lost.
    pub fn end(&self) -> (PerLane<u64>, PerLane<u64>) {
        (self.next, self.lost)
    }

    /// Whether each ordinal before the last one was there.
    pub fn is_dense(&self) -> bool {
        self.is_dense
    }

    /// What was expected where the first sector is missing.
    pub fn hole(&self) -> Option<PerLane<u64>> {
        self.hole
    }
}

/// One flipped byte spares the lane or the ordinals. A lane that reads as the other one's is caught by these.
fn is_of(claim: Claim, lane: Lane, expected: PerLane<u64>) -> bool {
    let fits = |lane: Lane| claim.first == expected[lane] || claim.last == expected[lane];
    match claim.lane {
        Some(claimed) if fits(claimed) => claimed == lane,
        _ => fits(lane),
    }
}

fn other(lane: Lane) -> Lane {
    match lane {
        Lane::Money => Lane::Traffic,
        Lane::Traffic => Lane::Money,
    }
}
