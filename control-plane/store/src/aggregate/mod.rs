//! The order aggregate in rows, both ways: what is written reads back equal.

mod commissions;

pub(crate) use commissions::{commission_columns, of_conversions, read_commission};

use crate::StoreError;
use crate::codec::{
    amount_source_from_json, amount_source_to_json, conflicts_from_json, conflicts_to_json,
    decision_from_json, decision_to_json, events_from_json, events_to_json, reason,
};
use crate::intake::advertiser_column;
use crate::money::Numbers;
use crate::row::{Columns, Id, big, found};
use crate::sql::{Connection, Query, Row, query};
use control_plane_domain::intake::{ClickCredit, ConversionKey, CustomerRef, IntakeItem, ShardKey};
use control_plane_domain::order::{Commission, Conversion, ConversionStatus, Order, Part};
use proto_model::UnixMicros;
use proto_model::event::Authority;
use std::collections::BTreeMap;

/// Conversions `c`; each query says which.
macro_rules! select_conversions {
    ($($rest:literal),+ $(,)?) => {
        concat!(
            "SELECT c.id, c.seq, c.advertiser_id, c.order_id, c.goal, c.event_id, c.authority, c.amount_minor, \
             c.currency, c.amount_authority, c.amount_source, c.customer, c.coupon, c.occurred_at, c.status, \
             c.reason, c.link_id, c.partner_id, c.decision, c.conflicts, c.more_conflicts, c.duplicates, \
             c.first_ordinal, c.last_ordinal, c.recorded_at FROM conversions c ",
            $($rest),+
        )
    };
}
pub(crate) use select_conversions;

fn authority(code: i64) -> Result<Authority, StoreError> {
    let known = u8::try_from(code).ok().and_then(Authority::from_code);
    known.ok_or_else(|| StoreError::corrupt("authority", code))
}

/// `commissions` are those of the conversion.
pub(crate) fn read_conversion(row: &Row, commissions: Vec<Commission>) -> Result<Conversion, StoreError> {
    let amount = match row.col::<Option<i64>>("amount_minor")? {
        Some(_) => Some(row.amount("amount_minor", "currency")?),
        None => None,
    };
    let (decision, arithmetic) = decision_from_json(row.col("decision")?)?;
    let mut commissions: BTreeMap<Part, Commission> =
        commissions.into_iter().map(|commission| (commission.part, commission)).collect();
    if let Some(whole) = commissions.get_mut(&Part::Whole) {
        whole.arithmetic = arithmetic;
    }
    Ok(Conversion {
        id: row.derived("id")?,
        key: ConversionKey {
            order_id: row.col("order_id")?,
            goal: row.col("goal")?,
            event_id: row.col("event_id")?,
        },
        authority: authority(row.col("authority")?)?,
        amount,
        amount_authority: row.col::<Option<i64>>("amount_authority")?.map(authority).transpose()?,
        amount_source: row.col::<Option<&str>>("amount_source")?.map(amount_source_from_json).transpose()?,
        customer: row.bytes_opt("customer")?.map(CustomerRef),
        coupon: row.col("coupon")?,
        occurred_at: row.time("occurred_at")?,
        status: row.word("status", ConversionStatus::parse)?,
        reason: row.col::<Option<&str>>("reason")?.map(reason).transpose()?,
        decision,
        conflicts: conflicts_from_json(row.col("conflicts")?)?,
        more_conflicts: row.number("more_conflicts")?,
        duplicates: row.number("duplicates")?,
        commissions,
        first_ordinal: row.number("first_ordinal")?,
        last_ordinal: row.number("last_ordinal")?,
    })
}

pub(crate) async fn load_order(
    conn: &mut Connection,
    shard: ShardKey,
    order_id: &str,
) -> Result<Option<(Order, UnixMicros)>, StoreError> {
    let sql = "SELECT events, refused_pixels, updated_at FROM orders \
        WHERE tenant_id = $1 AND advertiser_id = $2 AND order_id = $3";
    let row = query(sql)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(order_id)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let rows =
        query(select_conversions!("WHERE c.tenant_id = $1 AND c.order_id = $3 AND c.advertiser_id = $2"))
            .bind(shard.tenant.column())
            .bind(advertiser_column(shard))
            .bind(order_id)
            .fetch_all(&mut *conn)
            .await?;
    let mut commissions = commissions::of_order(conn, shard, order_id).await?;
    let conversions = rows.iter().map(|row| {
        let own = commissions.remove(&row.derived("id")?).unwrap_or_default();
        read_conversion(row, own).map(|conversion| (conversion.key.clone(), conversion))
    });
    let order = Order {
        order_id: order_id.to_owned(),
        events: events_from_json(row.col("events")?)?,
        conversions: conversions.collect::<Result<_, _>>()?,
        refused_pixels: row.number("refused_pixels")?,
    };
    Ok(Some((order, row.time("updated_at")?)))
}

/// Writes the aggregate as it stands after `item`. What it was `before` (`None` = not there) says which rows
/// are new and which have changed: a browser can claim hundreds of conversions in one order.
pub(crate) async fn put_order(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    before: Option<&Order>,
    order: &Order,
) -> Result<(), StoreError> {
    put_order_row(conn, numbers, shard, item, before, order).await?;
    for conversion in order.conversions.values() {
        let before = before.and_then(|order| order.conversions.get(&conversion.key));
        if before == Some(conversion) {
            continue;
        }
        put_conversion(conn, numbers, shard, item, before, conversion).await?;
        commissions::put(conn, numbers, shard, item, before, conversion).await?;
    }
    Ok(())
}

