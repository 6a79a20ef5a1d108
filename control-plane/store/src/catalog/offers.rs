use super::{Offer, OfferChange};
use crate::{Page, Store, StoreError};
use control_plane_domain::terms::OfferTerms;
use proto_model::{AdvertiserId, OfferId, ProgramId, TenantId, UnixMicros};

impl Store {
    /// The offer and its first terms; these also go to the advertiser's intake, in the same transaction.
    pub async fn create_offer(&self, offer: &Offer, terms: &OfferTerms) -> Result<(), StoreError> {
        let _ = (offer, terms);
        Err(StoreError::NotFound)
    }
    pub async fn get_offer(&self, tenant: TenantId, id: OfferId) -> Result<Offer, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_offers(
        &self,
        tenant: TenantId,
        program: Option<ProgramId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Offer>, StoreError> {
        let _ = (tenant, program, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn update_offer(
        &self,
        tenant: TenantId,
        id: OfferId,
        change: &OfferChange,
    ) -> Result<Offer, StoreError> {
        let _ = (tenant, id, change);
        Err(StoreError::NotFound)
    }
    /// New terms; `Conflict("terms_version")` unless their version is the offer's next.
    pub async fn put_terms(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        terms: &OfferTerms,
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let _ = (tenant, advertiser, terms, now);
        Err(StoreError::NotFound)
    }
}
