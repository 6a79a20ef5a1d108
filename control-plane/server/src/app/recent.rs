//! The clicks of a tenant, newest batch first, read back from the journal as the edges signed them.

use super::App;
use super::scan::{self, Scanned};
use crate::error::AppError;
use control_plane_store::journal::JournalRow;
use control_plane_store::{Page, StoreError};
use proto_model::event::{Body, Click, RecordedFacts, RecordedVerdict};
use proto_model::{Address, TenantId, UnixMicros, VerdictKind};

/// Batches that one look opens, whatever load there is. All of them hold clicks that are looked for.
const BATCHES: u32 = 32;

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
    let through = scan::batch_of(before.saturating_sub(1));
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
    Ok(page(batches.get(budget).map(|next| scan::start_of(next + 1)), found))
}

fn page(next: Option<u64>, found: Vec<(u64, RecentClick)>) -> Page<RecentClick> {
    let items = found.into_iter().map(|(_, click)| click).collect();
    Page { items, next: next.and_then(|place| i64::try_from(place).ok()) }
}

/// Last event first, each with its place.
fn batch_clicks(row: JournalRow, tenant: TenantId, verdict: Option<VerdictKind>) -> Vec<(u64, RecentClick)> {
    let click = |Scanned { place, address, event }: Scanned| {
        let Body::Click(click) = event.body else { return None };
        let found =
            RecentClick { address, at: event.occurred_at, click, facts: event.facts, verdict: event.verdict };
        verdict.is_none_or(|kind| kind == found.verdict.kind).then_some((place, found))
    };
    scan::events_of(row, tenant).into_iter().rev().filter_map(click).collect()
}
