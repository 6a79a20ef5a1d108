use super::{ApiKey, NewApiKey};
use crate::dialect::Scope;
use crate::retry::retrying;
use crate::row::{Columns, DEPLOYMENT, Id, found, page, take_seq};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use proto_model::TenantId;

fn read(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.col("id")?,
        tenant: row.id_opt("tenant_id")?,
        name: row.col("name")?,
        secret_sha256: row.bytes("secret_sha256")?,
        revoked: row.col("revoked")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    pub async fn create_api_key(&self, key: &NewApiKey) -> Result<ApiKey, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let id = take_seq(&mut tx, DEPLOYMENT, "api_keys", 1).await?;
            let sql = "INSERT INTO api_keys (id, tenant_id, name, secret_sha256, created_at) \
                VALUES ($1, $2, $3, $4, $5) RETURNING *";
            let row = query(sql)
                .bind(id)
                .bind(key.tenant.map(Id::column))
                .bind(&key.name)
                .bind(&key.secret_sha256[..])
                .bind(key.created_at.0)
                .fetch_one(&mut tx)
                .await?;
            let key = read(&row)?;
            tx.commit().await?;
            Ok(key)
        })
    }

    /// The key with this secret, if it is not revoked.
    pub async fn find_api_key(&self, secret_sha256: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let row = query("SELECT * FROM api_keys WHERE secret_sha256 = $1 AND revoked = $2")
            .bind(&secret_sha256[..])
            .bind(false)
            .fetch_optional(&mut self.read(Scope::Deployment).await?)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// One tenant's keys, or (`None`) the operators'.
    pub async fn list_api_keys(
        &self,
        tenant: Option<TenantId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<ApiKey>, StoreError> {
        let (before, rows) = Page::<ApiKey>::bounds(after, limit);
        let sql = "SELECT api_keys.*, id AS seq FROM api_keys \
            WHERE coalesce(tenant_id, 0) = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let rows = query(sql)
            .bind(tenant.map_or(DEPLOYMENT, Id::column))
            .bind(before)
            .bind(rows)
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        page(&rows, limit, read)
    }

    pub async fn revoke_api_key(&self, tenant: Option<TenantId>, id: i64) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let sql = "UPDATE api_keys SET revoked = $3 WHERE coalesce(tenant_id, 0) = $1 AND id = $2";
            let done = query(sql)
                .bind(tenant.map_or(DEPLOYMENT, Id::column))
                .bind(id)
                .bind(true)
                .execute(&mut tx)
                .await?;
            found(done)?;
            tx.commit().await
        })
    }
}
