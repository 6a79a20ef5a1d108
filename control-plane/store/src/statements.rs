//! Reads of statements and payouts.

use crate::{Page, Store, StoreError};
use control_plane_domain::settlement::{Payout, Statement};
use proto_model::{DerivedId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatementRow {
    pub statement: Statement,
    pub recorded_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayoutRow {
    pub payout: Payout,
    pub recorded_at: UnixMicros,
}
impl Store {
    pub async fn get_statement(&self, tenant: TenantId, id: DerivedId) -> Result<StatementRow, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_statements(
        &self,
        tenant: TenantId,
        partner: Option<PartnerId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<StatementRow>, StoreError> {
        let _ = (tenant, partner, after, limit);
        Err(StoreError::NotFound)
    }
    pub async fn get_payout(&self, tenant: TenantId, id: DerivedId) -> Result<PayoutRow, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_payouts(
        &self,
        tenant: TenantId,
        partner: Option<PartnerId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<PayoutRow>, StoreError> {
        let _ = (tenant, partner, after, limit);
        Err(StoreError::NotFound)
    }
}
