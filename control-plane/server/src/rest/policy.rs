//! Who may call what: one table, and the layer that enforces it. A route that is missing here answers to
//! nobody.

use super::Api;
use super::auth::{Caller, Principal, authenticate};
use super::problem::Problem;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// No credential.
    Public,
    /// A tenant's key; everything it sees is that tenant's.
    Tenant,
    /// An operator's key: the fleet and the list of tenants.
    Operator,
    /// Either kind; the answer is about the caller's own.
    Either,
}

pub struct Route {
    pub method: Method,
    /// As registered, with `{parameters}`.
    pub path: &'static str,
    pub policy: Policy,
}

const fn route(method: Method, path: &'static str, policy: Policy) -> Route {
    Route { method, path, policy }
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route(GET, "/livez", Policy::Public),
    route(GET, "/readyz", Policy::Public),
    route(GET, "/v1/health", Policy::Public),
    route(GET, "/v1/openapi.json", Policy::Public),

    route(GET, "/v1/tenants", Policy::Operator),
    route(POST, "/v1/tenants", Policy::Operator),
    route(GET, "/v1/tenants/{tenant_id}", Policy::Operator),
    route(PATCH, "/v1/tenants/{tenant_id}", Policy::Operator),
    route(GET, "/v1/edges", Policy::Operator),
    route(POST, "/v1/edges/join-bundles", Policy::Operator),
    route(GET, "/v1/edges/{edge_id}", Policy::Operator),
    route(POST, "/v1/edges/{edge_id}/revoke", Policy::Operator),
    route(POST, "/v1/edges/{edge_id}/release", Policy::Operator),
    route(GET, "/v1/alerts", Policy::Operator),
    route(GET, "/v1/alerts/{alert_id}", Policy::Operator),
    route(POST, "/v1/alerts/{alert_id}/acknowledge", Policy::Operator),
    route(GET, "/metrics", Policy::Operator),
    route(POST, "/v1/journal/verify", Policy::Operator),
    route(GET, "/v1/deployment", Policy::Operator),
    route(POST, "/v1/deployment/reconcile", Policy::Operator),

    route(GET, "/v1/api-keys", Policy::Either),
    route(POST, "/v1/api-keys", Policy::Either),
    route(DELETE, "/v1/api-keys/{api_key_id}", Policy::Either),

    route(GET, "/v1/tenant", Policy::Tenant),
    route(PATCH, "/v1/tenant", Policy::Tenant),
    route(GET, "/v1/advertisers", Policy::Tenant),
    route(POST, "/v1/advertisers", Policy::Tenant),
    route(GET, "/v1/advertisers/{advertiser_id}", Policy::Tenant),
    route(POST, "/v1/advertisers/{advertiser_id}/postback-token", Policy::Tenant),
    route(GET, "/v1/advertisers/{advertiser_id}/postback", Policy::Tenant),
    route(PUT, "/v1/advertisers/{advertiser_id}/postback", Policy::Tenant),
    route(POST, "/v1/advertisers/{advertiser_id}/postback/keys", Policy::Tenant),
    route(POST, "/v1/advertisers/{advertiser_id}/postback/test-token", Policy::Tenant),
    route(GET, "/v1/programs", Policy::Tenant),
    route(POST, "/v1/programs", Policy::Tenant),
    route(GET, "/v1/programs/{program_id}", Policy::Tenant),
    route(GET, "/v1/offers", Policy::Tenant),
    route(POST, "/v1/offers", Policy::Tenant),
    route(GET, "/v1/offers/{offer_id}", Policy::Tenant),
    route(PATCH, "/v1/offers/{offer_id}", Policy::Tenant),
    route(GET, "/v1/offers/{offer_id}/click-cap", Policy::Tenant),
    route(GET, "/v1/offers/{offer_id}/terms", Policy::Tenant),
    route(POST, "/v1/offers/{offer_id}/terms", Policy::Tenant),
    route(GET, "/v1/partners", Policy::Tenant),
    route(POST, "/v1/partners", Policy::Tenant),
    route(GET, "/v1/partners/{partner_id}", Policy::Tenant),
    route(GET, "/v1/links", Policy::Tenant),
    route(POST, "/v1/links", Policy::Tenant),
    route(GET, "/v1/links/{link_id}", Policy::Tenant),
    route(PATCH, "/v1/links/{link_id}", Policy::Tenant),
    route(GET, "/v1/links/{link_id}/click-cap", Policy::Tenant),
    route(POST, "/v1/links/{link_id}/deep-links", Policy::Tenant),
    route(GET, "/v1/domains", Policy::Tenant),
    route(POST, "/v1/domains", Policy::Tenant),
    route(GET, "/v1/domains/{host}", Policy::Tenant),
    route(PATCH, "/v1/domains/{host}", Policy::Tenant),
    route(DELETE, "/v1/domains/{host}", Policy::Tenant),
    route(GET, "/v1/rule-sets", Policy::Tenant),
    route(POST, "/v1/rule-sets", Policy::Tenant),
    route(GET, "/v1/rule-sets/current", Policy::Tenant),
    route(GET, "/v1/rule-sets/{version}", Policy::Tenant),

    route(GET, "/v1/clicks", Policy::Tenant),
    route(GET, "/v1/hits", Policy::Tenant),
    route(GET, "/v1/refused-hits", Policy::Tenant),
    route(GET, "/v1/fraud-signals", Policy::Tenant),
    route(GET, "/v1/conversions", Policy::Tenant),
    route(POST, "/v1/conversions", Policy::Tenant),
    route(GET, "/v1/conversions/{conversion_id}", Policy::Tenant),
    route(GET, "/v1/commissions", Policy::Tenant),
    route(GET, "/v1/commissions/{commission_id}", Policy::Tenant),
    route(GET, "/v1/order-events", Policy::Tenant),
    route(POST, "/v1/order-events", Policy::Tenant),
    route(POST, "/v1/touches", Policy::Tenant),
    route(GET, "/v1/ledger-transactions", Policy::Tenant),
    route(GET, "/v1/ledger-entries", Policy::Tenant),
    route(GET, "/v1/ledger-accounts", Policy::Tenant),
    route(POST, "/v1/ledger/replay", Policy::Tenant),
    route(POST, "/v1/settlements", Policy::Tenant),
    route(GET, "/v1/statements", Policy::Tenant),
    route(GET, "/v1/statements/{statement_id}", Policy::Tenant),
    route(GET, "/v1/payouts", Policy::Tenant),
    route(GET, "/v1/payouts/{payout_id}", Policy::Tenant),
    route(GET, "/v1/reports/hourly", Policy::Tenant),
    route(GET, "/v1/reports/rules", Policy::Tenant),
    route(DELETE, "/v1/customers/{customer_id}", Policy::Tenant),
    route(DELETE, "/v1/visitors/{visitor_id}", Policy::Tenant),
];

