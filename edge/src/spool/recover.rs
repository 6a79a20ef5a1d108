//! What a start makes of the segments that are there.
//!
//! After a clean stop the log goes on in a new segment. After any other end the last segment cannot be
//! trusted to be on disk even where it reads back (a failed `fdatasync` leaves pages that exist in memory
//! only), so its records are copied into a new segment; and ordinals that may have been given out are
//! declared as skipped, so that no address is ever used twice.

use super::boot;
use super::clean::{self, CleanMarker};
use super::log::{LogEnd, Segment, parse_segment_name, segment_name};
use super::scan::{Piece, Tally, is_zeros, scan};
use super::segment::{HEADER_LEN, SegmentHeader, append_skipped, copy_record, finish_records};
use super::{OpenAs, OpenError, Streams, Window};
use crate::disk::{Boot, Disk, list_finished, read_around};
use crate::lanes::PerLane;
use proto_model::Lane;
use proto_model::event::ORDINAL_MAX;
use proto_wire::convert::{SkipReason, skipped_to_wire};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Ordinals given up after an unclean end, behind those of clicks that may have been answered. All other replies leave
/// only after `fdatasync`, so this only guards against disks that lie about it.
pub(super) const SKIP: u64 = 1024;

/// What the segments on disk hold.
pub(super) struct Found {
    pub segments: BTreeMap<u64, Segment>,
    /// The next ordinals, as far as anything on disk tells.
    pub next: PerLane<u64>,
    /// The next ordinals behind those that damage has swallowed; not before `next`.
    lost: PerLane<u64>,
    stake: Stake,
    pub clean: bool,
    /// There is a [`CleanMarker`], right or wrong.
    pub marked: bool,
    /// No segment was there.
    pub fresh: bool,
    last: Option<Last>,
}

/// What may have been answered and not durable when the log ended.
#[derive(Debug, Clone, Copy)]
struct Stake {
    /// Clicks.
    window: u32,
    /// They come before this one: what comes first of what was not durable is known.
    before: Option<u64>,
    /// Ordinals to give up beyond them.
    guard: u64,
}

impl Stake {
    /// The last segment tells: all before it was durable when it began. If it cannot be read, any other may be right.
    fn of(headers: &Headers, configured: u32) -> Self {
        match headers.values().next_back() {
            None => Self { window: 0, before: None, guard: SKIP },
            Some(Some(header)) => Self { window: header.window, before: None, guard: SKIP },
            Some(None) => {
                let told = headers.values().flatten().map(|header| header.window).max();
                let window = configured.max(told.unwrap_or_default());
                Self { window, before: None, guard: Window::HITS_MAX.into() }
            }
        }
    }

    /// The process ended, and the system goes on: all that was answered is there. Should the system be wrong, no address is
    /// given out twice: what is not declared is skipped all the same.
    fn without_clicks(self) -> Self {
        Self { window: 0, before: None, guard: self.guard.saturating_add(self.window.into()) }
    }

    /// Clicks that may be gone behind `next`.
    fn behind(self, next: u64) -> Range<u64> {
        let end = self.before.unwrap_or_else(|| next.saturating_add(self.window.into()));
        next..end.max(next)
    }

    /// Declares what a power cut took out of the middle. Returns how many clicks may be gone.
    fn declare_torn(self, out: &mut Vec<u8>, lane: Lane, torn: Range<u64>) -> u64 {
        let Range { start, end } = torn;
        let through = match lane {
            // Nobody was answered.
            Lane::Money => start,
            Lane::Traffic => self.before.unwrap_or(end).clamp(start, end),
        };
        let next = declare(out, lane, start..through, SkipReason::Bounded);
        declare(out, lane, next..end, SkipReason::Unclean);
        next - start
    }
}

struct Last {
    sequence: u64,
    bytes: Vec<u8>,
    first: PerLane<u64>,
    /// As it was before this segment.
    tally: Tally,
}

