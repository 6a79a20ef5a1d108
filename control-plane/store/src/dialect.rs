//! Everything that differs between databases: connecting, bulk sources, the texts of trigger errors.

use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use std::str::FromStr;
use std::time::Duration;

pub(crate) type Db = sqlx::Sqlite;
pub(crate) type Row = SqliteRow;
pub(crate) type Connection = sqlx::SqliteConnection;
pub(crate) type Transaction = sqlx::Transaction<'static, Db>;

pub(crate) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// A deferred transaction that turns into a writer fails at once when another writer was faster; an
/// immediate one waits its turn.
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(10);
const ACQUIRE: Duration = Duration::from_secs(30);

pub(crate) struct Pools {
    /// Exactly one connection: the pool's queue is the writers' mutex, and it is fair.
    pub writer: SqlitePool,
    pub readers: SqlitePool,
}

pub(crate) async fn connect(url: &str) -> Result<Pools, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        // What is erased is overwritten in the file, not just unlinked.
        .pragma("secure_delete", "ON")
        .statement_cache_capacity(256);
    let base = SqlitePoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    let writer = base.clone().min_connections(1).max_connections(1).connect_with(options.clone()).await?;
    // An in-memory database is its connection: another one would see table locks instead of snapshots.
    let readers = if is_memory(url) {
        writer.clone()
    } else {
        base.max_connections(READERS).connect_with(options.read_only(true)).await?
    };
    Ok(Pools { writer, readers })
}

fn is_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// The text of a `RAISE` in one of our triggers.
pub(crate) fn trigger_refusal(error: &dyn DatabaseError) -> Option<String> {
    const SQLITE_CONSTRAINT_TRIGGER: &str = "1811";
    (error.code().as_deref() == Some(SQLITE_CONSTRAINT_TRIGGER)).then(|| error.message().to_owned())
}

// Bulk sources. Each takes one JSON array of arrays: measured at twice the speed of a prepared insert per
// row. Bytes travel as hex text.

pub(crate) const INSERT_INTAKE: &str = "
    INSERT INTO intake (tenant_id, advertiser_id, ordinal, recorded_at, kind, subject, customer,
        source_stream, source_ordinal, click_stream, click_ordinal, input)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, unhex(value ->> 6),
        value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
    FROM json_each($1) ORDER BY key";

/// Rows: tenant, hour, kind, link, offer, partner, advertiser, country, device, verdict, rule set version,
/// rule, hits. What names an unknown tenant is left out.
pub(crate) const FOLD_ROLLUPS: [&str; 3] = [
    "INSERT INTO rollup_links (tenant_id, hour, kind, link_id, offer_id, partner_id, advertiser_id,
        verdict, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
        value ->> 9, sum(value ->> 12)
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT DO UPDATE SET hits = rollup_links.hits + excluded.hits",
    "INSERT INTO rollup_facts (tenant_id, hour, kind, country, device, verdict, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 7, value ->> 8, value ->> 9, sum(value ->> 12)
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants) GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT DO UPDATE SET hits = rollup_facts.hits + excluded.hits",
    "INSERT INTO rollup_rules (tenant_id, hour, kind, rule_set_version, rule_id, verdict, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 10, value ->> 11, value ->> 9, sum(value ->> 12)
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants) GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT DO UPDATE SET hits = rollup_rules.hits + excluded.hits",
];

/// Rows as in [`FOLD_ROLLUPS`]; $2 the batch.
pub(crate) const INSERT_CLICK_BATCHES: &str = "
    INSERT INTO click_batches (tenant_id, journal_seq, allowed, flagged, blocked)
    SELECT value ->> 0, $2, sum(CASE value ->> 9 WHEN 0 THEN value ->> 12 ELSE 0 END),
        sum(CASE value ->> 9 WHEN 1 THEN value ->> 12 ELSE 0 END),
        sum(CASE value ->> 9 WHEN 2 THEN value ->> 12 ELSE 0 END)
    FROM json_each($1) WHERE value ->> 2 = 1 AND value ->> 0 IN (SELECT id FROM tenants) GROUP BY 1";

