//! Installations that were damaged: in the database, and in files.

use super::{Installation, run_args, tributary};
use control_plane_testing::chosen;
use geoip::testing::Layout;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// SQL that does the damage; the check that must tell, its verdict, and a word of what it says.
const DAMAGE: [(&str, &str, &str, &str); 14] = [
    ("UPDATE _sqlx_migrations SET success = false WHERE version = 8", "schema", "wrong", "half-way"),
    (
        "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 2) \
         WHERE version = 3",
        "schema",
        "wrong",
        "another build",
    ),
    (
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        "schema",
        "warning",
        "newer Tributary",
    ),
    (
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1; \
         UPDATE schema_floor SET oldest = 9999",
        "schema",
        "wrong",
        "9999",
    ),
    (
        "UPDATE deployment SET authority_sha256 = (SELECT substr(checksum, 1, 32) FROM _sqlx_migrations \
         WHERE version = 1)",
        "keys.owner",
        "wrong",
        "other keys",
    ),
    (
        "UPDATE deployment SET frozen_at = 1, frozen_reason = 'restored from a backup'",
        "payouts",
        "warning",
        "restored from a backup",
    ),
    ("UPDATE journal_head SET seq = 5; UPDATE journal_checkpoints SET seq = 5", "journal", "wrong", "of 5"),
    (
        "INSERT INTO tenants (id, seq, name, created_at) VALUES (7, 1, 'x', 1); \
         INSERT INTO carried (tenant_id, partner_id, currency, minor) VALUES (7, 7, 'USD', -500)",
        "statements",
        "wrong",
        "USD",
    ),
    (
        "INSERT INTO tenants (id, seq, name, created_at) VALUES (7, 1, 'x', 1); \
         INSERT INTO statements (tenant_id, id, seq, partner_id, currency, through, opening_minor, \
             closing_minor, hash, recorded_at) \
         SELECT 7, substr(checksum, 1, 16), 1, 7, 'EUR', 1, 0, 100, substr(checksum, 1, 32), 1 \
         FROM _sqlx_migrations WHERE version = 1",
        "statements",
        "wrong",
        "does not add up",
    ),
    (
        "INSERT INTO tenants (id, seq, name, created_at) VALUES (7, 1, 'x', 1); \
         INSERT INTO intake_heads (tenant_id, advertiser_id) VALUES (7, 0); \
         INSERT INTO money_checkpoints (tenant_id, advertiser_id, ledger_sequence, ledger_hash) \
         SELECT 7, 0, 3, substr(checksum, 1, 32) FROM _sqlx_migrations WHERE version = 1",
        "ledger",
        "wrong",
        "the money engine stands at 3",
    ),
    (
        "INSERT INTO tenants (id, seq, name, created_at) VALUES (7, 1, 'x', 1); \
         INSERT INTO intake_heads (tenant_id, advertiser_id, head) VALUES (7, 9, 1); \
         INSERT INTO money_checkpoints (tenant_id, advertiser_id, ledger_hash) VALUES (7, 9, ZEROS); \
         INSERT INTO intake (tenant_id, advertiser_id, ordinal, recorded_at, kind, subject, input) \
         VALUES (7, 9, 1, 1, 'close_period', '', '{\"kind\":\"close_period\",\"through\":1}')",
        "money",
        "warning",
        "stands still: intake item 1 cannot be applied",
    ),
    (
        "INSERT INTO edges (id, seq, name, batch_public_key, certificate_serial, version, created_at) \
         SELECT 9, 1, 'fra-1', substr(checksum, 1, 32), '1', '1', 1 FROM _sqlx_migrations WHERE version = 1; \
         INSERT INTO edge_epochs (edge_id, epoch, reason, opened_at) VALUES (9, 1, 'new', 1); \
         INSERT INTO streams (stream, edge_id, epoch, lane, head_hash, status, reason) \
         SELECT 5, 9, 1, 1, substr(checksum, 1, 32), 'quarantined', 'two histories' FROM _sqlx_migrations \
         WHERE version = 1",
        "streams",
        "warning",
        "two histories",
    ),
    (
        "INSERT INTO alerts (seq, kind, subject, detail, count, first_at, last_at) \
         VALUES (1, 'clock_skew', 'fra-1', 'an hour', 3, 1, 2)",
        "alerts",
        "warning",
        "1 open: 1 clock_skew",
    ),
    (
        "INSERT INTO edges (id, seq, name, batch_public_key, certificate_serial, version, created_at) \
         SELECT 9, 1, 'fra-1', substr(checksum, 1, 32), '1', '1', 1 FROM _sqlx_migrations WHERE version = 1",
        "edges",
        "warning",
        "fra-1",
    ),
];

#[tokio::test]
async fn what_is_wrong_in_the_database_is_told_with_its_fix() {
    for (sql, check, verdict, words) in DAMAGE {
        let installation = Installation::new().await;
        installation.sql(sql).await;
        installation.diagnose(&[]).says_only(check, verdict, words);
    }
}

