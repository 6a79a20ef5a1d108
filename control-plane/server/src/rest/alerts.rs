//! What an operator must look at.

use super::auth::Caller;
use super::body::{Body, Params};
use super::ids::{PathText, Time};
use super::page::List;
use super::problem::Problem;
use super::{Api, Reply};
use crate::app::clock;
use axum::Json;
use axum::extract::State;
use control_plane_store::alerts::{Acknowledged, Alert, AlertFilter, AlertKind};
use utoipa::{IntoParams, ToSchema};

const PREFIX: &str = "alr_";

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertView {
    #[schema(example = "alr_7")]
    pub id: String,
    /// `gap_declared`, `hits_lost`, `hits_maybe_lost`, `set_aside`, `stream_quarantined`, `batch_refused`,
    /// `session_contention`, `clock_skew`, `disk_cloned`, `edge_unknown` or `restore_rewind`; docs/fleet.md says what to do about each.
    #[schema(example = "gap_declared")]
    pub kind: String,
    /// `open` or `acknowledged`.
    #[schema(example = "open")]
    pub status: &'static str,
    /// What it is about: an edge, and its lane where it is of one.
    #[schema(example = "edg_04hmasw9 traffic")]
    pub subject: String,
    /// Of the last time.
    pub detail: String,
    /// How often it has happened; of `hits_lost`, `hits_maybe_lost` and `set_aside` to how many hits.
    pub count: u64,
    pub first_at: Time,
    pub last_at: Time,
    pub acknowledged_at: Option<Time>,
    /// The API key that it was acknowledged with.
    pub acknowledged_by: Option<String>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        let (at, by) = alert.acknowledged.unzip();
        Self {
            id: format!("{PREFIX}{}", alert.id),
            kind: alert.kind,
            status: if at.is_some() { "acknowledged" } else { "open" },
            subject: alert.subject,
            detail: alert.detail,
            count: alert.count,
            first_at: Time(alert.first_at),
            last_at: Time(alert.last_at),
            acknowledged_at: at.map(Time),
            acknowledged_by: by,
        }
    }
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `open` or `acknowledged`; both by default.
    status: Option<String>,
    /// One kind only.
    kind: Option<String>,
}

impl AlertQuery {
    fn filter(&self) -> Result<AlertFilter, Problem> {
        let refuse = |detail: &str| Problem::bad_request("invalid_query", detail.to_owned());
        let open = match self.status.as_deref() {
            None => None,
            Some("open") => Some(true),
            Some("acknowledged") => Some(false),
            Some(_) => return Err(refuse("status must be open or acknowledged.")),
        };
        let kind = self.kind.as_deref().map(|code| AlertKind::parse(code).ok_or(code)).transpose();
        let kind = kind.map_err(|_| {
            let known: Vec<&str> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
            refuse(&format!("kind must be one of {}.", known.join(", ")))
        })?;
        Ok(AlertFilter { kind, open })
    }
}

/// List alerts
///
/// One row is open for each kind and subject: what happens again is counted there until it is acknowledged.
#[utoipa::path(get, path = "/v1/alerts", tag = "operator", params(AlertQuery),
    responses((status = 200, description = "A page, newest first", body = List<AlertView>)))]
pub async fn list_alerts(
    State(api): State<Api>,
    Params(query): Params<AlertQuery>,
) -> Reply<Json<List<AlertView>>> {
    let filter = query.filter()?;
    let slice = api.slice(format!("alerts {filter:?}"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_alerts(filter, slice.after, slice.limit).await?.map(AlertView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

fn read_id(text: &str) -> Reply<i64> {
    let digits = text.strip_prefix(PREFIX).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| Problem::not_found("alert"))
}

/// Get an alert
#[utoipa::path(get, path = "/v1/alerts/{alert_id}", tag = "operator", params(("alert_id" = String, Path)),
    responses((status = 200, description = "The alert", body = AlertView)))]
pub async fn get_alert(State(api): State<Api>, PathText(text): PathText) -> Reply<Json<AlertView>> {
    let alert = api.store().get_alert(read_id(&text)?).await.map_err(crate::AppError::of("alert"))?;
    Ok(Json(alert.into()))
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// The alert's `count` as you have read it.
    #[schema(example = 3)]
    count: u64,
}

/// Acknowledge an alert
///
/// Somebody has looked. Again, it changes nothing; what happens from now on is a new alert. 409 `alert_moved_on` = it has
/// happened again since you read it, so that `count` is another now: read it again.
#[utoipa::path(post, path = "/v1/alerts/{alert_id}/acknowledge", tag = "operator", request_body = Acknowledge,
    params(("alert_id" = String, Path)),
    responses((status = 200, description = "The alert as it is now", body = AlertView)))]
pub async fn acknowledge_alert(
    State(api): State<Api>,
    caller: Caller,
    PathText(text): PathText,
    Body(seen): Body<Acknowledge>,
) -> Reply<Json<AlertView>> {
    let (id, by) = (read_id(&text)?, format!("key_{}", caller.key));
    let acknowledged = api.store().acknowledge_alert(id, seen.count, &by, clock::now()).await;
    match acknowledged.map_err(crate::AppError::of("alert"))? {
        Acknowledged::Now(alert) => {
            let (kind, subject, count) = (&alert.kind, &alert.subject, alert.count);
            tracing::warn!(kind, subject, count, by, "an operator has acknowledged an alert");
            Ok(Json(alert.into()))
        }
        Acknowledged::Before(alert) => Ok(Json(alert.into())),
        Acknowledged::MovedOn(alert) => {
            let detail = format!(
                "Its count is {} now, and you have seen {}: read it again, then acknowledge what you have read.",
                alert.count, seen.count
            );
            Err(Problem::conflict("alert_moved_on", detail))
        }
    }
}
