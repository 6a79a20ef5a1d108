//! Commissions.

use super::auth::Tenant;
use super::body::Params;
use super::ids::{
    AdvertiserRef, AmountView, COMMISSION, CONVERSION, Id, OfferRef, PartnerRef, PathText, Time, derived,
};
use super::page::List;
use super::problem::Problem;
use super::terms::RateText;
use super::{Api, Reply};
use axum::Json;
use axum::extract::State;
use control_plane_domain::order::CommissionStatus;
use control_plane_store::commissions::{CommissionFilter, CommissionRow};
use proto_model::Rate;
use utoipa::{IntoParams, ToSchema};

/// Earned on one conversion.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Commission)]
pub struct CommissionView {
    #[schema(example = "cms_00000000000000000000000000")]
    pub id: String,
    pub conversion_id: String,
    pub order_id: String,
    pub advertiser_id: AdvertiserRef,
    pub partner_id: PartnerRef,
    pub offer_id: OfferRef,
    pub terms_version: u32,
    /// Of the credit for the conversion, as a decimal string: `"1"` is all of it, `"0"` that it is credited no more.
    #[schema(example = "1")]
    pub share: String,
    /// What it is worth now.
    pub amount: AmountView,
    /// `pending`, `approved`, `reversed` or `clawed_back`.
    #[schema(example = "approved")]
    pub status: &'static str,
    /// Why it has this status.
    #[schema(example = "delivered")]
    pub reason: &'static str,
    /// When time alone approves it.
    pub hold_until: Option<Time>,
    pub approved_at: Option<Time>,
    pub recorded_at: Time,
    pub updated_at: Time,
}

impl From<CommissionRow> for CommissionView {
    fn from(row: CommissionRow) -> Self {
        let commission = row.commission;
        Self {
            id: commission.id.text(COMMISSION),
            conversion_id: row.conversion.text(CONVERSION),
            order_id: row.order_id,
            advertiser_id: Id(row.advertiser),
            partner_id: Id(commission.partner),
            offer_id: Id(commission.offer),
            terms_version: commission.terms_version,
            share: RateText(Rate(commission.credited_share())).text(),
            amount: commission.amount.into(),
            status: commission.status.as_str(),
            reason: commission.reason,
            hold_until: commission.hold_until.map(Time),
            approved_at: commission.approved_at.map(Time),
            recorded_at: Time(row.recorded_at),
            updated_at: Time(row.updated_at),
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CommissionQuery {
    advertiser_id: Option<AdvertiserRef>,
    partner_id: Option<PartnerRef>,
    order_id: Option<String>,
    /// `pending`, `approved`, `reversed` or `clawed_back`.
    status: Option<String>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl CommissionQuery {
    fn filter(&self) -> Result<CommissionFilter, Problem> {
        let status = match self.status.as_deref() {
            None => None,
            Some(text) => Some(CommissionStatus::parse(text).ok_or_else(|| {
                let detail = "status must be pending, approved, reversed or clawed_back.";
                Problem::bad_request("invalid_query", detail)
            })?),
        };
        Ok(CommissionFilter {
            advertiser: self.advertiser_id.map(|id| id.0),
            partner: self.partner_id.map(|id| id.0),
            order_id: self.order_id.clone(),
            status,
        })
    }
}

/// List commissions
#[utoipa::path(get, path = "/v1/commissions", tag = "money", params(CommissionQuery),
    responses((status = 200, description = "A page, newest first", body = List<CommissionView>)))]
pub async fn list_commissions(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<CommissionQuery>,
) -> Reply<Json<List<CommissionView>>> {
    let filter = query.filter()?;
    let scope = format!("{tenant} commissions {filter:?}");
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let page = api.store().list_commissions(tenant, &filter, slice.after, slice.limit).await?;
    let page = page.map(CommissionView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Get a commission
#[utoipa::path(get, path = "/v1/commissions/{commission_id}", tag = "money",
    params(("commission_id" = String, Path)),
    responses((status = 200, description = "The commission", body = CommissionView)))]
pub async fn get_commission(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(text): PathText,
) -> Reply<Json<CommissionView>> {
    let id = derived(&text, COMMISSION, "commission")?;
    let row = api.store().get_commission(tenant, id).await.map_err(crate::AppError::of("commission"))?;
    Ok(Json(row.into()))
}