/// A close that nothing stands in the way of, recorded long ago, while somebody says that he is at work.
const BEHIND: &str = "INSERT INTO tenants (id, seq, name, created_at) VALUES (7, 1, 'x', 1); \
    INSERT INTO intake_heads (tenant_id, advertiser_id, head) VALUES (7, 0, 1); \
    INSERT INTO money_checkpoints (tenant_id, advertiser_id, ledger_hash) VALUES (7, 0, ZEROS); \
    INSERT INTO intake (tenant_id, advertiser_id, ordinal, recorded_at, kind, subject, input) \
    VALUES (7, 0, 1, 1, 'close_period', '', '{\"kind\":\"close_period\",\"through\":1}'); \
    UPDATE leases SET holder = 'hangs', expires_at = 9000000000000000";

#[tokio::test]
async fn a_money_engine_that_is_only_behind_or_waits_for_the_freeze_is_told_from_one_that_stands_still() {
    let installation = Installation::new().await;
    installation.sql(BEHIND).await;
    installation.diagnose(&[]).says_only("money", "warning", "nothing stands in its way, it is behind");

    installation.sql("UPDATE deployment SET frozen_at = 1, frozen_reason = 'restored'").await;
    let diagnosis = installation.diagnose(&[]);
    diagnosis.says_only("payouts", "warning", "restored");
    let found = diagnosis.check("money")["found"].as_str().unwrap_or_default();
    assert!(found.contains("1 shards go on when payouts are no longer frozen"), "{found}");
}

#[tokio::test]
async fn a_program_that_is_too_old_for_the_schema_says_so_and_leaves_it_alone() {
    let installation = Installation::new().await;
    let newer = DAMAGE.iter().find(|(sql, ..)| sql.contains("oldest = 9999")).expect("one of them");
    installation.sql(newer.0).await;
    let args = run_args(&installation.dir, installation.database.as_deref());
    let output = tributary(&args);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("schema 9999") && said.contains("run a newer Tributary"), "{said}");
    installation.diagnose(&[]).says_only(newer.1, newer.2, newer.3);
}

#[tokio::test]
async fn what_is_wrong_with_files_is_told_with_its_fix() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str, &str, &str); 6] = [
        (|dir| old_database(&dir.join("geo")), "geo", "warning", "days old"),
        (|dir| put(&dir.join("geo"), b"half a database"), "geo", "wrong", "MaxMind"),
        (|dir| chmod(&dir.join("keys/ca.pk8"), 0o644), "keys", "wrong", "ca.pk8"),
        (|dir| fs::remove_file(dir.join("keys/control.pk8")).expect("it is there"), "keys", "wrong", "lacks"),
        (|dir| chmod(&dir.join("keys/ca.der"), 0o640), "keys", "wrong", "ca.der"),
        (
            |dir| fs::rename(dir.join("keys"), dir.join("keys-elsewhere")).expect("it is there"),
            "keys.owner",
            "wrong",
            "holds no keys",
        ),
    ];
    for (harm, check, verdict, words) in harms {
        let installation = Installation::new().await;
        harm(&installation.dir);
        installation.diagnose(&[]).says_only(check, verdict, words);
    }
}

fn put(dir: &Path, database: &[u8]) {
    fs::create_dir_all(dir).expect("it can be made");
    fs::write(dir.join("places.mmdb"), database).expect("it can be written");
}

fn old_database(dir: &Path) {
    put(dir, &geoip::testing::mmdb_bytes(Layout::default(), &[("203.0.113.0/24", "CN")]).expect("it fits"));
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// Of the embedded database alone.
#[tokio::test]
async fn what_is_wrong_with_the_database_file_is_told_with_its_fix() {
    if chosen().is_some() {
        return;
    }
    let installation = Installation::new().await;
    chmod(&installation.dir, 0o755);
    installation.diagnose(&[]).says_only("database.file", "warning", "every user");
    chmod(&installation.dir, 0o700);
    installation.sql("PRAGMA journal_mode = DELETE").await;
    installation.diagnose(&[]).says_only("database.file", "wrong", "journal mode delete");

    fs::write(installation.dir.join("tributary.db"), vec![7; 8192]).expect("it is ours");
    installation.diagnose(&[]).says_only("database", "wrong", "not a SQLite database");
    let file = installation.dir.join("tributary.db");
    fs::write(&file, b"").expect("it is ours");
    installation.diagnose(&[]).says_only("database", "wrong", "nothing in it");
    fs::remove_file(&file).expect("it is ours");
    let says = |words: &str, fix: &str| {
        let diagnosis = installation.diagnose(&[]);
        diagnosis.says_only("database", "wrong", words);
        let told = diagnosis.check("database")["fix"].as_str().expect("a fix");
        assert!(told.contains(fix), "{told}");
    };
    says("there is no file", "belong to a database: put it back");
    fs::write(installation.dir.join("tributary.db.restoring"), b"not yet").expect("it is ours");
    says("there is no file", "interrupted");
    // As `up` leaves it when it was tried there by mistake.
    fs::create_dir(installation.dir.join("control-plane")).expect("it is ours");
    says("there is no file", "interrupted");
}
