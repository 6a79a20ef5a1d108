//! Reads of statements and payouts.

use crate::codec::reason;
use crate::money::{read_open_credit, select_credits};
use crate::row::{Columns, Id, page};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::settlement::{OpenCredit, Payout, PayoutStatus, Statement};
use proto_model::{DerivedId, PartnerId, TenantId, UnixMicros};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatementRow {
    pub statement: Statement,
    pub recorded_at: UnixMicros,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayoutRow {
    pub payout: Payout,
    /// Why it has its status.
    pub reason: &'static str,
    pub recorded_at: UnixMicros,
}

/// Without its lines.
fn read_statement(row: &Row) -> Result<StatementRow, StoreError> {
    let statement = Statement {
        id: row.derived("id")?,
        partner: row.id("partner_id")?,
        currency: row.currency("currency")?,
        through: row.time("through")?,
        opening_minor: row.col("opening_minor")?,
        lines: Vec::new(),
        closing_minor: row.col("closing_minor")?,
        payout: row.bytes_opt("payout_id")?.map(DerivedId),
        hash: row.bytes("hash")?,
    };
    Ok(StatementRow { statement, recorded_at: row.time("recorded_at")? })
}

fn read_payout(row: &Row) -> Result<PayoutRow, StoreError> {
    let payout = Payout {
        id: row.derived("id")?,
        statement: row.derived("statement_id")?,
        partner: row.id("partner_id")?,
        amount: row.amount("amount_minor", "currency")?,
        status: row.word("status", PayoutStatus::parse)?,
    };
    Ok(PayoutRow { payout, reason: reason(row.col("reason")?)?, recorded_at: row.time("recorded_at")? })
}

impl Store {
    pub async fn get_statement(&self, tenant: TenantId, id: DerivedId) -> Result<StatementRow, StoreError> {
        let row = query("SELECT * FROM statements WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.column())
            .bind(&id.0[..])
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        let mut row = read_statement(&row)?;
        row.statement.lines = self.statement_lines(tenant, id).await?;
        Ok(row)
    }

    async fn statement_lines(&self, tenant: TenantId, id: DerivedId) -> Result<Vec<OpenCredit>, StoreError> {
        let sql = select_credits!(
            "JOIN statement_lines l ON l.tenant_id = r.tenant_id AND l.credit_id = r.id \
             WHERE l.tenant_id = $1 AND l.statement_id = $2 ORDER BY l.line"
        );
        let rows =
            query(sql).bind(tenant.column()).bind(&id.0[..]).fetch_all(&mut self.read(tenant).await?).await?;
        rows.iter().map(read_open_credit).collect()
    }

    pub async fn list_statements(
        &self,
        tenant: TenantId,
        partner: Option<PartnerId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<StatementRow>, StoreError> {
        let (before, rows) = Page::<StatementRow>::bounds(after, limit);
        let sql = "SELECT * FROM statements WHERE tenant_id = $1 AND seq < $2 \
            AND ($4 IS NULL OR partner_id = $4) ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        let rows = query.bind(partner.map(Id::column)).fetch_all(&mut self.read(tenant).await?).await?;
        let mut page = page(&rows, limit, read_statement)?;
        for row in &mut page.items {
            row.statement.lines = self.statement_lines(tenant, row.statement.id).await?;
        }
        Ok(page)
    }

    pub async fn get_payout(&self, tenant: TenantId, id: DerivedId) -> Result<PayoutRow, StoreError> {
        let row = query("SELECT * FROM payouts WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.column())
            .bind(&id.0[..])
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_payout(&row)
    }

    pub async fn list_payouts(
        &self,
        tenant: TenantId,
        partner: Option<PartnerId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<PayoutRow>, StoreError> {
        let (before, rows) = Page::<PayoutRow>::bounds(after, limit);
        let sql = "SELECT * FROM payouts WHERE tenant_id = $1 AND seq < $2 \
            AND ($4 IS NULL OR partner_id = $4) ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(
            &query.bind(partner.map(Id::column)).fetch_all(&mut self.read(tenant).await?).await?,
            limit,
            read_payout,
        )
    }
}
