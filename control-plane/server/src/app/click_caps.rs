//! Click caps and links' `max_clicks`: what edges are given of a budget, and what is gone of it.

use super::settings::{self, KeptRouting, LinkSettingsBody, offset_at};
use super::{App, clock};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::click_leases::{ClickClaim, ClickGrant, ClickUsage, ClickWant, LeaseTerms};
use proto_model::cap::Window;
use proto_model::{CapWindow, Capped, ClickCap, EdgeId, TenantId, UnixMicros};
use std::time::Duration;

/// What one request may ask.
pub const MAX_CLAIMS: usize = 256;
/// Longer than this a lease is not waited for after its end: an edge counts from when it asked, we from when we answered.
const GRACE_SECS: i64 = 10;
/// How far an edge's clock may be off when a window begins.
const CLOCK_SECS: i64 = 60;
/// Edges that were heard of within so long share a budget. One that is connected is, whether it has anything to say or
/// not: [`super::fleet::SEEN_EVERY`].
const ALIVE_SECS: i64 = 3_600;
/// Nothing is left but what other edges hold: it may come back at any time.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Everything is used: until an operator changes the cap, of which the snapshot tells.
const USED_UP: Duration = Duration::from_secs(30);
/// After a week nobody reports on a lease any more.
const KEPT_SECS: i64 = 7 * 86_400;

/// One claim as the edge makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    pub tenant: TenantId,
    pub subject: Capped,
    pub window_start: UnixMicros,
    /// Number of a lease, and what was spent of it.
    pub report: Option<(u64, u64)>,
    pub want: Option<Want>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    pub number: u64,
    pub clicks: u64,
    pub ahead: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    pub granted: u64,
    /// Of the lease, or until it is of use to ask again.
    pub lasts: Duration,
}

impl Grant {
    const fn nothing(ask_again: Duration) -> Self {
        Self { granted: 0, lasts: ask_again }
    }
}

/// A cap as it stands in the catalog.
struct Cap {
    cap: ClickCap,
    zone: Option<String>,
}

impl Cap {
    fn window(&self, at: UnixMicros) -> Window {
        self.cap.window.around(at, offset_at(self.zone.as_deref()))
    }

    /// Whether a window is the one of now, by any clock that is about right.
    fn is_current(&self, start: UnixMicros, now: UnixMicros) -> bool {
        [-CLOCK_SECS, 0, CLOCK_SECS].iter().any(|off| self.window(now.plus_secs(*off)).start == start)
    }
}

/// What is said of a window to whoever runs the offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapState {
    pub cap: ClickCap,
    pub window: Window,
    pub usage: ClickUsage,
}

/// `None` when there is no cap; `NotFound` when this tenant has no such offer or link.
async fn cap_of(app: &App, tenant: TenantId, subject: Capped) -> Result<Option<Cap>, AppError> {
    let unreadable = |error| AppError::internal("stored settings cannot be read", error);
    Ok(match subject {
        Capped::Offer(id) => {
            let offer = app.store.get_offer(tenant, id).await.map_err(AppError::of("offer"))?;
            let KeptRouting(routing) = settings::read(&offer.routing_json).map_err(unreadable)?;
            let cap = routing
                .click_cap
                .as_ref()
                .and_then(|cap| Some(ClickCap { limit: cap.limit, window: CapWindow::parse(&cap.window)? }));
            cap.map(|cap| Cap { cap, zone: routing.timezone })
        }
        Capped::Link(id) => {
            let link = app.store.get_link(tenant, id).await.map_err(AppError::of("link"))?;
            let settings: LinkSettingsBody = settings::read(&link.settings_json).map_err(unreadable)?;
            let total = |limit| ClickCap { limit, window: CapWindow::Total };
            settings.max_clicks.map(|limit| Cap { cap: total(limit), zone: None })
        }
    })
}

/// How much of the window of now is gone; `None` when there is no cap.
pub async fn state(app: &App, tenant: TenantId, subject: Capped) -> Result<Option<CapState>, AppError> {
    let Some(cap) = cap_of(app, tenant, subject).await? else { return Ok(None) };
    let now = app.store.database_time().await?;
    let window = cap.window(now);
    let usage = app.store.click_usage(tenant, subject, window.start, now).await?;
    Ok(Some(CapState { cap: cap.cap, window, usage }))
}

