//! Shares of click caps: what an edge reports and asks for.

use crate::app::App;
use crate::app::click_caps::{self, Claim, Grant, MAX_CLAIMS, Want};
use crate::error::AppError;
use control_plane_store::fleet::Edge;
use proto_model::time::SECOND_US;
use proto_model::{Capped, LinkId, OfferId, TenantId, UnixMicros};
use proto_wire::edge_v1::lease_claim::Subject;
use proto_wire::edge_v1::{LeaseClaim, LeaseGrant, LeaseRequest, LeaseResponse};

pub async fn lease(app: &App, edge: &Edge, request: &LeaseRequest) -> Result<LeaseResponse, AppError> {
    if request.claims.len() > MAX_CLAIMS {
        return Err(AppError::invalid("claims", "make at most 256 claims in one call"));
    }
    let claims: Vec<Claim> = request.claims.iter().map(read).collect::<Result<_, _>>()?;
    let grants = click_caps::lease(app, edge.id, &claims).await?;
    let grants = grants.iter().zip(&request.claims).map(|(grant, claim)| write(*grant, claim));
    Ok(LeaseResponse { grants: grants.collect() })
}

/// Numbers and counts are kept in 63 bits.
fn fits(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

fn read(claim: &LeaseClaim) -> Result<Claim, AppError> {
    let bad = |message| AppError::invalid("claims", message);
    let tenant = TenantId::new(claim.tenant).ok_or_else(|| bad("a claim names its tenant"))?;
    let subject = match claim.subject {
        Some(Subject::Offer(id)) => OfferId::new(id).map(Capped::Offer),
        Some(Subject::Link(id)) => LinkId::new(id).map(Capped::Link),
        None => None,
    };
    let subject = subject.ok_or_else(|| bad("a claim names an offer or a link"))?;
    let window_start = claim.window_start_secs.checked_mul(SECOND_US).filter(|start| *start >= 0);
    let window_start = window_start.ok_or_else(|| bad("a window begins after 1970"))?;
    if ![claim.lease, claim.spent, claim.wanted, claim.next].into_iter().all(fits) {
        return Err(bad("numbers have at most 63 bits"));
    }
    if claim.wanted > 0 && claim.next == 0 {
        return Err(bad("a lease that is wanted has a number, in `next`"));
    }
    Ok(Claim {
        tenant,
        subject,
        window_start: UnixMicros(window_start),
        report: (claim.lease > 0).then_some((claim.lease, claim.spent)),
        want: (claim.wanted > 0).then_some(Want {
            number: claim.next,
            clicks: claim.wanted,
            ahead: claim.ahead,
        }),
    })
}

fn write(grant: Grant, claim: &LeaseClaim) -> LeaseGrant {
    let lasts_secs = u32::try_from(grant.lasts.as_secs()).unwrap_or(u32::MAX);
    LeaseGrant { lease: claim.next, granted: grant.granted, lasts_secs }
}
