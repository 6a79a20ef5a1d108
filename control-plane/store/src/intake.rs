//! The intake: per shard, one ordered log of what the business must decide, insert-only.

use crate::codec::{hex, input_from_json, input_to_json};
use crate::dialect;
use crate::dialect::Scope;
use crate::projection::{CustomerKey, resolve};
use crate::retry::retrying;
use crate::row::{Columns, Id, big};
use crate::sql::{Connection, Row, query};
use crate::{Slots, Store, StoreError};
use control_plane_domain::intake::{ClickCredit, CustomerRef, Input, IntakeItem, ShardKey, Source};
use control_plane_domain::terms::OfferTerms;
use proto_model::{AdvertiserId, OfferId, TenantId, UnixMicros};
use serde_json::json;
use std::collections::BTreeMap;

/// The settlement shard stands under advertiser 0, which no advertiser has.
pub(crate) fn advertiser_column(shard: ShardKey) -> i64 {
    shard.advertiser.map_or(0, Id::column)
}

pub(crate) fn read_shard(row: &Row) -> Result<ShardKey, StoreError> {
    Ok(ShardKey { tenant: row.id("tenant_id")?, advertiser: row.id_opt("advertiser_id")? })
}

/// A shard exists from the moment its tenant or advertiser does; inputs for any other are refused.
pub(crate) async fn create_shard(conn: &mut Connection, shard: ShardKey) -> Result<(), StoreError> {
    query("INSERT INTO intake_heads (tenant_id, advertiser_id) VALUES ($1, $2)")
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .execute(&mut *conn)
        .await?;
    query("INSERT INTO money_checkpoints (tenant_id, advertiser_id, ledger_hash) VALUES ($1, $2, $3)")
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(&[0u8; 32][..])
        .execute(conn)
        .await?;
    Ok(())
}

/// What of an input stands in columns, to be found without reading JSON.
struct Facts<'a> {
    subject: String,
    customer: Option<CustomerRef>,
    source: Option<&'a Source>,
    click: Option<&'a ClickCredit>,
}

impl<'a> Facts<'a> {
    fn of(input: &'a Input) -> Self {
        let bare = |subject: String| Self { subject, customer: None, source: None, click: None };
        match input {
            Input::Terms(terms) => bare(terms.offer.to_string()),
            Input::Conversion(report) => Self {
                subject: report.key.order_id.clone(),
                customer: report.customer,
                source: Some(&report.source),
                click: report.click.as_ref(),
            },
            Input::Touch(touch) => {
                Self { customer: Some(touch.customer), click: Some(&touch.click), ..bare(String::new()) }
            }
            Input::OrderEvent(event) => Self { source: Some(&event.source), ..bare(event.order_id.clone()) },
            Input::HoldElapsed { order_id } => bare(order_id.clone()),
            Input::PartnerCredit(credit) => bare(credit.order_id.clone()),
            Input::ClosePeriod { .. } => bare(String::new()),
            Input::Settled(settled) => bare(settled.order_id.clone()),
        }
    }
}

/// One row of the bulk insert, in the order of [`dialect::INSERT_INTAKE`].
fn row_json(
    shard: ShardKey,
    ordinal: i64,
    recorded_at: i64,
    input: &Input,
) -> Result<serde_json::Value, StoreError> {
    let facts = Facts::of(input);
    let source = match facts.source {
        Some(Source::Journal(address)) => Some(address),
        _ => None,
    };
    let click = facts.click.map(|credit| credit.click.address);
    Ok(json!([
        shard.tenant.column(),
        advertiser_column(shard),
        ordinal,
        recorded_at,
        input.kind(),
        facts.subject,
        facts.customer.map(|customer| hex(&customer.0)),
        source.map(|address| address.stream.0),
        source.map(|address| address.ordinal),
        click.map(|address| address.stream.0),
        click.map(|address| address.ordinal),
        input_to_json(input)?,
    ]))
}

/// Appends to the logs of any number of shards and returns the ordinals, in the order given. They are
/// handed out under the shard's head row, so they are dense and become visible in order; for the same
/// reason the time written never runs backwards within a shard.
pub(crate) async fn append_inputs(
    conn: &mut Connection,
    inputs: &[(ShardKey, &Input)],
    now: UnixMicros,
) -> Result<Vec<u64>, StoreError> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let mut counts: BTreeMap<ShardKey, i64> = BTreeMap::new();
    inputs.iter().for_each(|(shard, _)| *counts.entry(*shard).or_default() += 1);
    let mut next: BTreeMap<ShardKey, (i64, i64)> = BTreeMap::new();
    for (shard, count) in counts {
        let sql = "UPDATE intake_heads SET head = head + $3, \
            last_recorded_at = CASE WHEN last_recorded_at > $4 THEN last_recorded_at ELSE $4 END \
            WHERE tenant_id = $1 AND advertiser_id = $2 RETURNING head, last_recorded_at";
        let row = query(sql)
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .bind(count)
            .bind(now.0)
            .fetch_one(&mut *conn)
            .await?;
        let head: i64 = row.col("head")?;
        next.insert(shard, (head - count + 1, row.col("last_recorded_at")?));
    }
    let mut ordinals = Vec::with_capacity(inputs.len());
    let mut rows = Vec::with_capacity(inputs.len());
    for (shard, input) in inputs {
        let (ordinal, recorded_at) = next.get_mut(shard).ok_or(StoreError::NotFound)?;
        rows.push(row_json(*shard, *ordinal, *recorded_at, input)?);
        ordinals.push(ordinal.unsigned_abs());
        *ordinal += 1;
    }
    query(dialect::INSERT_INTAKE).bind(serde_json::Value::Array(rows).to_string()).execute(conn).await?;
    Ok(ordinals)
}

