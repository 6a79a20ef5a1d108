//! `tributary doctor` on sound and on damaged installations, and what a person reads when a start fails.

mod books;
mod damage;
mod server;
mod start;

use crate::harness::{Process, database_of, temp_dir};
use control_plane_testing::chosen;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::fs;
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

    /// Past every wall and trigger, as somebody with all rights would. `ZEROS` is the hash before the first one.
    async fn sql(&self, sql: &str) {
        match (&self.database, chosen()) {
            (Some(url), Some(server)) => {
                let name = url.rsplit('/').next().expect("a database");
                server
                    .superuser_psql(name, &sql.replace("ZEROS", "decode(repeat('00', 32), 'hex')"))
                    .expect("it can be done");
            }
            _ => {
                let url = format!("sqlite://{}", self.dir.join("tributary.db").display());
                let mut conn = SqliteConnection::connect(&url).await.expect("it opens");
                let sql = AssertSqlSafe(sql.replace("ZEROS", "zeroblob(32)"));
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
