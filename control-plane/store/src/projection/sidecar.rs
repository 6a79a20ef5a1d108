//! Personal values of events, kept apart from the books so that they can go. Those of a known customer have a row
//! each, by which they are found again; all others of a batch lie together ([`super::batches`]).

use super::batches::{erased_within, insert_packed, read_values, select_packed};
use crate::codec::hex;
use crate::dialect;
use crate::erase::erase_events;
use crate::intake::advertiser_column;
use crate::row::{Columns, Id, big};
use crate::sql::{Connection, Row, Sql, query};
use crate::{Store, StoreError};
use control_plane_domain::intake::{ConversionReport, CustomerRef, Input, ShardKey};
use proto_model::event::PersonalClass;
use proto_model::{Address, TenantId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One class of an event's personal values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SidecarRow {
    pub tenant: TenantId,
    pub address: Address,
    pub class: PersonalClass,
    pub salt: [u8; 16],
    /// As `proto-wire` encoded it.
    pub value: Vec<u8>,
    /// The customer of the event, if it named one.
    pub customer: Option<CustomerRef>,
}

/// In the order of [`dialect::INSERT_SIDECAR`].
fn in_order(row: &SidecarRow) -> Value {
    json!([
        row.tenant.column(),
        row.address.stream.0,
        row.address.ordinal,
        row.class.code(),
        hex(&row.salt),
        hex(&row.value),
        row.customer.map(|customer| hex(&customer.0)),
    ])
}

pub(crate) fn read_sidecar(row: &Row) -> Result<SidecarRow, StoreError> {
    let class = row.number("class")?;
    Ok(SidecarRow {
        tenant: row.id("tenant_id")?,
        address: Address { stream: row.stream("stream")?, ordinal: row.number("ordinal")? },
        class: PersonalClass::from_code(class).ok_or_else(|| StoreError::corrupt("class", class))?,
        salt: row.bytes("salt")?,
        value: row.col("value")?,
        customer: row.bytes_opt("customer")?.map(CustomerRef),
    })
}

/// Keeps the values of whoever was not erased. To be called when the batch's intake is written: whose erasure came
/// between the look for their pseudonym and this transaction is known by these events alone, and is erased of them
/// as if they had been here before; so is a late report of an erased customer's order. Says how many values that took
/// away.
pub(crate) async fn insert_values(
    conn: &mut Connection,
    values: &[SidecarRow],
    intake: &[(ShardKey, Input)],
) -> Result<u64, StoreError> {
    let (single, packed): (Vec<_>, Vec<_>) = values.iter().partition(|row| row.customer.is_some());
    insert_packed(conn, packed).await?;
    if !single.is_empty() {
        let rows = Value::Array(single.iter().copied().map(in_order).collect());
        query(dialect::INSERT_SIDECAR).bind(rows.to_string()).execute(&mut *conn).await?;
    }
    let named = single.iter().filter_map(|row| Some(json!([row.tenant.column(), hex(&row.customer?.0)])));
    let orders = intake.iter().filter_map(|(shard, input)| order_of(*shard, input));
    let mut gone = forgotten(conn, dialect::FORGOTTEN_CUSTOMERS, named.collect()).await?;
    gone.extend(forgotten(conn, dialect::FORGOTTEN_BY_ORDER, orders.collect()).await?);
    let mut erased = 0;
    for (tenant, customer) in gone {
        let theirs = single.iter().filter(|row| (row.tenant, row.customer) == (tenant, Some(customer)));
        let addresses: Vec<Address> = theirs.map(|row| row.address).collect();
        erased += erase_events(conn, tenant, customer, &addresses).await?.1;
    }
    Ok(erased)
}

/// Of a report, in the order of [`dialect::FORGOTTEN_BY_ORDER`]: who is erased may be known by the order alone, when it
/// names nobody, or a visitor who is still known.
fn order_of(shard: ShardKey, input: &Input) -> Option<Value> {
    let Input::Conversion(ConversionReport { key, .. }) = input else { return None };
    Some(json!([shard.tenant.column(), advertiser_column(shard), key.order_id]))
}

/// Those that one of these statements finds, each once.
async fn forgotten(
    conn: &mut Connection,
    sql: Sql,
    rows: Vec<Value>,
) -> Result<BTreeSet<(TenantId, CustomerRef)>, StoreError> {
    if rows.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = query(sql).bind(json!(rows).to_string()).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.id("tenant_id")?, CustomerRef(row.bytes("customer")?)))).collect()
}

impl Store {
    /// The personal values that are left of an event.
    pub async fn sidecar_at(
        &self,
        tenant: TenantId,
        address: Address,
    ) -> Result<Vec<SidecarRow>, StoreError> {
        let (owner, stream, ordinal) = (tenant.column(), i64::from(address.stream.0), big(address.ordinal));
        let mut conn = self.read_snapshot(tenant).await?;
        let sql = "SELECT * FROM sidecar WHERE tenant_id = $1 AND stream = $2 AND ordinal = $3";
        let single = query(sql).bind(owner).bind(stream).bind(ordinal).fetch_all(&mut conn).await?;
        let sql = select_packed!(
            "WHERE tenant_id = $1 AND stream = $2 AND first_ordinal <= $3 ORDER BY first_ordinal DESC LIMIT 1"
        );
        let packed = query(sql).bind(owner).bind(stream).bind(ordinal).fetch_optional(&mut conn).await?;
        let erased = erased_within(&mut conn, vec![json!([owner, stream, ordinal, ordinal])]).await?;
        if !erased.is_empty() {
            return Ok(Vec::new());
        }
        let mut values: Vec<SidecarRow> = single.iter().map(read_sidecar).collect::<Result<_, _>>()?;
        if let Some(packed) = packed {
            values.extend(read_values(&packed)?.into_iter().filter(|row| row.address == address));
        }
        values.sort_by_key(|row| row.class);
        Ok(values)
    }
}
