//! Reads of the outbox: what partners and operators are to be told.

use crate::row::{Columns, Id, page};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use proto_model::{AdvertiserId, Amount, DerivedId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// The receiver's dedupe key.
    pub id: DerivedId,
    /// `None` = from the settlement shard.
    pub advertiser: Option<AdvertiserId>,
    /// `noun.verb`.
    pub kind: String,
    pub partner: PartnerId,
    pub subject: DerivedId,
    pub amount: Amount,
    pub order_id: String,
    pub created_at: UnixMicros,
}

fn read_row(row: &Row) -> Result<OutboxRow, StoreError> {
    Ok(OutboxRow {
        id: row.derived("id")?,
        advertiser: row.id_opt("advertiser_id")?,
        kind: row.col("kind")?,
        partner: row.id("partner_id")?,
        subject: row.derived("subject")?,
        amount: row.amount("amount_minor", "currency")?,
        order_id: row.col("order_id")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    pub async fn list_outbox(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<OutboxRow>, StoreError> {
        let (before, rows) = Page::<OutboxRow>::bounds(after, limit);
        let sql = "SELECT * FROM outbox WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_row)
    }
}
