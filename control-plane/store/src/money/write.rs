//! Effects as rows. Inserts only: an effect that comes twice collides with itself.

use crate::StoreError;
use crate::codec::{bound_to_json, hex, terms_to_json};
use crate::dialect;
use crate::intake::advertiser_column;
use crate::money::Numbers;
use crate::row::{Id, big};
use crate::sql::{Connection, query};
use control_plane_domain::intake::{IntakeItem, ShardKey, Touch};
use control_plane_domain::ledger::LedgerTransaction;
use control_plane_domain::reason;
use control_plane_domain::settlement::{OpenCredit, Payout, Statement};
use control_plane_domain::state::Notification;
use control_plane_domain::terms::OfferTerms;
use proto_model::{Currency, PartnerId};
use serde_json::{Value, json};

pub(super) async fn terms(
    conn: &mut Connection,
    shard: ShardKey,
    terms: &OfferTerms,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO terms (tenant_id, advertiser_id, offer_id, version, valid_from, body) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    query(sql)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(terms.offer.column())
        .bind(i64::from(terms.version))
        .bind(terms.valid_from.0)
        .bind(terms_to_json(terms)?)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn touch(conn: &mut Connection, shard: ShardKey, touch: &Touch) -> Result<(), StoreError> {
    let sql = "INSERT INTO touches (tenant_id, advertiser_id, customer, position, click, bound_at) \
        SELECT $1, $2, $3, coalesce(max(position), 0) + 1, $4, $5 FROM touches \
        WHERE tenant_id = $1 AND advertiser_id = $2 AND customer = $3";
    query(sql)
        .bind(shard.tenant.column())
        .bind(advertiser_column(shard))
        .bind(&touch.customer.0[..])
        .bind(bound_to_json(&touch.click, touch.vouched)?)
        .bind(touch.bound_at.0)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn credit(
    conn: &mut Connection,
    shard: ShardKey,
    open: &OpenCredit,
) -> Result<(), StoreError> {
    let credit = &open.credit;
    let sql = "INSERT INTO credits (tenant_id, id, commission_id, advertiser_id, order_id, partner_id, \
        amount_minor, currency, credited_at, ordinal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    query(sql)
        .bind(shard.tenant.column())
        .bind(&credit.id.0[..])
        .bind(&credit.commission.0[..])
        .bind(credit.advertiser.column())
        .bind(&credit.order_id)
        .bind(credit.partner.column())
        .bind(credit.amount.minor)
        .bind(credit.amount.currency.code())
        .bind(open.credited_at.0)
        .bind(big(open.ordinal))
        .execute(conn)
        .await?;
    Ok(())
}

/// The entries first: the database takes the transaction only if they balance.
pub(super) async fn transaction(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    transaction: &LedgerTransaction,
) -> Result<(), StoreError> {
    if !transaction.is_balanced() {
        return Err(StoreError::Refused("the ledger transaction does not balance".to_owned()));
    }
    let tenant = shard.tenant.column();
    let entries = transaction.entries.iter().map(|entry| json!([entry.account.to_string(), entry.minor]));
    query(dialect::INSERT_ENTRIES)
        .bind(tenant)
        .bind(&transaction.id.0[..])
        .bind(transaction.currency.code())
        .bind(Value::Array(entries.collect()).to_string())
        .execute(&mut *conn)
        .await?;
    let seq = numbers.take(conn, "ledger_transactions").await?;
    let sql = "INSERT INTO ledger_transactions (tenant_id, id, seq, advertiser_id, sequence, kind, currency, \
        posted_at, intake_ordinal, subject, prev_hash, hash) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    query(sql)
        .bind(tenant)
        .bind(&transaction.id.0[..])
        .bind(seq)
        .bind(advertiser_column(shard))
        .bind(big(transaction.sequence))
        .bind(transaction.kind.as_str())
        .bind(transaction.currency.code())
        .bind(transaction.posted_at.0)
        .bind(big(transaction.intake_ordinal))
        .bind(&transaction.subject.0[..])
        .bind(&transaction.prev_hash[..])
        .bind(&transaction.hash[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// Its lines must be open credits, and are not afterwards.
pub(super) async fn statement(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    statement: &Statement,
) -> Result<(), StoreError> {
    let tenant = shard.tenant.column();
    let seq = numbers.take(conn, "statements").await?;
    let sql = "INSERT INTO statements (tenant_id, id, seq, partner_id, currency, through, opening_minor, \
        closing_minor, payout_id, hash, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    query(sql)
        .bind(tenant)
        .bind(&statement.id.0[..])
        .bind(seq)
        .bind(statement.partner.column())
        .bind(statement.currency.code())
        .bind(statement.through.0)
        .bind(statement.opening_minor)
        .bind(statement.closing_minor)
        .bind(statement.payout.map(|id| id.0.to_vec()))
        .bind(&statement.hash[..])
        .bind(item.recorded_at.0)
        .execute(&mut *conn)
        .await?;
    let credits: Vec<String> = statement.lines.iter().map(|line| hex(&line.credit.id.0)).collect();
    let credits = json!(credits).to_string();
    let taken = query(dialect::TAKE_CREDITS)
        .bind(tenant)
        .bind(&statement.id.0[..])
        .bind(&credits)
        .execute(&mut *conn)
        .await?;
    if usize::try_from(taken) != Ok(statement.lines.len()) {
        return Err(StoreError::Conflict("credit_not_open"));
    }
    let query = query(dialect::INSERT_LINES).bind(tenant).bind(&statement.id.0[..]);
    query.bind(&credits).execute(conn).await?;
    Ok(())
}

pub(super) async fn payout(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    payout: &Payout,
) -> Result<(), StoreError> {
    let tenant = shard.tenant.column();
    let seq = numbers.take(conn, "payouts").await?;
    let sql = "INSERT INTO payouts (tenant_id, id, seq, statement_id, partner_id, amount_minor, currency, \
        status, reason, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    query(sql)
        .bind(tenant)
        .bind(&payout.id.0[..])
        .bind(seq)
        .bind(&payout.statement.0[..])
        .bind(payout.partner.column())
        .bind(payout.amount.minor)
        .bind(payout.amount.currency.code())
        .bind(payout.status.as_str())
        .bind(reason::PERIOD_CLOSED)
        .bind(item.recorded_at.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// The one effect that overwrites: a balance, always set from the statement before it.
pub(super) async fn carried(
    conn: &mut Connection,
    shard: ShardKey,
    partner: PartnerId,
    currency: Currency,
    minor: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO carried (tenant_id, partner_id, currency, minor) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (tenant_id, partner_id, currency) DO UPDATE SET minor = excluded.minor";
    query(sql)
        .bind(shard.tenant.column())
        .bind(partner.column())
        .bind(currency.code())
        .bind(minor)
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn outbox(
    conn: &mut Connection,
    numbers: &mut Numbers,
    shard: ShardKey,
    item: &IntakeItem,
    notification: &Notification,
) -> Result<(), StoreError> {
    let tenant = shard.tenant.column();
    let seq = numbers.take(conn, "outbox").await?;
    let sql = "INSERT INTO outbox (tenant_id, id, seq, advertiser_id, kind, partner_id, subject, \
        amount_minor, currency, order_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    query(sql)
        .bind(tenant)
        .bind(&notification.id.0[..])
        .bind(seq)
        .bind(advertiser_column(shard))
        .bind(notification.kind)
        .bind(notification.partner.column())
        .bind(&notification.subject.0[..])
        .bind(notification.amount.minor)
        .bind(notification.amount.currency.code())
        .bind(&notification.order_id)
        .bind(item.recorded_at.0)
        .execute(conn)
        .await?;
    Ok(())
}
