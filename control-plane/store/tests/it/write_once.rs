//! What the database itself refuses, whoever asks.

use crate::projection::value;
use crate::raw::{Place, Raw};
use crate::world::{NOW, World, append, edge, lease, run_money};
use control_plane_domain::intake::{CustomerRef, Input, OrderEventKind};
use control_plane_store::Store;
use control_plane_store::projection::{CustomerKey, Projection, SidecarRow, Who};
use proto_model::event::PersonalClass;

/// A database with every kind of row in it, and a connection of its own to it.
async fn filled() -> (Place, Store, Raw) {
    let place = Place::new().await;
    let store = place.open().await;
    let world = World::create(&store, 1).await;
    store.publish_rule_set(world.tenant, "{}", None, NOW).await.unwrap();
    let edge = edge(&store, 1).await;
    store.append_batch(&edge.batch(1, 1, [0; 32], 1)).await.unwrap();
    store.append_gap(&edge.gap(2, 3, 1, 2)).await.unwrap();
    let lease = lease(&store).await;
    append(&store, world.shard(), &world.sale("A-1", 10_000)).await;
    append(&store, world.shard(), &world.order_event("A-1", OrderEventKind::Delivered)).await;
    run_money(&store, &lease).await;
    append(&store, world.settlement(), &Input::ClosePeriod { through: NOW }).await;
    run_money(&store, &lease).await;
    let raw = Raw::open(&place.url).await;
    (place, store, raw)
}

/// Tables that are written once, each with a column and its key.
const UNCHANGING: [(&str, &str, &str); 9] = [
    ("journal", "payload", "seq, received_at"),
    ("stream_gaps", "resume_hash", "stream, first_ordinal"),
    ("intake", "input", "tenant_id, advertiser_id, ordinal"),
    ("rule_sets", "body_json", "tenant_id, version"),
    ("terms", "body", "tenant_id, advertiser_id, offer_id, version"),
    ("ledger_transactions", "kind", "tenant_id, id"),
    ("ledger_entries", "minor", "tenant_id, transaction_id, line"),
    ("statements", "closing_minor", "tenant_id, id"),
    ("statement_lines", "credit_id", "tenant_id, statement_id, line"),
];

/// And those of which some columns move on.
const MOVING: [&str; 2] = ["payouts", "outbox"];

#[tokio::test]
async fn rows_written_once_cannot_be_changed_or_deleted() {
    let (_place, _store, mut raw) = filled().await;
    for (table, column, _) in UNCHANGING {
        let before = raw.count(table).await;
        assert!(before > 0, "{table} has a row to try it on");
        let changes = [format!("UPDATE {table} SET {column} = {column}"), format!("DELETE FROM {table}")];
        for sql in changes {
            let error = raw.run(&sql).await.unwrap_err();
            assert!(error.contains("written once"), "{sql}: {error}");
        }
        assert_eq!(raw.count(table).await, before);
    }
}

#[tokio::test]
async fn replacing_is_no_way_around() {
    let (_place, _store, mut raw) = filled().await;
    // PostgreSQL has no such statement; see the next test.
    if raw.is_postgres() {
        return;
    }
    let tables = UNCHANGING.map(|(table, ..)| table).into_iter().chain(MOVING);
    for table in tables {
        let before = raw.count(table).await;
        assert!(before > 0, "{table} has a row to try it on");
        let sql = format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1");
        let error = raw.run(&sql).await.unwrap_err();
        assert!(error.contains("written once") || error.contains("posted already"), "{sql}: {error}");
        assert_eq!(raw.count(table).await, before);
        if table != "journal" {
            let rowid = raw.run(&format!("SELECT rowid FROM {table}")).await.unwrap_err();
            assert!(rowid.contains("no such column"), "{table} could be replaced by rowid: {rowid}");
        }
    }
    // Another key of the same row, under an id of its own.
    for sql in [
        "INSERT OR REPLACE INTO statements SELECT tenant_id, zeroblob(16), seq + 9, partner_id, currency, \
         through, opening_minor, closing_minor, payout_id, hash, recorded_at FROM statements",
        "INSERT OR REPLACE INTO statement_lines SELECT tenant_id, statement_id, line + 9, credit_id \
         FROM statement_lines",
    ] {
        assert!(raw.run(sql).await.unwrap_err().contains("written once"), "{sql}");
    }
}

