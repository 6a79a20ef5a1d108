//! Conversions: as they are believed, with the explanation; and the advertiser's own reports of them.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::envelope::RequestId;
use super::explain::{ArithmeticView, Explain, SHOWN_REPORTS, explain};
use super::ids::{
    AdvertiserRef, AmountView, COMMISSION, CONVERSION, Id, LinkRef, PartnerRef, PathText, Time, derived,
};
use super::page::List;
use super::problem::Problem;
use super::terms::RateText;
use super::{Api, Reply};
use crate::app::conversions::{self, NewConversion};
use axum::Json;
use axum::extract::State;
use control_plane_domain::intake::ShardKey;
use control_plane_domain::order::{Commission, ConversionStatus};
use control_plane_store::conversions::{ConversionFilter, ConversionRow};
use control_plane_store::ledger::LedgerFilter;
use http::StatusCode;
use proto_model::event::Authority;
use proto_model::{Rate, TenantId};
use utoipa::{IntoParams, ToSchema};

/// More transactions than any commission gets; beyond, the ledger's own list has them.
const MAX_TRANSACTIONS: u32 = 100;

/// One conversion as it is believed now.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Conversion)]
pub struct ConversionView {
    #[schema(example = "cnv_00000000000000000000000000")]
    pub id: String,
    pub advertiser_id: AdvertiserRef,
    pub order_id: String,
    #[schema(example = "sale")]
    pub goal: String,
    pub event_id: Option<String>,
    /// `attributed` or `unattributed`.
    #[schema(example = "attributed")]
    pub status: &'static str,
    /// Why nobody is credited; null when somebody is.
    #[schema(example = "no_click")]
    pub reason: Option<&'static str>,
    /// The highest that has reported it: `pixel`, `token_postback` or `signed`.
    pub authority: &'static str,
    /// As reported; what order events made of it stands in the arithmetic.
    pub amount: Option<AmountView>,
    /// The highest that has stated this amount.
    pub amount_authority: Option<&'static str>,
    pub coupon: Option<String>,
    /// Of the winning click.
    pub partner_id: Option<PartnerRef>,
    /// Of the winning click.
    pub link_id: Option<LinkRef>,
    /// Of the partner of the winning click.
    pub commission: Option<CommissionBrief>,
    /// Of all who share the credit, and of those who were credited before.
    pub commissions: Vec<CommissionBrief>,
    pub occurred_at: Time,
    pub recorded_at: Time,
    pub explain: Explain,
}

#[derive(serde::Serialize, ToSchema)]
pub struct CommissionBrief {
    pub id: String,
    pub partner_id: PartnerRef,
    /// Of the credit for the conversion, as a decimal string: `"1"` is all of it, `"0"` that it is credited no more.
    #[schema(example = "1")]
    pub share: String,
    /// By the terms under which it was credited.
    pub terms_version: u32,
    /// What all of the credit comes to.
    pub arithmetic: Option<ArithmeticView>,
    pub amount: AmountView,
    pub status: &'static str,
    pub reason: &'static str,
}

impl From<&Commission> for CommissionBrief {
    fn from(commission: &Commission) -> Self {
        Self {
            id: commission.id.text(COMMISSION),
            partner_id: Id(commission.partner),
            share: RateText(Rate(commission.credited_share())).text(),
            terms_version: commission.terms_version,
            arithmetic: commission.arithmetic.as_ref().map(ArithmeticView::from),
            amount: commission.amount.into(),
            status: commission.status.as_str(),
            reason: commission.reason,
        }
    }
}