pub fn policy_of(method: &Method, path: &str) -> Option<Policy> {
    // axum answers HEAD with the GET handler.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|route| route.method == *method && route.path == path).map(|route| route.policy)
}

/// Lets a request through to its handler, with its [`Caller`], when the policy of its route allows.
pub async fn enforce(
    State(api): State<Api>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&api, path.as_str(), request.method(), request.headers()).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    api: &Api,
    path: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Problem> {
    let Some(policy) = policy_of(method, path) else {
        return Err(not_in_table(path));
    };
    if policy == Policy::Public {
        return Ok(None);
    }
    let caller = authenticate(api.app(), headers).await?;
    let allowed = match policy {
        Policy::Public | Policy::Either => true,
        Policy::Tenant => matches!(caller.principal, Principal::Tenant(_)),
        Policy::Operator => caller.principal == Principal::Operator,
    };
    if allowed { Ok(Some(caller)) } else { Err(Problem::forbidden()) }
}

/// A method that the path does not take, or a route that somebody forgot in the table: nobody may call that.
fn not_in_table(path: &str) -> Problem {
    let mut methods: Vec<&str> =
        ROUTES.iter().filter(|route| route.path == path).map(|route| route.method.as_str()).collect();
    if methods.is_empty() {
        return Problem::forbidden();
    }
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    let problem = Problem::of_status(StatusCode::METHOD_NOT_ALLOWED);
    match HeaderValue::from_str(&methods.join(", ")) {
        Ok(allow) => problem.with_header(header::ALLOW, allow),
        Err(_) => problem,
    }
}
