use super::{Advertiser, Partner, Program};
use crate::{Page, Store, StoreError};
use proto_model::{AdvertiserId, PartnerId, ProgramId, TenantId};

impl Store {
    pub async fn create_advertiser(&self, advertiser: &Advertiser) -> Result<(), StoreError> {
        let _ = advertiser;
        Err(StoreError::NotFound)
    }
    pub async fn get_advertiser(&self, tenant: TenantId, id: AdvertiserId) -> Result<Advertiser, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_advertisers(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Advertiser>, StoreError> {
        let _ = (tenant, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn set_postback_token(
        &self,
        tenant: TenantId,
        id: AdvertiserId,
        token_sha256: Option<[u8; 32]>,
    ) -> Result<Advertiser, StoreError> {
        let _ = (tenant, id, token_sha256);
        Err(StoreError::NotFound)
    }
    pub async fn create_program(&self, program: &Program) -> Result<(), StoreError> {
        let _ = program;
        Err(StoreError::NotFound)
    }
    pub async fn get_program(&self, tenant: TenantId, id: ProgramId) -> Result<Program, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_programs(
        &self,
        tenant: TenantId,
        advertiser: Option<AdvertiserId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Program>, StoreError> {
        let _ = (tenant, advertiser, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn create_partner(&self, partner: &Partner) -> Result<(), StoreError> {
        let _ = partner;
        Err(StoreError::NotFound)
    }
    pub async fn get_partner(&self, tenant: TenantId, id: PartnerId) -> Result<Partner, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_partners(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Partner>, StoreError> {
        let _ = (tenant, after, limit);
        Err(StoreError::NotFound)
    }
}
