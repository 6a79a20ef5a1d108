use super::Link;
use crate::{Page, Store, StoreError};
use proto_model::{LinkId, OfferId, PartnerId, TenantId};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkFilter {
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
}

impl Store {
    pub async fn create_link(&self, link: &Link) -> Result<(), StoreError> {
        let _ = link;
        Err(StoreError::NotFound)
    }
    pub async fn get_link(&self, tenant: TenantId, id: LinkId) -> Result<Link, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_links(
        &self,
        tenant: TenantId,
        filter: &LinkFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Link>, StoreError> {
        let _ = (tenant, filter, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn set_link_active(
        &self,
        tenant: TenantId,
        id: LinkId,
        active: bool,
    ) -> Result<Link, StoreError> {
        let _ = (tenant, id, active);
        Err(StoreError::NotFound)
    }
}
