//! A conversion's click id claims a click at an address of the journal. When the event there says
//! something else, whoever sealed the id was not the edge that saw the click.

use super::fold::signal;
use super::open::{self, OpenBatch, OpenEvent};
use crate::app::App;
use crate::error::AppError;
use control_plane_store::projection::FraudSignal;
use proto_model::event::Body;
use proto_model::{Address, ClickFacts, StreamNo, TenantId, UnixMicros};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Claims that wait for their click's batch. The oldest are forgotten beyond this.
const MAX_WAITING: usize = 100_000;
/// Conversions often name clicks of the same few batches.
const KEPT_BATCHES: usize = 8;

#[derive(Clone, Copy)]
struct Claim {
    tenant: TenantId,
    conversion: Address,
    click: ClickFacts,
    at: UnixMicros,
}

#[derive(Default)]
pub struct Claims {
    waiting: BTreeMap<Address, Vec<Claim>>,
    order: VecDeque<Address>,
    batches: VecDeque<(u64, Arc<OpenBatch>)>,
}

impl Claims {
    fn wait(&mut self, claim: Claim) {
        self.waiting.entry(claim.click.address).or_default().push(claim);
        self.order.push_back(claim.click.address);
        while self.order.len() > MAX_WAITING {
            if let Some(oldest) = self.order.pop_front() {
                self.waiting.remove(&oldest);
            }
        }
    }

    /// The claims on clicks of this batch that came before it.
    pub fn answered_by(&mut self, stream: StreamNo, batch: &OpenBatch) -> Vec<FraudSignal> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut signals = Vec::new();
        for event in &batch.events {
            let address = Address { stream, ordinal: event.ordinal };
            let claims = self.waiting.remove(&address).unwrap_or_default();
            signals.extend(claims.iter().filter_map(|claim| disagreement(claim, Some(event))));
        }
        signals
    }

    fn remember(&mut self, seq: u64, batch: OpenBatch) -> Arc<OpenBatch> {
        let batch = Arc::new(batch);
        self.batches.push_back((seq, batch.clone()));
        if self.batches.len() > KEPT_BATCHES {
            self.batches.pop_front();
        }
        batch
    }
}

/// Compares the claims of this batch's conversions with the clicks that are already in the journal; the
/// others wait.
pub async fn check(
    app: &App,
    batch: &OpenBatch,
    stream: StreamNo,
    claims: &mut Claims,
) -> Result<Vec<FraudSignal>, AppError> {
    let mut signals = Vec::new();
    for claim in batch.events.iter().filter_map(|event| claim_of(event, stream)) {
        // An unspooled click has no event; its ordinal is random.
        if claim.click.flags.unspooled() {
            continue;
        }
        match clicks_at(app, claim.click.address, claims).await? {
            Some(clicks) => {
                let event = clicks.events.iter().find(|event| event.ordinal == claim.click.address.ordinal);
                signals.extend(disagreement(&claim, event));
            }
            None => claims.wait(claim),
        }
    }
    Ok(signals)
}

async fn clicks_at(
    app: &App,
    address: Address,
    claims: &mut Claims,
) -> Result<Option<Arc<OpenBatch>>, AppError> {
    let Some(row) = app.store.batch_at(address).await? else { return Ok(None) };
    if let Some((_, known)) = claims.batches.iter().find(|(seq, _)| *seq == row.seq) {
        return Ok(Some(known.clone()));
    }
    // A batch that cannot be read was set aside when it was projected; nothing can be compared with it.
    match open::open(&row) {
        Ok(opened) => Ok(Some(claims.remember(row.seq, opened))),
        Err(_) => Ok(None),
    }
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

/// `None` event: the journal has the range, but no readable click stands there.
fn disagreement(claim: &Claim, event: Option<&OpenEvent>) -> Option<FraudSignal> {
    let found = event.and_then(|event| match &event.event.body {
        Body::Click(click) => Some((event.event.tenant, click.link, click.offer)),
        Body::Conversion(_) | Body::Refused(_) => None,
    });
    let claimed = (claim.tenant, claim.click.link, claim.click.offer);
    if found == Some(claimed) {
        return None;
    }
    let at = claim.click.address;
    let detail = match found {
        Some((tenant, link, offer)) => format!(
            "the click id says link {} and offer {}, the journal has {link} and {offer} ({tenant}) at stream {} \
             ordinal {}",
            claim.click.link, claim.click.offer, at.stream.0, at.ordinal
        ),
        None => format!("the journal has no click at stream {} ordinal {}", at.stream.0, at.ordinal),
    };
    Some(signal(claim.tenant, "click_id_disagrees", claim.conversion, detail, claim.at))
}
