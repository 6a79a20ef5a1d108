//! Reads of conversions and orders.

use crate::aggregate::{load_order, of_conversions, read_conversion, select_conversions};
use crate::row::{Columns, Id, page};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::intake::ShardKey;
use control_plane_domain::order::{Commission, Conversion, ConversionStatus, Order};
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
    /// Whether reports disagree about it.
    pub conflict: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRow {
    pub advertiser: AdvertiserId,
    pub order: Order,
    pub updated_at: UnixMicros,
}

/// `commissions` are those of the conversion.
fn read_row(row: &Row, commissions: Vec<Commission>) -> Result<ConversionRow, StoreError> {
    Ok(ConversionRow {
        advertiser: row.id("advertiser_id")?,
        link: row.id_opt("link_id")?,
        partner: row.id_opt("partner_id")?,
        conversion: read_conversion(row, commissions)?,
        recorded_at: row.time("recorded_at")?,
    })
}

/// The list's queries: what they have in common, and a condition of their own.
macro_rules! list {
    ($condition:literal) => {
        select_conversions!(
            "WHERE c.tenant_id = $1 AND c.seq < $2 AND ($4 IS NULL OR c.advertiser_id = $4) \
             AND ($5 IS NULL OR c.partner_id = $5) AND ($6 IS NULL OR c.status = $6) \
             AND ($7 IS NULL OR (c.conflicts <> '[]') = $7) ",
            $condition,
            " ORDER BY c.seq DESC LIMIT $3"
        )
    };
}

const LIST: &str = list!("");
/// An order id is looked up by index, not filtered.
const LIST_OF_ORDER: &str = list!("AND c.order_id = $8");
/// Conflicts are rare: by index, too.
const LIST_OF_CONFLICTS: &str = list!("AND c.conflicts <> '[]'");

impl Store {
    pub async fn get_conversion(&self, tenant: TenantId, id: DerivedId) -> Result<ConversionRow, StoreError> {
        let mut conn = self.read_snapshot(tenant).await?;
        let row = query(select_conversions!("WHERE c.tenant_id = $1 AND c.id = $2"))
            .bind(tenant.column())
            .bind(&id.0[..])
            .fetch_one(&mut conn)
            .await?;
        let commissions = of_conversions(&mut conn, tenant, &[id]).await?.remove(&id);
        read_row(&row, commissions.unwrap_or_default())
    }

    pub async fn list_conversions(
        &self,
        tenant: TenantId,
        filter: &ConversionFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<ConversionRow>, StoreError> {
        let (before, rows) = Page::<ConversionRow>::bounds(after, limit);
        let sql = match (&filter.order_id, filter.conflict) {
            (Some(_), _) => LIST_OF_ORDER,
            (None, Some(true)) => LIST_OF_CONFLICTS,
            (None, _) => LIST,
        };
        let mut query = query(sql)
            .bind(tenant.column())
            .bind(before)
            .bind(rows)
            .bind(filter.advertiser.map(Id::column))
            .bind(filter.partner.map(Id::column))
            .bind(filter.status.map(ConversionStatus::as_str))
            .bind(filter.conflict);
        if let Some(order_id) = &filter.order_id {
            query = query.bind(order_id);
        }
        let mut conn = self.read_snapshot(tenant).await?;
        let rows = query.fetch_all(&mut conn).await?;
        let ids = rows.iter().map(|row| row.derived("id")).collect::<Result<Vec<_>, _>>()?;
        let commissions = of_conversions(&mut conn, tenant, &ids).await?;
        page(&rows, limit, |row| {
            read_row(row, commissions.get(&row.derived("id")?).cloned().unwrap_or_default())
        })
    }

    pub async fn get_order(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        order_id: &str,
    ) -> Result<OrderRow, StoreError> {
        let mut conn = self.read(tenant).await?;
        let order = load_order(&mut conn, ShardKey::advertiser(tenant, advertiser), order_id).await?;
        let (order, updated_at) = order.ok_or(StoreError::NotFound)?;
        Ok(OrderRow { advertiser, order, updated_at })
    }

    pub async fn list_orders(
        &self,
        tenant: TenantId,
        advertiser: Option<AdvertiserId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<OrderRow>, StoreError> {
        let (before, rows) = Page::<OrderRow>::bounds(after, limit);
        let sql = "SELECT seq, advertiser_id, order_id FROM orders WHERE tenant_id = $1 AND seq < $2 \
            AND ($4 IS NULL OR advertiser_id = $4) ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        let rows = query.bind(advertiser.map(Id::column)).fetch_all(&mut self.read(tenant).await?).await?;
        let keys = page(&rows, limit, |row| {
            Ok((row.id::<AdvertiserId>("advertiser_id")?, row.col::<String>("order_id")?))
        })?;
        let mut items = Vec::with_capacity(keys.items.len());
        for (advertiser, order_id) in keys.items {
            items.push(self.get_order(tenant, advertiser, &order_id).await?);
        }
        Ok(Page { items, next: keys.next })
    }
}