/// What else PostgreSQL has to change rows with.
#[tokio::test]
async fn no_other_statement_is_a_way_around() {
    let (_place, _store, mut raw) = filled().await;
    if !raw.is_postgres() {
        return;
    }
    let mut tries = Vec::new();
    for (table, column, key) in UNCHANGING {
        tries.push(format!(
            "INSERT INTO {table} SELECT * FROM {table} LIMIT 1 ON CONFLICT ({key}) \
             DO UPDATE SET {column} = excluded.{column}"
        ));
        tries.push(format!("MERGE INTO {table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE"));
        tries.push(format!("WITH gone AS (DELETE FROM {table} RETURNING *) SELECT count(*) FROM gone"));
    }
    for (table, ..) in UNCHANGING {
        tries.push(format!("TRUNCATE {table} CASCADE"));
    }
    tries.extend(MOVING.map(|table| format!("TRUNCATE {table} CASCADE")));
    // By way of what they refer to.
    tries.push("TRUNCATE tenants CASCADE".to_owned());
    let days = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
        WHERE i.inhparent = 'journal'::regclass";
    let days = raw.texts(days).await;
    assert!(!days.is_empty(), "the journal has a day to try it on");
    for day in days {
        tries.push(format!("UPDATE {day} SET payload = payload"));
        tries.push(format!("UPDATE {day} SET received_at = received_at + 86400000000"));
        tries.push(format!("DELETE FROM {day}"));
        tries.push(format!("TRUNCATE {day}"));
    }
    for sql in tries {
        let error = raw.run(&sql).await.unwrap_err();
        assert!(error.contains("written once") || error.contains("posted already"), "{sql}: {error}");
    }
    let off = raw.run("SET session_replication_role = replica").await.unwrap_err();
    assert!(off.contains("permission denied"), "{off}");
}

#[tokio::test]
async fn a_payout_moves_on_in_status_and_reason_alone() {
    let (_place, _store, mut raw) = filled().await;
    for sql in [
        "DELETE FROM payouts",
        "DELETE FROM outbox",
        "UPDATE payouts SET amount_minor = amount_minor + 1",
        "UPDATE payouts SET currency = 'EUR'",
        "UPDATE payouts SET partner_id = partner_id + 1",
        "UPDATE payouts SET id = zeroblob(16)",
        "UPDATE OR REPLACE payouts SET id = zeroblob(16)",
    ] {
        if sql.contains("OR REPLACE") && raw.is_postgres() {
            continue;
        }
        let error = raw.run(sql).await.unwrap_err();
        assert!(error.contains("written once"), "{sql}: {error}");
    }
    assert_eq!(raw.run("UPDATE payouts SET status = 'paid', reason = 'sent'").await.unwrap(), 1);
}

/// A transaction like the last one of some shard, with another id, and the next sequence.
const NEXT: &str = "INSERT INTO ledger_transactions (tenant_id, id, seq, advertiser_id, sequence, \
    kind, currency, posted_at, intake_ordinal, subject, prev_hash, hash) \
    SELECT tenant_id, zeroblob(16), seq + 100, advertiser_id, sequence + 1, kind, currency, posted_at, \
    intake_ordinal, subject, hash, zeroblob(32) FROM ledger_transactions \
    ORDER BY advertiser_id, sequence DESC LIMIT 1";

fn entry(line: i64, minor: i64, currency: &str) -> String {
    format!(
        "INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, minor) \
         SELECT id, zeroblob(16), {line}, 'clearing', '{currency}', {minor} FROM tenants"
    )
}

