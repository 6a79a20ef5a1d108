//! From any level of the schema to the newest, and at work on one that is newer than what this version knows.

use crate::machine;
use crate::owned::own_everything;
use crate::raw::{Place, Raw};
use crate::world::{NOW, World, append, edge, lease, run_money};
use control_plane_domain::intake::OrderEventKind;
use control_plane_store::projection::Projection;
use control_plane_store::{Store, StoreError};
use sqlx::migrate::Migrator;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

fn folder(database: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database)
}

/// The migrations up to a level.
async fn up_to(database: &str, level: i64) -> Migrator {
    let some = tempfile::tempdir().unwrap();
    for migration in Migrator::new(folder(database)).await.unwrap().iter() {
        if migration.version <= level {
            let name = format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_"));
            fs::copy(folder(database).join(&name), some.path().join(name)).unwrap();
        }
    }
    Migrator::new(some.path()).await.unwrap()
}

async fn newest(database: &str) -> i64 {
    Migrator::new(folder(database)).await.unwrap().iter().map(|migration| migration.version).max().unwrap()
}

#[tokio::test]
async fn what_is_settled_does_not_change() {
    let sums = fs::read_to_string(folder("checksums")).unwrap();
    let known: BTreeMap<&str, &str> = sums.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let mut found = 0;
    for database in ["sqlite", "postgres"] {
        for migration in Migrator::new(folder(database)).await.unwrap().iter() {
            let name = format!("{database}/{:04}", migration.version);
            let sum: String = migration.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
            match known.get(name.as_str()) {
                Some(known) => assert_eq!(*known, sum, "{name}: migrations are append-only: add a new one"),
                None => panic!("a new migration adds its line to migrations/checksums:\n{name} {sum}"),
            }
            found += 1;
        }
    }
    assert_eq!(found, known.len(), "migrations are append-only: none is taken away");
}

/// The tables and columns of a level, without what sqlx and PostgreSQL's days keep for themselves.
async fn columns(raw: &mut Raw) -> BTreeMap<String, Vec<String>> {
    let sql = if raw.is_postgres() {
        "SELECT c.relname || ' ' || string_agg(quote_ident(a.attname), ',' ORDER BY a.attnum) FROM pg_class c \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition \
         AND c.relnamespace = current_schema()::regnamespace GROUP BY c.relname"
    } else {
        "SELECT t.name || ' ' || group_concat(c.name) FROM pragma_table_list t, pragma_table_info(t.name) c \
         WHERE t.schema = 'main' AND t.type = 'table' GROUP BY t.name"
    };
    let tables = raw.texts(sql).await;
    let split = |row: &String| {
        let (name, columns) = row.split_once(' ').unwrap();
        (name.to_owned(), columns.split(',').map(str::to_owned).collect())
    };
    let own = |row: &&String| !row.starts_with("_sqlx") && !row.starts_with("sqlite_");
    tables.iter().filter(own).map(split).collect()
}

/// What a table holds in these columns, as text.
async fn rows(raw: &mut Raw, table: &str, columns: &[String]) -> Vec<String> {
    let row = if raw.is_postgres() {
        format!("row({})::text", columns.join(","))
    } else {
        columns.iter().map(|name| format!("quote({name})")).collect::<Vec<_>>().join(" || ',' || ")
    };
    raw.texts(&format!("SELECT {row} FROM {table} ORDER BY 1")).await
}