async fn view(api: &Api, tenant: TenantId, row: ConversionRow) -> Reply<ConversionView> {
    let conversion = row.conversion;
    let mut transactions = Vec::new();
    for commission in conversion.commissions.values() {
        let filter = LedgerFilter { subject: Some(commission.id), ..LedgerFilter::default() };
        let page = api.store().list_transactions(tenant, &filter, None, MAX_TRANSACTIONS).await?;
        transactions.extend(page.items.into_iter().rev().map(|row| row.transaction.id));
    }
    let shard = ShardKey::advertiser(tenant, row.advertiser);
    let reports = api.store().conversion_reports(shard, &conversion.key, SHOWN_REPORTS).await?;
    Ok(ConversionView {
        id: conversion.id.text(CONVERSION),
        advertiser_id: Id(row.advertiser),
        order_id: conversion.key.order_id.clone(),
        goal: conversion.key.goal.clone(),
        event_id: conversion.key.event_id.clone(),
        status: conversion.status.as_str(),
        reason: conversion.reason,
        authority: conversion.authority.as_str(),
        amount: conversion.amount.map(AmountView::from),
        amount_authority: conversion.amount_authority.map(Authority::as_str),
        coupon: conversion.coupon.clone(),
        partner_id: row.partner.map(Id),
        link_id: row.link.map(Id),
        commission: conversion.main_commission().map(CommissionBrief::from),
        commissions: conversion.commissions.values().map(CommissionBrief::from).collect(),
        occurred_at: Time(conversion.occurred_at),
        recorded_at: Time(row.recorded_at),
        explain: explain(&conversion, &reports, &transactions),
    })
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConversionQuery {
    advertiser_id: Option<AdvertiserRef>,
    partner_id: Option<PartnerRef>,
    order_id: Option<String>,
    /// `attributed` or `unattributed`.
    status: Option<String>,
    /// `true`: only conversions about which reports disagree.
    conflict: Option<bool>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ConversionQuery {
    fn filter(&self) -> Result<ConversionFilter, Problem> {
        let status = match self.status.as_deref() {
            None => None,
            Some(text) => Some(ConversionStatus::parse(text).ok_or_else(|| {
                Problem::bad_request("invalid_query", "status must be attributed or unattributed.")
            })?),
        };
        Ok(ConversionFilter {
            advertiser: self.advertiser_id.map(|id| id.0),
            partner: self.partner_id.map(|id| id.0),
            order_id: self.order_id.clone(),
            status,
            conflict: self.conflict,
        })
    }
}

/// List conversions
#[utoipa::path(get, path = "/v1/conversions", tag = "tracking", params(ConversionQuery),
    responses((status = 200, description = "A page, newest first", body = List<ConversionView>)))]
pub async fn list_conversions(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<ConversionQuery>,
) -> Reply<Json<List<ConversionView>>> {
    let filter = query.filter()?;
    let scope = format!("{tenant} conversions {filter:?}");
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let page = api.store().list_conversions(tenant, &filter, slice.after, slice.limit).await?;
    let mut views = Vec::with_capacity(page.items.len());
    for row in page.items {
        views.push(view(&api, tenant, row).await?);
    }
    Ok(Json(slice.list(views, page.next)))
}

/// Get a conversion
#[utoipa::path(get, path = "/v1/conversions/{conversion_id}", tag = "tracking",
    params(("conversion_id" = String, Path)),
    responses((status = 200, description = "The conversion with its explanation", body = ConversionView)))]
pub async fn get_conversion(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(text): PathText,
) -> Reply<Json<ConversionView>> {
    let id = derived(&text, CONVERSION, "conversion")?;
    let row = api.store().get_conversion(tenant, id).await.map_err(crate::AppError::of("conversion"))?;
    Ok(Json(view(&api, tenant, row).await?))
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversionReport {
    advertiser_id: AdvertiserRef,
    order_id: String,
    /// `sale` by default.
    goal: Option<String>,
    /// Tells several conversions of one order and goal apart.
    event_id: Option<String>,
    amount: Option<AmountView>,
    /// As it reached the landing page.
    click_id: Option<String>,
    customer_id: Option<String>,
    coupon: Option<String>,
    /// Now by default.
    occurred_at: Option<Time>,
}

/// Where the outcome will stand.
#[derive(serde::Serialize, ToSchema)]
pub struct ConversionAccepted {
    pub conversion_id: String,
    /// `accepted`: it will be decided in the order of the advertiser's intake.
    pub status: &'static str,
    pub intake_ordinal: u64,
}

/// Report a conversion from the advertiser's server
///
/// Believed over postbacks and pixels. Sending the same again changes nothing.
#[utoipa::path(post, path = "/v1/conversions", tag = "tracking", request_body = ConversionReport,
    responses((status = 202, description = "Written to the intake", body = ConversionAccepted)))]
pub async fn report_conversion(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    RequestId(request_id): RequestId,
    Body(report): Body<ConversionReport>,
) -> Reply<(StatusCode, Json<ConversionAccepted>)> {
    let new = NewConversion {
        advertiser: report.advertiser_id.0,
        order_id: report.order_id,
        goal: report.goal.unwrap_or_else(|| "sale".to_owned()),
        event_id: report.event_id,
        amount: report.amount.map(|amount| amount.read("/amount")).transpose()?,
        click_id: report.click_id,
        customer_id: report.customer_id,
        coupon: report.coupon,
        occurred_at: report.occurred_at.map(|time| time.0),
    };
    let (id, intake_ordinal) = conversions::record(api.app(), tenant, new, &request_id).await?;
    let accepted =
        ConversionAccepted { conversion_id: id.text(CONVERSION), status: "accepted", intake_ordinal };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