/// Rows: tenant, hour, advertiser, reason, hits.
pub(crate) const FOLD_REFUSED: &str = "
    INSERT INTO rollup_refused (tenant_id, hour, advertiser_id, reason, hits)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants)
    ON CONFLICT DO UPDATE SET hits = rollup_refused.hits + excluded.hits";

/// Rows: tenant, stream, ordinal, class, salt, value, customer. A value that is there already stays; one of
/// an erased event is dropped.
pub(crate) const INSERT_SIDECAR: &str = "
    INSERT INTO sidecar (tenant_id, stream, ordinal, class, salt, value, customer)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4), unhex(value ->> 5),
        unhex(value ->> 6)
    FROM json_each($1) WHERE value ->> 0 IN (SELECT id FROM tenants) AND NOT EXISTS (
        SELECT 1 FROM erased_events e WHERE e.tenant_id = value ->> 0 AND e.stream = value ->> 1
            AND e.ordinal = value ->> 2)
    ON CONFLICT DO NOTHING";

/// Rows: tenant, advertiser. Which of them are shards.
pub(crate) const KNOWN_SHARDS: &str = "
    SELECT tenant_id, advertiser_id FROM intake_heads
    JOIN json_each($1) ON tenant_id = value ->> 0 AND advertiser_id = value ->> 1";

/// Rows: tenant, link.
pub(crate) const LINK_TARGETS: &str = "
    SELECT l.tenant_id, l.id, l.offer_id, l.partner_id, o.program_id, o.advertiser_id FROM json_each($1)
    JOIN links l ON l.tenant_id = value ->> 0 AND l.id = value ->> 1
    JOIN offers o ON o.tenant_id = l.tenant_id AND o.id = l.offer_id";

/// $1 tenant, $2 advertiser, $3 order, $4 goal, $5 event id or NULL, $6 limit. Each row says how many there are.
pub(crate) const REPORTS_OF: &str = "
    SELECT ordinal, recorded_at, input, count(*) OVER () AS reports FROM intake
    WHERE tenant_id = $1 AND advertiser_id = $2 AND subject = $3 AND kind = 'conversion'
        AND input ->> '$.goal' = $4 AND input ->> '$.event_id' IS NOT DISTINCT FROM $5
    ORDER BY ordinal LIMIT $6";

/// $1 tenant, $2 transaction, $3 currency; rows: account, minor. In the order of the lines.
pub(crate) const INSERT_ENTRIES: &str = "
    INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, minor)
    SELECT $1, $2, key, value ->> 0, $3, value ->> 1 FROM json_each($4)";

/// $1 tenant; $2 ids of transactions.
pub(crate) const ENTRIES_OF: &str = "
    SELECT transaction_id, account, minor FROM ledger_entries
    WHERE tenant_id = $1 AND transaction_id IN (SELECT unhex(value) FROM json_each($2))
    ORDER BY transaction_id, line";

/// $1 tenant, $2 statement; $3 ids of credits. In the order of the lines.
pub(crate) const INSERT_LINES: &str = "
    INSERT INTO statement_lines (tenant_id, statement_id, line, credit_id)
    SELECT $1, $2, key, unhex(value) FROM json_each($3)";

/// $1 tenant, $2 statement; $3 ids of credits that must still be open.
pub(crate) const TAKE_CREDITS: &str = "
    UPDATE credits SET statement_id = $2
    WHERE tenant_id = $1 AND statement_id IS NULL AND id IN (SELECT unhex(value) FROM json_each($3))";

/// $1 tenant; rows: stream, ordinal.
pub(crate) const INSERT_ERASED: &str = "
    INSERT INTO erased_events (tenant_id, stream, ordinal)
    SELECT $1, value ->> 0, value ->> 1 FROM json_each($2) WHERE true ON CONFLICT DO NOTHING";

/// $1 tenant; rows: stream, ordinal.
pub(crate) const ERASE_VALUES: &str = "
    DELETE FROM sidecar WHERE tenant_id = $1
        AND (stream, ordinal) IN (SELECT value ->> 0, value ->> 1 FROM json_each($2))";

/// Takes overwritten values out of the log beside the database file, too.
pub(crate) const FORGET_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
