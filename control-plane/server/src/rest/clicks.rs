//! Clicks, straight from the journal.

use super::auth::Tenant;
use super::body::Params;
use super::explain::AddressView;
use super::ids::{AdvertiserRef, Id, LinkRef, OfferRef, PartnerRef, Time};
use super::page::List;
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::recent::{self, RecentClick};
use axum::Json;
use axum::extract::State;
use proto_model::VerdictKind;
use utoipa::{IntoParams, ToSchema};

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Click)]
pub struct ClickEventView {
    /// Where it stands in the journal.
    pub address: AddressView,
    pub at: Time,
    pub link_id: LinkRef,
    pub offer_id: OfferRef,
    pub partner_id: PartnerRef,
    pub advertiser_id: AdvertiserRef,
    /// `ZZ` when unknown.
    #[schema(example = "US")]
    pub country: String,
    #[schema(example = "desktop")]
    pub device: &'static str,
    pub os: String,
    pub browser: String,
    pub verdict: VerdictView,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Verdict)]
pub struct VerdictView {
    /// `allow`, `flag` or `block`.
    #[schema(example = "block")]
    pub kind: &'static str,
    /// The rule that decided; null when none matched.
    pub rule_id: Option<String>,
    /// 0 when there was no rule set.
    pub rule_set_version: u32,
}

impl From<RecentClick> for ClickEventView {
    fn from(recent: RecentClick) -> Self {
        Self {
            address: recent.address.into(),
            at: Time(recent.at),
            link_id: Id(recent.click.link),
            offer_id: Id(recent.click.offer),
            partner_id: Id(recent.click.partner),
            advertiser_id: Id(recent.click.advertiser),
            country: recent.facts.country.code().to_owned(),
            device: recent.facts.device.as_str(),
            os: recent.facts.os,
            browser: recent.facts.browser,
            verdict: VerdictView {
                kind: recent.verdict.kind.as_str(),
                rule_id: recent.verdict.rule_id,
                rule_set_version: recent.verdict.rule_set_version,
            },
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClickQuery {
    /// `allow`, `flag` or `block`: only clicks with this verdict.
    verdict: Option<String>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List clicks
///
/// Read from the journal, with verdict, rule and rule-set version: the batch that came in last first. A page may be
/// shorter than `limit`; `has_more` says whether another one follows.
#[utoipa::path(get, path = "/v1/clicks", tag = "tracking", params(ClickQuery),
    responses((status = 200, description = "A page, newest first", body = List<ClickEventView>)))]
pub async fn list_clicks(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<ClickQuery>,
) -> Reply<Json<List<ClickEventView>>> {
    let verdict =
        match query.verdict.as_deref() {
            None => None,
            Some(text) => Some(VerdictKind::parse(text).ok_or_else(|| {
                Problem::bad_request("invalid_query", "verdict must be allow, flag or block.")
            })?),
        };
    let scope = format!("{tenant} clicks {verdict:?}");
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let limit = usize::try_from(slice.limit).unwrap_or(0);
    let page = recent::clicks(api.app(), tenant, verdict, slice.after, limit).await?;
    let page = page.map(ClickEventView::from);
    Ok(Json(slice.list(page.items, page.next)))
}
