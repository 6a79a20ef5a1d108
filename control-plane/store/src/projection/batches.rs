//! The table of packed values: `sidecar_batches`. Values come in with their batch and go out with their events; a
//! blob is written anew then, under the place that it has.

use super::SidecarRow;
use super::packed::{Place, pack, unpack};
use crate::StoreError;
use crate::dialect;
use crate::row::{Columns, Id, big};
use crate::sql::{Connection, Row, query};
use proto_model::{Address, StreamNo, TenantId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Events by stream and ordinal, as in the columns.
pub(crate) type Events = BTreeSet<(i64, i64)>;

type Groups<'a> = BTreeMap<(TenantId, StreamNo), Vec<&'a SidecarRow>>;

/// A column list for [`read_values`].
macro_rules! select_packed {
    ($rest:literal) => {
        concat!(
            "SELECT tenant_id, stream, first_ordinal, last_ordinal, held, packed FROM sidecar_batches ",
            $rest
        )
    };
}
pub(crate) use select_packed;

fn read_place(row: &Row) -> Result<Place, StoreError> {
    Ok(Place {
        tenant: row.id("tenant_id")?,
        stream: row.stream("stream")?,
        first: row.number("first_ordinal")?,
        last: row.number("last_ordinal")?,
        held: row.number("held")?,
    })
}

/// The values of one row, erased ones of an older version's included.
pub(crate) fn read_values(row: &Row) -> Result<Vec<SidecarRow>, StoreError> {
    unpack(&read_place(row)?, row.col("packed")?)
}

/// Of the events in these ranges (tenant, stream, first and last ordinal): those that are erased.
pub(crate) async fn erased_within(
    conn: &mut Connection,
    ranges: Vec<Value>,
) -> Result<BTreeSet<(TenantId, Address)>, StoreError> {
    let ranges = Value::Array(ranges).to_string();
    let rows = query(dialect::ERASED_WITHIN).bind(ranges).fetch_all(conn).await?;
    let event = |row: &Row| {
        let address = Address { stream: row.stream("stream")?, ordinal: row.number("ordinal")? };
        Ok((row.id("tenant_id")?, address))
    };
    rows.iter().map(event).collect()
}

/// Keeps these values, but for those of erased events: all that is erased meanwhile waits for this transaction.
pub(crate) async fn insert_packed(conn: &mut Connection, values: Vec<&SidecarRow>) -> Result<(), StoreError> {
    let groups = grouped(values);
    if groups.is_empty() {
        return Ok(());
    }
    let range = |((tenant, stream), values): (&(TenantId, StreamNo), &Vec<&SidecarRow>)| {
        let [first, last] = [values.first(), values.last()].map(|row| row.map(|row| row.address.ordinal));
        json!([tenant.column(), stream.0, first, last])
    };
    let erased = erased_within(conn, groups.iter().map(range).collect()).await?;
    let (mut rows, mut blobs) = (Vec::new(), Vec::new());
    for ((tenant, stream), mut values) in groups {
        values.retain(|row| !erased.contains(&(tenant, row.address)));
        let [Some(first), Some(last)] = [values.first(), values.last()] else { continue };
        let (first, last) = (first.address.ordinal, last.address.ordinal);
        let blob = pack(first, &values)?;
        rows.push(json!([tenant.column(), stream.0, first, last, values.len(), blobs.len() + 1, blob.len()]));
        blobs.extend(blob);
    }
    let rows = Value::Array(rows).to_string();
    query(dialect::INSERT_PACKED).bind(rows).bind(blobs).execute(conn).await?;
    Ok(())
}

/// By whose they are, in order, each once.
fn grouped(values: Vec<&SidecarRow>) -> Groups<'_> {
    let mut groups = Groups::new();
    for value in values {
        groups.entry((value.tenant, value.address.stream)).or_default().push(value);
    }
    for values in groups.values_mut() {
        values.sort_by_key(|row| (row.address.ordinal, row.class));
        values.dedup_by_key(|row| (row.address.ordinal, row.class));
    }
    groups
}

/// Takes the values of these events out of their blobs, and says how many that were. To be called by whoever keeps
/// the projection from going on: two who write one blob anew would each bring back what the other took out.
pub(crate) async fn take_out(
    conn: &mut Connection,
    tenant: TenantId,
    events: &Events,
) -> Result<u64, StoreError> {
    let addresses = json!(events).to_string();
    let found = query(dialect::COVERING).bind(tenant.column()).bind(addresses).fetch_all(&mut *conn).await?;
    let mut taken = 0;
    for row in &found {
        taken += rewrite(conn, tenant, (row.col("stream")?, row.col("first_ordinal")?), events).await?;
    }
    Ok(taken)
}

async fn rewrite(
    conn: &mut Connection,
    tenant: TenantId,
    (stream, first): (i64, i64),
    events: &Events,
) -> Result<u64, StoreError> {
    let sql = select_packed!("WHERE tenant_id = $1 AND stream = $2 AND first_ordinal = $3");
    let select = query(sql).bind(tenant.column()).bind(stream).bind(first);
    // Retention may have dropped it meanwhile.
    let Some(row) = select.fetch_optional(&mut *conn).await? else { return Ok(0) };
    let place = read_place(&row)?;
    let values = read_values(&row)?;
    let gone = |row: &&SidecarRow| events.contains(&(stream, big(row.address.ordinal)));
    let left: Vec<&SidecarRow> = values.iter().filter(|row| !gone(row)).collect();
    if left.len() == values.len() {
        return Ok(0);
    }
    let change = if left.is_empty() {
        let sql = "DELETE FROM sidecar_batches WHERE tenant_id = $1 AND stream = $2 AND first_ordinal = $3";
        query(sql).bind(tenant.column()).bind(stream).bind(first)
    } else {
        let sql = "UPDATE sidecar_batches SET held = $4, packed = $5 \
            WHERE tenant_id = $1 AND stream = $2 AND first_ordinal = $3";
        let (held, packed) = (big(left.len() as u64), pack(place.first, &left)?);
        query(sql).bind(tenant.column()).bind(stream).bind(first).bind(held).bind(packed)
    };
    let changed = change.execute(conn).await?;
    Ok(changed * (values.len() - left.len()) as u64)
}
