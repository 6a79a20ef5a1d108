//! `tributary doctor` on sound and on damaged installations, and what a person reads when a start fails.

mod books;

use crate::harness::{Process, database_of, temp_dir};
use control_plane_testing::{Options, Server, Tls, chosen};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// What depends on the machine that the tests run on.
const OF_THE_MACHINE: [&str; 4] = ["disk.kind", "disk.space", "disk.sync", "clock.ntp"];
/// The test server is careless of a power cut, and tests leave a control plane stopped.
const OF_THE_TEST: [&str; 3] = ["database.settings", "nodes", "edges"];
const PASSWORD: &str = "hunter2-is-secret";

fn tributary(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(args).env_remove("TRIBUTARY_LOG").env_remove("TRIBUTARY_DATABASE");
    command.output().expect("the binary starts")
}

fn path(dir: &Path) -> &str {
    dir.to_str().expect("a UTF-8 path")
}

struct Diagnosis {
    checks: Vec<Value>,
    code: Option<i32>,
}

impl Diagnosis {
    fn of(dir: &Path, database: Option<&str>, more: &[&str]) -> Self {
        let mut args = vec!["doctor", "--output", "json", "--data-dir", path(dir)];
        args.extend(database.iter().flat_map(|url| ["--database", *url]));
        args.extend(more);
        let output = tributary(&args);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(!text.contains(PASSWORD), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Self { checks: report["checks"].as_array().expect("a list").clone(), code: output.status.code() }
    }

    #[track_caller]
    fn check(&self, name: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("no check {name} in {:?}", self.checks))
    }

    /// This one is as expected and has a fix; all others are well.
    #[track_caller]
    fn says_only(&self, name: &str, verdict: &str, words: &str) {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check}");
        assert!(check["found"].as_str().is_some_and(|found| found.contains(words)), "{check}");
        assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{check}");
        self.is_well_but_for(&[name]);
    }

    #[track_caller]
    fn is_well_but_for(&self, names: &[&str]) {
        for check in &self.checks {
            let name = check["check"].as_str().expect("a name");
            let aside =
                names.contains(&name) || OF_THE_MACHINE.contains(&name) || OF_THE_TEST.contains(&name);
            assert!(aside || ["ok", "skipped"].iter().any(|word| check["verdict"] == *word), "{check}");
        }
        let worst = |word: &str| self.checks.iter().any(|check| check["verdict"] == word);
        let code = if worst("wrong") {
            1
        } else if worst("warning") {
            2
        } else {
            0
        };
        assert_eq!(self.code, Some(code));
    }
}

