//! Reads of the ledger, and the checks that it is sound.

use crate::codec::hex;
use crate::dialect;
use crate::dialect::Scope;
use crate::intake::advertiser_column;
use crate::row::{Columns, Id, big, page};
use crate::sql::{Connection, Row, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::intake::ShardKey;
use control_plane_domain::ledger::{
    Account, LedgerEntry, LedgerHead, LedgerTransaction, TransactionKind, verify_chain,
};
use proto_model::{AdvertiserId, Amount, DerivedId, TenantId};
use serde_json::json;
use std::collections::BTreeMap;

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

/// Without its entries.
fn read_transaction(row: &Row) -> Result<LedgerTransaction, StoreError> {
    Ok(LedgerTransaction {
        id: row.derived("id")?,
        sequence: row.number("sequence")?,
        kind: row.word("kind", TransactionKind::parse)?,
        currency: row.currency("currency")?,
        posted_at: row.time("posted_at")?,
        intake_ordinal: row.number("intake_ordinal")?,
        subject: row.derived("subject")?,
        entries: Vec::new(),
        prev_hash: row.bytes("prev_hash")?,
        hash: row.bytes("hash")?,
    })
}

fn read_row(row: &Row) -> Result<LedgerRow, StoreError> {
    Ok(LedgerRow { advertiser: row.id_opt("advertiser_id")?, transaction: read_transaction(row)? })
}

/// The entries of all of them in one query.
async fn fill_entries<'a>(
    conn: &mut Connection,
    tenant: TenantId,
    transactions: impl Iterator<Item = &'a mut LedgerTransaction>,
) -> Result<(), StoreError> {
    let mut by_id: BTreeMap<DerivedId, &mut LedgerTransaction> =
        transactions.map(|transaction| (transaction.id, transaction)).collect();
    let ids: Vec<String> = by_id.keys().map(|id| hex(&id.0)).collect();
    let rows =
        query(dialect::ENTRIES_OF).bind(tenant.column()).bind(json!(ids).to_string()).fetch_all(conn).await?;
    for row in &rows {
        let entry = LedgerEntry { account: row.word("account", Account::parse)?, minor: row.col("minor")? };
        if let Some(transaction) = by_id.get_mut(&row.derived("transaction_id")?) {
            transaction.entries.push(entry);
        }
    }
    Ok(())
}

const LIST: &str = "SELECT * FROM ledger_transactions t WHERE tenant_id = $1 AND seq < $2 \
    AND ($4 IS NULL OR EXISTS (SELECT 1 FROM ledger_entries e \
        WHERE e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account = $4)) \
    ORDER BY seq DESC LIMIT $3";
const LIST_OF_SUBJECT: &str = "SELECT * FROM ledger_transactions t WHERE tenant_id = $1 AND seq < $2 \
    AND ($4 IS NULL OR EXISTS (SELECT 1 FROM ledger_entries e \
        WHERE e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account = $4)) \
    AND subject = $5 ORDER BY seq DESC LIMIT $3";

const VERIFY_PAGE: u32 = 500;

impl Store {
    pub async fn list_transactions(
        &self,
        tenant: TenantId,
        filter: &LedgerFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<LedgerRow>, StoreError> {
        let (before, rows) = Page::<LedgerRow>::bounds(after, limit);
        let mut conn = self.read(tenant).await?;
        let mut query = query(if filter.subject.is_some() { LIST_OF_SUBJECT } else { LIST })
            .bind(tenant.column())
            .bind(before)
            .bind(rows)
            .bind(filter.account.map(|account| account.to_string()));
        if let Some(subject) = filter.subject {
            query = query.bind(subject.0.to_vec());
        }
        let rows = query.fetch_all(&mut conn).await?;
        let mut page = page(&rows, limit, read_row)?;
        let transactions = page.items.iter_mut().map(|row| &mut row.transaction);
        fill_entries(&mut conn, tenant, transactions).await?;
        Ok(page)
    }

    /// One shard's transactions after `sequence`, in chain order.
    pub async fn shard_ledger(
        &self,
        shard: ShardKey,
        after_sequence: u64,
        limit: u32,
    ) -> Result<Vec<LedgerTransaction>, StoreError> {
        let mut conn = self.read(shard).await?;
        let sql = "SELECT * FROM ledger_transactions WHERE tenant_id = $1 AND advertiser_id = $2 \
            AND sequence > $3 ORDER BY sequence LIMIT $4";
        let rows = query(sql)
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .bind(big(after_sequence))
            .bind(i64::from(limit))
            .fetch_all(&mut conn)
            .await?;
        let mut transactions = rows.iter().map(read_transaction).collect::<Result<Vec<_>, _>>()?;
        fill_entries(&mut conn, shard.tenant, transactions.iter_mut()).await?;
        Ok(transactions)
    }

    /// The sum of each account in each currency, over all of the tenant's shards; zeros are left out.
    pub async fn balances(&self, tenant: TenantId) -> Result<Vec<Balance>, StoreError> {
        let sql = "SELECT account, currency, CAST(sum(minor) AS BIGINT) AS minor FROM ledger_entries WHERE tenant_id = $1 \
            GROUP BY account, currency HAVING sum(minor) <> 0 ORDER BY account, currency";
        let rows = query(sql).bind(tenant.column()).fetch_all(&mut self.read(tenant).await?).await?;
        let balance = |row: &Row| {
            let account = row.word("account", Account::parse)?;
            Ok(Balance { account, amount: row.amount("minor", "currency")? })
        };
        rows.iter().map(balance).collect()
    }

    /// Walks the whole chain: hashes, order, balance, and that it ends where the money engine stands.
    pub async fn verify_ledger(&self, shard: ShardKey) -> Result<LedgerCheck, StoreError> {
        // Read first: what is posted while we walk lies behind it.
        let stated = self.ledger_head(shard).await?;
        let mut head = LedgerHead::default();
        while head.sequence < stated.sequence {
            let left = u32::try_from(stated.sequence - head.sequence).unwrap_or(VERIFY_PAGE);
            let page = self.shard_ledger(shard, head.sequence, left.min(VERIFY_PAGE)).await?;
            if page.is_empty() {
                break;
            }
            match verify_chain(head, &page) {
                Ok(next) => head = next,
                Err(error) => {
                    return Ok(LedgerCheck { transactions: head.sequence, problem: Some(error.to_string()) });
                }
            }
        }
        let problem = (head != stated).then(|| {
            format!("the chain ends at {}, the money engine stands at {}", head.sequence, stated.sequence)
        });
        Ok(LedgerCheck { transactions: head.sequence, problem })
    }

    async fn ledger_head(&self, shard: ShardKey) -> Result<LedgerHead, StoreError> {
        let sql = "SELECT ledger_sequence, ledger_hash FROM money_checkpoints \
            WHERE tenant_id = $1 AND advertiser_id = $2";
        let row = query(sql)
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .fetch_one(&mut self.read(shard).await?)
            .await?;
        Ok(LedgerHead { sequence: row.number("ledger_sequence")?, hash: row.bytes("ledger_hash")? })
    }

    /// Transactions whose entries do not sum to zero; always empty.
    pub async fn unbalanced(&self, limit: u32) -> Result<Vec<(TenantId, DerivedId)>, StoreError> {
        let sql = "SELECT tenant_id, transaction_id FROM ledger_entries \
            GROUP BY tenant_id, transaction_id HAVING sum(minor) <> 0 LIMIT $1";
        let rows =
            query(sql).bind(i64::from(limit)).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        rows.iter().map(|row| Ok((row.id("tenant_id")?, row.derived("transaction_id")?))).collect()
    }
}
