//! The database itself: what it is, how it is set, and what its user may do.

use crate::dialect::{PER_PROCESS, Scope};
use crate::row::Columns;
use crate::sql::{Connection, Row, query};
use crate::{Store, StoreError};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Server {
    Sqlite(Embedded),
    Postgres(Box<Postgres>),
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
    /// Tables and the rights on them that its user lacks.
    pub rights_missing: Vec<(String, String)>,
    pub database: String,
    /// A standby: it follows another server and takes no writes.
    pub in_recovery: bool,
    /// `default_transaction_read_only`, as a session of the control plane sees it, and where it is set.
    pub read_only: bool,
    pub read_only_set_by: String,
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
        current_setting('server_encoding') AS encoding, current_user::text AS role,
        r.rolsuper AS superuser, r.rolbypassrls AS bypasses,
        has_schema_privilege(current_schema(), 'CREATE') IS TRUE AS may_create,
        current_database()::text AS database, pg_is_in_recovery() AS in_recovery,
        s.setting = 'on' AS read_only, s.source AS read_only_set_by,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
        (inet_client_addr() IS NULL OR inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1') AS local,
        current_setting('fsync') AS fsync,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('max_connections')::bigint
            - current_setting('superuser_reserved_connections')::bigint AS max_connections,
        (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database)::bigint AS connections
    FROM pg_roles r, pg_settings s
    WHERE r.rolname = current_user AND s.name = 'default_transaction_read_only'";

/// Other programs' tables may stand in the same schema.
macro_rules! our_tables {
    () => {
        "c.relnamespace = to_regnamespace(current_schema()::text) AND c.relkind IN ('r', 'p')
        AND (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant_wall')
            OR c.relname IN ('_sqlx_migrations', 'schema_floor', 'deployment', 'nodes'))"
    };
}

const TABLES_OF_OTHERS: &str = concat!(
    "SELECT c.relname::text AS name FROM pg_class c WHERE ",
    our_tables!(),
    " AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1"
);

/// An owner has them all, until somebody takes one away.
const RIGHTS_MISSING: &str = concat!(
    "SELECT c.relname::text AS name, string_agg(r.name, ', ' ORDER BY r.n) AS rights
    FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS r (name, n)
    WHERE ",
    our_tables!(),
    " AND NOT has_table_privilege(c.oid, r.name) GROUP BY c.relname ORDER BY 1"
);

const WALLS_DOWN: &str = "
    SELECT c.relname::text AS name FROM pg_class c
    WHERE c.relnamespace = to_regnamespace(current_schema()::text)
        AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant_wall')
        AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
    ORDER BY 1";

async fn names(conn: &mut Connection, sql: &'static str) -> Result<Vec<String>, StoreError> {
    query(sql).fetch_all(conn).await?.iter().map(|row: &Row| row.col("name")).collect()
}

async fn rights_missing(conn: &mut Connection) -> Result<Vec<(String, String)>, StoreError> {
    let rows = query(RIGHTS_MISSING).fetch_all(conn).await?;
    rows.iter().map(|row: &Row| Ok((row.col("name")?, row.col("rights")?))).collect()
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
        rights_missing: rights_missing(conn).await?,
        database: row.col("database")?,
        in_recovery: row.col("in_recovery")?,
        read_only: row.col("read_only")?,
        read_only_set_by: row.col("read_only_set_by")?,
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
        if matches!(conn, Connection::PostgresTx(..)) {
            return postgres(&mut conn).await.map(|found| Server::Postgres(Box::new(found)));
        }
        let row = query(EMBEDDED).fetch_one(&mut conn).await?;
        Ok(Server::Sqlite(Embedded { version: row.col("version")?, journal_mode: row.col("mode")? }))
    }

    /// What an embedded database finds wrong with its own file. Reads all of it.
    pub async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let mut conn = self.read(Scope::Deployment).await?;
        if matches!(conn, Connection::PostgresTx(..)) {
            return Ok(Vec::new());
        }
        let rows = query("PRAGMA quick_check(10)").fetch_all(&mut conn).await?;
        let found: Result<Vec<String>, _> = rows.iter().map(|row| row.col("quick_check")).collect();
        Ok(found?.into_iter().filter(|line| line != "ok").collect())
    }
}
