//! The newest clicks of a tenant, read back from the journal as the edges signed them.

use super::App;
use crate::error::AppError;
use control_plane_store::journal::JournalRow;
use proto_model::event::{Body, Click, RecordedFacts, RecordedVerdict};
use proto_model::{Address, Lane, TenantId, UnixMicros};
use proto_wire::convert::{JournalEvent, event_from_wire};
use proto_wire::envelope::{Header, SealedBatch};

/// How far back a scan goes: enough for a look at live traffic, and bounded under any load.
const BATCHES: u32 = 32;

pub struct RecentClick {
    pub address: Address,
    pub at: UnixMicros,
    pub click: Click,
    pub facts: RecordedFacts,
    pub verdict: RecordedVerdict,
}

/// At most `limit` clicks, newest first.
pub async fn clicks(app: &App, tenant: TenantId, limit: usize) -> Result<Vec<RecentClick>, AppError> {
    let rows = app.store.recent_batches(Lane::Traffic, BATCHES).await?;
    // Decompressing is work for a thread that nobody waits on.
    tokio::task::spawn_blocking(move || scan(rows, tenant, limit))
        .await
        .map_err(|error| AppError::internal("the scan of the journal was cut short", error))
}

fn scan(rows: Vec<JournalRow>, tenant: TenantId, limit: usize) -> Vec<RecentClick> {
    let mut found = Vec::new();
    for row in rows {
        // Newest batch first; another edge's newest click may sit in an older one, which is near enough.
        if found.len() >= limit {
            break;
        }
        found.extend(batch_clicks(row, tenant));
    }
    found.sort_by_key(|click: &RecentClick| std::cmp::Reverse((click.at, click.address)));
    found.truncate(limit);
    found
}

fn batch_clicks(row: JournalRow, tenant: TenantId) -> Vec<RecentClick> {
    let stream = row.stream;
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
    let click = |event: &proto_wire::edge_v1::Event| {
        let Ok(JournalEvent::Tracking { ordinal, event }) = event_from_wire(event) else { return None };
        let Body::Click(click) = event.body else { return None };
        (event.tenant == tenant).then_some(RecentClick {
            address: Address { stream, ordinal },
            at: event.occurred_at,
            click,
            facts: event.facts,
            verdict: event.verdict,
        })
    };
    batch.events.iter().filter_map(click).collect()
}
