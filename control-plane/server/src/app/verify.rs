//! Does the journal still say what the edges signed? Every stream is walked from its first batch, or from the
//! first that was not dropped: the signatures, the header fields, the chain, the ordinals, the head; where ordinals
//! are missing, the gap that the edge has signed; and every personal value that is left against its commitment. A value that is missing is fine: it was erased.

use crate::error::{AppError, chain};
use control_plane_store::Store;
use control_plane_store::gaps::GapRow;
use control_plane_store::journal::JournalRow;
use control_plane_store::projection::SidecarRow;
use control_plane_store::retention::Anchor;
use control_plane_store::verify::{BatchValues, SignedStream};
use proto_model::{Address, EdgeId, StreamNo, UnixMicros};
use proto_wire::edge_v1::{Event, SidecarEntry};
use proto_wire::envelope::{GapDeclaration, Header, SealedBatch};
use proto_wire::keys::PublicKey;
use proto_wire::personal::verify_entry;
use std::sync::atomic::{AtomicU64, Ordering};

const STREAMS: u32 = 100;
/// A batch may have megabytes.
const BATCHES: u32 = 8;
const GAPS: u32 = 100;
/// Problems told in full; the verdict counts them all.
const TOLD: usize = 100;
/// Personal values that are counted in one place where none should be.
const STRAYS: u32 = 100;

/// Something that cannot have come about by taking signed batches and erasing values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub edge: Option<EdgeId>,
    /// `None` = of the journal as a whole.
    pub address: Option<Address>,
    pub what: String,
}

/// A stream of which the beginning was dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutStream {
    pub edge: EdgeId,
    /// The first event that was verified.
    pub from: Address,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verification {
    pub streams: u64,
    pub batches: u64,
    pub events: u64,
    /// Personal values that were there and match their commitments.
    pub values: u64,
    /// Batches that are signed but hold no readable events; they count nowhere.
    pub set_aside: u64,
    /// Batches that are not kept any more, with all that was received before this time.
    pub dropped: u64,
    pub dropped_before: Option<UnixMicros>,
    pub cut: Vec<CutStream>,
    /// Signed declarations that stand where batches were lost.
    pub gaps: u64,
    /// Ordinals that these cover.
    pub lost: u64,
    pub found: u64,
    /// The first hundred.
    pub problems: Vec<Problem>,
}

impl Verification {
    pub fn ok(&self) -> bool {
        self.found == 0
    }

    fn problem(&mut self, edge: Option<EdgeId>, address: Option<Address>, what: impl Into<String>) {
        self.found += 1;
        if self.problems.len() < TOLD {
            self.problems.push(Problem { edge, address, what: what.into() });
        }
    }
}

/// How far a verification has come, for whoever asks meanwhile.
pub type Walked = AtomicU64;

pub async fn verify_journal(store: &Store) -> Result<Verification, AppError> {
    verify_counting(store, &Walked::default()).await
}

/// The same; `walked` counts the batches meanwhile.
pub async fn verify_counting(store: &Store, walked: &Walked) -> Result<Verification, AppError> {
    let mut report = Verification::default();
    let mut after = StreamNo(0);
    loop {
        let streams = store.signed_streams(after, STREAMS).await?;
        for stream in &streams {
            strays(&mut report, store.values_of_no_stream((after, Some(stream.stream)), STRAYS).await?);
            walk(store, stream, &mut report, walked).await?;
            after = stream.stream;
            report.streams += 1;
        }
        if streams.is_empty() {
            break;
        }
    }
    strays(&mut report, store.values_of_no_stream((after, None), STRAYS).await?);
    let count = store.journal_count().await?;
    (report.dropped, report.dropped_before) = (count.dropped, count.dropped_before);
    if count.batches + count.dropped != count.given || count.highest_seq != count.given {
        let what = format!(
            "the journal holds {} batches up to seq {}, {} were taken and {} dropped",
            count.batches, count.highest_seq, count.given, count.dropped
        );
        report.problem(None, None, what);
    }
    Ok(report)
}

fn strays(report: &mut Verification, found: Vec<Address>) {
    for address in found {
        report.problem(None, Some(address), "a personal value of an event that no batch holds");
    }
}

/// Where a stream stands after the batches walked so far.
#[derive(Clone, Copy)]
struct Walk {
    /// Of the last batch or gap.
    first_ordinal: u64,
    last_ordinal: u64,
    head_hash: [u8; 32],
}

impl Walk {
    /// No batch that is left begins within what was dropped.
    fn from(anchor: Anchor) -> Self {
        let Anchor { last_ordinal, head_hash } = anchor;
        Self { first_ordinal: last_ordinal, last_ordinal, head_hash }
    }
}

/// What a stream is made of.
enum Piece {
    Batch(Box<JournalRow>),
    Gap(GapRow),
}

impl Piece {
    fn first_ordinal(&self) -> u64 {
        match self {
            Self::Batch(row) => row.first_ordinal,
            Self::Gap(gap) => gap.first_ordinal,
        }
    }
}