#[tokio::test]
async fn a_transaction_must_balance_and_continue_the_chain() {
    let (_place, _store, mut raw) = filled().await;
    let usd = |line, minor| entry(line, minor, "USD");
    let broken_chain = NEXT.replace("subject, hash, zeroblob(32)", "subject, zeroblob(32), zeroblob(32)");
    let gap = NEXT.replace("sequence + 1", "sequence + 2");
    let cases: [(&str, Vec<String>, &str); 8] = [
        ("balances", vec![usd(0, 5), usd(1, -5), NEXT.into()], ""),
        ("no entries", vec![NEXT.into()], "does not balance"),
        ("one entry", vec![usd(0, 5), NEXT.into()], "does not balance"),
        ("off by one", vec![usd(0, 5), usd(1, -4), NEXT.into()], "does not balance"),
        ("two currencies", vec![usd(0, 5), entry(1, -5, "CNY"), NEXT.into()], "does not balance"),
        ("zero entry", vec![usd(0, 0)], "check"),
        ("wrong hash", vec![usd(0, 5), usd(1, -5), broken_chain], "does not continue"),
        ("gap", vec![usd(0, 5), usd(1, -5), gap], "does not continue"),
    ];
    for (what, statements, expected) in cases {
        raw.run("BEGIN").await.unwrap();
        let mut outcome = Ok(0);
        for sql in &statements {
            outcome = raw.run(sql).await;
            if outcome.is_err() {
                break;
            }
        }
        match outcome {
            Ok(_) => assert_eq!(expected, "", "{what} was taken"),
            Err(error) => {
                assert!(!expected.is_empty() && error.to_lowercase().contains(expected), "{what}: {error}");
            }
        }
        raw.run("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn entries_need_a_transaction_and_cannot_join_a_posted_one() {
    let (_place, _store, mut raw) = filled().await;
    let orphan = raw.run(&entry(0, 5, "USD")).await.unwrap_err();
    assert!(orphan.to_lowercase().contains("foreign key"), "{orphan}");
    let late = "INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, minor) \
        SELECT tenant_id, transaction_id, 99, account, currency, minor FROM ledger_entries LIMIT 1";
    let error = raw.run(late).await.unwrap_err();
    assert!(error.contains("posted already"), "{error}");
}

/// The files of SQLite that hold these bytes; of PostgreSQL, where vacuum is what overwrites, the tables.
async fn holders(raw: &mut Raw, place: &Place, secret: &[u8]) -> Vec<String> {
    if !raw.is_postgres() {
        raw.script("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let files = ["tributary.db", "tributary.db-wal"].map(|name| place.directory.path().join(name));
        let holds = |bytes: Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
        let holding = files.into_iter().filter(|file| holds(std::fs::read(file).unwrap()));
        return holding.map(|file| file.display().to_string()).collect();
    }
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = std::str::from_utf8(secret).unwrap();
    const TABLES: &str = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let mut holding = Vec::new();
    for table in raw.texts(TABLES).await {
        let sql =
            format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%{hex}%' OR t::text LIKE '%{text}%'");
        if raw.number(&sql).await > 0 {
            holding.push(table);
        }
    }
    holding
}

#[tokio::test]
async fn an_erased_value_is_overwritten() {
    let (place, store, mut raw) = filled().await;
    let world = World::new(1);
    let secret = b"a-very-personal-value-203.0.113.7";
    let key = CustomerKey {
        tenant: world.tenant,
        who: Who::Customer("ann".into()),
        candidate: CustomerRef([1; 16]),
    };
    let customer =
        store.resolve_customers(&[key]).await.unwrap()[&(world.tenant, Who::Customer("ann".into()))];
    // One by itself, one among others: so little is not compressed.
    let packed = b"another-personal-value-2001:db8::7";
    let row = |value: &[u8], class, customer| SidecarRow {
        value: value.to_vec(),
        ..crate::projection::value(&world, 1, class, customer)
    };
    let sidecar = vec![
        row(secret, PersonalClass::Subject, Some(customer)),
        row(packed, PersonalClass::Network, None),
        value(&world, 2, PersonalClass::Network, None),
    ];
    let lease = lease(&store).await;
    let projection = Projection { sidecar, ..Projection::default() };
    store.commit_projection(&lease, 1, &projection, NOW).await.unwrap();
    for value in [&secret[..], packed] {
        assert_eq!(holders(&mut raw, &place, value).await.len(), 1, "it was there");
    }
    assert_eq!(store.erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap().values, 2);
    for value in [&secret[..], packed] {
        assert_eq!(holders(&mut raw, &place, value).await, [""; 0], "and is not any more");
    }
}
