//! The second wall between tenants: what PostgreSQL itself keeps apart when a statement forgets its
//! condition. SQLite has none.

use crate::owned::own_everything;
use crate::raw::{Place, Raw};
use crate::world::World;
use std::collections::BTreeMap;

/// Tables of the deployment alone, in which rows of many tenants are sealed together.
const DEPLOYMENT: [&str; 12] = [
    "alerts",
    "edge_epochs",
    "edge_reports",
    "edges",
    "join_tokens",
    "journal",
    "journal_anchors",
    "journal_checkpoints",
    "journal_head",
    "journal_sidecars",
    "stream_gaps",
    "streams",
];
/// Open to every scope, but to nobody without one: money moves and catalogs change in a tenant's.
const SHARED: [&str; 2] = ["catalog_version", "leases"];
/// Without a wall, since they tell nothing about a tenant: which schema, which processes, whose database.
const OPEN: [&str; 4] = ["_sqlx_migrations", "deployment", "nodes", "schema_floor"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Tenant(&'static str),
    Deployment,
    Shared,
    Open,
}

struct Table {
    name: String,
    whose: Whose,
    /// Enabled, forced, with as many policies.
    wall: (bool, bool, i64),
}

/// Every table there is, days and other partitions included. One that nobody has placed fails here.
async fn tables(raw: &mut Raw) -> Vec<Table> {
    let sql = "SELECT concat_ws(' ', c.relname, coalesce(p.relname, c.relname), \
        EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' \
            AND NOT a.attisdropped), \
        c.relrowsecurity, c.relforcerowsecurity, \
        (SELECT count(*) FROM pg_policy w WHERE w.polrelid = c.oid AND w.polpermissive AND w.polcmd = '*')) \
        FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
        LEFT JOIN pg_class p ON p.oid = i.inhparent \
        WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v') AND c.relnamespace = current_schema()::regnamespace \
        ORDER BY 1";
    let rows = raw.texts(sql).await;
    rows.iter().map(|row| table(&row.split(' ').collect::<Vec<_>>())).collect()
}

fn table(row: &[&str]) -> Table {
    let &[name, root, has_tenant, enabled, forced, policies] = row else { panic!("{row:?}") };
    let whose = match root {
        "tenants" => Whose::Tenant("id"),
        _ if has_tenant == "t" => Whose::Tenant("tenant_id"),
        root if DEPLOYMENT.contains(&root) => Whose::Deployment,
        root if SHARED.contains(&root) => Whose::Shared,
        root if OPEN.contains(&root) => Whose::Open,
        root => panic!("whose are the rows of {root}? Build its wall, or say here why it needs none"),
    };
    Table { name: name.into(), whose, wall: (enabled == "t", forced == "t", policies.parse().unwrap()) }
}

/// A database with rows of two tenants in every table, and their numbers in it.
async fn two_tenants() -> Option<(Place, Raw, i64, i64)> {
    control_plane_testing::chosen()?;
    let place = Place::new().await;
    let store = place.open().await;
    let mut tenants = Vec::new();
    for n in [1, 2] {
        own_everything(&store, n).await;
        tenants.push(i64::from(World::new(n).tenant.get()));
    }
    let mut raw = Raw::open(&place.url).await;
    // What only comes with the years.
    raw.script("INSERT INTO carried SELECT tenant_id, partner_id, currency, 1 FROM statements").await;
    raw.script("INSERT INTO journal_anchors SELECT stream, 0, head_hash, 0 FROM streams").await;
    Some((place, raw, tenants[0], tenants[1]))
}

async fn scope(raw: &mut Raw, scope: &str) {
    raw.run(&format!("SET tributary.tenant = '{scope}'")).await.unwrap();
}

#[tokio::test]
async fn every_table_has_its_wall() {
    let Some((_place, mut raw, ..)) = two_tenants().await else { return };
    let found = tables(&mut raw).await;
    assert!(found.iter().any(|table| table.name.starts_with("journal_d")), "days are looked at");
    for Table { name, whose, wall } in &found {
        let expected = if *whose == Whose::Open { (false, false, 0) } else { (true, true, 1) };
        assert_eq!(*wall, expected, "row security of {name}: enabled, forced, policies");
    }
    let who = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
    assert_eq!(raw.number(who).await, 0, "the tests' own role is not above all walls");
    // One that runs with its owner's rights could be a door.
    let doors =
        "SELECT proname::text FROM pg_proc WHERE prosecdef AND pronamespace = current_schema()::regnamespace";
    assert_eq!(raw.texts(doors).await, [""; 0]);

    raw.script("CREATE TABLE forgotten (tenant_id BIGINT)").await;
    let found = tables(&mut raw).await;
    let forgotten = found.iter().find(|table| table.name == "forgotten").unwrap();
    assert_eq!((forgotten.whose, forgotten.wall), (Whose::Tenant("tenant_id"), (false, false, 0)));
}

/// The rows of a table by whose they are, as the deployment sees them.
async fn filled(raw: &mut Raw, table: &Table) -> BTreeMap<i64, i64> {
    let Whose::Tenant(column) = table.whose else { return BTreeMap::new() };
    let name = &table.name;
    let sql = format!("SELECT concat(coalesce({column}, 0), ' ', count(*)) FROM {name} GROUP BY {column}");
    let rows = raw.texts(&sql).await;
    let pair =
        |row: &String| row.split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap();
    rows.iter().map(pair).collect()
}

/// An insert of a row like one that is there.
async fn again(raw: &mut Raw, name: &str, condition: &str) -> String {
    let sql = format!("SELECT to_jsonb(t)::text FROM {name} t WHERE {condition} LIMIT 1");
    let row = raw.texts(&sql).await.remove(0).replace('\'', "''");
    format!("INSERT INTO {name} SELECT (jsonb_populate_record(NULL::{name}, '{row}')).*")
}

async fn refused(raw: &mut Raw, sql: &str) {
    let error = raw.run(sql).await.unwrap_err();
    // The trigger that adds up a transaction's entries comes first, and does not see any.
    let no_entries = sql.contains("ledger_transactions") && error.contains("does not balance");
    assert!(error.contains("row-level security") || no_entries, "{sql}: {error}");
}

#[tokio::test]
async fn a_statement_without_its_condition_reaches_nobody_else() {
    let Some((_place, mut raw, mine, theirs)) = two_tenants().await else { return };
    for table in tables(&mut raw).await {
        let Table { name, whose: Whose::Tenant(column), .. } = &table else { continue };
        let rows = filled(&mut raw, &table).await;
        let (own, other) = (rows.get(&mine).copied(), rows.get(&theirs).copied());
        let (Some(own), Some(_)) = (own, other) else {
            // A day that only one of them has, or a table that is not filled: own_everything should do so.
            panic!("{name} has no rows of two tenants to try it on: {rows:?}");
        };
        let insert = again(&mut raw, name, &format!("{column} = {theirs}")).await;

        scope(&mut raw, &mine.to_string()).await;
        assert_eq!(raw.count(name).await, own, "{name} shows more than the tenant's own");
        let at_theirs = format!("WHERE {column} = {theirs}");
        for sql in [
            format!("UPDATE {name} SET {column} = {column} {at_theirs}"),
            format!("DELETE FROM {name} {at_theirs}"),
        ] {
            assert_eq!(raw.run(&sql).await, Ok(0), "{sql}");
        }
        refused(&mut raw, &insert).await;
        // Nor is an own row given away; what is written once says so first.
        let error = raw.run(&format!("UPDATE {name} SET {column} = {theirs}")).await.unwrap_err();
        assert!(error.contains("row-level security") || error.contains("written once"), "{name}: {error}");

        // Nobody's scope, and the one that is left behind by SET LOCAL.
        for none in ["RESET tributary.tenant", "SET tributary.tenant = ''"] {
            raw.run(none).await.unwrap();
            assert_eq!(raw.count(name).await, 0, "{name} is open to nobody in particular");
            refused(&mut raw, &insert).await;
        }
        scope(&mut raw, "-1").await;
        assert_eq!(filled(&mut raw, &table).await, rows, "{name} is as it was");
    }
}

#[tokio::test]
async fn what_is_the_deployments_is_no_tenants() {
    let Some((_place, mut raw, mine, _)) = two_tenants().await else { return };
    for Table { name, whose, .. } in tables(&mut raw).await {
        let seen = match whose {
            Whose::Deployment => 0,
            Whose::Shared => raw.count(&name).await,
            Whose::Tenant(_) | Whose::Open => continue,
        };
        let all = raw.count(&name).await;
        assert!(all > 0, "{name} has no row to try it on");
        let insert = again(&mut raw, &name, "true").await;
        scope(&mut raw, &mine.to_string()).await;
        assert_eq!(raw.count(&name).await, seen, "{name} in a tenant's scope");
        if whose == Whose::Deployment {
            refused(&mut raw, &insert).await;
            assert_eq!(raw.run(&format!("DELETE FROM {name}")).await, Ok(0), "{name}");
        }
        raw.run("RESET tributary.tenant").await.unwrap();
        assert_eq!(raw.count(&name).await, 0, "{name} without a scope");
        refused(&mut raw, &insert).await;
        scope(&mut raw, "-1").await;
        assert_eq!(raw.count(&name).await, all);
    }
    // The deployment's own numbers stand among those of the tenants.
    scope(&mut raw, "0").await;
    assert_eq!(raw.count("sequences").await, 0);
}
