use super::{ClickKeyRecord, Tenant};
use crate::{Page, Store, StoreError};
use proto_model::TenantId;

impl Store {
    /// A tenant always has a key that seals its click ids.
    pub async fn create_tenant(&self, tenant: &Tenant, key: &ClickKeyRecord) -> Result<(), StoreError> {
        let _ = (tenant, key);
        Err(StoreError::NotFound)
    }
    pub async fn get_tenant(&self, id: TenantId) -> Result<Tenant, StoreError> {
        let _ = id;
        Err(StoreError::NotFound)
    }
    pub async fn list_tenants(&self, after: Option<i64>, limit: u32) -> Result<Page<Tenant>, StoreError> {
        let _ = (after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn set_fallback_url(&self, id: TenantId, url: Option<&str>) -> Result<Tenant, StoreError> {
        let _ = (id, url);
        Err(StoreError::NotFound)
    }
    /// A new active key; those before it only open from now on.
    pub async fn rotate_click_key(&self, key: &ClickKeyRecord) -> Result<(), StoreError> {
        let _ = key;
        Err(StoreError::NotFound)
    }
    pub async fn click_keys(&self, tenant: TenantId) -> Result<Vec<ClickKeyRecord>, StoreError> {
        let _ = tenant;
        Err(StoreError::NotFound)
    }
}