/// How a file of the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What cannot be read may be readable later.
    Strict,
    /// It was tried often enough: what cannot be read is damage.
    Around,
}

impl Reading {
    fn read(self, disk: &dyn Disk, path: &Path, len: usize) -> io::Result<(Vec<u8>, bool)> {
        match self {
            Self::Strict => disk.read_at(path, 0, len).map(|bytes| (bytes, false)),
            Self::Around => read_around(disk, path, 0, len),
        }
    }
}

/// Looks at `dir`. `configured` is the window of clicks that may be answered before they are durable, `boot` the present
/// one.
pub(super) fn find(
    disk: &dyn Disk,
    dir: &Path,
    open: OpenAs,
    reading: Reading,
    configured: u32,
    boot: Option<&Boot>,
) -> Result<Found, OpenError> {
    let OpenAs { streams, sealed, .. } = open;
    disk.create_dir(dir)?;
    let names = list_finished(disk, dir)?;
    let marked = names.iter().any(|name| name == clean::NAME);
    let marker = if marked { CleanMarker::read(disk, dir)? } else { None };
    let mut headers = read_headers(disk, dir, &names, streams, reading)?;
    remove_replaced(disk, dir, &mut headers)?;
    let sealed_next = PerLane::build(|lane| sealed[lane].saturating_add(1));
    let fresh = headers.is_empty() && marker.is_none();
    let unused = fresh && sealed == PerLane::default();
    let mut next = sealed_next;
    for header in headers.values().flatten() {
        raise(&mut next, header.first);
    }
    let mut whole = true;
    let mut last = None;
    // A segment whose header is readable tells how far those before it go. Normally that is the last one.
    let untold = headers.iter().rev().find_map(|(at, header)| header.map(|_| *at)).unwrap_or_default();
    let mut tally = Tally::new(next);
    for (&sequence, header) in headers.range(untold..) {
        let path = dir.join(segment_name(sequence));
        let len = usize::try_from(disk.len(&path)?).unwrap_or(usize::MAX);
        let (bytes, unreadable) = reading.read(disk, &path, len)?;
        let is_last = headers.last_key_value().is_some_and(|(at, _)| *at == sequence);
        let is_bounded = header.is_some_and(|header| header.window > 0);
        tally = tally.with_holes(is_last && is_bounded && !unreadable);
        let before = tally;
        let damaged = scan(sequence, &bytes, |piece| tally.see(&piece));
        if unreadable {
            tally.all_damage_is_loss();
        }
        whole &= header.is_some() && damaged == 0;
        let first = header.map_or(sealed_next, |header| header.first);
        last = Some(Last { sequence, bytes, first, tally: before });
    }
    let (next, lost) = tally.end();
    let mut stake = Stake::of(&headers, configured);
    stake.before = tally.hole().map(|hole| hole.traffic.saturating_add(stake.window.into()));
    let mut found =
        Found { segments: BTreeMap::new(), next, lost, stake, clean: unused, marked, fresh, last };
    if let Some(marker) = marker.filter(|marker| marker.streams == streams) {
        found.clean = whole && marker.next == found.next;
        raise(&mut found.next, marker.next);
    }
    raise(&mut found.lost, found.next);
    if !found.clean && whole && tally.is_dense() && outlived(disk, dir, &headers, boot) {
        found.stake = found.stake.without_clicks();
    }
    list_segments(disk, dir, &headers, &mut found)?;
    Ok(found)
}

/// Whether all that was written to the last segment is there, by what the system says.
fn outlived(disk: &dyn Disk, dir: &Path, headers: &Headers, boot: Option<&Boot>) -> bool {
    let Some((&last, Some(header))) = headers.last_key_value() else { return false };
    // Nobody need be asked where nothing was at stake.
    if header.window == 0 || !boot::is_same(disk, dir, boot) {
        return false;
    }
    // The system may have failed to write it since, when there was nobody to be told.
    match disk.sync_file(&dir.join(segment_name(last))) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "what was written to the spool may be gone");
            // It is said once, and this start may end before anything is declared: the next one must not believe the mark.
            boot::take_back(disk, dir);
            false
        }
    }
}

