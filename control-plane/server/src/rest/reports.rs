//! Reports.

use super::auth::Tenant;
use super::body::Params;
use super::ids::{AdvertiserRef, AmountView, Id, LinkRef, OfferRef, PartnerRef, Time};
use super::page::List;
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::clock;
use axum::Json;
use axum::extract::State;
use control_plane_store::reports::{LinkHour, RefusedHits, ReportFilter};
use proto_model::time::{DAY_US, HOUR_US};
use proto_model::{Reason, UnixMicros};
use utoipa::{IntoParams, ToSchema};

/// What is reported when nobody says from when on.
const DEFAULT_DAYS: i64 = 7;
const MAX_DAYS: i64 = 366;
/// A report that is longer wants filters.
const MAX_ROWS: i64 = 10_000;

/// One link in one hour.
#[derive(serde::Serialize, ToSchema)]
pub struct HourlyReport {
    pub hour: Time,
    pub advertiser_id: AdvertiserRef,
    pub offer_id: OfferRef,
    pub partner_id: PartnerRef,
    pub link_id: LinkRef,
    /// Clicks that count: allowed and flagged.
    pub clicks: u64,
    /// Those among `clicks` whose visitor was new to the offer, within its window and on the edge that took the click.
    pub unique_clicks: u64,
    /// All clicks by verdict; blocked ones are visible and never counted.
    pub verdicts: VerdictCounts,
    /// Impressions that count: allowed and flagged.
    pub impressions: u64,
    /// Attributed conversions that happened in this hour.
    pub conversions: u64,
    /// Their amounts, one per currency.
    pub sales: Vec<AmountView>,
    /// Their commissions that are pending or approved, one per currency.
    pub commissions: Vec<AmountView>,
}

#[derive(serde::Serialize, ToSchema)]
pub struct VerdictCounts {
    pub allow: u64,
    pub flag: u64,
    pub block: u64,
}

impl From<LinkHour> for HourlyReport {
    fn from(row: LinkHour) -> Self {
        let amounts = |amounts: Vec<proto_model::Amount>| amounts.into_iter().map(AmountView::from).collect();
        Self {
            hour: Time(row.hour),
            advertiser_id: Id(row.advertiser),
            offer_id: Id(row.offer),
            partner_id: Id(row.partner),
            link_id: Id(row.link),
            clicks: row.clicks,
            unique_clicks: row.unique_clicks,
            impressions: row.impressions,
            verdicts: VerdictCounts {
                allow: row.clicks.saturating_sub(row.flagged),
                flag: row.flagged,
                block: row.blocked,
            },
            conversions: row.conversions,
            sales: amounts(row.sales),
            commissions: amounts(row.commissions),
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// RFC 3339; seven days ago by default.
    from: Option<String>,
    /// RFC 3339, exclusive; now by default. At most 366 days after `from`.
    until: Option<String>,
    advertiser_id: Option<AdvertiserRef>,
    offer_id: Option<OfferRef>,
    partner_id: Option<PartnerRef>,
    link_id: Option<LinkRef>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

fn instant(name: &str, text: Option<&str>, default: UnixMicros) -> Result<UnixMicros, Problem> {
    let Some(text) = text else { return Ok(default) };
    Time::parse(text)
        .map(|time| time.0)
        .map_err(|why| Problem::bad_request("invalid_query", format!("{name}: {why}.")))
}

/// Whole hours that cover what was asked for.
pub(super) fn range(from: Option<&str>, until: Option<&str>) -> Result<(UnixMicros, UnixMicros), Problem> {
    let next_hour = UnixMicros(clock::now().hour_start().0.saturating_add(HOUR_US));
    let until = instant("until", until, next_hour)?;
    let from = instant("from", from, UnixMicros(until.0.saturating_sub(DEFAULT_DAYS * DAY_US)))?.hour_start();
    if from >= until || until.0 - from.0 > MAX_DAYS * DAY_US + HOUR_US {
        let detail = format!("from must be before until, by at most {MAX_DAYS} days.");
        return Err(Problem::bad_request("invalid_query", detail));
    }
    Ok((from, until))
}

/// Clicks and conversions by hour and link
#[utoipa::path(get, path = "/v1/reports/hourly", tag = "reports", params(ReportQuery),
    responses((status = 200, description = "A page, newest hour first", body = List<HourlyReport>)))]
pub async fn hourly(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<ReportQuery>,
) -> Reply<Json<List<HourlyReport>>> {
    let (from, until) = range(query.from.as_deref(), query.until.as_deref())?;
    let filter = ReportFilter {
        from,
        until,
        advertiser: query.advertiser_id.map(|id| id.0),
        offer: query.offer_id.map(|id| id.0),
        partner: query.partner_id.map(|id| id.0),
        link: query.link_id.map(|id| id.0),
    };
    // Without explicit bounds the range moves with the clock, and a cursor must outlive the hour.
    let asked = (&query.from, &query.until, filter.advertiser, filter.offer, filter.partner, filter.link);
    let scope = format!("{tenant} hourly {asked:?}");
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let through = slice.skip().saturating_add(i64::from(slice.limit));
    let wanted = u32::try_from(through.saturating_add(1).min(MAX_ROWS)).unwrap_or(0);
    let rows = api.store().report_links(tenant, &filter, wanted).await?;
    let rows = rows.into_iter().skip(usize::try_from(slice.skip()).unwrap_or(usize::MAX));
    Ok(Json(slice.skipped(rows.collect()).map(HourlyReport::from)))
}

/// Hits for one advertiser that were refused in one hour for one reason.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = RefusedHits)]
pub struct RefusedView {
    pub hour: Time,
    pub advertiser_id: AdvertiserRef,
    /// `click` = nobody took it; `report` = a conversion or a touch that says nothing which can be believed.
    #[schema(example = "report")]
    pub refused: &'static str,
    #[schema(example = "invalid_click_id")]
    pub reason: &'static str,
    pub hits: u64,
}

/// What was refused for this reason. Which link it was stands at `/v1/hits`.
pub(super) fn refused_as(reason: Reason) -> &'static str {
    match reason {
        Reason::InactiveLink
        | Reason::Expired
        | Reason::UsedUp
        | Reason::CapReached
        | Reason::NotTargeted
        | Reason::TooManyHops
        | Reason::ForeignPage => "click",
        _ => "report",
    }
}

