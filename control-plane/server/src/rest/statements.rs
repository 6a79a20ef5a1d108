//! Statements and payouts.

use super::auth::Tenant;
use super::body::Params;
use super::ids::{
    AdvertiserRef, AmountView, COMMISSION, CREDIT, Id, PAYOUT, PartnerRef, PathText, STATEMENT, Time,
    derived, hex,
};
use super::page::List;
use super::{Api, Reply};
use axum::Json;
use axum::extract::State;
use control_plane_domain::settlement::{OpenCredit, Statement};
use control_plane_store::statements::{PayoutRow, StatementRow};
use proto_model::{Currency, UnixMicros};
use utoipa::{IntoParams, ToSchema};

/// What a closed period comes to for one partner in one currency.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Statement)]
pub struct StatementView {
    #[schema(example = "stm_00000000000000000000000000")]
    pub id: String,
    pub partner_id: PartnerRef,
    pub through: Time,
    /// Carried over from the statement before.
    pub opening: AmountView,
    /// The sum of the lines.
    pub total: AmountView,
    /// Opening and total together: what is paid, or carried over when it is negative.
    pub closing: AmountView,
    pub payout_id: Option<String>,
    /// SHA-256 over the canonical bytes of the statement; a replay from nothing gives the same.
    pub hash: String,
    pub recorded_at: Time,
    pub lines: Vec<LineView>,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = StatementLine)]
pub struct LineView {
    pub id: String,
    pub commission_id: String,
    pub advertiser_id: AdvertiserRef,
    pub order_id: String,
    /// Negative: a clawback.
    pub amount: AmountView,
    pub credited_at: Time,
}

impl From<&OpenCredit> for LineView {
    fn from(line: &OpenCredit) -> Self {
        Self {
            id: line.credit.id.text(CREDIT),
            commission_id: line.credit.commission.text(COMMISSION),
            advertiser_id: Id(line.credit.advertiser),
            order_id: line.credit.order_id.clone(),
            amount: line.credit.amount.into(),
            credited_at: Time(line.credited_at),
        }
    }
}

pub fn statement_view(statement: &Statement, recorded_at: UnixMicros) -> StatementView {
    let money = |minor: i64, currency: Currency| AmountView::of(minor, currency);
    let currency = statement.currency;
    StatementView {
        id: statement.id.text(STATEMENT),
        partner_id: Id(statement.partner),
        through: Time(statement.through),
        opening: money(statement.opening_minor, currency),
        total: money(statement.closing_minor.saturating_sub(statement.opening_minor), currency),
        closing: money(statement.closing_minor, currency),
        payout_id: statement.payout.map(|id| id.text(PAYOUT)),
        hash: hex(&statement.hash),
        recorded_at: Time(recorded_at),
        lines: statement.lines.iter().map(LineView::from).collect(),
    }
}

impl From<StatementRow> for StatementView {
    fn from(row: StatementRow) -> Self {
        statement_view(&row.statement, row.recorded_at)
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PartnerQuery {
    partner_id: Option<PartnerRef>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List statements
#[utoipa::path(get, path = "/v1/statements", tag = "money", params(PartnerQuery),
    responses((status = 200, description = "A page, newest first", body = List<StatementView>)))]
pub async fn list_statements(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PartnerQuery>,
) -> Reply<Json<List<StatementView>>> {
    let partner = query.partner_id.map(|id| id.0);
    let slice =
        api.slice(format!("{tenant} statements {partner:?}"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_statements(tenant, partner, slice.after, slice.limit).await?;
    let page = page.map(StatementView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Get a statement
#[utoipa::path(get, path = "/v1/statements/{statement_id}", tag = "money",
    params(("statement_id" = String, Path)),
    responses((status = 200, description = "The statement with its lines", body = StatementView)))]
pub async fn get_statement(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(text): PathText,
) -> Reply<Json<StatementView>> {
    let id = derived(&text, STATEMENT, "statement")?;
    let row = api.store().get_statement(tenant, id).await.map_err(crate::AppError::of("statement"))?;
    Ok(Json(row.into()))
}

/// Money to be sent to a partner.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Payout)]
pub struct PayoutView {
    #[schema(example = "pay_00000000000000000000000000")]
    pub id: String,
    pub statement_id: String,
    pub partner_id: PartnerRef,
    pub amount: AmountView,
    /// `draft`: nobody has sent it yet.
    pub status: &'static str,
    /// Why it has this status.
    #[schema(example = "period_closed")]
    pub reason: &'static str,
    pub recorded_at: Time,
}

impl From<PayoutRow> for PayoutView {
    fn from(row: PayoutRow) -> Self {
        Self {
            id: row.payout.id.text(PAYOUT),
            statement_id: row.payout.statement.text(STATEMENT),
            partner_id: Id(row.payout.partner),
            amount: row.payout.amount.into(),
            status: row.payout.status.as_str(),
            reason: row.reason,
            recorded_at: Time(row.recorded_at),
        }
    }
}

/// List payouts
#[utoipa::path(get, path = "/v1/payouts", tag = "money", params(PartnerQuery),
    responses((status = 200, description = "A page, newest first", body = List<PayoutView>)))]
pub async fn list_payouts(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PartnerQuery>,
) -> Reply<Json<List<PayoutView>>> {
    let partner = query.partner_id.map(|id| id.0);
    let slice = api.slice(format!("{tenant} payouts {partner:?}"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_payouts(tenant, partner, slice.after, slice.limit).await?;
    let page = page.map(PayoutView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Get a payout
#[utoipa::path(get, path = "/v1/payouts/{payout_id}", tag = "money", params(("payout_id" = String, Path)),
    responses((status = 200, description = "The payout", body = PayoutView)))]
pub async fn get_payout(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(text): PathText,
) -> Reply<Json<PayoutView>> {
    let id = derived(&text, PAYOUT, "payout")?;
    let row = api.store().get_payout(tenant, id).await.map_err(crate::AppError::of("payout"))?;
    Ok(Json(row.into()))
}
