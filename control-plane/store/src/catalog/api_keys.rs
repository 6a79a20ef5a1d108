use super::{ApiKey, NewApiKey};
use crate::{Page, Store, StoreError};
use proto_model::TenantId;

impl Store {
    pub async fn create_api_key(&self, key: &NewApiKey) -> Result<ApiKey, StoreError> {
        let _ = key;
        Err(StoreError::NotFound)
    }
    /// The key with this secret, if it is not revoked.
    pub async fn find_api_key(&self, secret_sha256: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let _ = secret_sha256;
        Err(StoreError::NotFound)
    }
    /// One tenant's keys, or (`None`) the operators'.
    pub async fn list_api_keys(
        &self,
        tenant: Option<TenantId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<ApiKey>, StoreError> {
        let _ = (tenant, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn revoke_api_key(&self, tenant: Option<TenantId>, id: i64) -> Result<(), StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
}
