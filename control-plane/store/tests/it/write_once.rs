//! What the database itself refuses, whoever asks.

use crate::world::{NOW, World, append, edge, lease, run_money};
use control_plane_domain::intake::{Input, OrderEventKind};
use control_plane_store::Store;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

/// A file with every kind of row in it, and a connection of its own to it.
async fn filled() -> (TempDir, Store, SqliteConnection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tributary.db");
    let store = Store::open(&format!("sqlite://{}", path.display()).parse().unwrap()).await.unwrap();
    let world = World::create(&store, 1).await;
    store.publish_rule_set(world.tenant, "{}", None, NOW).await.unwrap();
    let edge = edge(&store, 1).await;
    store.append_batch(&edge.batch(1, 1, [0; 32], 1)).await.unwrap();
    let lease = lease(&store).await;
    append(&store, world.shard(), &world.sale("A-1", 10_000)).await;
    append(&store, world.shard(), &world.order_event("A-1", OrderEventKind::Delivered)).await;
    run_money(&store, &lease).await;
    append(&store, world.settlement(), &Input::ClosePeriod { through: NOW }).await;
    run_money(&store, &lease).await;
    let raw = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    (directory, store, raw)
}

async fn run(raw: &mut SqliteConnection, sql: &str) -> Result<u64, String> {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(raw).await;
    done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
}

async fn count(raw: &mut SqliteConnection, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(raw).await.unwrap()
}

#[tokio::test]
async fn rows_written_once_cannot_be_changed_or_deleted() {
    let (_directory, _store, mut raw) = filled().await;
    for (table, column) in [
        ("journal", "payload"),
        ("intake", "input"),
        ("rule_sets", "body_json"),
        ("terms", "body"),
        ("ledger_transactions", "kind"),
        ("ledger_entries", "minor"),
        ("statements", "closing_minor"),
        ("statement_lines", "credit_id"),
    ] {
        let before = count(&mut raw, table).await;
        assert!(before > 0, "{table} has a row to try it on");
        let changes = [format!("UPDATE {table} SET {column} = {column}"), format!("DELETE FROM {table}")];
        for sql in changes {
            let error = run(&mut raw, &sql).await.unwrap_err();
            assert!(error.contains("written once"), "{sql}: {error}");
        }
        assert_eq!(count(&mut raw, table).await, before);
    }
}

