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
use proto_model::event::{RecordedFacts, RecordedVerdict};
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
    /// Of a test link: visible, counted nowhere, never paid.
    pub test: bool,
    /// Registered by the landing page itself; nobody was redirected.
    pub direct: bool,
    /// Whether the visitor was new to the offer: `unique`, `repeated`, or `undecided` for a click that was not let on.
    #[schema(example = "unique")]
    pub unique: &'static str,
    #[serde(flatten)]
    pub facts: FactsView,
    pub verdict: VerdictView,
}

/// What is known of whoever sent a hit. Where privacy is `reduced`, nothing finer than the country is.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Facts)]
pub struct FactsView {
    /// `ZZ` when unknown.
    #[schema(example = "US")]
    pub country: String,
    /// Empty when unknown, as are the texts below.
    #[schema(example = "CA")]
    pub region: String,
    #[schema(example = "Fresno")]
    pub city: String,
    /// The number of the network (autonomous system).
    pub asn: Option<u32>,
    #[schema(example = "desktop")]
    pub device: &'static str,
    pub os: String,
    pub browser: String,
    /// A primary language tag.
    #[schema(example = "en")]
    pub language: String,
    #[schema(example = "4g")]
    pub connection: String,
    /// How much was kept of it: `full`, `reduced`, or `unrecorded` where an older edge did not say.
    #[schema(example = "full")]
    pub privacy: &'static str,
    /// The number of the rules by which that was decided; 0 when it was not recorded.
    pub privacy_policy: u32,
}

impl From<RecordedFacts> for FactsView {
    fn from(facts: RecordedFacts) -> Self {
        Self {
            country: facts.country.code().to_owned(),
            region: facts.fine.region,
            city: facts.fine.city,
            asn: facts.fine.asn,
            device: facts.device.as_str(),
            os: facts.os,
            browser: facts.browser,
            language: facts.fine.language,
            connection: facts.fine.connection,
            privacy: facts.privacy.as_str(),
            privacy_policy: facts.privacy_policy,
        }
    }
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

impl From<RecordedVerdict> for VerdictView {
    fn from(verdict: RecordedVerdict) -> Self {
        let RecordedVerdict { kind, rule_id, rule_set_version } = verdict;
        Self { kind: kind.as_str(), rule_id, rule_set_version }
    }
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
            test: recent.click.flags.test(),
            direct: recent.click.flags.direct(),
            unique: recent.click.uniqueness.as_str(),
            facts: recent.facts.into(),
            verdict: recent.verdict.into(),
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
