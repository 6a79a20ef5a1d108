//! The database itself: what it is, how it is set, and what its user may do.

use crate::dialect::{PER_PROCESS, Scope};
use crate::row::Columns;
use crate::sql::{Connection, Row, query};
use crate::{Store, StoreError};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Server {
    Sqlite(Embedded),
    Postgres(Postgres),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Embedded {
    pub version: String,
    /// `wal`, or another one that somebody chose.
    pub journal_mode: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Postgres {
    pub version: String,
    /// 150004 = 15.4.
    pub version_number: i64,
    /// Of the database's texts.
    pub encoding: String,
    pub role: String,
    pub superuser: bool,
    pub bypasses_row_security: bool,
    /// Tables of ours that belong to somebody else.
    pub tables_of_others: Vec<String>,
    /// Tables whose row security was taken down.
    pub walls_down: Vec<String>,
    pub may_create: bool,
    pub encrypted: bool,
    /// Over a socket or the loopback.
    pub local: bool,
    pub fsync: String,
    pub synchronous_commit: String,
    pub full_page_writes: String,
    /// For everybody but superusers.
    pub max_connections: i64,
    pub connections: i64,
    /// What one control plane may hold.
    pub per_process: i64,
}

const EMBEDDED: &str =
    "SELECT sqlite_version() AS version, (SELECT journal_mode FROM pragma_journal_mode) AS mode";

const SERVER: &str = "
    SELECT current_setting('server_version') AS version,
        current_setting('server_version_num')::bigint AS version_number,
        current_setting('server_encoding') AS encoding, current_user::text AS role, r.rolsuper AS superuser, r.rolbypassrls AS bypasses,
        has_schema_privilege(current_schema(), 'CREATE') IS TRUE AS may_create,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
        (inet_client_addr() IS NULL OR inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1') AS local,
        current_setting('fsync') AS fsync,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('max_connections')::bigint
            - current_setting('superuser_reserved_connections')::bigint AS max_connections,
        (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)::bigint AS connections
    FROM pg_roles r WHERE r.rolname = current_user";

/// Other programs' tables may stand in the same schema.
const TABLES_OF_OTHERS: &str = "
    SELECT c.relname::text AS name FROM pg_class c
    WHERE c.relnamespace = to_regnamespace(current_schema()::text) AND c.relkind IN ('r', 'p')
        AND NOT pg_has_role(c.relowner, 'USAGE')
        AND (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant_wall')
            OR c.relname IN ('_sqlx_migrations', 'schema_floor', 'deployment', 'nodes'))
    ORDER BY 1";

const WALLS_DOWN: &str = "
    SELECT c.relname::text AS name FROM pg_class c
    WHERE c.relnamespace = to_regnamespace(current_schema()::text)
        AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant_wall')
        AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    ORDER BY 1";

async fn names(conn: &mut Connection, sql: &'static str) -> Result<Vec<String>, StoreError> {
    query(sql).fetch_all(conn).await?.iter().map(|row: &Row| row.col("name")).collect()
}

async fn postgres(conn: &mut Connection) -> Result<Postgres, StoreError> {
    let row = query(SERVER).fetch_one(conn).await?;
    Ok(Postgres {
        version: row.col("version")?,
        version_number: row.col("version_number")?,
        encoding: row.col("encoding")?,
        role: row.col("role")?,
        superuser: row.col("superuser")?,
        bypasses_row_security: row.col("bypasses")?,
        tables_of_others: names(conn, TABLES_OF_OTHERS).await?,
        walls_down: names(conn, WALLS_DOWN).await?,
        may_create: row.col("may_create")?,
        encrypted: row.col("encrypted")?,
        local: row.col("local")?,
        fsync: row.col("fsync")?,
        synchronous_commit: row.col("synchronous_commit")?,
        full_page_writes: row.col("full_page_writes")?,
        max_connections: row.col("max_connections")?,
        connections: row.col("connections")?,
        per_process: i64::from(PER_PROCESS),
    })
}

impl Store {
    pub async fn server(&self) -> Result<Server, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        if matches!(conn, Connection::PostgresTx(_)) {
            return postgres(&mut conn).await.map(Server::Postgres);
        }
        let row = query(EMBEDDED).fetch_one(&mut conn).await?;
        Ok(Server::Sqlite(Embedded { version: row.col("version")?, journal_mode: row.col("mode")? }))
    }

    /// What an embedded database finds wrong with its own file. Reads all of it.
    pub async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        if matches!(conn, Connection::PostgresTx(_)) {
            return Ok(Vec::new());
        }
        let rows = query("PRAGMA quick_check(10)").fetch_all(&mut conn).await?;
        let found: Result<Vec<String>, _> = rows.iter().map(|row| row.col("quick_check")).collect();
        Ok(found?.into_iter().filter(|line| line != "ok").collect())
    }
}
