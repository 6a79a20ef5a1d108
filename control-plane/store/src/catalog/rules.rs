use super::RuleSetRecord;
use crate::{Page, Store, StoreError};
use proto_model::{TenantId, UnixMicros};

impl Store {
    /// Versions only rise. `Conflict("rule_set_version")` when `expected` (0 = none yet) is not the current one.
    pub async fn publish_rule_set(
        &self,
        tenant: TenantId,
        body_json: &str,
        expected: Option<u32>,
        now: UnixMicros,
    ) -> Result<u32, StoreError> {
        let _ = (tenant, body_json, expected, now);
        Err(StoreError::NotFound)
    }
    pub async fn current_rule_set(&self, tenant: TenantId) -> Result<Option<RuleSetRecord>, StoreError> {
        let _ = tenant;
        Err(StoreError::NotFound)
    }
    pub async fn get_rule_set(&self, tenant: TenantId, version: u32) -> Result<RuleSetRecord, StoreError> {
        let _ = (tenant, version);
        Err(StoreError::NotFound)
    }
    pub async fn list_rule_sets(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<RuleSetRecord>, StoreError> {
        let _ = (tenant, after, limit);
        Err(StoreError::NotFound)
    }
}