fn run_args<'a>(dir: &'a Path, database: Option<&'a str>) -> Vec<&'a str> {
    let mut args = vec!["control-plane", "run", "--output", "json", "--data-dir", path(dir)];
    args.extend(["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    args.extend(database.iter().flat_map(|url| ["--database", *url]));
    args
}

/// A data directory whose control plane ran once.
struct Installation {
    _guard: tempfile::TempDir,
    dir: std::path::PathBuf,
    database: Option<String>,
}

impl Installation {
    async fn new() -> Self {
        let (guard, dir) = temp_dir();
        let dir = dir.join("plane");
        let database = database_of(&dir);
        let this = Self { _guard: guard, dir, database };
        Process::start(&run_args(&this.dir, this.database.as_deref())).await.stop().await;
        this
    }

    fn diagnose(&self, more: &[&str]) -> Diagnosis {
        Diagnosis::of(&self.dir, self.database.as_deref(), more)
    }

    /// Past every wall and trigger, as somebody with all rights would.
    async fn sql(&self, sql: &'static str) {
        match (&self.database, chosen()) {
            (Some(url), Some(server)) => {
                let name = url.rsplit('/').next().expect("a database");
                server.superuser_psql(name, sql).expect("it can be done");
            }
            _ => {
                let url = format!("sqlite://{}", self.dir.join("tributary.db").display());
                let mut conn = SqliteConnection::connect(&url).await.expect("it opens");
                sqlx::raw_sql(sql).execute(&mut conn).await.expect("it can be done");
                conn.close().await.expect("it closes");
            }
        }
    }
}

#[tokio::test]
async fn a_sound_installation_is_well_while_it_runs_and_after() {
    let installation = Installation::new().await;
    let args = run_args(&installation.dir, installation.database.as_deref());
    let running = Process::start(&args).await;
    books::once_at_work(|| installation.diagnose(&["--thorough"])).await.is_well_but_for(&[]);
    running.stop().await;

    let diagnosis = installation.diagnose(&["--thorough"]);
    diagnosis.is_well_but_for(&[]);
    assert_eq!(diagnosis.check("nodes")["verdict"], "warning");
    let left = fs::read_dir(&installation.dir).expect("it is there").filter_map(Result::ok);
    let mut left = left.filter(|entry| entry.file_name().to_string_lossy().contains("doctor"));
    assert!(left.next().is_none(), "the disk check removes its file");

    let args = ["doctor", "--data-dir", path(&installation.dir)];
    let table = tributary(&[&args[..], &["--database", "sqlite:///nowhere/x.db"]].concat());
    let text = String::from_utf8(table.stdout).expect("UTF-8");
    assert_eq!(table.status.code(), Some(1));
    assert_eq!(text.lines().count(), diagnosis.checks.len(), "one line a check");
}

/// SQL that does the damage; the check that must tell, its verdict, and a word of what it says.
const DAMAGE: [(&str, &str, &str, &str); 12] = [
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
    let harms: [(Harm, &str, &str, &str); 4] = [
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
    fs::remove_file(installation.dir.join("tributary.db")).expect("it is ours");
    installation.diagnose(&[]).says_only("database", "wrong", "there is no file");
}

/// The same words by `doctor` and by a start, and never the password.
#[track_caller]
fn both_say(dir: &Path, url: &str, words: &str) {
    let diagnosis = Diagnosis::of(dir, Some(url), &[]);
    let check = diagnosis.check("database");
    assert_eq!((&check["verdict"], diagnosis.code), (&Value::from("wrong"), Some(1)), "{check}");
    assert!(check["found"].as_str().is_some_and(|found| found.contains(words)), "{check}");
    assert!(check["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{check}");
    start_says(dir, url, words);
}

#[track_caller]
fn start_says(dir: &Path, url: &str, words: &str) {
    let output = tributary(&run_args(dir, Some(url)));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!output.status.success(), "{url}");
    assert!(said.contains(words), "{url}: {said}");
    assert!(!said.contains(PASSWORD), "{said}");
    assert!(!said.contains("RUST_BACKTRACE") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_url_that_names_no_database_is_refused_without_being_repeated() {
    let (_guard, dir) = temp_dir();
    let url = format!("mysql://me:{PASSWORD}@db/t");
    let ways: [&[&str]; 3] = [&["doctor"], &["control-plane", "run"], &["up"]];
    for way in ways {
        let output = tributary(&[way, &["--data-dir", path(&dir), "--database", &url]].concat());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--database: a database is named by") && !said.contains(PASSWORD), "{said}");
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_told_apart() {
    let (_guard, dir) = temp_dir();
    let dir = dir.join("plane");
    fs::create_dir(&dir).expect("a directory");
    let cases = [
        (format!("postgres://me:{PASSWORD}@127.0.0.1:1/t"), "nothing listens there"),
        (format!("postgres://me:{PASSWORD}@no-such-host.invalid/t"), "no such host"),
        (format!("postgres://me:{PASSWORD}@h:notaport/t"), "URL cannot be read"),
    ];
    for (url, words) in cases {
        both_say(&dir, &url, words);
    }
    start_says(&dir, "sqlite:///nonexistent/dir/x.db", "cannot be opened or made");
    fs::write(dir.join("x.db"), vec![7; 8192]).expect("it is ours");
    both_say(&dir, &format!("sqlite://{}", dir.join("x.db").display()), "not a SQLite database");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let output = tributary(&["control-plane", "run", "--data-dir", "/sys/tributary"]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!output.status.success() && said.contains("/sys/tributary: check that it belongs"), "{said}");
}

/// Of PostgreSQL alone: who is let in, and how far.
#[test]
fn a_server_that_lets_nobody_in_is_told_apart() {
    let Some(server) = chosen() else { return };
    let (_guard, dir) = temp_dir();
    let dir = dir.join("plane");
    fs::create_dir(&dir).expect("a directory");
    let database = server.create_database();
    let (name, port) = (&database.name, server.port());
    let role = format!("stranger_{name}");
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"
    );
    server.superuser_psql("postgres", &sql).expect("it can be done");
    let url = |user: &str, database: &str, more: &str| {
        format!("postgres://{user}:{PASSWORD}@127.0.0.1:{port}/{database}{more}")
    };
    both_say(&dir, &url("tributary", name, ""), "password is wrong");
    both_say(&dir, &url("nobody_at_all", name, ""), "password is wrong");
    both_say(&dir, &url(&role, "no_such_database", ""), "no such database");
    both_say(&dir, &url(&role, name, ""), "may not connect");
    both_say(&dir, &url(&role, name, "?sslmode=require"), "does not speak TLS");

    let sql = format!("GRANT CONNECT ON DATABASE {name} TO {role}");
    server.superuser_psql("postgres", &sql).expect("it can be done");
    start_says(&dir, &url(&role, name, ""), "may not make tables");
    let diagnosis = Diagnosis::of(&dir, Some(&url(&role, name, "")), &[]);
    assert_eq!(diagnosis.check("database.tables")["verdict"], "wrong", "{:?}", diagnosis.checks);
    assert_eq!(diagnosis.check("schema")["verdict"], "warning", "{:?}", diagnosis.checks);
}

/// Of PostgreSQL alone: a certificate that nobody has signed, and no way in without it.
#[test]
fn a_server_that_is_not_trusted_is_told_from_one_that_wants_tls() {
    if chosen().is_none() {
        return;
    }
    let shown = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let tls = Tls { certificate: shown.cert.pem(), key: shown.signing_key.serialize_pem(), required: true };
    let server = Server::start(Options { tls: Some(tls), ..Options::default() }).expect("a server");
    let (_guard, dir) = temp_dir();
    let dir = dir.join("plane");
    fs::create_dir(&dir).expect("a directory");
    let root = dir.join("root.pem");
    fs::write(&root, shown.cert.pem()).expect("it is ours");
    let url = server.create_database().url;
    both_say(&dir, &format!("{url}?sslmode=disable"), "without TLS");
    both_say(&dir, &format!("{url}?sslmode=verify-full"), "certificate is not trusted");
    let by_number = format!("{url}?sslmode=verify-full&sslrootcert={}", root.display());
    both_say(&dir, &by_number, "for another name");

    let verified = by_number.replace("127.0.0.1", "localhost");
    let diagnosis = Diagnosis::of(&dir, Some(&verified), &[]);
    assert_eq!(diagnosis.check("database.tls")["found"], "the connection is encrypted");
}

/// Of PostgreSQL alone: a server of the test's own, with all it can do wrong.
#[tokio::test]
async fn what_a_server_does_wrong_is_told_with_its_fix() {
    if chosen().is_none() {
        return;
    }
    let settings = [("fsync", "on"), ("full_page_writes", "on"), ("max_connections", "38")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Server::start(Options { settings, ..Options::default() }).expect("a server");
    let (_guard, dir) = temp_dir();
    let dir = dir.join("plane");
    let database = server.create_database();
    let url = database.url.as_str();
    let running = Process::start(&run_args(&dir, Some(url))).await;
    let superuser = |sql: &str| server.superuser_psql(&database.name, sql).expect("it can be done");
    let look = || Diagnosis::of(&dir, Some(url), &[]);
    assert_eq!(look().check("database.settings")["verdict"], "ok", "{:?}", look().checks);
    books::once_at_work(look).await.says_only("database.connections", "warning", "of 35 in use");

    let cases = [
        ("ALTER ROLE tributary BYPASSRLS", "ALTER ROLE tributary NOBYPASSRLS", "database.role", "BYPASSRLS"),
        (
            "ALTER ROLE tributary SUPERUSER",
            "ALTER ROLE tributary NOSUPERUSER",
            "database.role",
            "a superuser",
        ),
        (
            "ALTER TABLE orders OWNER TO postgres; GRANT ALL ON orders TO tributary",
            "ALTER TABLE orders OWNER TO tributary",
            "database.tables",
            "does not own orders",
        ),
        (
            "ALTER TABLE orders NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE orders FORCE ROW LEVEL SECURITY",
            "database.walls",
            "orders",
        ),
        (
            "ALTER ROLE tributary SET synchronous_commit = off",
            "ALTER ROLE tributary RESET synchronous_commit",
            "database.settings",
            "synchronous_commit off",
        ),
    ];
    for (harm, mend, check, words) in cases {
        superuser(harm);
        let found = look();
        let found = found.check(check);
        assert_ne!(found["verdict"], "ok", "{found}");
        assert!(found["found"].as_str().is_some_and(|found| found.contains(words)), "{found}");
        superuser(mend);
        assert_eq!(look().check(check)["verdict"], "ok", "{check}");
    }
    running.stop().await;
}

/// Small disks, where this user may make them: full at the first file of the database, and at its tables.
#[test]
fn a_full_disk_is_named() {
    for size in ["size=16k", "size=64k"] {
        let (_guard, dir) = temp_dir();
        let mount = ["-t", "tmpfs", "-o", size, "tributary-test", path(&dir)];
        if !Command::new("mount").args(mount).output().is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED a_full_disk_is_named: this user may not mount a small disk");
            return;
        }
        let output = tributary(&run_args(&dir, None));
        let diagnosis = Diagnosis::of(&dir, Some("sqlite:///nowhere/x.db"), &[]);
        let _ = Command::new("umount").arg(&dir).status();
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(!output.status.success() && said.contains("space"), "{said}");
        assert_eq!(diagnosis.check("disk.kind")["verdict"], "wrong");
        assert_eq!(diagnosis.check("disk.space")["verdict"], "wrong");
    }
}
