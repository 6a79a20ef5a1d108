//! What a person reads when there is no way into the database, and when a start fails.

use super::{Diagnosis, PASSWORD, path, run_args, tributary};
use crate::harness::temp_dir;
use control_plane_testing::{Options, Server, Tls, chosen};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

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
pub fn start_says(dir: &Path, url: &str, words: &str) {
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
        (format!("postgres://me:{PASSWORD}#1@h/t"), "URL cannot be read"),
        (format!("postgres://me:{PASSWORD}?1@h/t"), "URL cannot be read"),
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
