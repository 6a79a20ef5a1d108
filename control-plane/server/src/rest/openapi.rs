//! The OpenAPI document, from the handlers themselves and the policy table.

use super::policy::{Policy, policy_of};
use super::problem::ProblemBody;
use super::{
    Api, advertisers, alerts, api_keys, clicks, commissions, conversions, customers, deployment, domains,
    edges, health, hits, journal, ledger, links, metrics, offers, order_events, partners, postbacks,
    programs, reports, rule_report, rule_sets, settlements, signals, statements, tenants, touches,
};
use axum::response::IntoResponse;
use http::{Method, header};
use std::sync::LazyLock;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Info, License, OpenApi, OpenApiBuilder, Ref, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const DESCRIPTION: &str = "Affiliate tracking on your own machines.\n\n\
Send `Authorization: Bearer tbk_...`: a tenant's key sees that tenant and nothing else; an operator's key sees the \
fleet and the list of tenants. Lists are `{data, has_more, next_cursor}`. Amounts are `{amount, currency}` in integer \
minor units. Times are RFC 3339 in UTC. Errors are RFC 9457 problems: act on `code`, quote `request_id`. Unknown keys \
are errors.";

/// Every route with its documentation.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(OpenApi::default())
        .merge(operator_routes())
        .merge(catalog_routes())
        .merge(tracking_routes())
        .merge(money_routes())
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(openapi_document))
}

fn operator_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(tenants::get_tenant, tenants::patch_tenant))
        .routes(routes!(edges::list_edges))
        .routes(routes!(edges::get_edge))
        .routes(routes!(edges::create_join_bundle))
        .routes(routes!(edges::revoke_edge))
        .routes(routes!(edges::release_edge))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::get_alert))
        .routes(routes!(alerts::acknowledge_alert))
        .routes(routes!(journal::verify_journal))
        .routes(routes!(deployment::get_deployment))
        .routes(routes!(deployment::reconcile))
        .routes(routes!(api_keys::list_api_keys, api_keys::create_api_key))
        .routes(routes!(api_keys::revoke_api_key))
}

fn catalog_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(tenants::get_own_tenant, tenants::patch_own_tenant))
        .routes(routes!(advertisers::list_advertisers, advertisers::create_advertiser))
        .routes(routes!(advertisers::get_advertiser))
        .routes(routes!(advertisers::rotate_postback_token))
        .routes(routes!(programs::list_programs, programs::create_program))
        .routes(routes!(programs::get_program))
        .routes(routes!(offers::list_offers, offers::create_offer))
        .routes(routes!(offers::get_offer, offers::patch_offer))
        .routes(routes!(offers::get_offer_click_cap))
        .routes(routes!(offers::list_terms, offers::put_terms))
        .routes(routes!(partners::list_partners, partners::create_partner))
        .routes(routes!(partners::get_partner))
        .routes(routes!(links::list_links, links::create_link))
        .routes(routes!(links::get_link, links::patch_link))
        .routes(routes!(links::get_link_click_cap))
        .routes(routes!(links::sign_deep_link))
        .routes(routes!(domains::list_domains, domains::create_domain))
        .routes(routes!(domains::get_domain, domains::patch_domain, domains::delete_domain))
        .routes(routes!(postbacks::get_postback, postbacks::put_postback))
        .routes(routes!(postbacks::rotate_key))
        .routes(routes!(postbacks::rotate_test_token))
        .routes(routes!(rule_sets::list_rule_sets, rule_sets::publish_rule_set))
        .routes(routes!(rule_sets::get_current_rule_set))
        .routes(routes!(rule_sets::get_rule_set))
}

fn tracking_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(clicks::list_clicks))
        .routes(routes!(hits::list_hits))
        .routes(routes!(reports::refused))
        .routes(routes!(signals::list_signals))
        .routes(routes!(reports::hourly))
        .routes(routes!(rule_report::by_rule))
        .routes(routes!(conversions::list_conversions, conversions::report_conversion))
        .routes(routes!(conversions::get_conversion))
        .routes(routes!(order_events::list_order_events, order_events::report_order_event))
        .routes(routes!(touches::bind_touch))
        .routes(routes!(customers::erase_customer))
        .routes(routes!(customers::erase_visitor))
}

fn money_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(commissions::list_commissions))
        .routes(routes!(commissions::get_commission))
        .routes(routes!(ledger::list_transactions))
        .routes(routes!(ledger::list_entries))
        .routes(routes!(ledger::list_accounts))
        .routes(routes!(ledger::replay_ledger))
        .routes(routes!(settlements::close_period))
        .routes(routes!(statements::list_statements))
        .routes(routes!(statements::get_statement))
        .routes(routes!(statements::list_payouts))
        .routes(routes!(statements::get_payout))
}

/// The document as it is committed: pretty, with a newline at its end.
pub fn openapi_json() -> String {
    let mut json = serde_json::to_string_pretty(&document()).unwrap_or_default();
    json.push('\n');
    json
}

static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_json);

/// This document
#[utoipa::path(get, path = "/v1/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
async fn openapi_document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

fn document() -> OpenApi {
    let mut info = Info::new("Tributary", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    info.license = Some(License::new("Apache-2.0"));
    let mut document = routes().into_openapi();
    document.info = info;
    let mut document: OpenApi = OpenApiBuilder::from(document).build();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            describe(operation, &method, path);
        }
    }
    let components = document.components.get_or_insert_default();
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    components
        .schemas
        .insert(super::problem::FieldError::name().into_owned(), super::problem::FieldError::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tbk_...").build();
    components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// What holds for every operation: who may call it, and what its errors look like.
fn describe(operation: &mut Operation, method: &Method, path: &str) {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new()
        .description("Any error: an RFC 9457 problem")
        .content("application/problem+json", problem)
        .build();
    operation.responses.responses.insert("default".to_owned(), response.into());
    let who = match policy_of(method, path) {
        None | Some(Policy::Public) => return,
        Some(Policy::Tenant) => "Called with a tenant's key.",
        Some(Policy::Operator) => "Called with an operator's key.",
        Some(Policy::Either) => "Called with either kind of key.",
    };
    operation.security = Some(vec![SecurityRequirement::new("api_key", Vec::<String>::new())]);
    let description = operation.description.take().filter(|text| !text.is_empty());
    operation.description =
        Some(description.map_or_else(|| who.to_owned(), |text| format!("{text}\n\n{who}")));
}
