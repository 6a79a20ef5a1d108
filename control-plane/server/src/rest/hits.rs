//! What comes in, as it comes in: every hit and why it is where it is.

use super::auth::Tenant;
use super::body::Params;
use super::clicks::{FactsView, VerdictView};
use super::conversions::CommissionBrief;
use super::explain::AddressView;
use super::ids::{AdvertiserRef, AmountView, CONVERSION, Id, LinkRef, OfferRef, PartnerRef, Time};
use super::problem::Problem;
use super::reports::refused_as;
use super::{Api, Reply};
use crate::app::hits::{self, Hit, HitFilter};
use crate::app::scan;
use axum::Json;
use axum::extract::State;
use control_plane_store::conversions::ConversionRow;
use proto_model::event::{Body, RefusedHit};
use proto_model::{Reason, VerdictKind};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Below what proxies let a request rest.
const MAX_WAIT_SECS: u32 = 20;

/// One hit and what became of it.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Hit)]
pub struct HitView {
    /// Where it stands in the journal.
    pub address: AddressView,
    pub at: Time,
    /// `click`, `impression`, `touch`, `conversion`; `refused` = it could not take effect.
    #[schema(example = "click")]
    pub kind: &'static str,
    /// Of a test link, or sent with a test token.
    pub test: bool,
    /// `counted`, `flagged`, `blocked`; `refused`; `noted` = kept and of no effect, as its sender wanted it; for
    /// conversions `undecided`, and `attributed` or `unattributed` once the books have decided.
    #[schema(example = "counted")]
    pub status: &'static str,
    /// Why it is not simply counted.
    #[schema(example = "not_targeted")]
    pub reason: Option<&'static str>,
    pub link_id: Option<LinkRef>,
    pub offer_id: Option<OfferRef>,
    pub partner_id: Option<PartnerRef>,
    pub advertiser_id: AdvertiserRef,
    /// Of clicks: registered by the landing page itself.
    pub direct: Option<bool>,
    /// Of clicks: `unique`, `repeated` or `undecided`.
    pub unique: Option<&'static str>,
    /// Of conversions, and of refused ones as far as it was said.
    pub order_id: Option<String>,
    pub goal: Option<String>,
    pub amount: Option<AmountView>,
    /// How far a report is believed: `pixel`, `token_postback` or `signed`. Clicks have none, refused ones neither.
    pub authority: Option<&'static str>,
    pub conversion: Option<OutcomeView>,
    pub verdict: VerdictView,
    #[serde(flatten)]
    pub facts: FactsView,
}

/// Where the outcome of a conversion stands, and what it is so far.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = HitConversion)]
pub struct OutcomeView {
    /// For `/v1/conversions/{conversion_id}`.
    pub id: String,
    pub commission: Option<CommissionBrief>,
}

impl HitView {
    fn of(hit: Hit, conversion_id: Option<String>) -> Self {
        let (status, reason) = fate(&hit);
        let target = hit.target;
        let mut view = Self {
            address: hit.address.into(),
            at: Time(hit.event.occurred_at),
            kind: kind(&hit.event.body),
            test: hit.test,
            status,
            reason,
            link_id: hits::link_of(&hit.event.body).map(Id),
            offer_id: target.map(|target| Id(target.offer)),
            partner_id: target.map(|target| Id(target.partner)),
            advertiser_id: Id(hits::advertiser_of(&hit.event.body)),
            direct: None,
            unique: None,
            order_id: None,
            goal: None,
            amount: None,
            authority: None,
            conversion: conversion_id.map(|id| OutcomeView { id, commission: commission(hit.conversion) }),
            verdict: hit.event.verdict.into(),
            facts: hit.event.facts.into(),
        };
        view.fill(hit.event.body);
        view
    }

    /// What only hits of its kind have.
    fn fill(&mut self, body: Body) {
        match body {
            Body::Click(click) => {
                self.offer_id = Some(Id(click.offer));
                self.partner_id = Some(Id(click.partner));
                self.direct = Some(click.flags.direct());
                self.unique = Some(click.uniqueness.as_str());
            }
            Body::Impression(shown) => self.offer_id = Some(Id(shown.offer)),
            Body::Touch(touch) => self.offer_id = Some(Id(touch.click.offer)),
            Body::Conversion(hit) => {
                self.offer_id = hit.click.map(|click| Id(click.offer));
                self.order_id = Some(hit.order_id);
                self.goal = Some(hit.goal);
                self.amount = hit.amount.map(AmountView::from);
                self.authority = Some(hit.authority.as_str());
            }
            Body::Refused(hit) => {
                self.authority = authority_of(&hit);
                self.order_id = hit.order_id;
            }
        }
    }
}

/// Clicks that nobody took say nothing that could be believed; the authority of their event means nothing.
fn authority_of(refused: &RefusedHit) -> Option<&'static str> {
    (refused_as(refused.reason) == "report").then_some(refused.authority.as_str())
}

fn commission(row: Option<ConversionRow>) -> Option<CommissionBrief> {
    row?.conversion.main_commission().map(CommissionBrief::from)
}