fn raise(next: &mut PerLane<u64>, to: PerLane<u64>) {
    *next = PerLane::build(|lane| next[lane].max(to[lane]));
}

type Headers = BTreeMap<u64, Option<SegmentHeader>>;

fn read_headers(
    disk: &dyn Disk,
    dir: &Path,
    names: &[String],
    streams: Streams,
    reading: Reading,
) -> Result<Headers, OpenError> {
    let mut headers = Headers::new();
    for sequence in names.iter().filter_map(|name| parse_segment_name(name)) {
        let path = dir.join(segment_name(sequence));
        let (bytes, _) = reading.read(disk, &path, HEADER_LEN)?;
        if is_zeros(&bytes) && is_unused(disk, &path, reading)? {
            // If it cannot be, it is in nobody's way.
            remove_unneeded(disk, &path);
            continue;
        }
        let header = SegmentHeader::parse(&bytes).filter(|header| header.sequence == sequence);
        if header.is_some_and(|header| header.streams != streams) {
            return Err(OpenError::Foreign { path });
        }
        headers.insert(sequence, header);
    }
    Ok(headers)
}

/// Prepared, but never begun: its header is durable before a record is. Zeros in the place of the header alone are damage.
fn is_unused(disk: &dyn Disk, path: &Path, reading: Reading) -> io::Result<bool> {
    let len = usize::try_from(disk.len(path)?).unwrap_or(usize::MAX);
    let (bytes, _) = reading.read(disk, path, len)?;
    Ok(is_zeros(&bytes))
}

/// A crash between copying a segment and deleting it leaves both: the copy is complete, since it got its
/// name only then, and that name is durable.
fn remove_replaced(disk: &dyn Disk, dir: &Path, headers: &mut Headers) -> io::Result<()> {
    let replaced: Vec<u64> = headers.values().flatten().map(|header| header.replaces).collect();
    let mut removed = false;
    for sequence in replaced {
        if headers.remove(&sequence).is_some() {
            remove_unneeded(disk, &dir.join(segment_name(sequence)));
            removed = true;
        }
    }
    if removed { disk.sync_dir(dir) } else { Ok(()) }
}

/// Whoever finds it again knows that it is of no use.
pub(super) fn remove_unneeded(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(%error, path = %path.display(), "a file that is not needed any more could not be removed");
    }
}

/// Where a closed segment ends is told by the header behind it.
fn list_segments(disk: &dyn Disk, dir: &Path, headers: &Headers, found: &mut Found) -> io::Result<()> {
    let mut next = found.next;
    for (&sequence, header) in headers.iter().rev() {
        let bytes = disk.len(&dir.join(segment_name(sequence)))?;
        found.segments.insert(sequence, Segment { bytes, next: Some(next) });
        next = header.map_or(next, |header| header.first);
    }
    Ok(())
}

/// The segment that a start begins.
pub(super) struct Begun {
    pub header: SegmentHeader,
    pub bytes: Vec<u8>,
    pub next: PerLane<u64>,
    /// Clicks declared to be lost perhaps.
    pub maybe_lost: u64,
}

