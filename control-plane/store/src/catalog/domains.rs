use super::Domain;
use crate::retry::retrying;
use crate::row::{Columns, Id, found, page, take_seq};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use proto_model::TenantId;

pub(super) fn read_domain(row: &Row) -> Result<Domain, StoreError> {
    Ok(Domain {
        tenant: row.id("tenant_id")?,
        host: row.col("host")?,
        home_url: row.col("home_url")?,
        not_found_url: row.col("not_found_url")?,
        expired_url: row.col("expired_url")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    /// `Conflict("already_exists")` when the host is somebody's, the tenant's own included.
    pub async fn create_domain(&self, domain: &Domain) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(domain.tenant).await?;
            let seq = take_seq(&mut tx, domain.tenant.column(), "domains", 1).await?;
            let sql = "INSERT INTO domains (tenant_id, host, seq, home_url, not_found_url, expired_url, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
            query(sql)
                .bind(domain.tenant.column())
                .bind(&domain.host)
                .bind(seq)
                .bind(&domain.home_url)
                .bind(&domain.not_found_url)
                .bind(&domain.expired_url)
                .bind(domain.created_at.0)
                .execute(&mut tx)
                .await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_domain(&self, tenant: TenantId, host: &str) -> Result<Domain, StoreError> {
        let row = query("SELECT * FROM domains WHERE tenant_id = $1 AND host = $2")
            .bind(tenant.column())
            .bind(host)
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_domain(&row)
    }

    pub async fn list_domains(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Domain>, StoreError> {
        let (before, rows) = Page::<Domain>::bounds(after, limit);
        let sql = "SELECT * FROM domains WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_domain)
    }

    /// Everything but the host, which is what a domain is.
    pub async fn update_domain(&self, domain: &Domain) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(domain.tenant).await?;
            let sql = "UPDATE domains SET home_url = $3, not_found_url = $4, expired_url = $5 \
                WHERE tenant_id = $1 AND host = $2";
            let done = query(sql)
                .bind(domain.tenant.column())
                .bind(&domain.host)
                .bind(&domain.home_url)
                .bind(&domain.not_found_url)
                .bind(&domain.expired_url)
                .execute(&mut tx)
                .await?;
            found(done)?;
            tx.commit_catalog().await
        })
    }

    /// `Conflict("domain_in_use")` while links have names on it.
    pub async fn delete_domain(&self, tenant: TenantId, host: &str) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql = "DELETE FROM domains WHERE tenant_id = $1 AND host = $2";
            let done = query(sql).bind(tenant.column()).bind(host).execute(&mut tx).await;
            found(match done.map_err(StoreError::from) {
                Err(StoreError::MissingReference) => return Err(StoreError::Conflict("domain_in_use")),
                other => other?,
            })?;
            tx.commit_catalog().await
        })
    }
}