/// Answers an edge: one grant for each claim, in their order. A claim on what its tenant does not have gets nothing
/// and harms no other.
pub async fn lease(app: &App, edge: EdgeId, claims: &[Claim]) -> Result<Vec<Grant>, AppError> {
    let now = app.store.database_time().await?;
    let lasts = app.click_lease;
    let lasts_secs = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
    let edges = app.store.edges_since(now.plus_secs(-ALIVE_SECS)).await?;
    let terms = LeaseTerms { edges, now, expires_at: now.plus_secs(lasts_secs + GRACE_SECS) };
    let mut grants = vec![Grant::nothing(USED_UP); claims.len()];
    let mut tenants: Vec<TenantId> = claims.iter().map(|claim| claim.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for tenant in tenants {
        let mut asked = Vec::new();
        for (at, claim) in claims.iter().enumerate().filter(|(_, claim)| claim.tenant == tenant) {
            asked.extend(checked(app, claim, now).await?.map(|claim| (at, claim)));
        }
        let claims: Vec<ClickClaim> = asked.iter().map(|(_, claim)| *claim).collect();
        let given = app.store.lease_clicks(tenant, edge, &claims, terms).await.map_err(refused)?;
        for ((at, _), given) in asked.iter().zip(given) {
            if let Some(grant) = grants.get_mut(*at) {
                *grant = answer(given, terms, lasts);
            }
        }
    }
    Ok(grants)
}

/// The claim beside the limit of now; without its wish when the cap is gone, or the window another.
async fn checked(app: &App, claim: &Claim, now: UnixMicros) -> Result<Option<ClickClaim>, AppError> {
    let cap = match cap_of(app, claim.tenant, claim.subject).await {
        Err(AppError::NotFound(_)) => return Ok(None),
        cap => cap?,
    };
    let wish = cap.filter(|cap| cap.is_current(claim.window_start, now)).zip(claim.want);
    let want = wish.map(|(cap, want)| ClickWant {
        number: want.number,
        clicks: want.clicks,
        ahead: want.ahead,
        limit: cap.cap.limit,
    });
    let Claim { subject, window_start, report, .. } = *claim;
    Ok(Some(ClickClaim { subject, window_start, report, want }))
}

/// A repetition is told what is left of its lease, less what we wait for it.
fn answer(given: ClickGrant, terms: LeaseTerms, longest: Duration) -> Grant {
    if given.granted == 0 {
        return Grant::nothing(if given.used_up { USED_UP } else { ASK_AGAIN });
    }
    let left = given.expires_at.secs().saturating_sub(terms.now.secs()).saturating_sub(GRACE_SECS);
    match u64::try_from(left) {
        Ok(secs) if secs > 0 => {
            Grant { granted: given.granted, lasts: Duration::from_secs(secs).min(longest) }
        }
        _ => Grant::nothing(ASK_AGAIN),
    }
}

/// It was there a moment ago.
fn refused(error: StoreError) -> AppError {
    match error {
        StoreError::MissingReference => AppError::NotFound("offer or link"),
        error => error.into(),
    }
}

/// Windows and leases that are over for good.
pub async fn forget(app: &App) -> Result<(), StoreError> {
    let forgotten = app.store.forget_click_windows(clock::now().plus_secs(-KEPT_SECS)).await?;
    if forgotten > 0 {
        tracing::debug!(forgotten, "windows and leases of click caps were forgotten");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_told_less_than_is_waited_for_it() {
        let now = UnixMicros::from_secs(1_000);
        let minute = Duration::from_secs(60);
        let terms = LeaseTerms { edges: 1, now, expires_at: now.plus_secs(60 + GRACE_SECS) };
        let given = |granted, expires_in: i64, used_up| ClickGrant {
            granted,
            expires_at: now.plus_secs(expires_in),
            used_up,
        };
        let cases = [
            (given(5, 70, false), (5, 60)),
            // A repetition.
            (given(5, 40, false), (5, 30)),
            (given(5, 10, false), (0, 2)),
            (given(5, -100, false), (0, 2)),
            (given(0, 0, false), (0, 2)),
            (given(0, 0, true), (0, 30)),
        ];
        for (given, expected) in cases {
            let grant = answer(given, terms, minute);
            assert_eq!((grant.granted, grant.lasts.as_secs()), expected, "{given:?}");
        }
    }

    #[test]
    fn a_window_is_the_one_of_now_by_any_clock_that_is_about_right() {
        let cap = Cap {
            cap: ClickCap { limit: 1, window: CapWindow::Day },
            zone: Some("Asia/Shanghai".to_owned()),
        };
        // 2026-01-02 begins in Shanghai.
        let midnight = UnixMicros::from_secs(1_767_283_200);
        let yesterday = midnight.plus_secs(-86_400);
        let cases = [(-61, false, true), (-60, true, true), (59, true, true), (60, true, false)];
        for (secs, today, before) in cases {
            let now = midnight.plus_secs(secs);
            assert_eq!(
                (cap.is_current(midnight, now), cap.is_current(yesterday, now)),
                (today, before),
                "{secs}"
            );
        }
        assert!(!cap.is_current(UnixMicros(0), midnight));
    }
}
