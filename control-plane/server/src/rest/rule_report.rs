//! What each rule did.

use super::auth::Tenant;
use super::body::Params;
use super::ids::Time;
use super::page::List;
use super::problem::Problem;
use super::reports::range;
use super::{Api, Reply};
use axum::Json;
use axum::extract::State;
use control_plane_store::reports::{RuleFilter, RuleHits};
use proto_model::time::{DAY_US, HOUR_US};
use utoipa::{IntoParams, ToSchema};

/// Hits with one verdict by one rule of one version in one period.
#[derive(serde::Serialize, ToSchema)]
pub struct RuleReport {
    /// Of the day or hour.
    pub start: Time,
    /// Null: no rule matched.
    #[schema(example = "no-crawlers")]
    pub rule_id: Option<String>,
    /// 0 when there was no rule set.
    pub rule_set_version: u32,
    /// `allow`, `flag` or `block`.
    #[schema(example = "block")]
    pub verdict: &'static str,
    pub clicks: u64,
    /// As edges heard them. What is blocked moves no money.
    pub conversions: u64,
}

impl From<RuleHits> for RuleReport {
    fn from(row: RuleHits) -> Self {
        Self {
            start: Time(row.start),
            rule_id: row.rule_id,
            rule_set_version: row.rule_set_version,
            verdict: row.verdict.as_str(),
            clicks: row.clicks,
            conversions: row.conversions,
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RuleReportQuery {
    /// RFC 3339; seven days ago by default.
    from: Option<String>,
    /// RFC 3339, exclusive; now by default. At most 366 days after `from`.
    until: Option<String>,
    /// `hour` or `day` (UTC); `day` by default.
    period: Option<String>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Clicks and conversions by rule and verdict
#[utoipa::path(get, path = "/v1/reports/rules", tag = "reports", params(RuleReportQuery),
    responses((status = 200, description = "A page, newest period first", body = List<RuleReport>)))]
pub async fn by_rule(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<RuleReportQuery>,
) -> Reply<Json<List<RuleReport>>> {
    let (from, until) = range(query.from.as_deref(), query.until.as_deref())?;
    let period_us = match query.period.as_deref() {
        None | Some("day") => DAY_US,
        Some("hour") => HOUR_US,
        Some(_) => return Err(Problem::bad_request("invalid_query", "period must be hour or day.")),
    };
    let scope = format!("{tenant} rules {period_us} {:?} {:?}", query.from, query.until);
    let slice = api.slice(scope, query.limit, query.cursor.as_deref())?;
    let filter = RuleFilter { from, until, period_us };
    let rows = api.store().report_rules(tenant, &filter, slice.skip(), slice.limit + 1).await?;
    Ok(Json(slice.skipped(rows).map(RuleReport::from)))
}
