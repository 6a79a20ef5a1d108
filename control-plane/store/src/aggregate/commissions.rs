//! Commissions in rows: one for each part of a conversion's credit.

use crate::StoreError;
use crate::codec::{
    Basis, arithmetic_from_json, arithmetic_to_json, basis_from_json, basis_to_json, hex, reason,
};
use crate::dialect;
use crate::intake::advertiser_column;
use crate::money::Numbers;
use crate::row::{Columns, Id, found};
use crate::sql::{Connection, Query, Row, query};
use control_plane_domain::intake::{IntakeItem, ShardKey};
use control_plane_domain::order::{Commission, CommissionStatus, Conversion, Part};
use proto_model::{DerivedId, TenantId, UnixMicros};
use serde_json::json;
use std::collections::BTreeMap;

/// Columns of a commission `m`, under names of their own.
macro_rules! commission_columns {
    () => {
        "m.conversion_id AS m_conversion_id, m.id AS m_id, m.part AS m_part, m.share AS m_share, \
         m.partner_id AS m_partner_id, m.offer_id AS m_offer_id, m.terms_version AS m_terms_version, \
         m.basis AS m_basis, m.arithmetic AS m_arithmetic, m.amount_minor AS m_amount_minor, \
         m.currency AS m_currency, m.status AS m_status, m.reason AS m_reason, \
         m.hold_until AS m_hold_until, m.approved_at AS m_approved_at, m.statement_id AS m_statement_id, \
         m.postings AS m_postings"
    };
}
pub(crate) use commission_columns;

const WHOLE: &str = "whole";
const SHARE: &str = "share";

/// The arithmetic of one that has all of the credit stands in the decision of its conversion: who reads it alone does
/// without.
pub(crate) fn read_commission(row: &Row) -> Result<Commission, StoreError> {
    let Basis { plan, hold, trust_pixel } = basis_from_json(row.col("m_basis")?)?;
    let (partner, offer) = (row.id("m_partner_id")?, row.id("m_offer_id")?);
    let part = match row.col("m_part")? {
        WHOLE => Part::Whole,
        SHARE => Part::Share { partner, offer },
        other => return Err(StoreError::corrupt("part", other)),
    };
    Ok(Commission {
        id: row.derived("m_id")?,
        part,
        share: row.number("m_share")?,
        partner,
        offer,
        terms_version: row.number("m_terms_version")?,
        plan,
        hold,
        trust_pixel,
        amount: row.amount("m_amount_minor", "m_currency")?,
        arithmetic: row.col::<Option<&str>>("m_arithmetic")?.map(arithmetic_from_json).transpose()?,
        status: row.word("m_status", CommissionStatus::parse)?,
        reason: reason(row.col("m_reason")?)?,
        hold_until: row.col::<Option<i64>>("m_hold_until")?.map(UnixMicros),
        approved_at: row.col::<Option<i64>>("m_approved_at")?.map(UnixMicros),
        statement: row.bytes_opt("m_statement_id")?.map(DerivedId),
        postings: row.number("m_postings")?,
    })
}

/// By conversion.
pub(crate) type Commissions = BTreeMap<DerivedId, Vec<Commission>>;

fn by_conversion(rows: &[Row]) -> Result<Commissions, StoreError> {
    let mut commissions = Commissions::new();
    for row in rows {
        commissions.entry(row.derived("m_conversion_id")?).or_default().push(read_commission(row)?);
    }
    Ok(commissions)
}

pub(super) async fn of_order(
    conn: &mut Connection,
    shard: ShardKey,
    order_id: &str,
) -> Result<Commissions, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        commission_columns!(),
        " FROM commissions m WHERE m.tenant_id = $1 AND m.order_id = $2 AND m.advertiser_id = $3"
    );
    let rows = query(SQL)
        .bind(shard.tenant.column())
        .bind(order_id)
        .bind(advertiser_column(shard))
        .fetch_all(conn)
        .await?;
    by_conversion(&rows)
}

pub(crate) async fn of_conversions(
    conn: &mut Connection,
    tenant: TenantId,
    conversions: &[DerivedId],
) -> Result<Commissions, StoreError> {
    let ids: Vec<String> = conversions.iter().map(|id| hex(&id.0)).collect();
    let rows = query(dialect::COMMISSIONS_OF)
        .bind(tenant.column())
        .bind(json!(ids).to_string())
        .fetch_all(conn)
        .await?;
    by_conversion(&rows)
}

