//! The parts of a shard's state that an input needs.

use crate::StoreError;
use crate::aggregate::load_order;
use crate::codec::{bound_from_json, terms_from_json};
use crate::dialect;
use crate::intake::advertiser_column;
use crate::row::{Columns, Id};
use crate::sql::{Connection, Row, query};
use control_plane_domain::intake::{CustomerRef, Input, PartnerCredit, ShardKey, Touch};
use control_plane_domain::settlement::OpenCredit;
use control_plane_domain::state::{Needs, ShardState};
use control_plane_domain::terms::OfferTerms;
use control_plane_domain::{needs, needs_more};
use proto_model::{Currency, DerivedId, OfferId, PartnerId, TenantId, UnixMicros};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// In two looks: which offers compete for a conversion is known when its customer and its order are.
pub(super) async fn for_input(
    conn: &mut Connection,
    shard: ShardKey,
    input: &Input,
) -> Result<ShardState, StoreError> {
    let mut first = needs(input);
    let mut offers = std::mem::take(&mut first.offers);
    let mut found = state(conn, shard, &first).await?;
    offers.append(&mut needs_more(input, &found));
    found.terms = terms(conn, shard, &offers).await?;
    Ok(found)
}

pub(super) async fn state(
    conn: &mut Connection,
    shard: ShardKey,
    needs: &Needs,
) -> Result<ShardState, StoreError> {
    let mut state = ShardState { terms: terms(conn, shard, &needs.offers).await?, ..ShardState::default() };
    if let Some(order_id) = &needs.order_id
        && let Some((order, _)) = load_order(conn, shard, order_id).await?
    {
        state.orders.insert(order_id.clone(), order);
    }
    if let Some(customer) = needs.customer {
        let touches = touches(conn, shard, customer).await?;
        if !touches.is_empty() {
            state.touches.insert(customer, touches);
        }
    }
    if let Some(credit) = needs.credit
        && knows_credit(conn, shard.tenant, credit).await?
    {
        state.known_credits.insert(credit);
    }
    if needs.all_open_credits {
        state.open_credits = open_credits(conn, shard.tenant).await?;
        state.carried = carried(conn, shard.tenant).await?;
    }
    if let Some(through) = needs.statements_through {
        state.known_statements = statements_through(conn, shard.tenant, through).await?;
    }
    Ok(state)
}

async fn terms(
    conn: &mut Connection,
    shard: ShardKey,
    offers: &BTreeSet<OfferId>,
) -> Result<BTreeMap<OfferId, Vec<OfferTerms>>, StoreError> {
    if offers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let named: Vec<i64> = offers.iter().map(|offer| offer.column()).collect();
    let rows = query(dialect::TERMS_OF)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(json!(named).to_string())
        .fetch_all(conn)
        .await?;
    let mut terms: BTreeMap<OfferId, Vec<OfferTerms>> = BTreeMap::new();
    for row in &rows {
        let version = terms_from_json(row.col("body")?)?;
        terms.entry(version.offer).or_default().push(version);
    }
    Ok(terms)
}

async fn touches(
    conn: &mut Connection,
    shard: ShardKey,
    customer: CustomerRef,
) -> Result<Vec<Touch>, StoreError> {
    let sql = "SELECT click, bound_at FROM touches \
        WHERE tenant_id = $1 AND advertiser_id = $2 AND customer = $3 ORDER BY position";
    let rows = query(sql)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(&customer.0[..])
        .fetch_all(conn)
        .await?;
    let touch = |row: &Row| {
        let (click, vouched) = bound_from_json(row.col("click")?)?;
        Ok(Touch { customer, click, bound_at: row.time("bound_at")?, vouched })
    };
    rows.iter().map(touch).collect()
}

async fn knows_credit(conn: &mut Connection, tenant: TenantId, id: DerivedId) -> Result<bool, StoreError> {
    let row = query("SELECT 1 FROM credits WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.column())
        .bind(&id.0[..])
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// Credits `r`; each query says which.
macro_rules! select_credits {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.commission_id, r.advertiser_id, r.order_id, r.partner_id, r.amount_minor, \
             r.currency, r.credited_at, r.ordinal FROM credits r ",
            $rest
        )
    };
}
pub(crate) use select_credits;

pub(crate) fn read_open_credit(row: &Row) -> Result<OpenCredit, StoreError> {
    let credit = PartnerCredit {
        id: row.derived("id")?,
        commission: row.derived("commission_id")?,
        advertiser: row.id("advertiser_id")?,
        order_id: row.col("order_id")?,
        partner: row.id("partner_id")?,
        amount: row.amount("amount_minor", "currency")?,
    };
    Ok(OpenCredit { credit, credited_at: row.time("credited_at")?, ordinal: row.number("ordinal")? })
}

async fn open_credits(
    conn: &mut Connection,
    tenant: TenantId,
) -> Result<BTreeMap<DerivedId, OpenCredit>, StoreError> {
    let rows = query(select_credits!("WHERE r.tenant_id = $1 AND r.statement_id IS NULL"))
        .bind(tenant.column())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read_open_credit).map(|open| open.map(|open| (open.credit.id, open))).collect()
}

async fn carried(
    conn: &mut Connection,
    tenant: TenantId,
) -> Result<BTreeMap<(PartnerId, Currency), i64>, StoreError> {
    let rows = query("SELECT partner_id, currency, minor FROM carried WHERE tenant_id = $1")
        .bind(tenant.column())
        .fetch_all(conn)
        .await?;
    let entry = |row: &Row| Ok(((row.id("partner_id")?, row.currency("currency")?), row.col("minor")?));
    rows.iter().map(entry).collect()
}

async fn statements_through(
    conn: &mut Connection,
    tenant: TenantId,
    through: UnixMicros,
) -> Result<BTreeSet<DerivedId>, StoreError> {
    let rows = query("SELECT id FROM statements WHERE tenant_id = $1 AND through = $2")
        .bind(tenant.column())
        .bind(through.0)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.derived("id")).collect()
}
