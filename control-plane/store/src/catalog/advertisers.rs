use super::{Advertiser, Program};
use crate::intake::create_shard;
use crate::retry::retrying;
use crate::row::{Columns, Id, page, take_seq};
use crate::sql::{Row, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::ShardKey;
use proto_model::{AdvertiserId, ProgramId, TenantId};

pub(super) fn read_advertiser(row: &Row) -> Result<Advertiser, StoreError> {
    Ok(Advertiser {
        tenant: row.id("tenant_id")?,
        id: row.id("id")?,
        name: row.col("name")?,
        postback_token_sha256: row.bytes_opt("postback_token_sha256")?,
        test_token_sha256: row.bytes_opt("test_token_sha256")?,
        postback_json: row.col("postback_json")?,
        created_at: row.time("created_at")?,
    })
}

fn read_program(row: &Row) -> Result<Program, StoreError> {
    Ok(Program {
        tenant: row.id("tenant_id")?,
        id: row.id("id")?,
        advertiser: row.id("advertiser_id")?,
        name: row.col("name")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    /// The advertiser and its shard of the intake.
    pub async fn create_advertiser(&self, advertiser: &Advertiser) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(advertiser.tenant).await?;
            let seq = take_seq(&mut tx, advertiser.tenant.column(), "advertisers", 1).await?;
            let sql = "INSERT INTO advertisers (tenant_id, id, seq, name, postback_token_sha256, test_token_sha256, \
                postback_json, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            query(sql)
                .bind(advertiser.tenant.column())
                .bind(advertiser.id.column())
                .bind(seq)
                .bind(&advertiser.name)
                .bind(advertiser.postback_token_sha256.as_ref().map(|hash| &hash[..]))
                .bind(advertiser.test_token_sha256.as_ref().map(|hash| &hash[..]))
                .bind(&advertiser.postback_json)
                .bind(advertiser.created_at.0)
                .execute(&mut tx)
                .await?;
            create_shard(&mut tx, ShardKey::advertiser(advertiser.tenant, advertiser.id)).await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_advertiser(&self, tenant: TenantId, id: AdvertiserId) -> Result<Advertiser, StoreError> {
        let row = query("SELECT * FROM advertisers WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.column())
            .bind(id.column())
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_advertiser(&row)
    }

    pub async fn list_advertisers(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Advertiser>, StoreError> {
        let (before, rows) = Page::<Advertiser>::bounds(after, limit);
        let sql = "SELECT * FROM advertisers WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_advertiser)
    }

    pub async fn set_postback_token(
        &self,
        tenant: TenantId,
        id: AdvertiserId,
        token_sha256: Option<[u8; 32]>,
    ) -> Result<Advertiser, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql = "UPDATE advertisers SET postback_token_sha256 = $3 WHERE tenant_id = $1 AND id = $2 RETURNING *";
            let row = query(sql)
                .bind(tenant.column())
                .bind(id.column())
                .bind(token_sha256.as_ref().map(|hash| &hash[..]))
                .fetch_one(&mut tx)
                .await?;
            let advertiser = read_advertiser(&row)?;
            tx.commit_catalog().await?;
            Ok(advertiser)
        })
    }

    pub async fn create_program(&self, program: &Program) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(program.tenant).await?;
            let seq = take_seq(&mut tx, program.tenant.column(), "programs", 1).await?;
            let sql = "INSERT INTO programs (tenant_id, id, seq, advertiser_id, name, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6)";
            query(sql)
                .bind(program.tenant.column())
                .bind(program.id.column())
                .bind(seq)
                .bind(program.advertiser.column())
                .bind(&program.name)
                .bind(program.created_at.0)
                .execute(&mut tx)
                .await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_program(&self, tenant: TenantId, id: ProgramId) -> Result<Program, StoreError> {
        let row = query("SELECT * FROM programs WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.column())
            .bind(id.column())
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_program(&row)
    }

    pub async fn list_programs(
        &self,
        tenant: TenantId,
        advertiser: Option<AdvertiserId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Program>, StoreError> {
        let (before, rows) = Page::<Program>::bounds(after, limit);
        let sql = "SELECT * FROM programs WHERE tenant_id = $1 AND seq < $2 \
            AND ($4 IS NULL OR advertiser_id = $4) ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        let rows = query.bind(advertiser.map(Id::column)).fetch_all(&mut self.read(tenant).await?).await?;
        page(&rows, limit, read_program)
    }
}
