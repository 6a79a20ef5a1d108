//! A conversion's click id claims a click at an address of the journal. When the event there says
//! something else, whoever sealed the id was not the edge that saw the click.
//!
//! Either may come first. A conversion whose click is in the journal is compared at once; otherwise it
//! stands in the intake with the click's address, and is found when that batch is projected.

use super::fold::signal;
use super::open::{self, OpenBatch, OpenEvent};
use crate::app::App;
use crate::error::AppError;
use control_plane_domain::intake::{Input, Source};
use control_plane_store::journal::JournalRow;
use control_plane_store::projection::FraudSignal;
use proto_model::event::Body;
use proto_model::{Address, ClickFacts, StreamNo, TenantId, UnixMicros};
use std::collections::VecDeque;
use std::sync::Arc;

/// Conversions often name clicks of the same few batches.
const KEPT_BATCHES: usize = 8;
/// Of the claims on one batch; one signal would do.
const MAX_CLAIMS: u32 = 10_000;

struct Claim {
    tenant: TenantId,
    conversion: Address,
    click: ClickFacts,
    at: UnixMicros,
}

/// The batches that were compared with last, opened.
#[derive(Default)]
pub struct RecentBatches {
    batches: VecDeque<(u64, Arc<OpenBatch>)>,
}

impl RecentBatches {
    async fn at(&mut self, app: &App, address: Address) -> Result<Option<Arc<OpenBatch>>, AppError> {
        let Some(row) = app.store.batch_at(address).await? else { return Ok(None) };
        if let Some((_, known)) = self.batches.iter().find(|(seq, _)| *seq == row.seq) {
            return Ok(Some(known.clone()));
        }
        // A batch that cannot be read is set aside when it is projected; nothing can be compared with it.
        let Ok(opened) = open::open(&row) else { return Ok(None) };
        let opened = Arc::new(opened);
        self.batches.push_back((row.seq, opened.clone()));
        if self.batches.len() > KEPT_BATCHES {
            self.batches.pop_front();
        }
        Ok(Some(opened))
    }
}

/// Compares this batch's conversions with their clicks, and this batch's clicks with their conversions, as
/// far as both are here.
pub async fn compare(
    app: &App,
    row: &JournalRow,
    batch: &OpenBatch,
    recent: &mut RecentBatches,
) -> Result<Vec<FraudSignal>, AppError> {
    let mut signals = Vec::new();
    for claim in batch.events.iter().filter_map(|event| claim_of(event, row.stream)) {
        // An unspooled click has no event; its ordinal is random.
        if claim.click.flags.unspooled() {
            continue;
        }
        if let Some(clicks) = recent.at(app, claim.click.address).await? {
            signals.extend(disagreement(&claim, &clicks));
        }
    }
    let ordinals = row.first_ordinal..=row.last_ordinal;
    for (shard, input) in app.store.claims_on(row.stream, ordinals, MAX_CLAIMS).await? {
        let Input::Conversion(report) = input else { continue };
        if let (Some(credit), Source::Journal(conversion)) = (report.click, report.source) {
            let (tenant, at) = (shard.tenant, report.occurred_at);
            signals.extend(disagreement(&Claim { tenant, conversion, click: credit.click, at }, batch));
        }
    }
    Ok(signals)
}

fn claim_of(event: &OpenEvent, stream: StreamNo) -> Option<Claim> {
    let Body::Conversion(hit) = &event.event.body else { return None };
    Some(Claim {
        tenant: event.event.tenant,
        conversion: Address { stream, ordinal: event.ordinal },
        click: hit.click?,
        at: event.event.occurred_at,
    })
}

/// `clicks` is the batch that covers the click's address.
fn disagreement(claim: &Claim, clicks: &OpenBatch) -> Option<FraudSignal> {
    let at = claim.click.address;
    let event = clicks.events.iter().find(|event| event.ordinal == at.ordinal);
    let found = event.and_then(|event| match &event.event.body {
        Body::Click(click) => Some((event.event.tenant, click.link, click.offer)),
        Body::Conversion(_) | Body::Refused(_) => None,
    });
    if found == Some((claim.tenant, claim.click.link, claim.click.offer)) {
        return None;
    }
    let place = format!("stream {} ordinal {}", at.stream.0, at.ordinal);
    let detail = match found {
        // Another tenant's click is not described to this one.
        Some((tenant, link, offer)) if tenant == claim.tenant => format!(
            "the click id says link {} and offer {}, the journal has {link} and {offer} at {place}",
            claim.click.link, claim.click.offer
        ),
        _ => format!("the journal has no click of this network at {place}"),
    };
    Some(signal(claim.tenant, "click_id_disagrees", claim.conversion, detail, claim.at))
}