async fn put_order_row(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    before: Option<&Order>,
    order: &Order,
) -> Result<(), StoreError> {
    const CHANGE: &str = "UPDATE orders SET events = $4, refused_pixels = $5, updated_ordinal = $6, \
        updated_at = $7 WHERE tenant_id = $1 AND advertiser_id = $2 AND order_id = $3";
    const NEW: &str = "INSERT INTO orders (tenant_id, advertiser_id, order_id, events, refused_pixels, \
        updated_ordinal, updated_at, seq) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let events = events_to_json(&order.events)?;
    if before.is_some() {
        return found(bind_order(CHANGE, shard, item, order, &events).execute(conn).await?);
    }
    let seq = numbers.take(conn, "orders").await?;
    bind_order(NEW, shard, item, order, &events).bind(seq).execute(conn).await?;
    Ok(())
}

fn bind_order<'q>(
    sql: &'static str,
    shard: ShardKey,
    item: &IntakeItem,
    order: &'q Order,
    events: &'q str,
) -> Query<'q> {
    query(sql)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(&order.order_id)
        .bind(events)
        .bind(i64::from(order.refused_pixels))
        .bind(big(item.ordinal))
        .bind(item.recorded_at.0)
}

async fn put_conversion(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    before: Option<&Conversion>,
    conversion: &Conversion,
) -> Result<(), StoreError> {
    const CHANGE: &str = "UPDATE conversions SET authority = $3, amount_minor = $4, currency = $5, \
        amount_authority = $6, customer = $7, coupon = $8, occurred_at = $9, hour = $10, \
        status = $11, reason = $12, link_id = $13, offer_id = $14, partner_id = $15, decision = $16, \
        conflicts = $17, more_conflicts = $18, duplicates = $19, first_ordinal = $20, last_ordinal = $21, \
        amount_source = $22 WHERE tenant_id = $1 AND id = $2";
    const NEW: &str = "INSERT INTO conversions (tenant_id, id, authority, amount_minor, currency, \
        amount_authority, customer, coupon, occurred_at, hour, status, reason, link_id, offer_id, partner_id, \
        decision, conflicts, more_conflicts, duplicates, first_ordinal, last_ordinal, amount_source, \
        seq, advertiser_id, order_id, goal, event_id, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, \
        $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)";
    let columns = ConversionColumns::of(conversion)?;
    if before.is_some_and(|before| before.id == conversion.id) {
        return found(columns.bind(CHANGE, shard).execute(conn).await?);
    }
    let seq = numbers.take(conn, "conversions").await?;
    columns
        .bind(NEW, shard)
        .bind(seq)
        .bind(advertiser_column(shard))
        .bind(&conversion.key.order_id)
        .bind(&conversion.key.goal)
        .bind(conversion.key.event_id.as_deref())
        .bind(item.recorded_at.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// What of a conversion may change, ready to bind as $3 to $22.
struct ConversionColumns<'a> {
    conversion: &'a Conversion,
    winner: Option<&'a ClickCredit>,
    decision: String,
    conflicts: String,
    amount_source: Option<String>,
}

impl<'a> ConversionColumns<'a> {
    fn of(conversion: &'a Conversion) -> Result<Self, StoreError> {
        let decision = &conversion.decision;
        let winner = decision.winner.and_then(|index| decision.candidates.get(index));
        let whole = conversion.commissions.get(&Part::Whole);
        let parts = conversion.commissions.keys().any(|part| *part != Part::Whole);
        Ok(Self {
            conversion,
            winner: winner.map(|candidate| &candidate.credit),
            decision: decision_to_json(decision, whole.and_then(|whole| whole.arithmetic.as_ref()), parts)?,
            conflicts: conflicts_to_json(&conversion.conflicts)?,
            amount_source: conversion.amount_source.as_ref().map(amount_source_to_json).transpose()?,
        })
    }

    fn bind(&self, sql: &'static str, shard: ShardKey) -> Query<'_> {
        let Self { conversion, winner, decision, conflicts, amount_source } = self;
        query(sql)
            .bind(shard.tenant.column())
            .bind(&conversion.id.0[..])
            .bind(i64::from(conversion.authority.code()))
            .bind(conversion.amount.map(|amount| amount.minor))
            .bind(conversion.amount.map(|amount| amount.currency.code().to_owned()))
            .bind(conversion.amount_authority.map(|authority| i64::from(authority.code())))
            .bind(conversion.customer.map(|customer| customer.0.to_vec()))
            .bind(conversion.coupon.as_deref())
            .bind(conversion.occurred_at.0)
            .bind(conversion.occurred_at.hour_start().0)
            .bind(conversion.status.as_str())
            .bind(conversion.reason)
            .bind(winner.map(|credit| credit.click.link.column()))
            .bind(winner.map(|credit| credit.click.offer.column()))
            .bind(winner.map(|credit| credit.partner.column()))
            .bind(decision)
            .bind(conflicts)
            .bind(i64::from(conversion.more_conflicts))
            .bind(i64::from(conversion.duplicates))
            .bind(big(conversion.first_ordinal))
            .bind(big(conversion.last_ordinal))
            .bind(amount_source.as_deref())
    }
}
