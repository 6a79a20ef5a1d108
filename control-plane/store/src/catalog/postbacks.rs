use super::advertisers::read_advertiser;
use super::{Advertiser, PostbackKeyRecord};
use crate::retry::retrying;
use crate::row::{Columns, Id};
use crate::sql::{Row, locking, query};
use crate::{Store, StoreError};
use proto_model::{AdvertiserId, TenantId, UnixMicros};

pub(super) fn read_postback_key(row: &Row) -> Result<PostbackKeyRecord, StoreError> {
    Ok(PostbackKeyRecord {
        tenant: row.id("tenant_id")?,
        advertiser: row.id("advertiser_id")?,
        key_id: row.number("key_id")?,
        key: row.bytes("key")?,
        created_at: row.time("created_at")?,
    })
}

const KEYS: &str = "SELECT * FROM postback_keys WHERE tenant_id = $1 AND advertiser_id = $2 \
    ORDER BY created_at DESC, key_id DESC";

impl Store {
    pub async fn set_postback(
        &self,
        tenant: TenantId,
        id: AdvertiserId,
        postback_json: &str,
    ) -> Result<Advertiser, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql =
                "UPDATE advertisers SET postback_json = $3 WHERE tenant_id = $1 AND id = $2 RETURNING *";
            let query = query(sql).bind(tenant.column()).bind(id.column()).bind(postback_json);
            let advertiser = read_advertiser(&query.fetch_one(&mut tx).await?)?;
            tx.commit_catalog().await?;
            Ok(advertiser)
        })
    }

    pub async fn set_test_token(
        &self,
        tenant: TenantId,
        id: AdvertiserId,
        token_sha256: Option<[u8; 32]>,
    ) -> Result<Advertiser, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql =
                "UPDATE advertisers SET test_token_sha256 = $3 WHERE tenant_id = $1 AND id = $2 RETURNING *";
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

    /// Newest first: at most two.
    pub async fn postback_keys(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
    ) -> Result<Vec<PostbackKeyRecord>, StoreError> {
        let query = query(KEYS).bind(tenant.column()).bind(advertiser.column());
        query.fetch_all(&mut self.read(tenant).await?).await?.iter().map(read_postback_key).collect()
    }

    /// A new key. The one before it stays good until the next; older ones are forgotten.
    pub async fn rotate_postback_key(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        key: [u8; 32],
        now: UnixMicros,
    ) -> Result<PostbackKeyRecord, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            // Whoever rotates as well waits here.
            let sql = locking!("SELECT id FROM advertisers WHERE tenant_id = $1 AND id = $2");
            query(sql).bind(tenant.column()).bind(advertiser.column()).fetch_one(&mut tx).await?;
            let held = query(KEYS).bind(tenant.column()).bind(advertiser.column()).fetch_all(&mut tx).await?;
            let held: Vec<_> = held.iter().map(read_postback_key).collect::<Result<_, _>>()?;
            let newest = held.first().map_or(0, |key| key.key_id);
            for old in held.iter().skip(1) {
                let sql =
                    "DELETE FROM postback_keys WHERE tenant_id = $1 AND advertiser_id = $2 AND key_id = $3";
                let query = query(sql).bind(tenant.column()).bind(advertiser.column());
                query.bind(i64::from(old.key_id)).execute(&mut tx).await?;
            }
            // Never before the one it follows, whatever the clock says.
            let created_at = held.first().map_or(now, |key| now.max(UnixMicros(key.created_at.0 + 1)));
            let record =
                PostbackKeyRecord { tenant, advertiser, key_id: newest % u8::MAX + 1, key, created_at };
            let sql = "INSERT INTO postback_keys (tenant_id, advertiser_id, key_id, key, created_at) \
                VALUES ($1, $2, $3, $4, $5)";
            query(sql)
                .bind(tenant.column())
                .bind(advertiser.column())
                .bind(i64::from(record.key_id))
                .bind(&record.key[..])
                .bind(created_at.0)
                .execute(&mut tx)
                .await?;
            tx.commit_catalog().await?;
            Ok(record)
        })
    }
}
