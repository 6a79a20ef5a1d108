//! The events of an order as they were taken, straight from the intake: also those that changed nothing.

use crate::intake::read_item;
use crate::row::{Columns, Id};
use crate::sql::{Row, query};
use crate::{Store, StoreError};
use control_plane_domain::intake::{Input, OrderEvent};
use proto_model::{AdvertiserId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderEventRow {
    pub advertiser: AdvertiserId,
    pub ordinal: u64,
    pub recorded_at: UnixMicros,
    pub event: OrderEvent,
}

fn read_row(row: &Row) -> Result<OrderEventRow, StoreError> {
    let item = read_item(row)?;
    let Input::OrderEvent(event) = item.input else {
        return Err(StoreError::corrupt("intake item", "its kind is not the one of its row"));
    };
    let advertiser = row.id("advertiser_id")?;
    Ok(OrderEventRow { advertiser, ordinal: item.ordinal, recorded_at: item.recorded_at, event })
}

/// Order ids are an advertiser's own; the shards named make each look-up one of the index.
const LIST: &str = "SELECT advertiser_id, ordinal, recorded_at, input FROM intake \
    WHERE tenant_id = $1 AND kind = 'order_event' AND subject = $2 AND advertiser_id IN \
        (SELECT id FROM advertisers WHERE tenant_id = $1 AND ($3 IS NULL OR id = $3)) \
    ORDER BY advertiser_id, ordinal LIMIT $4 OFFSET $5";

impl Store {
    /// By advertiser, each one's in the order of its intake; the rows from `skip` on.
    pub async fn list_order_events(
        &self,
        tenant: TenantId,
        order_id: &str,
        advertiser: Option<AdvertiserId>,
        skip: i64,
        limit: u32,
    ) -> Result<Vec<OrderEventRow>, StoreError> {
        let rows = query(LIST)
            .bind(tenant.column())
            .bind(order_id)
            .bind(advertiser.map(Id::column))
            .bind(i64::from(limit))
            .bind(skip)
            .fetch_all(&mut self.read(tenant).await?)
            .await?;
        rows.iter().map(read_row).collect()
    }
}
