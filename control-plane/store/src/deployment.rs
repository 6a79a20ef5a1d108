//! What holds for the whole deployment: whose keys it trusts, which processes are at work on it, what time its
//! database has, and whether money may leave it.

use crate::dialect::{DATABASE_TIME, Scope};
use crate::retry::retrying;
use crate::row::Columns;
use crate::sql::{Connection, Row, locking, query};
use crate::{Store, StoreError};
use proto_model::UnixMicros;
use proto_model::time::DAY_US;

/// A control-plane process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its own, kept in its data directory.
    pub name: String,
    pub version: String,
    pub started_at: UnixMicros,
    pub seen_at: UnixMicros,
}

/// Why no period may be closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Freeze {
    pub at: UnixMicros,
    pub reason: String,
}

fn read_node(row: &Row) -> Result<Node, StoreError> {
    Ok(Node {
        name: row.col("name")?,
        version: row.col("version")?,
        started_at: row.time("started_at")?,
        seen_at: row.time("seen_at")?,
    })
}

fn read_freeze(row: &Row) -> Result<Option<Freeze>, StoreError> {
    let at: Option<i64> = row.col("frozen_at")?;
    at.map(|at| Ok(Freeze { at: UnixMicros(at), reason: row.col("frozen_reason")? })).transpose()
}

/// Locks the deployment's row.
pub(crate) async fn claim(conn: &mut Connection, authority_sha256: &[u8; 32]) -> Result<(), StoreError> {
    let row = query(locking!("SELECT authority_sha256 FROM deployment")).fetch_one(&mut *conn).await?;
    match row.bytes_opt("authority_sha256")? {
        Some(known) if known == *authority_sha256 => Ok(()),
        Some::<[u8; 32]>(_) => Err(StoreError::Conflict("other_authority")),
        None => {
            let sql = "UPDATE deployment SET authority_sha256 = $1";
            query(sql).bind(&authority_sha256[..]).execute(conn).await?;
            Ok(())
        }
    }
}

impl Store {
    /// The first control plane on a database makes it its own; later ones must bring the same keys, or edges
    /// would trust one of them alone. `Conflict("other_authority")` when they do not.
    pub async fn claim(&self, authority_sha256: &[u8; 32]) -> Result<(), StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        claim(&mut tx, authority_sha256).await?;
        tx.commit().await
    }

    /// Says that a process is at work, and forgets those that were killed long ago.
    pub async fn see_node(&self, node: &Node) -> Result<(), StoreError> {
        retrying!(self.try_see_node(node))
    }

    async fn try_see_node(&self, node: &Node) -> Result<(), StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let sql = "INSERT INTO nodes (name, version, started_at, seen_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (name) DO UPDATE SET version = excluded.version, started_at = excluded.started_at, \
            seen_at = excluded.seen_at";
        query(sql)
            .bind(&node.name)
            .bind(&node.version)
            .bind(node.started_at.0)
            .bind(node.seen_at.0)
            .execute(&mut tx)
            .await?;
        let long_ago = node.seen_at.0.saturating_sub(DAY_US);
        query("DELETE FROM nodes WHERE seen_at < $1").bind(long_ago).execute(&mut tx).await?;
        tx.commit().await
    }

    /// A process that ends in order is not waited for.
    pub async fn forget_node(&self, name: &str) -> Result<(), StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        query("DELETE FROM nodes WHERE name = $1").bind(name).execute(&mut tx).await?;
        tx.commit().await
    }

    /// Processes that were at work since then, by name.
    pub async fn nodes(&self, since: UnixMicros) -> Result<Vec<Node>, StoreError> {
        let sql = "SELECT * FROM nodes WHERE seen_at >= $1 ORDER BY name";
        let rows = query(sql).bind(since.0).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        rows.iter().map(read_node).collect()
    }

    /// What the database's own clock says. `ClocksApart` when this machine's is watched, and far from it. Leases are
    /// renewed by it, before they end.
    pub async fn database_time(&self) -> Result<UnixMicros, StoreError> {
        let mut conn = self.read_beside_reports(Scope::Deployment).await?;
        let now = query(DATABASE_TIME).fetch_one(&mut conn).await?.time("now")?;
        self.clock().seen(now);
        self.clock().check()?;
        Ok(now)
    }

    pub async fn freeze(&self) -> Result<Option<Freeze>, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        let sql = "SELECT frozen_at, frozen_reason FROM deployment";
        read_freeze(&query(sql).fetch_one(&mut conn).await?)
    }

    /// Gives what was lifted.
    pub async fn lift_freeze(&self) -> Result<Option<Freeze>, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        let sql = locking!("SELECT frozen_at, frozen_reason FROM deployment");
        let freeze = read_freeze(&query(sql).fetch_one(&mut tx).await?)?;
        query("UPDATE deployment SET frozen_at = NULL, frozen_reason = NULL").execute(&mut tx).await?;
        tx.commit().await?;
        Ok(freeze)
    }
}