pub(crate) fn read_item(row: &Row) -> Result<IntakeItem, StoreError> {
    Ok(IntakeItem {
        ordinal: row.number("ordinal")?,
        recorded_at: row.time("recorded_at")?,
        input: input_from_json(row.col("input")?)?,
    })
}

pub(crate) async fn items_after(
    conn: &mut Connection,
    shard: ShardKey,
    after: u64,
    limit: u32,
) -> Result<Vec<IntakeItem>, StoreError> {
    let sql = "SELECT ordinal, recorded_at, input FROM intake \
        WHERE tenant_id = $1 AND advertiser_id = $2 AND ordinal > $3 ORDER BY ordinal LIMIT $4";
    let rows = query(sql)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(big(after))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    rows.iter().map(read_item).collect()
}

impl Store {
    /// Appends to the shard's log and returns the ordinal. `NotFound` when there is no such shard.
    pub async fn append_intake(
        &self,
        shard: ShardKey,
        input: &Input,
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        retrying!(self.try_append_intake(shard, input, now))
    }

    async fn try_append_intake(
        &self,
        shard: ShardKey,
        input: &Input,
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        let mut tx = self.write(shard).await?;
        let ordinals = append_inputs(&mut tx, &[(shard, input)], now).await?;
        tx.owed.intake = true;
        tx.commit().await?;
        ordinals.first().copied().ok_or(StoreError::NotFound)
    }

    /// Appends what a customer did and returns the ordinal. With the look for their pseudonym in one
    /// transaction, so that an erasure comes before both, and they are somebody new, or after both, and finds it.
    pub async fn append_of_customer(
        &self,
        shard: ShardKey,
        customer: &CustomerKey,
        input: &(impl Fn(CustomerRef) -> Input + Sync),
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        retrying!(self.try_append_of_customer(shard, customer, input, now))
    }

    async fn try_append_of_customer(
        &self,
        shard: ShardKey,
        customer: &CustomerKey,
        input: &(impl Fn(CustomerRef) -> Input + Sync),
        now: UnixMicros,
    ) -> Result<u64, StoreError> {
        let mut tx = self.write(shard).await?;
        let customer = resolve(&mut tx, customer).await?.ok_or(StoreError::NotFound)?;
        let ordinals = append_inputs(&mut tx, &[(shard, &input(customer))], now).await?;
        tx.owed.intake = true;
        tx.commit().await?;
        ordinals.first().copied().ok_or(StoreError::NotFound)
    }

    /// Items after `after`, in order.
    pub async fn intake_items(
        &self,
        shard: ShardKey,
        after: u64,
        limit: u32,
    ) -> Result<Vec<IntakeItem>, StoreError> {
        let mut conn = self.read(shard).await?;
        items_after(&mut conn, shard, after, limit).await
    }

    /// Shards in these slots whose intake is ahead of the money engine, the one waiting longest first.
    pub async fn shards_with_work(&self, slots: Slots, limit: u32) -> Result<Vec<ShardKey>, StoreError> {
        let sql = "SELECT h.tenant_id, h.advertiser_id FROM intake_heads h \
            JOIN money_checkpoints c ON c.tenant_id = h.tenant_id AND c.advertiser_id = h.advertiser_id \
            WHERE h.head > c.ordinal AND ($1 >> CAST(h.tenant_id % $2 AS INTEGER)) & 1 = 1 \
            ORDER BY h.last_recorded_at, h.tenant_id, h.advertiser_id LIMIT $3";
        let rows = query(sql)
            .bind(slots.bits())
            .bind(i64::from(Slots::COUNT))
            .bind(i64::from(limit))
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        rows.iter().map(read_shard).collect()
    }

    /// Every shard of a tenant, the settlement shard first.
    pub async fn shards(&self, tenant: TenantId) -> Result<Vec<ShardKey>, StoreError> {
        let sql =
            "SELECT tenant_id, advertiser_id FROM intake_heads WHERE tenant_id = $1 ORDER BY advertiser_id";
        let rows = query(sql).bind(tenant.column()).fetch_all(&mut self.read(tenant).await?).await?;
        rows.iter().map(read_shard).collect()
    }

    /// Every version of an offer's terms as written to the intake, oldest first: there as soon as they are
    /// accepted, before the money engine has read them.
    pub async fn offer_terms(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        offer: OfferId,
    ) -> Result<Vec<OfferTerms>, StoreError> {
        let sql = "SELECT ordinal, recorded_at, input FROM intake \
            WHERE tenant_id = $1 AND advertiser_id = $2 AND subject = $3 AND kind = 'terms' ORDER BY ordinal";
        let rows = query(sql)
            .bind(tenant.column())
            .bind(advertiser.column())
            .bind(offer.to_string())
            .fetch_all(&mut self.read(tenant).await?)
            .await?;
        let terms = |row| match read_item(row)?.input {
            Input::Terms(terms) => Ok(terms),
            _ => Err(StoreError::corrupt("intake item", "its kind is not the one of its row")),
        };
        rows.iter().map(terms).collect()
    }
}