fn kind(body: &Body) -> &'static str {
    match body {
        Body::Click(_) => "click",
        Body::Impression(_) => "impression",
        Body::Touch(_) => "touch",
        Body::Conversion(_) => "conversion",
        Body::Refused(_) => "refused",
    }
}

/// Status and reason.
fn fate(hit: &Hit) -> (&'static str, Option<&'static str>) {
    const TEST: Option<&str> = Some(Reason::Test.as_str());
    match (&hit.event.body, hit.event.verdict.kind) {
        (Body::Refused(refused), _) => match refused.reason {
            Reason::Test | Reason::RejectedByAdvertiser => ("noted", Some(refused.reason.as_str())),
            reason => ("refused", Some(reason.as_str())),
        },
        (_, VerdictKind::Block) => ("blocked", Some(Reason::BlockedByRule.as_str())),
        (Body::Conversion(_), _) => match &hit.conversion {
            Some(row) => (row.conversion.status.as_str(), row.conversion.reason),
            None => ("undecided", None),
        },
        _ if hit.test => ("noted", TEST),
        (_, VerdictKind::Flag) => ("flagged", None),
        (_, VerdictKind::Allow) => ("counted", None),
    }
}

/// What has come in since the last call.
#[derive(serde::Serialize, ToSchema)]
pub struct HitFeed {
    pub data: Vec<HitView>,
    /// There is more already: ask again at once.
    pub has_more: bool,
    /// Send it as `after` to go on from here; there is always one.
    pub next_cursor: String,
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HitQuery {
    /// `next_cursor` of the call before.
    after: Option<String>,
    /// Without `after`: `now` (the default) = only what comes in from now on, `oldest` = all that is kept.
    from: Option<String>,
    /// How long to wait for a hit when there is none; 0 by default, 20 at most.
    #[param(minimum = 0, maximum = 20)]
    wait_secs: Option<u32>,
    link_id: Option<LinkRef>,
    advertiser_id: Option<AdvertiserRef>,
    /// `true`: only tests; `false`: none of them.
    test: Option<bool>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Follow the hits
///
/// Clicks, impressions, touches, conversions and what was refused, as the edges signed them: oldest first, with test flag,
/// verdict and rule, reason, and what the books say of a conversion so far. One call looks at a bounded piece of the
/// journal: a page may be empty and `has_more` true. What no edge wrote down (unknown links, requests above the rate
/// limit) is not here.
#[utoipa::path(get, path = "/v1/hits", tag = "tracking", params(HitQuery),
    responses((status = 200, description = "What has come in", body = HitFeed)))]
pub async fn list_hits(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<HitQuery>,
) -> Reply<Json<HitFeed>> {
    let wait = query.wait_secs.unwrap_or(0);
    if wait > MAX_WAIT_SECS {
        let detail = format!("wait_secs must be 0 to {MAX_WAIT_SECS}.");
        return Err(Problem::bad_request("invalid_query", detail));
    }
    let filter = HitFilter {
        link: query.link_id.map(|id| id.0),
        advertiser: query.advertiser_id.map(|id| id.0),
        test: query.test,
    };
    let slice = api.slice(format!("{tenant} hits {filter:?}"), query.limit, query.after.as_deref())?;
    let after = match (slice.after, query.from.as_deref()) {
        (Some(after), None) => u64::try_from(after).unwrap_or(0),
        (None, Some("oldest")) => scan::start_of(0),
        (None, None | Some("now")) => hits::now(api.app()).await?,
        _ => {
            let detail = "from must be now or oldest, and stands without after.";
            return Err(Problem::bad_request("invalid_query", detail));
        }
    };
    let limit = usize::try_from(slice.limit).unwrap_or(1);
    let wait = Duration::from_secs(u64::from(wait));
    let feed = hits::follow(api.app(), tenant, filter, after, limit, wait).await?;
    let view = |hit: Hit| {
        let id = hits::conversion_of(tenant, &hit.event.body).map(|id| id.text(CONVERSION));
        HitView::of(hit, id)
    };
    let data = feed.hits.into_iter().map(view).collect();
    let next_cursor = slice.cursor(i64::try_from(feed.next).unwrap_or(i64::MAX));
    Ok(Json(HitFeed { data, has_more: feed.more, next_cursor }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_model::AdvertiserId;
    use proto_model::event::Authority;

    #[test]
    fn only_reports_have_an_authority() {
        let refused = |authority, reason| RefusedHit {
            advertiser: AdvertiserId::from_random(7),
            authority,
            reason,
            order_id: None,
            link: None,
        };
        let (pixel, token) = (Authority::Pixel, Authority::TokenPostback);
        let cases = [
            (pixel, Reason::NotTargeted, None),
            (pixel, Reason::InactiveLink, None),
            (pixel, Reason::ForeignPage, None),
            (pixel, Reason::InvalidClickId, Some("pixel")),
            (pixel, Reason::ForeignTouch, Some("pixel")),
            (token, Reason::BadToken, Some("token_postback")),
            (token, Reason::Test, Some("token_postback")),
        ];
        for (authority, reason, shown) in cases {
            assert_eq!(authority_of(&refused(authority, reason)), shown, "{reason}");
        }
    }
}
