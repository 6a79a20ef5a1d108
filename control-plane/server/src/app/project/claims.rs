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
use std::ops::RangeInclusive;
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

/// A batch and where it stands.
struct Recent {
    stream: StreamNo,
    ordinals: RangeInclusive<u64>,
    batch: Arc<OpenBatch>,
}

/// The batches that were compared with last, opened.
#[derive(Default)]
pub struct RecentBatches {
    batches: VecDeque<Recent>,
}

impl RecentBatches {
    async fn at(&mut self, app: &App, address: Address) -> Result<Option<Arc<OpenBatch>>, AppError> {
        if let Some(known) = self.known(address) {
            return Ok(Some(known));
        }
        let Some(row) = app.store.batch_at(address).await? else { return Ok(None) };
        // A batch that cannot be read is set aside when it is projected; nothing can be compared with it.
        let Ok(opened) = open::open(&row) else { return Ok(None) };
        let opened = Arc::new(opened);
        self.keep(row.stream, row.first_ordinal..=row.last_ordinal, opened.clone());
        Ok(Some(opened))
    }

    fn known(&self, address: Address) -> Option<Arc<OpenBatch>> {
        let covers =
            |recent: &&Recent| recent.stream == address.stream && recent.ordinals.contains(&address.ordinal);
        self.batches.iter().find(covers).map(|recent| recent.batch.clone())
    }

    fn keep(&mut self, stream: StreamNo, ordinals: RangeInclusive<u64>, batch: Arc<OpenBatch>) {
        self.batches.push_back(Recent { stream, ordinals, batch });
        if self.batches.len() > KEPT_BATCHES {
            self.batches.pop_front();
        }
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
    let click = match &event.event.body {
        Body::Conversion(hit) => hit.click?,
        Body::Touch(touch) => touch.click,
        Body::Click(_) | Body::Impression(_) | Body::Refused(_) => return None,
    };
    Some(Claim {
        tenant: event.event.tenant,
        conversion: Address { stream, ordinal: event.ordinal },
        click,
        at: event.event.occurred_at,
    })
}

/// `clicks` is the batch that covers the click's address.
fn disagreement(claim: &Claim, clicks: &OpenBatch) -> Option<FraudSignal> {
    let at = claim.click.address;
    let event = clicks.events.iter().find(|event| event.ordinal == at.ordinal);
    let found = event.and_then(|event| match &event.event.body {
        Body::Click(click) => Some((event.event.tenant, click.link, click.offer)),
        Body::Conversion(_) | Body::Touch(_) | Body::Impression(_) | Body::Refused(_) => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recent_batch_is_known_by_what_it_covers() {
        let mut recent = RecentBatches::default();
        let batches = [(1, 1..=10), (2, 5..=9), (1, 11..=11)].map(|(stream, ordinals)| {
            let batch = Arc::new(OpenBatch::default());
            recent.keep(StreamNo(stream), ordinals, batch.clone());
            batch
        });
        let cases = [
            (1, 1, Some(0)),
            (1, 10, Some(0)),
            (1, 11, Some(2)),
            (1, 12, None),
            (2, 4, None),
            (2, 5, Some(1)),
            (2, 9, Some(1)),
            (2, 10, None),
            (3, 5, None),
        ];
        for (stream, ordinal, expected) in cases {
            let found = recent.known(Address { stream: StreamNo(stream), ordinal });
            let found =
                found.map(|found| batches.iter().position(|batch| Arc::ptr_eq(batch, &found)).unwrap());
            assert_eq!(found, expected, "{stream} {ordinal}");
        }
        for n in (0..).take(KEPT_BATCHES) {
            recent.keep(StreamNo(9), n..=n, Arc::default());
        }
        assert!(recent.known(Address { stream: StreamNo(1), ordinal: 1 }).is_none(), "the oldest have gone");
    }
}
