//! Reads of commissions, and which of them wait for time alone.

use crate::aggregate::{commission_columns, read_commission};
use crate::dialect::Scope;
use crate::intake::read_shard;
use crate::row::{Columns, Id, page};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::intake::ShardKey;
use control_plane_domain::order::{Commission, CommissionStatus};
use proto_model::{AdvertiserId, DerivedId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommissionRow {
    pub advertiser: AdvertiserId,
    pub conversion: DerivedId,
    pub order_id: String,
    pub commission: Commission,
    pub recorded_at: UnixMicros,
    pub updated_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommissionFilter {
    pub advertiser: Option<AdvertiserId>,
    pub partner: Option<PartnerId>,
    pub order_id: Option<String>,
    pub status: Option<CommissionStatus>,
}

fn read_row(row: &Row) -> Result<CommissionRow, StoreError> {
    Ok(CommissionRow {
        advertiser: row.id("advertiser_id")?,
        conversion: row.derived("conversion_id")?,
        order_id: row.col("order_id")?,
        commission: read_commission(row)?,
        recorded_at: row.time("recorded_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// Commissions `m`; each query says which.
macro_rules! select_commissions {
    ($rest:literal) => {
        concat!(
            "SELECT m.seq, m.advertiser_id, m.conversion_id, m.order_id, m.recorded_at, m.updated_at, ",
            commission_columns!(),
            " FROM commissions m ",
            $rest
        )
    };
}

/// An order id is looked up by index, not filtered.
const LIST: &str = select_commissions!(
    "WHERE m.tenant_id = $1 AND m.seq < $2 AND ($4 IS NULL OR m.advertiser_id = $4) \
     AND ($5 IS NULL OR m.partner_id = $5) AND ($6 IS NULL OR m.status = $6) ORDER BY m.seq DESC LIMIT $3"
);
const LIST_OF_ORDER: &str = select_commissions!(
    "WHERE m.tenant_id = $1 AND m.seq < $2 AND ($4 IS NULL OR m.advertiser_id = $4) \
     AND ($5 IS NULL OR m.partner_id = $5) AND ($6 IS NULL OR m.status = $6) AND m.order_id = $7 \
     ORDER BY m.seq DESC LIMIT $3"
);

/// An input that is waiting, or came when the time was up and changed nothing, is not repeated.
const DUE: &str = "SELECT m.tenant_id, m.advertiser_id, m.order_id FROM commissions m \
    JOIN orders o ON o.tenant_id = m.tenant_id AND o.advertiser_id = m.advertiser_id \
        AND o.order_id = m.order_id \
    WHERE m.status = 'pending' AND m.hold_until IS NOT NULL AND m.hold_until <= $1 AND NOT EXISTS ( \
        SELECT 1 FROM intake i WHERE i.tenant_id = m.tenant_id AND i.advertiser_id = m.advertiser_id \
            AND i.subject = m.order_id AND i.kind = 'hold_elapsed' AND i.ordinal > o.updated_ordinal \
            AND i.recorded_at >= m.hold_until) \
    GROUP BY m.tenant_id, m.advertiser_id, m.order_id ORDER BY min(m.hold_until) LIMIT $2";

impl Store {
    pub async fn get_commission(&self, tenant: TenantId, id: DerivedId) -> Result<CommissionRow, StoreError> {
        let row = query(select_commissions!("WHERE m.tenant_id = $1 AND m.id = $2"))
            .bind(tenant.column())
            .bind(&id.0[..])
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_row(&row)
    }

    pub async fn list_commissions(
        &self,
        tenant: TenantId,
        filter: &CommissionFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<CommissionRow>, StoreError> {
        let (before, rows) = Page::<CommissionRow>::bounds(after, limit);
        let sql = if filter.order_id.is_some() { LIST_OF_ORDER } else { LIST };
        let mut query = query(sql)
            .bind(tenant.column())
            .bind(before)
            .bind(rows)
            .bind(filter.advertiser.map(Id::column))
            .bind(filter.partner.map(Id::column))
            .bind(filter.status.map(CommissionStatus::as_str));
        if let Some(order_id) = &filter.order_id {
            query = query.bind(order_id);
        }
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_row)
    }

    /// Orders with a pending commission whose hold has run out and for which nobody has said so since the
    /// order last changed.
    pub async fn due_holds(
        &self,
        now: UnixMicros,
        limit: u32,
    ) -> Result<Vec<(ShardKey, String)>, StoreError> {
        let rows = query(DUE)
            .bind(now.0)
            .bind(i64::from(limit))
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        rows.iter().map(|row| Ok((read_shard(row)?, row.col("order_id")?))).collect()
    }
}
