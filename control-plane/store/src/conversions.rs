//! Reads of conversions and orders.

use crate::{Page, Store, StoreError};
use control_plane_domain::order::{Conversion, ConversionStatus, Order};
use proto_model::{AdvertiserId, DerivedId, LinkId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversionRow {
    pub advertiser: AdvertiserId,
    /// The link of the winning click.
    pub link: Option<LinkId>,
    pub partner: Option<PartnerId>,
    pub conversion: Conversion,
    /// When its first report was written down.
    pub recorded_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConversionFilter {
    pub advertiser: Option<AdvertiserId>,
    pub partner: Option<PartnerId>,
    pub order_id: Option<String>,
    pub status: Option<ConversionStatus>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRow {
    pub advertiser: AdvertiserId,
    pub order: Order,
    pub updated_at: UnixMicros,
}
impl Store {
    pub async fn get_conversion(&self, tenant: TenantId, id: DerivedId) -> Result<ConversionRow, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_conversions(
        &self,
        tenant: TenantId,
        filter: &ConversionFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<ConversionRow>, StoreError> {
        let _ = (tenant, filter, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn get_order(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        order_id: &str,
    ) -> Result<OrderRow, StoreError> {
        let _ = (tenant, advertiser, order_id);
        Err(StoreError::NotFound)
    }
    pub async fn list_orders(
        &self,
        tenant: TenantId,
        advertiser: Option<AdvertiserId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<OrderRow>, StoreError> {
        let _ = (tenant, advertiser, after, limit);
        Err(StoreError::NotFound)
    }
}
