//! Everything that stands in a database, as text to compare.

use super::scenario::Scenario;
use control_plane_server::DatabaseUrl;
use proto_model::UnixMicros;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use std::collections::BTreeMap;

/// What two runs may differ in, although both are right. All other tables and columns are compared.
const FREE: [(&str, &str); 6] = [
    // Count the processes and the connections of the edge, of which there is one more.
    ("leases", "fence"),
    ("edges", "session"),
    // Over times, among others; every run proves them by a replay.
    ("ledger_transactions", "prev_hash"),
    ("ledger_transactions", "hash"),
    ("money_checkpoints", "ledger_hash"),
    ("statements", "hash"),
];

/// A run without these would prove little.
const TOLD: [&str; 16] = [
    "journal",
    "rollup_links",
    "rollup_facts",
    "rollup_refused",
    "click_batches",
    "sidecar",
    "customers",
    "fraud_signals",
    "intake",
    "touches",
    "conversions",
    "commissions",
    "ledger_entries",
    "statements",
    "payouts",
    "outbox",
];

/// Rows by table.
pub struct Books(BTreeMap<String, Vec<String>>);

impl Books {
    /// Of a database that nobody has open.
    pub async fn read(database: &DatabaseUrl, scenario: &Scenario) -> Self {
        let rows = match database {
            DatabaseUrl::Sqlite(_) => read_sqlite(database).await,
            DatabaseUrl::Postgres(url) => read_postgres(url),
        };
        let scrub = Scrub { customers: customers(&rows), since: scenario.made_at };
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            let (table, row) = row.split_once(' ').unwrap();
            tables.entry(table.to_owned()).or_default().push(scrub.row(row));
        }
        tables.values_mut().for_each(|rows| rows.sort());
        Self(tables)
    }

    pub fn assert_tell_something(&self) {
        for table in TOLD {
            assert!(self.0.contains_key(table), "nothing stands in {table}");
        }
    }

    pub fn assert_same(&self, expected: &Self, when: &str) {
        assert!(self.0.keys().eq(expected.0.keys()), "{when}: rows in other tables");
        for (table, expected) in &expected.0 {
            let found = &self.0[table];
            let extra: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
            let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
            assert!(
                found == expected,
                "{when}: {table} has {} rows, not {}\n extra {extra:#?}\n missing {missing:#?}",
                found.len(),
                expected.len()
            );
        }
    }
}

fn free_columns(table: &str) -> impl Iterator<Item = &'static str> {
    FREE.into_iter().filter(move |(of, _)| *of == table).map(|(_, column)| column)
}

/// `table column=value ...`, in lower case.
async fn read_sqlite(database: &DatabaseUrl) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(database.file().unwrap());
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let sql = "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid";
    let columns: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (table, column) in &columns {
        if !free_columns(table).any(|free| free == column) {
            let value = format!("'{column}=' || quote({column})");
            tables.entry(table).or_default().push(value);
        }
    }
    let mut rows = Vec::new();
    for (table, values) in tables {
        let sql = format!("SELECT lower('{table} ' || {}) FROM {table}", values.join(" || ' ' || "));
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut conn).await.unwrap();
        rows.extend(found);
    }
    conn.close().await.unwrap();
    rows
}

/// `table {"column": value, ...}`, in lower case.
fn read_postgres(url: &str) -> Vec<String> {
    let (_, name) = url.rsplit_once('/').unwrap();
    let server = control_plane_testing::server();
    let tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
        AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname";
    let select = |table: &str| {
        let free: String = free_columns(table).map(|column| format!(" - '{column}'")).collect();
        format!("SELECT lower('{table} ' || (to_jsonb(t){free})::text) FROM {table} t;")
    };
    let sql: String = server.superuser_psql(name, tables).unwrap().lines().map(select).collect();
    server.superuser_psql(name, &sql).unwrap().lines().map(str::to_owned).collect()
}

/// The pseudonyms, in hex, in the order of whose they are.
fn customers(rows: &[String]) -> Vec<String> {
    let of = |row: &String| {
        let row = row.strip_prefix("customers ")?;
        let is_pseudonym = |part: &&str| part.len() == 32;
        let pseudonym = row.split(|c: char| !c.is_ascii_hexdigit()).find(is_pseudonym)?;
        Some((row.replace(pseudonym, ""), pseudonym.to_owned()))
    };
    let by_owner: BTreeMap<String, String> = rows.iter().filter_map(of).collect();
    by_owner.into_values().collect()
}

/// Takes out what is another in every run: what the clock said meanwhile, and the pseudonyms that were drawn.
struct Scrub {
    customers: Vec<String>,
    since: UnixMicros,
}

impl Scrub {
    fn row(&self, row: &str) -> String {
        let mut row = row.to_owned();
        for (index, pseudonym) in self.customers.iter().enumerate() {
            row = row.replace(pseudonym, &format!("customer-{index}"));
        }
        self.without_times(&row)
    }

    fn without_times(&self, row: &str) -> String {
        let mut text = String::with_capacity(row.len());
        let mut digits = String::new();
        for letter in row.chars().chain([' ']) {
            if letter.is_ascii_digit() {
                digits.push(letter);
                continue;
            }
            text += if self.is_of_the_run(&digits) { "<time>" } else { &digits };
            digits.clear();
            text.push(letter);
        }
        text
    }

    /// Read from the clock during a run, or so many days from then.
    fn is_of_the_run(&self, digits: &str) -> bool {
        const HOUR: i64 = 3_600 * 1_000_000;
        const DAY: i64 = 24 * HOUR;
        let Ok(number) = digits.parse::<i64>() else { return false };
        let since = number.saturating_sub(self.since.0);
        [0, 30].iter().any(|days| (days * DAY + 1..days * DAY + HOUR).contains(&since))
    }
}