#[tokio::test]
async fn replacing_is_no_way_around() {
    let (_directory, _store, mut raw) = filled().await;
    let tables = [
        "journal",
        "intake",
        "rule_sets",
        "terms",
        "ledger_transactions",
        "ledger_entries",
        "statements",
        "statement_lines",
        "payouts",
        "outbox",
    ];
    for table in tables {
        let before = count(&mut raw, table).await;
        assert!(before > 0, "{table} has a row to try it on");
        let sql = format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1");
        let error = run(&mut raw, &sql).await.unwrap_err();
        assert!(error.contains("written once") || error.contains("posted already"), "{sql}: {error}");
        assert_eq!(count(&mut raw, table).await, before);
        if table != "journal" {
            let rowid = run(&mut raw, &format!("SELECT rowid FROM {table}")).await.unwrap_err();
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
        assert!(run(&mut raw, sql).await.unwrap_err().contains("written once"), "{sql}");
    }
}

#[tokio::test]
async fn a_payout_moves_on_in_status_and_reason_alone() {
    let (_directory, _store, mut raw) = filled().await;
    for sql in [
        "DELETE FROM payouts",
        "DELETE FROM outbox",
        "UPDATE payouts SET amount_minor = amount_minor + 1",
        "UPDATE payouts SET currency = 'EUR'",
        "UPDATE payouts SET partner_id = partner_id + 1",
        "UPDATE OR REPLACE payouts SET id = zeroblob(16)",
    ] {
        let error = run(&mut raw, sql).await.unwrap_err();
        assert!(error.contains("written once"), "{sql}: {error}");
    }
    assert_eq!(run(&mut raw, "UPDATE payouts SET status = 'paid', reason = 'sent'").await.unwrap(), 1);
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
    let (_directory, _store, mut raw) = filled().await;
    let usd = |line, minor| entry(line, minor, "USD");
    let broken_chain = NEXT.replace("subject, hash, zeroblob(32)", "subject, zeroblob(32), zeroblob(32)");
    let gap = NEXT.replace("sequence + 1", "sequence + 2");
    let cases: [(&str, Vec<String>, &str); 8] = [
        ("balances", vec![usd(0, 5), usd(1, -5), NEXT.into()], ""),
        ("no entries", vec![NEXT.into()], "does not balance"),
        ("one entry", vec![usd(0, 5), NEXT.into()], "does not balance"),
        ("off by one", vec![usd(0, 5), usd(1, -4), NEXT.into()], "does not balance"),
        ("two currencies", vec![usd(0, 5), entry(1, -5, "CNY"), NEXT.into()], "does not balance"),
        ("zero entry", vec![usd(0, 0)], "CHECK"),
        ("wrong hash", vec![usd(0, 5), usd(1, -5), broken_chain], "does not continue"),
        ("gap", vec![usd(0, 5), usd(1, -5), gap], "does not continue"),
    ];
    for (what, statements, expected) in cases {
        run(&mut raw, "BEGIN").await.unwrap();
        let mut outcome = Ok(0);
        for sql in &statements {
            outcome = run(&mut raw, sql).await;
            if outcome.is_err() {
                break;
            }
        }
        match outcome {
            Ok(_) => assert_eq!(expected, "", "{what} was taken"),
            Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{what}: {error}"),
        }
        run(&mut raw, "ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn entries_need_a_transaction_and_cannot_join_a_posted_one() {
    let (_directory, _store, mut raw) = filled().await;
    let orphan = run(&mut raw, &entry(0, 5, "USD")).await.unwrap_err();
    assert!(orphan.contains("FOREIGN KEY"), "{orphan}");
    let late = "INSERT INTO ledger_entries (tenant_id, transaction_id, line, account, currency, minor) \
        SELECT tenant_id, transaction_id, 99, account, currency, minor FROM ledger_entries LIMIT 1";
    let error = run(&mut raw, late).await.unwrap_err();
    assert!(error.contains("posted already"), "{error}");
}

#[tokio::test]
async fn an_erased_value_is_overwritten_in_the_file() {
    let (directory, store, mut raw) = filled().await;
    let world = World::new(1);
    let secret = b"a-very-personal-value-203.0.113.7";
    let row = control_plane_store::projection::SidecarRow {
        value: secret.to_vec(),
        ..crate::projection::value(&world, 1, proto_model::event::PersonalClass::Subject, None)
    };
    let key = control_plane_store::projection::CustomerKey {
        tenant: world.tenant,
        customer_id: "ann".into(),
        candidate: control_plane_domain::intake::CustomerRef([1; 16]),
    };
    let customer = store.resolve_customers(&[key]).await.unwrap()[0];
    let row = control_plane_store::projection::SidecarRow { customer: Some(customer), ..row };
    let lease = lease(&store).await;
    let projection = control_plane_store::projection::Projection { sidecar: vec![row], ..Default::default() };
    store.commit_projection(&lease, 1, &projection, NOW).await.unwrap();
    let file = directory.path().join("tributary.db");
    let holds = |bytes: Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
    run(&mut raw, "PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    assert!(holds(std::fs::read(&file).unwrap()), "it was there");
    assert_eq!(store.erase_customer(world.tenant, "ann").await.unwrap().values, 1);
    assert!(!holds(std::fs::read(&file).unwrap()), "and is not any more");
    assert!(!holds(std::fs::read(directory.path().join("tributary.db-wal")).unwrap()), "nor in the log");
}