impl From<RefusedHits> for RefusedView {
    fn from(row: RefusedHits) -> Self {
        Self {
            hour: Time(row.hour),
            advertiser_id: Id(row.advertiser),
            refused: refused_as(row.reason),
            reason: row.reason.as_str(),
            hits: row.hits,
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefusedQuery {
    /// RFC 3339; seven days ago by default.
    from: Option<String>,
    /// RFC 3339, exclusive; now by default. At most 366 days after `from`.
    until: Option<String>,
    advertiser_id: Option<AdvertiserRef>,
    /// One of the codes that `X-Tributary-Reason` has.
    reason: Option<String>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Hits that could not take effect, by hour and reason
///
/// Clicks that nobody took as well as reports that were refused or only noted (`test`, `rejected_by_advertiser`). One by
/// one, with link and order, they stand at `/v1/hits`.
#[utoipa::path(get, path = "/v1/refused-hits", tag = "reports", params(RefusedQuery),
    responses((status = 200, description = "A page, newest hour first", body = List<RefusedView>)))]
pub async fn refused(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<RefusedQuery>,
) -> Reply<Json<List<RefusedView>>> {
    let (from, until) = range(query.from.as_deref(), query.until.as_deref())?;
    let reason = query.reason.as_deref().map(|text| Reason::parse(text).ok_or_else(unknown_reason));
    let reason = reason.transpose()?;
    let advertiser = query.advertiser_id.map(|id| id.0);
    let scope = format!("{tenant} refused-hits {:?} {:?} {advertiser:?} {reason:?}", query.from, query.until);
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let mut rows = api.store().report_refused(tenant, from, until).await?;
    rows.retain(|row| {
        advertiser.is_none_or(|wanted| wanted == row.advertiser)
            && reason.is_none_or(|wanted| wanted == row.reason)
    });
    rows.sort_by_key(|row| (std::cmp::Reverse(row.hour), row.advertiser, row.reason.code()));
    let rows = rows.into_iter().skip(usize::try_from(slice.skip()).unwrap_or(usize::MAX));
    Ok(Json(slice.skipped(rows.collect()).map(RefusedView::from)))
}

fn unknown_reason() -> Problem {
    Problem::bad_request("invalid_query", "reason must be a code that X-Tributary-Reason has.")
}