/// As far as both lists are known: a batch stands behind all that it continues, but nobody knows what came between a
/// gap and another, or behind the last gap of a list that may go on.
fn in_order(rows: Vec<JournalRow>, gaps: Vec<GapRow>) -> Vec<Piece> {
    let more = gaps.len() >= usize::try_from(GAPS).unwrap_or(usize::MAX);
    let known = gaps.last().filter(|_| more).map_or(u64::MAX, |gap| gap.first_ordinal);
    let rows: Vec<_> = rows.into_iter().filter(|row| row.first_ordinal < known).collect();
    let Some(last) = rows.last().map(|row| row.first_ordinal) else {
        return gaps.into_iter().take(1).map(Piece::Gap).collect();
    };
    let gaps = gaps.into_iter().filter(|gap| gap.first_ordinal <= last).map(Piece::Gap);
    let mut pieces: Vec<_> = rows.into_iter().map(|row| Piece::Batch(Box::new(row))).chain(gaps).collect();
    pieces.sort_by_key(Piece::first_ordinal);
    pieces
}

async fn walk(
    store: &Store,
    stream: &SignedStream,
    report: &mut Verification,
    walked: &Walked,
) -> Result<(), AppError> {
    let mut anchor = store.anchor(stream.stream).await?;
    let mut walk = Walk::from(anchor);
    let mut ended = false;
    loop {
        let rows = store.batches_beginning_after(stream.stream, walk.first_ordinal, BATCHES).await?;
        // Read after the batches: the gaps that these continue are there by now.
        let gaps = store.gaps_beginning_after(stream.stream, walk.first_ordinal, GAPS).await?;
        let pieces = in_order(rows, gaps);
        // Days may be dropped while we walk: then what follows does not continue, and begins later.
        if pieces.first().is_none_or(|piece| piece.first_ordinal() > walk.last_ordinal + 1) {
            let now = store.anchor(stream.stream).await?;
            if now.last_ordinal > walk.last_ordinal {
                (anchor, walk) = (now, Walk::from(now));
                continue;
            }
        }
        if !pieces.is_empty() {
            ended = false;
            for piece in pieces {
                if piece.first_ordinal() > walk.last_ordinal + 1 {
                    let hole = (walk.last_ordinal, piece.first_ordinal());
                    strays(report, store.values_between(stream.stream, hole, STRAYS).await?);
                }
                walk = match piece {
                    Piece::Gap(gap) => declared(store, stream, &gap, walk, report).await?,
                    Piece::Batch(row) => {
                        walked.fetch_add(1, Ordering::Relaxed);
                        batch(store, stream, *row, walk, report).await?
                    }
                };
            }
            continue;
        }
        // Batches may arrive while we walk: the head is read after the last of them and of their values, and when
        // it says otherwise, there must be more.
        let beyond = store.values_between(stream.stream, (walk.last_ordinal, u64::MAX), STRAYS).await?;
        let head = store.stream_head(stream.stream).await?;
        let place = |ordinal| Address { stream: stream.stream, ordinal };
        if head != (walk.last_ordinal, walk.head_hash) {
            if !ended {
                ended = true;
                continue;
            }
            let what = format!("the stream ends at {}, its head stands at {}", walk.last_ordinal, head.0);
            report.problem(Some(stream.edge), Some(place(walk.last_ordinal)), what);
        }
        strays(report, beyond);
        if anchor != Anchor::START {
            report.cut.push(CutStream { edge: stream.edge, from: place(anchor.last_ordinal + 1) });
        }
        return Ok(());
    }
}

async fn declared(
    store: &Store,
    stream: &SignedStream,
    gap: &GapRow,
    before: Walk,
    report: &mut Verification,
) -> Result<Walk, AppError> {
    let at = Some(Address { stream: stream.stream, ordinal: gap.first_ordinal });
    for what in gap_misfits(stream, gap, &before) {
        report.problem(Some(stream.edge), at, what);
    }
    // Nothing was projected of what has never come.
    let inside = (gap.first_ordinal.saturating_sub(1), gap.last_ordinal.saturating_add(1));
    strays(report, store.values_between(stream.stream, inside, STRAYS).await?);
    report.gaps += 1;
    report.lost = report.lost.saturating_add(gap.ordinals());
    let GapRow { first_ordinal, last_ordinal, resume_hash: head_hash, .. } = *gap;
    Ok(Walk { first_ordinal, last_ordinal, head_hash })
}

