use super::{ClickKeyRecord, Tenant};
use crate::dialect::Scope;
use crate::intake::create_shard;
use crate::retry::retrying;
use crate::row::{Columns, DEPLOYMENT, Id, found, page, take_seq};
use crate::sql::{Connection, Row, locking, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::ShardKey;
use proto_model::TenantId;

pub(super) fn read_tenant(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: row.id("id")?,
        name: row.col("name")?,
        fallback_url: row.col("fallback_url")?,
        created_at: row.time("created_at")?,
    })
}

pub(super) fn read_click_key(row: &Row) -> Result<ClickKeyRecord, StoreError> {
    Ok(ClickKeyRecord {
        tenant: row.id("tenant_id")?,
        key_id: row.number("key_id")?,
        key: row.bytes("key")?,
        active: row.col("active")?,
        created_at: row.time("created_at")?,
    })
}

async fn insert_click_key(conn: &mut Connection, key: &ClickKeyRecord) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO click_keys (tenant_id, key_id, key, active, created_at) VALUES ($1, $2, $3, $4, $5)";
    query(sql)
        .bind(key.tenant.column())
        .bind(i64::from(key.key_id))
        .bind(&key.key[..])
        .bind(key.active)
        .bind(key.created_at.0)
        .execute(conn)
        .await?;
    Ok(())
}

impl Store {
    /// A tenant always has a key that seals its click ids.
    pub async fn create_tenant(&self, tenant: &Tenant, key: &ClickKeyRecord) -> Result<(), StoreError> {
        if key.tenant != tenant.id || !key.active {
            return Err(StoreError::Conflict("click_key"));
        }
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let seq = take_seq(&mut tx, DEPLOYMENT, "tenants", 1).await?;
            let sql =
                "INSERT INTO tenants (id, seq, name, fallback_url, created_at) VALUES ($1, $2, $3, $4, $5)";
            query(sql)
                .bind(tenant.id.column())
                .bind(seq)
                .bind(&tenant.name)
                .bind(tenant.fallback_url.as_deref())
                .bind(tenant.created_at.0)
                .execute(&mut tx)
                .await?;
            insert_click_key(&mut tx, key).await?;
            create_shard(&mut tx, ShardKey::settlement(tenant.id)).await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_tenant(&self, id: TenantId) -> Result<Tenant, StoreError> {
        let row = query("SELECT * FROM tenants WHERE id = $1").bind(id.column());
        read_tenant(&row.fetch_one(&mut self.read(Scope::Deployment).await?).await?)
    }

    pub async fn list_tenants(&self, after: Option<i64>, limit: u32) -> Result<Page<Tenant>, StoreError> {
        let (before, rows) = Page::<Tenant>::bounds(after, limit);
        let rows = query("SELECT * FROM tenants WHERE seq < $1 ORDER BY seq DESC LIMIT $2")
            .bind(before)
            .bind(rows)
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        page(&rows, limit, read_tenant)
    }

    pub async fn set_fallback_url(&self, id: TenantId, url: Option<&str>) -> Result<Tenant, StoreError> {
        retrying!(async {
            let mut tx = self.write(Scope::Deployment).await?;
            let row = query("UPDATE tenants SET fallback_url = $2 WHERE id = $1 RETURNING *")
                .bind(id.column())
                .bind(url)
                .fetch_one(&mut tx)
                .await?;
            let tenant = read_tenant(&row)?;
            tx.commit_catalog().await?;
            Ok(tenant)
        })
    }

    /// A new active key; those before it only open from now on.
    pub async fn rotate_click_key(&self, key: &ClickKeyRecord) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(key.tenant).await?;
            // One at a time: who waited for another's new key must see it in order to retire it.
            let tenant = query(locking!("SELECT id FROM tenants WHERE id = $1")).bind(key.tenant.column());
            tenant.fetch_one(&mut tx).await?;
            let retired = query("UPDATE click_keys SET active = $2 WHERE tenant_id = $1 AND active = $3")
                .bind(key.tenant.column())
                .bind(false)
                .bind(true)
                .execute(&mut tx)
                .await?;
            found(retired)?;
            insert_click_key(&mut tx, &ClickKeyRecord { active: true, ..key.clone() }).await?;
            tx.commit_catalog().await
        })
    }

    pub async fn click_keys(&self, tenant: TenantId) -> Result<Vec<ClickKeyRecord>, StoreError> {
        let rows = query("SELECT * FROM click_keys WHERE tenant_id = $1 ORDER BY key_id")
            .bind(tenant.column())
            .fetch_all(&mut self.read(tenant).await?)
            .await?;
        rows.iter().map(read_click_key).collect()
    }
}
