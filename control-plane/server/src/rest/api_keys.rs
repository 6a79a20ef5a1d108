//! API keys. A key makes, lists and revokes keys of its own kind; operators also make a tenant's first one.

use super::auth::{Caller, Principal};
use super::body::{Body, Params};
use super::ids::{Id, PathText, TenantRef, Time};
use super::page::List;
use super::problem::Problem;
use super::{Api, Created, PageQuery, Reply};
use crate::app::keys;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::ApiKey;
use http::StatusCode;
use utoipa::ToSchema;

#[derive(serde::Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    #[schema(example = "key_7")]
    pub id: String,
    pub name: String,
    /// Null for an operator's key.
    pub tenant_id: Option<TenantRef>,
    /// `active` or `revoked`.
    #[schema(example = "active")]
    pub status: &'static str,
    pub created_at: Time,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: format!("key_{}", key.id),
            name: key.name,
            tenant_id: key.tenant.map(Id),
            status: if key.revoked { "revoked" } else { "active" },
            created_at: Time(key.created_at),
        }
    }
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = ApiKeyCreated)]
pub struct NewApiKeyView {
    #[serde(flatten)]
    pub key: ApiKeyView,
    /// Shown this once; only its hash is kept.
    #[schema(example = "tbk_...")]
    pub secret: String,
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    #[schema(max_length = 200, min_length = 1)]
    name: String,
    /// Whose key it is; only operators name a tenant. Absent: a key of the caller's own kind.
    tenant_id: Option<TenantRef>,
}

/// List API keys of your own kind
#[utoipa::path(get, path = "/v1/api-keys", tag = "access", params(PageQuery),
    responses((status = 200, description = "A page of keys, without their secrets", body = List<ApiKeyView>)))]
pub async fn list_api_keys(
    State(api): State<Api>,
    caller: Caller,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<ApiKeyView>>> {
    let tenant = caller.tenant();
    let slice = api.slice(format!("{tenant:?} api-keys"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_api_keys(tenant, slice.after, slice.limit).await?.map(ApiKeyView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create an API key
#[utoipa::path(post, path = "/v1/api-keys", tag = "access", request_body = NewApiKey,
    responses((status = 201, description = "The key with its secret, shown once", body = NewApiKeyView)))]
pub async fn create_api_key(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<NewApiKey>,
) -> Reply<Created<NewApiKeyView>> {
    let tenant = match (caller.principal, new.tenant_id) {
        (Principal::Operator, named) => named.map(|id| id.0),
        (Principal::Tenant(own), None) => Some(own),
        (Principal::Tenant(_), Some(_)) => return Err(Problem::forbidden()),
    };
    if let Some(tenant) = tenant {
        api.store().get_tenant(tenant).await.map_err(crate::AppError::of("tenant"))?;
    }
    let (key, secret) = keys::create_api_key(api.app(), tenant, &new.name).await?;
    let key = ApiKeyView::from(key);
    Ok(Created(format!("/v1/api-keys/{}", key.id), NewApiKeyView { key, secret }))
}

/// Revoke an API key of your own kind
#[utoipa::path(delete, path = "/v1/api-keys/{api_key_id}", tag = "access",
    params(("api_key_id" = String, Path)),
    responses((status = 204, description = "Revoked; it stays listed")))]
pub async fn revoke_api_key(
    State(api): State<Api>,
    caller: Caller,
    PathText(text): PathText,
) -> Reply<StatusCode> {
    let missing = || Problem::not_found("API key");
    let digits = text.strip_prefix("key_").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let id: i64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(missing)?;
    if id == caller.key {
        let detail = "A key cannot revoke itself; use another one.";
        return Err(Problem::conflict("own_key", detail));
    }
    api.store().revoke_api_key(caller.tenant(), id).await.map_err(crate::AppError::of("API key"))?;
    Ok(StatusCode::NO_CONTENT)
}