/// What of a gap's row, or of its place in the stream, is not as the signed declaration says.
fn gap_misfits(stream: &SignedStream, row: &GapRow, before: &Walk) -> Vec<String> {
    let key = PublicKey(stream.batch_public_key);
    let gap = match GapDeclaration::verify(&key, &row.declaration, &row.signature) {
        Ok(gap) => gap,
        Err(error) => return vec![chain(&error)],
    };
    let facts = [
        (gap.edge == stream.edge, "the gap is of another edge"),
        (gap.epoch == stream.epoch, "the gap is of another epoch"),
        (gap.stream == stream.stream, "the gap is of another stream"),
        (gap.lane == stream.lane, "the gap is of another lane"),
        (
            (gap.first_ordinal, gap.last_ordinal) == (row.first_ordinal, row.last_ordinal),
            "the row names other ordinals than the signed gap",
        ),
        (
            (gap.prev_hash, gap.resume_hash) == (row.prev_hash, row.resume_hash),
            "the row's hashes are not those of the signed gap",
        ),
        (gap.reason.as_str() == row.reason, "the row gives another reason than the signed gap"),
        (
            gap.first_ordinal == before.last_ordinal.saturating_add(1),
            "the gap is not where batches are missing",
        ),
        (gap.prev_hash == before.head_hash, "the gap does not continue the chain"),
    ];
    facts.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what.to_owned()).collect()
}

async fn batch(
    store: &Store,
    stream: &SignedStream,
    row: JournalRow,
    before: Walk,
    report: &mut Verification,
) -> Result<Walk, AppError> {
    let BatchValues { values, unreadable } = store.sidecar_of_batch(&row).await?;
    let at = Some(Address { stream: stream.stream, ordinal: row.first_ordinal });
    let after =
        Walk { first_ordinal: row.first_ordinal, last_ordinal: row.last_ordinal, head_hash: row.head_hash };
    let (signed, edge) = (stream.clone(), Some(stream.edge));
    // Hashing and unpacking megabytes would hold up everybody else on this thread.
    let checked = tokio::task::spawn_blocking(move || check(&signed, &row, &before, &values))
        .await
        .map_err(|error| AppError::internal("the verification was interrupted", error))?;
    report.batches += 1;
    report.events += checked.events;
    report.values += checked.values;
    report.set_aside += u64::from(checked.unreadable);
    let unreadable = unreadable.iter().map(|error| format!("personal values of the batch: {}", chain(error)));
    for what in checked.problems.into_iter().chain(unreadable) {
        report.problem(edge, at, what);
    }
    Ok(after)
}

#[derive(Default)]
struct Checked {
    events: u64,
    values: u64,
    unreadable: bool,
    problems: Vec<String>,
}

fn check(stream: &SignedStream, row: &JournalRow, before: &Walk, values: &[SidecarRow]) -> Checked {
    let mut checked = Checked::default();
    let sealed = SealedBatch {
        header_bytes: row.header_bytes.clone(),
        signature: row.signature,
        payload: row.payload.clone(),
        sidecar: Vec::new(),
    };
    let header = match sealed.verify(&PublicKey(stream.batch_public_key)) {
        Ok(header) => header,
        Err(error) => {
            checked.problems.push(chain(&error));
            return checked;
        }
    };
    checked.problems = misfits(stream, row, before, &header);
    checked.events = u64::from(header.events);
    let events = match sealed.open(&header) {
        Ok(batch) => batch.events,
        // The edge has signed that, so nobody has changed it here.
        Err(_) => {
            checked.unreadable = true;
            Vec::new()
        }
    };
    for value in values {
        if matches(&events, stream.stream, value) {
            checked.values += 1;
        } else {
            let (class, ordinal) = (value.class.as_str(), value.address.ordinal);
            checked
                .problems
                .push(format!("the {class} value of event {ordinal} is not the one committed to"));
        }
    }
    checked
}

/// What of the row, or of its place in the stream, is not as the signed header says.
fn misfits(stream: &SignedStream, row: &JournalRow, before: &Walk, header: &Header) -> Vec<String> {
    let facts = [
        (header.edge == stream.edge, "the batch is of another edge"),
        (header.epoch == stream.epoch, "the batch is of another epoch"),
        (header.stream == stream.stream, "the batch is of another stream"),
        (header.lane == stream.lane && row.lane == stream.lane, "the batch is of another lane"),
        (
            (header.first_ordinal, header.last_ordinal) == (row.first_ordinal, row.last_ordinal),
            "the row names other ordinals than the signed header",
        ),
        (header.events == row.events, "the row counts other events than the signed header"),
        (header.head_hash() == row.head_hash, "the row's head hash is not that of the signed header"),
        (header.first_ordinal == before.last_ordinal.saturating_add(1), "ordinals are missing or repeated"),
        (header.prev_hash == before.head_hash, "the chain does not continue"),
    ];
    facts.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what.to_owned()).collect()
}

fn matches(events: &[Event], stream: StreamNo, value: &SidecarRow) -> bool {
    let ordinal = value.address.ordinal;
    let Ok(index) = events.binary_search_by_key(&ordinal, |event| event.ordinal) else { return false };
    let entry = SidecarEntry {
        ordinal,
        personal_class: value.class.code().into(),
        salt: value.salt.to_vec(),
        value: value.value.clone(),
    };
    let event = &events[index];
    event.tenant == value.tenant.get() && verify_entry(event, stream, &entry)
}
