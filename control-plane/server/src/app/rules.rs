//! Publishing a rule set: checked by the evaluator's own rules, stored as JSON, carried to the edges.

use super::rules_json::RuleSetBody;
use super::{App, clock, snapshot};
use crate::error::AppError;
use proto_model::TenantId;

/// Checks and publishes; gives back the new version. `expected` is the version the author has seen: when
/// another one is in force, nothing is published.
pub async fn publish(
    app: &App,
    tenant: TenantId,
    body: &RuleSetBody,
    expected: Option<u32>,
) -> Result<u32, AppError> {
    let rules = body.lower(1).map_err(|error| AppError::invalid("rules", error.to_string()))?;
    if !snapshot::rule_set_fits(&rules) {
        return Err(AppError::invalid("sets", "the sets are too large to be carried to the edges"));
    }
    let json =
        serde_json::to_string(body).map_err(|e| AppError::internal("rule set cannot be written", e))?;
    app.store.publish_rule_set(tenant, &json, expected, clock::now()).await.map_err(AppError::of("tenant"))
}
