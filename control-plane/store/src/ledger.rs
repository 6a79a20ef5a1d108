//! Reads of the ledger, and the checks that it is sound.

use crate::{Page, Store, StoreError};
use control_plane_domain::intake::ShardKey;
use control_plane_domain::ledger::{Account, LedgerTransaction};
use proto_model::{AdvertiserId, Amount, DerivedId, TenantId};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerRow {
    /// `None` = the settlement shard.
    pub advertiser: Option<AdvertiserId>,
    pub transaction: LedgerTransaction,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LedgerFilter {
    /// The commission or payout it is about.
    pub subject: Option<DerivedId>,
    pub account: Option<Account>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balance {
    pub account: Account,
    /// Debits are positive, credits negative.
    pub amount: Amount,
}

/// What a check of one shard's ledger found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerCheck {
    pub transactions: u64,
    /// `None` = the chain is whole and every transaction balances.
    pub problem: Option<String>,
}
impl Store {
    pub async fn get_transaction(&self, tenant: TenantId, id: DerivedId) -> Result<LedgerRow, StoreError> {
        let _ = (tenant, id);
        Err(StoreError::NotFound)
    }
    pub async fn list_transactions(
        &self,
        tenant: TenantId,
        filter: &LedgerFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<LedgerRow>, StoreError> {
        let _ = (tenant, filter, after, limit);
        Err(StoreError::NotFound)
    }
    /// One shard's transactions after `sequence`, in chain order.
    pub async fn shard_ledger(
        &self,
        shard: ShardKey,
        after_sequence: u64,
        limit: u32,
    ) -> Result<Vec<LedgerTransaction>, StoreError> {
        let _ = (shard, after_sequence, limit);
        Err(StoreError::NotFound)
    }
    /// The sum of each account in each currency, over all of the tenant's shards.
    pub async fn balances(&self, tenant: TenantId) -> Result<Vec<Balance>, StoreError> {
        let _ = tenant;
        Err(StoreError::NotFound)
    }
    pub async fn verify_ledger(&self, shard: ShardKey) -> Result<LedgerCheck, StoreError> {
        let _ = shard;
        Err(StoreError::NotFound)
    }
    /// Transactions whose entries do not sum to zero; always empty.
    pub async fn unbalanced(&self, limit: u32) -> Result<Vec<(TenantId, DerivedId)>, StoreError> {
        let _ = limit;
        Err(StoreError::NotFound)
    }
}
