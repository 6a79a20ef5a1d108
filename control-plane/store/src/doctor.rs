//! What a check of an installation asks its database: nothing here changes anything.

mod books;
mod server;

pub use books::{Contradiction, Work};
pub use server::{Embedded, Postgres, Server};

use crate::dialect::Scope;
use crate::row::Columns;
use crate::sql::{Row, Sql, query};
use crate::{Store, StoreError, schema};
use control_plane_domain::intake::ShardKey;
use proto_model::{EdgeId, Lane, TenantId, UnixMicros};

/// Which migrations the database has seen, and which this program knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaLevel {
    /// `None` = no Tributary has been at work here.
    pub found: Option<i64>,
    /// The oldest program level that may work with it; `None` = from before there was a floor.
    pub oldest: Option<i64>,
    pub known: i64,
    /// Begun and not ended.
    pub unfinished: Vec<i64>,
    /// Others than this program's of the same number.
    pub altered: Vec<i64>,
}

/// A stream from which nothing is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    pub edge: EdgeId,
    pub lane: Lane,
    pub reason: String,
}

/// A stream whose end in the journal is not where its head stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headless {
    pub edge: EdgeId,
    pub lane: Lane,
    pub last_ordinal: u64,
}

/// An edge of the fleet, as far as it was heard of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenEdge {
    pub id: EdgeId,
    pub name: String,
    pub revoked: bool,
    pub last_seen_at: Option<UnixMicros>,
}

const HAS_TABLE: Sql = Sql {
    sqlite: "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
    postgres: "SELECT 1 FROM pg_class WHERE oid = to_regclass($1)",
};

impl Store {
    async fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        Ok(query(HAS_TABLE).bind(name).fetch_optional(&mut conn).await?.is_some())
    }

    pub async fn schema_level(&self) -> Result<SchemaLevel, StoreError> {
        let migrator = self.database().migrations();
        let known = schema::level(migrator);
        let mut level =
            SchemaLevel { found: None, oldest: None, known, unfinished: Vec::new(), altered: Vec::new() };
        if !self.has_table("_sqlx_migrations").await? {
            return Ok(level);
        }
        let sql = "SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version";
        for row in query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await? {
            let version = row.col("version")?;
            let checksum: &[u8] = row.col("checksum")?;
            level.found = Some(version);
            if !row.col::<bool>("success")? {
                level.unfinished.push(version);
            }
            let ours = migrator.iter().find(|migration| migration.version == version);
            if ours.is_some_and(|ours| *ours.checksum != *checksum) {
                level.altered.push(version);
            }
        }
        if self.has_table("schema_floor").await? {
            let row = query("SELECT oldest FROM schema_floor")
                .fetch_optional(&mut self.read(Scope::Deployment).await?)
                .await?;
            level.oldest = row.map(|row| row.col("oldest")).transpose()?;
        }
        Ok(level)
    }

    /// Of the certificate that edges trust; `None` = not claimed yet. Whatever the schema is.
    pub async fn authority_sha256(&self) -> Result<Option<[u8; 32]>, StoreError> {
        if !self.has_table("deployment").await? {
            return Ok(None);
        }
        let sql = "SELECT authority_sha256 FROM deployment";
        query(sql).fetch_one(&mut self.read(Scope::Deployment).await?).await?.bytes_opt("authority_sha256")
    }

    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        let sql = "SELECT edge_id, lane, reason FROM streams WHERE status = 'quarantined' ORDER BY stream";
        let rows = query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let quarantined = |row: &Row| {
            let (edge, lane) = (row.id("edge_id")?, crate::fleet::read_lane(row)?);
            Ok(Quarantined { edge, lane, reason: row.col("reason")? })
        };
        rows.iter().map(quarantined).collect()
    }

    /// Streams whose last batch in the journal, or declared gap behind it, is not the one that their head names. Days
    /// that were dropped prove nothing.
    pub async fn headless(&self) -> Result<Vec<Headless>, StoreError> {
        let sql = "SELECT s.edge_id, s.lane, s.last_ordinal FROM streams s WHERE s.last_ordinal > 0 \
            AND EXISTS (SELECT 1 FROM journal j WHERE j.stream = s.stream) \
            AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.stream = s.stream \
                AND j.last_ordinal = s.last_ordinal AND j.head_hash = s.head_hash) \
            AND NOT EXISTS (SELECT 1 FROM stream_gaps g WHERE g.stream = s.stream \
                AND g.last_ordinal = s.last_ordinal AND g.resume_hash = s.head_hash) ORDER BY s.stream";
        let rows = query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let headless = |row: &Row| {
            let (edge, lane) = (row.id("edge_id")?, crate::fleet::read_lane(row)?);
            Ok(Headless { edge, lane, last_ordinal: row.number("last_ordinal")? })
        };
        rows.iter().map(headless).collect()
    }

    pub async fn seen_edges(&self) -> Result<Vec<SeenEdge>, StoreError> {
        let sql = "SELECT id, name, revoked, last_seen_at FROM edges ORDER BY seq";
        let rows = query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let seen = |row: &Row| {
            let last_seen_at = row.col::<Option<i64>>("last_seen_at")?.map(UnixMicros);
            Ok(SeenEdge {
                id: row.id("id")?,
                name: row.col("name")?,
                revoked: row.col("revoked")?,
                last_seen_at,
            })
        };
        rows.iter().map(seen).collect()
    }

    /// Every shard that has a ledger.
    pub async fn ledgers(&self) -> Result<Vec<ShardKey>, StoreError> {
        let sql = "SELECT tenant_id, advertiser_id FROM money_checkpoints ORDER BY tenant_id, advertiser_id";
        let rows = query(sql).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        let shard = |row: &Row| {
            let tenant: TenantId = row.id("tenant_id")?;
            Ok(ShardKey { tenant, advertiser: row.id_opt("advertiser_id")? })
        };
        rows.iter().map(shard).collect()
    }
}
