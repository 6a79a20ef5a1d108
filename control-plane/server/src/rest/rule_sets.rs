//! Rule sets: published as typed JSON, in force at once, kept in every version.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{PathText, Time};
use super::page::List;
use super::problem::{FieldError, Problem};
use super::{Api, Created, PageQuery, Reply};
use crate::AppError;
use crate::app::rules;
use crate::app::rules_json::RuleSetBody;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_plane_store::catalog::RuleSetRecord;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa::ToSchema;

/// A published version.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = RuleSet)]
pub struct RuleSetView {
    /// Recorded with each hit it judged; rises by one with each publication.
    pub version: u32,
    pub published_at: Time,
    #[serde(flatten)]
    pub body: RuleSetBody,
}

impl TryFrom<RuleSetRecord> for RuleSetView {
    type Error = Problem;

    fn try_from(record: RuleSetRecord) -> Result<Self, Problem> {
        let body = serde_json::from_str(&record.body_json).map_err(|error| {
            tracing::error!(version = record.version, %error, "a stored rule set cannot be read");
            Problem::internal()
        })?;
        Ok(Self { version: record.version, published_at: Time(record.published_at), body })
    }
}

fn etag(version: u32) -> String {
    format!("\"rs-{version}\"")
}

fn tagged(mut response: Response, version: u32) -> Response {
    if let Ok(value) = HeaderValue::from_str(&etag(version)) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// The version that the author has seen: `If-Match: "rs-7"`, `*` for whatever stands, absent for none.
fn expected(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(Some(0)) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let digits = text.strip_prefix("\"rs-").and_then(|rest| rest.strip_suffix('"'));
    let version =
        digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok());
    version
        .map(Some)
        .ok_or_else(|| Problem::bad_request("invalid_if_match", "Expected an ETag such as \"rs-7\"."))
}

/// Somebody's rules would be lost: say how to go on.
fn outdated(headers: &HeaderMap, current: u32) -> Problem {
    let tag = etag(current);
    if headers.contains_key(header::IF_MATCH) {
        let detail = format!("Rule set {current} is in force by now; read it, then send `If-Match: {tag}`.");
        Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
    } else {
        let detail = format!("A rule set is in force; send `If-Match: {tag}` to take its place, or `*`.");
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail)
    }
}

/// Publish a rule set
///
/// It takes the place of the one in force. Edges obey it as soon as they have the next snapshot, about a
/// second later.
#[utoipa::path(post, path = "/v1/rule-sets", tag = "rules", request_body = RuleSetBody,
    params(("If-Match" = Option<String>, Header,
        description = "ETag of the rule set that you have seen; absent when there is none; `*` for any")),
    responses(
        (status = 201, description = "The published version", body = RuleSetView),
        (status = 412, description = "Somebody else has published since", body = super::problem::ProblemBody,
            content_type = "application/problem+json"),
        (status = 428, description = "A rule set is in force and `If-Match` is missing",
            body = super::problem::ProblemBody, content_type = "application/problem+json")))]
pub async fn publish_rule_set(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    Body(body): Body<RuleSetBody>,
) -> Reply<Response> {
    let expected = expected(&headers)?;
    body.lower(1).map_err(|error| {
        Problem::invalid(vec![FieldError::new(error.pointer, "invalid_rule", error.message)])
    })?;
    let version = match rules::publish(api.app(), tenant, &body, expected).await {
        Err(AppError::Conflict { .. }) => {
            let current = api.store().current_rule_set(tenant).await?.map_or(0, |record| record.version);
            return Err(outdated(&headers, current));
        }
        other => other?,
    };
    let record = api.store().get_rule_set(tenant, version).await?;
    let view = RuleSetView::try_from(record)?;
    Ok(tagged(Created(format!("/v1/rule-sets/{version}"), view).into_response(), version))
}

/// List the published rule sets
#[utoipa::path(get, path = "/v1/rule-sets", tag = "rules", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = List<RuleSetView>)))]
pub async fn list_rule_sets(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<RuleSetView>>> {
    let slice = api.slice(format!("{tenant} rule-sets"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_rule_sets(tenant, slice.after, slice.limit).await?;
    let views = page.items.into_iter().map(RuleSetView::try_from).collect::<Result<_, _>>()?;
    Ok(Json(slice.list(views, page.next)))
}

/// Get the rule set in force
#[utoipa::path(get, path = "/v1/rule-sets/current", tag = "rules",
    responses((status = 200, description = "The rule set, with its ETag", body = RuleSetView)))]
pub async fn get_current_rule_set(State(api): State<Api>, Tenant(tenant): Tenant) -> Reply<Response> {
    let record = api.store().current_rule_set(tenant).await?;
    respond(record.ok_or_else(|| Problem::not_found("rule set: none has been published"))?)
}

/// Get one version
#[utoipa::path(get, path = "/v1/rule-sets/{version}", tag = "rules", params(("version" = u32, Path)),
    responses((status = 200, description = "The rule set, with its ETag", body = RuleSetView)))]
pub async fn get_rule_set(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathText(version): PathText,
) -> Reply<Response> {
    let version = version.parse().map_err(|_| Problem::not_found("rule set"))?;
    respond(api.store().get_rule_set(tenant, version).await.map_err(AppError::of("rule set"))?)
}

fn respond(record: RuleSetRecord) -> Reply<Response> {
    let version = record.version;
    Ok(tagged(Json(RuleSetView::try_from(record)?).into_response(), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_read_strictly() {
        type Read = Result<Option<u32>, &'static str>;
        let cases: &[(Option<&'static str>, Read)] = &[
            (Some("\"rs-7\""), Ok(Some(7))),
            (Some("\"rs-0\""), Ok(Some(0))),
            (Some("*"), Ok(None)),
            (None, Ok(Some(0))),
            (Some("rs-7"), Err("invalid_if_match")),
            (Some("\"rs-+7\""), Err("invalid_if_match")),
            (Some("W/\"rs-7\""), Err("invalid_if_match")),
            (Some("\"rs-99999999999\""), Err("invalid_if_match")),
        ];
        for (value, result) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
            }
            assert_eq!(expected(&headers).map_err(|problem| problem.code), *result, "{value:?}");
        }
    }
}