/// Puts the rows of a complete database into one of a lower level, as far as that has tables and columns.
async fn copy(from: &Place, to: &Place, tables: &BTreeMap<String, Vec<String>>) {
    let mut target = Raw::open(&to.url).await;
    // Entries come before their transaction.
    let (last, first): (Vec<_>, Vec<_>) = tables.iter().partition(|(name, _)| *name == "ledger_transactions");
    let tables = first.into_iter().chain(last);
    if !target.is_postgres() {
        target.script("PRAGMA foreign_keys = OFF").await;
        target.script(&format!("ATTACH '{}' AS source", from.file().display())).await;
        for (name, columns) in tables {
            let columns = columns.join(",");
            target.script(&format!("DELETE FROM main.{name}")).await;
            // Each continues the chain of the one before.
            let order = if name == "ledger_transactions" { "sequence" } else { "1" };
            let sql = format!("INSERT INTO main.{name} ({columns}) SELECT {columns} FROM source.{name}");
            target.script(&format!("{sql} ORDER BY {order}")).await;
        }
        return;
    }
    let mut source = Raw::open(&from.url).await;
    let mut sql = "SET session_replication_role = replica;\n".to_owned();
    for (name, columns) in tables {
        if name == "journal" {
            let days = "SELECT DISTINCT (received_at - received_at % 86400000000)::text FROM journal";
            for day in source.texts(days).await {
                target.texts(&format!("SELECT ensure_day('journal', {day})::text")).await;
            }
        }
        let rows = source.texts(&format!("SELECT to_jsonb(t)::text FROM {name} t")).await;
        let rows = rows.join(",").replace('\'', "''");
        let columns = columns.join(",");
        sql += &format!(
            "DELETE FROM {name};\nINSERT INTO {name} ({columns}) \
             SELECT {columns} FROM jsonb_populate_recordset(NULL::{name}, '[{rows}]');\n"
        );
    }
    control_plane_testing::server().superuser_psql(to.name(), &sql).unwrap();
}

/// An edge's batch, its projection, and a sale down to the ledger.
async fn goes_on(store: &Store, world: &World, edge_number: u8) {
    let edge = edge(store, edge_number).await;
    store.append_batch(&edge.batch(1, 1, [0; 32], edge_number)).await.unwrap();
    let lease = lease(store).await;
    for row in store.unprojected(10).await.unwrap() {
        assert!(store.commit_projection(&lease, row.seq, &Projection::default(), NOW).await.unwrap());
    }
    let count = store.journal_count().await.unwrap();
    assert_eq!((count.batches, count.highest_seq), (count.given, count.given));
    append(store, world.shard(), &world.sale("B-1", 10_000)).await;
    append(store, world.shard(), &world.order_event("B-1", OrderEventKind::Delivered)).await;
    assert!(run_money(store, &lease).await >= 2);
    assert_eq!(store.verify_ledger(world.shard()).await.unwrap().problem, None);
    let order = store.get_order(world.tenant, world.advertiser, "B-1").await.unwrap();
    assert_eq!(order.order.conversions.len(), 1);
}

