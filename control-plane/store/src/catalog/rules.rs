use super::RuleSetRecord;
use crate::retry::retrying;
use crate::row::{Columns, Id, page};
use crate::sql::{Row, locking, query};
use crate::{Page, Store, StoreError};
use proto_model::{TenantId, UnixMicros};

pub(super) fn read_rule_set(row: &Row) -> Result<RuleSetRecord, StoreError> {
    Ok(RuleSetRecord {
        tenant: row.id("tenant_id")?,
        version: row.number("version")?,
        body_json: row.col("body_json")?,
        published_at: row.time("published_at")?,
    })
}

impl Store {
    /// Versions only rise. `Conflict("rule_set_version")` when `expected` (0 = none yet) is not the
    /// current one.
    pub async fn publish_rule_set(
        &self,
        tenant: TenantId,
        body_json: &str,
        expected: Option<u32>,
        now: UnixMicros,
    ) -> Result<u32, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let tenant_row = query(locking!("SELECT id FROM tenants WHERE id = $1")).bind(tenant.column());
            tenant_row.fetch_optional(&mut tx).await?.ok_or(StoreError::MissingReference)?;
            let sql = "SELECT coalesce(max(version), 0) AS version FROM rule_sets WHERE tenant_id = $1";
            let row = query(sql).bind(tenant.column()).fetch_one(&mut tx).await?;
            let current: u32 = row.number("version")?;
            if expected.is_some_and(|version| version != current) {
                return Err(StoreError::Conflict("rule_set_version"));
            }
            let version = current.checked_add(1).ok_or(StoreError::Conflict("rule_set_version"))?;
            let sql =
                "INSERT INTO rule_sets (tenant_id, version, body_json, published_at) VALUES ($1, $2, $3, $4)";
            query(sql)
                .bind(tenant.column())
                .bind(i64::from(version))
                .bind(body_json)
                .bind(now.0)
                .execute(&mut tx)
                .await?;
            tx.commit_catalog().await?;
            Ok(version)
        })
    }

    pub async fn current_rule_set(&self, tenant: TenantId) -> Result<Option<RuleSetRecord>, StoreError> {
        let row = query("SELECT * FROM rule_sets WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1")
            .bind(tenant.column())
            .fetch_optional(&mut self.read(tenant).await?)
            .await?;
        row.as_ref().map(read_rule_set).transpose()
    }

    pub async fn get_rule_set(&self, tenant: TenantId, version: u32) -> Result<RuleSetRecord, StoreError> {
        let row = query("SELECT * FROM rule_sets WHERE tenant_id = $1 AND version = $2")
            .bind(tenant.column())
            .bind(i64::from(version))
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_rule_set(&row)
    }

    pub async fn list_rule_sets(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<RuleSetRecord>, StoreError> {
        let (before, rows) = Page::<RuleSetRecord>::bounds(after, limit);
        let sql = "SELECT rule_sets.*, version AS seq FROM rule_sets \
            WHERE tenant_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_rule_set)
    }
}