/// What the conversion was `before` says which rows are new, and which have changed.
pub(super) async fn put(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    before: Option<&Conversion>,
    conversion: &Conversion,
) -> Result<(), StoreError> {
    for (part, commission) in &conversion.commissions {
        let known = before.and_then(|conversion| conversion.commissions.get(part));
        if known != Some(commission) {
            put_one(conn, numbers, shard, item, known, conversion, commission).await?;
        }
    }
    let all = before.into_iter().flat_map(|conversion| &conversion.commissions);
    for (_, gone) in all.filter(|(part, _)| !conversion.commissions.contains_key(part)) {
        drop_one(conn, shard, gone.id).await?;
    }
    Ok(())
}

async fn put_one(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    before: Option<&Commission>,
    conversion: &Conversion,
    commission: &Commission,
) -> Result<(), StoreError> {
    const CHANGE: &str = "UPDATE commissions SET partner_id = $4, offer_id = $5, terms_version = $6, \
        basis = $7, amount_minor = $8, currency = $9, status = $10, reason = $11, hold_until = $12, \
        approved_at = $13, statement_id = $14, postings = $15, updated_at = $16, part = $17, share = $18, \
        arithmetic = $19 WHERE tenant_id = $1 AND id = $2 AND conversion_id = $3";
    const NEW: &str = "INSERT INTO commissions (tenant_id, id, conversion_id, partner_id, offer_id, \
        terms_version, basis, amount_minor, currency, status, reason, hold_until, approved_at, \
        statement_id, postings, updated_at, recorded_at, part, share, arithmetic, seq, advertiser_id, order_id) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17, $18, $19, \
        $20, $21, $22)";
    let basis = basis_to_json(&Basis {
        plan: commission.plan.clone(),
        hold: commission.hold,
        trust_pixel: commission.trust_pixel,
    })?;
    let arithmetic = commission.arithmetic.as_ref().filter(|_| commission.part != Part::Whole);
    let arithmetic = arithmetic.map(arithmetic_to_json).transpose()?;
    let row = CommissionColumns { conversion: conversion.id, commission, basis, arithmetic };
    match before {
        Some(before) if before.id == commission.id => {
            return found(row.bind(CHANGE, shard, item).execute(conn).await?);
        }
        Some(before) => drop_one(conn, shard, before.id).await?,
        None => {}
    }
    let seq = numbers.take(conn, "commissions").await?;
    row.bind(NEW, shard, item)
        .bind(seq)
        .bind(advertiser_column(shard))
        .bind(&conversion.key.order_id)
        .execute(conn)
        .await?;
    Ok(())
}

/// There is one for each part: the row of another one must not stay behind.
async fn drop_one(conn: &mut Connection, shard: ShardKey, id: DerivedId) -> Result<(), StoreError> {
    query("DELETE FROM commissions WHERE tenant_id = $1 AND id = $2")
        .bind(shard.tenant.column())
        .bind(&id.0[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// Ready to bind as $1 to $19.
struct CommissionColumns<'a> {
    conversion: DerivedId,
    commission: &'a Commission,
    basis: String,
    arithmetic: Option<String>,
}

impl CommissionColumns<'_> {
    fn bind(&self, sql: &'static str, shard: ShardKey, item: &IntakeItem) -> Query<'_> {
        let Self { conversion, commission, basis, arithmetic } = self;
        query(sql)
            .bind(shard.tenant.column())
            .bind(&commission.id.0[..])
            .bind(&conversion.0[..])
            .bind(commission.partner.column())
            .bind(commission.offer.column())
            .bind(i64::from(commission.terms_version))
            .bind(basis)
            .bind(commission.amount.minor)
            .bind(commission.amount.currency.code().to_owned())
            .bind(commission.status.as_str())
            .bind(commission.reason)
            .bind(commission.hold_until.map(|at| at.0))
            .bind(commission.approved_at.map(|at| at.0))
            .bind(commission.statement.map(|id| id.0.to_vec()))
            .bind(i64::from(commission.postings))
            .bind(item.recorded_at.0)
            .bind(if commission.part == Part::Whole { WHOLE } else { SHARE })
            .bind(i64::from(commission.share))
            .bind(arithmetic.as_deref())
    }
}