#[tokio::test]
async fn every_level_comes_up_to_date_with_its_rows() {
    let complete = Place::new().await;
    let store = complete.open().await;
    own_everything(&store, 1).await;
    store.close().await;
    let database = complete.kind();
    for level in 1..=newest(database).await {
        let place = Place::empty();
        let mut raw = Raw::open(&place.url).await;
        raw.migrate(&up_to(database, level).await).await;
        let mut tables = columns(&mut raw).await;
        if raw.is_postgres() && level < 8 {
            // No version has written to a PostgreSQL of a lower level: there was none.
            tables.retain(|name, _| !name.starts_with("journal"));
        }
        copy(&complete, &place, &tables).await;
        let mut before = BTreeMap::new();
        for (table, columns) in &tables {
            before.insert(table, rows(&mut raw, table, columns).await);
        }
        assert!(before.values().filter(|rows| !rows.is_empty()).count() > 8, "there is something to lose");

        let store = place.open().await;
        for (table, columns) in &tables {
            assert_eq!(rows(&mut raw, table, columns).await, before[table], "{table} from level {level}");
        }
        goes_on(&store, &World::create(&store, 2).await, 2).await;
        if level >= 4 {
            goes_on(&store, &World::new(1), 3).await;
        }
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_lost_before_it_was_counted_is_counted() {
    let complete = Place::new().await;
    let store = complete.open().await;
    let edge = edge(&store, 1).await;
    for (first, last, prev) in [(1, 3, 0), (4, 9, 1)] {
        store.append_gap(&edge.gap(first, last, prev, prev + 1)).await.unwrap();
    }
    let counted = store.watched_lanes().await.unwrap();
    assert_eq!((counted[1].lost.gaps, counted[1].lost.ordinals), (2, 9));
    store.close().await;
    let place = Place::empty();
    let mut raw = Raw::open(&place.url).await;
    raw.migrate(&up_to(complete.kind(), 14).await).await;
    let tables = columns(&mut raw).await;
    assert!(!tables["streams"].contains(&"gaps".to_owned()));
    copy(&complete, &place, &tables).await;
    let store = place.open().await;
    assert_eq!(store.watched_lanes().await.unwrap(), counted);
    store.close().await;
}

/// What a later version may do while this one is at work: it only adds.
const EXPAND: [&str; 9] = [
    "ALTER TABLE journal ADD COLUMN later TEXT",
    "ALTER TABLE intake ADD COLUMN later TEXT",
    "ALTER TABLE offers ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
    "ALTER TABLE streams ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
    "ALTER TABLE ledger_transactions ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
    "ALTER TABLE money_checkpoints ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
    "ALTER TABLE leases ADD COLUMN later INTEGER NOT NULL DEFAULT 7",
    "CREATE TABLE later (tenant_id INTEGER PRIMARY KEY REFERENCES tenants (id))",
    "CREATE INDEX later_orders ON orders (tenant_id, updated_at)",
];

/// Says that another migration was applied, and gives its number.
async fn next(raw: &mut Raw) -> i64 {
    let next = raw.number("SELECT max(version) + 1 FROM _sqlx_migrations").await;
    raw.script(&format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ({next}, 'later', true, zeroblob(32), 0)"
    ))
    .await;
    next
}

#[tokio::test]
async fn this_version_works_on_a_schema_that_a_later_one_has_added_to() {
    let place = Place::new().await;
    // One that is at work when it happens, with its statements prepared.
    let running = place.open().await;
    let world = World::create(&running, 1_000_000).await;
    goes_on(&running, &world, 1).await;
    let mut raw = Raw::open(&place.url).await;
    for sql in EXPAND {
        raw.script(sql).await;
    }
    next(&mut raw).await;
    goes_on(&running, &World::create(&running, 1_000_001).await, 2).await;
    running.close().await;
    // And one that starts afterwards, with everything that the machine test does.
    let afterwards = move || {
        let runtime = machine::runtime();
        let store = runtime.block_on(async {
            let store = place.open().await;
            goes_on(&store, &World::create(&store, 1_000_002).await, 3).await;
            store
        });
        machine::ends_like_a_replay(&runtime, store, 12);
    };
    tokio::task::spawn_blocking(afterwards).await.unwrap();
}

#[tokio::test]
async fn a_schema_that_has_lost_what_this_version_needs_is_refused() {
    let place = Place::new().await;
    place.open().await.close().await;
    let mut raw = Raw::open(&place.url).await;
    let next = next(&mut raw).await;
    raw.script(&format!("UPDATE schema_floor SET oldest = {next}")).await;
    let error = Store::open(&place.url).await.err().unwrap();
    assert!(matches!(error, StoreError::NewerSchema { .. }), "{error:?}");
    for level in [next, next - 1] {
        assert!(error.to_string().contains(&format!("schema {level}")), "{error}");
    }
}

#[tokio::test]
async fn the_floor_rises_and_never_sinks() {
    for (before, after) in [(8, 10), (10, 10), (11, 11)] {
        let place = Place::empty();
        let mut raw = Raw::open(&place.url).await;
        let migrator = up_to(place.kind(), 10).await;
        raw.migrate(&migrator).await;
        raw.script(&format!("UPDATE schema_floor SET oldest = {before}")).await;
        place.open().await.close().await;
        assert_eq!(raw.number("SELECT oldest FROM schema_floor").await, after, "{before}");
    }
}