/// Makes the bytes of the next segment: empty after a clean end, else with what the last segment held
/// and with the declarations of what is skipped.
pub(super) fn begin(found: &Found, open: OpenAs, window: u32) -> Begun {
    let OpenAs { streams, sealed, .. } = open;
    let last = found.segments.last_key_value().map_or(0, |(sequence, _)| *sequence);
    let sequence = last + 1;
    let mut header = SegmentHeader { sequence, streams, first: found.next, replaces: 0, window };
    if found.clean {
        let bytes = header.to_bytes().to_vec();
        return Begun { header, bytes, next: found.next, maybe_lost: 0 };
    }
    let (mut records, mut maybe_lost) = (Vec::new(), 0);
    if let Some(last) = &found.last {
        header.replaces = last.sequence;
        let floor = PerLane::build(|lane| last.first[lane].max(sealed[lane].saturating_add(1)));
        header.first = PerLane::build(|lane| floor[lane].min(found.next[lane]));
        let mut tally = last.tally;
        scan(last.sequence, &last.bytes, |piece| {
            if let Piece::Record(frame) = &piece
                && frame.last > sealed[frame.lane]
            {
                let torn = tally.torn_before(frame);
                maybe_lost += found.stake.declare_torn(&mut records, frame.lane, torn);
                copy_record(&mut records, frame);
            }
            tally.see(&piece);
        });
    }
    let next = PerLane::build(|lane| {
        let (from, lost) = (found.next[lane], found.lost[lane]);
        if from < lost {
            tracing::error!(lane = lane.as_str(), from, before = lost, "damage has swallowed events");
        }
        let next = declare(&mut records, lane, from..lost, SkipReason::Lost);
        let next = match lane {
            Lane::Money => next,
            Lane::Traffic => {
                let behind = declare(&mut records, lane, found.stake.behind(next), SkipReason::Bounded);
                maybe_lost += behind - next;
                behind
            }
        };
        declare(&mut records, lane, next..next.saturating_add(found.stake.guard), SkipReason::Unclean)
    });
    if maybe_lost > 0 {
        tracing::error!(
            maybe_lost,
            "clicks were answered before they were durable; so many at most are lost"
        );
    }
    finish_records(&mut records, sequence);
    let mut bytes = header.to_bytes().to_vec();
    bytes.append(&mut records);
    Begun { header, bytes, next, maybe_lost }
}

/// Records that were not durable, but are known.
pub(super) struct Kept<'a> {
    pub records: &'a [u8],
    /// The next ordinals behind what was durable and these.
    pub next: PerLane<u64>,
}

/// The bytes of the segment that takes the place of the one at whose `end` an `fdatasync` failed: all that was durable,
/// what is `kept`, and a declaration for what nobody can be sure of, up to `next`.
pub(super) fn move_records(
    disk: &dyn Disk,
    dir: &Path,
    end: LogEnd,
    kept: Kept<'_>,
    next: PerLane<u64>,
) -> io::Result<Vec<u8>> {
    let len = usize::try_from(end.offset).unwrap_or(usize::MAX);
    let old = disk.read_at(&dir.join(segment_name(end.sequence)), 0, len)?;
    let unreadable =
        || io::Error::new(io::ErrorKind::InvalidData, "what had been durable reads back damaged");
    let header = SegmentHeader::parse(&old).ok_or_else(unreadable)?;
    let sequence = end.sequence + 1;
    let mut records = Vec::new();
    let damaged = scan(end.sequence, &old, |piece| {
        if let Piece::Record(frame) = piece {
            copy_record(&mut records, &frame);
        }
    });
    if damaged > 0 || old.len() < len {
        return Err(unreadable());
    }
    records.extend_from_slice(kept.records);
    for lane in Lane::ALL.iter().copied() {
        declare(&mut records, lane, kept.next[lane]..next[lane], SkipReason::Unclean);
    }
    finish_records(&mut records, sequence);
    let mut bytes = SegmentHeader { sequence, replaces: end.sequence, ..header }.to_bytes().to_vec();
    bytes.append(&mut records);
    Ok(bytes)
}

/// Declares ordinals as skipped, as far as an epoch has them; returns the one behind them.
fn declare(out: &mut Vec<u8>, lane: Lane, ordinals: Range<u64>, reason: SkipReason) -> u64 {
    let end = ordinals.end.min(ORDINAL_MAX + 1).max(ordinals.start);
    if ordinals.start < end {
        append_skipped(out, lane, &skipped_to_wire(ordinals.start, end - 1, reason));
    }
    end
}
