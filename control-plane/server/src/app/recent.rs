//! The clicks of a tenant, newest batch first, read back from the journal as the edges signed them.

use super::App;
use crate::error::AppError;
use control_plane_store::journal::JournalRow;
use control_plane_store::{Page, StoreError};
use proto_model::event::{Body, Click, RecordedFacts, RecordedVerdict};
use proto_model::{Address, TenantId, UnixMicros, VerdictKind};
use proto_wire::convert::{JournalEvent, event_from_wire};
use proto_wire::envelope::{Header, SealedBatch};

/// Batches that one look opens, whatever load there is. All of them hold clicks that are looked for.
const BATCHES: u32 = 32;
/// A place in the journal as one number: the batch, then the event in it (at most 4096).
const EVENT_BITS: u32 = 16;

pub struct RecentClick {
    pub address: Address,
    pub at: UnixMicros,
    pub click: Click,
    pub facts: RecordedFacts,
    pub verdict: RecordedVerdict,
}

/// At most `limit` clicks before the place `after`: the batch that came in last first, and in it the last
/// event. The page may be shorter than `limit` and not be the last one.
pub async fn clicks(
    app: &App,
    tenant: TenantId,
    verdict: Option<VerdictKind>,
    after: Option<i64>,
    limit: usize,
) -> Result<Page<RecentClick>, AppError> {
    let before = u64::try_from(after.unwrap_or(i64::MAX)).unwrap_or(0);
    let through = before.saturating_sub(1) >> EVENT_BITS;
    let batches = app.store.click_batches(tenant, verdict, through, BATCHES + 1).await?;
    let budget = usize::try_from(BATCHES).unwrap_or(usize::MAX);
    let mut found: Vec<(u64, RecentClick)> = Vec::new();
    for seq in batches.iter().copied().take(budget) {
        let row = match app.store.journal_batch(seq).await {
            // Dropped since we listed it.
            Err(StoreError::NotFound) => continue,
            row => row?,
        };
        // Decompressing is work for a thread that nobody waits on.
        let mut opened = tokio::task::spawn_blocking(move || batch_clicks(row, tenant, verdict))
            .await
            .map_err(|error| AppError::internal("the scan of the journal was cut short", error))?;
        opened.retain(|(place, _)| *place < before);
        found.append(&mut opened);
        if found.len() > limit {
            found.truncate(limit);
            return Ok(page(found.last().map(|(place, _)| *place), found));
        }
    }
    Ok(page(batches.get(budget).map(|next| (next + 1) << EVENT_BITS), found))
}

fn page(next: Option<u64>, found: Vec<(u64, RecentClick)>) -> Page<RecentClick> {
    let items = found.into_iter().map(|(_, click)| click).collect();
    Page { items, next: next.and_then(|place| i64::try_from(place).ok()) }
}

/// Last event first, each with its place.
fn batch_clicks(row: JournalRow, tenant: TenantId, verdict: Option<VerdictKind>) -> Vec<(u64, RecentClick)> {
    let (seq, stream) = (row.seq, row.stream);
    let sealed = SealedBatch {
        header_bytes: row.header_bytes,
        signature: row.signature,
        payload: row.payload,
        sidecar: Vec::new(),
    };
    // It was verified when it came in; a batch that cannot be opened is the projector's to report.
    let Ok(batch) = Header::parse(&sealed.header_bytes).and_then(|header| sealed.open(&header)) else {
        return Vec::new();
    };
    let click = |(index, event): (u64, &proto_wire::edge_v1::Event)| {
        let Ok(JournalEvent::Tracking { ordinal, event }) = event_from_wire(event) else { return None };
        let Body::Click(click) = event.body else { return None };
        let wanted = event.tenant == tenant && verdict.is_none_or(|kind| kind == event.verdict.kind);
        let found = RecentClick {
            address: Address { stream, ordinal },
            at: event.occurred_at,
            click,
            facts: event.facts,
            verdict: event.verdict,
        };
        wanted.then_some((seq << EVENT_BITS | index, found))
    };
    let mut found: Vec<_> = (1..).zip(&batch.events).filter_map(click).collect();
    found.reverse();
    found
}
