//! What the shared server gives to a test.

use crate::until;
use control_plane_testing::server;

const NOTES: &str = "CREATE TABLE notes (text TEXT NOT NULL); INSERT INTO notes VALUES ('é 一')";
const COUNT: &str = "SELECT count(*) FROM notes";

#[test]
fn a_new_database_is_empty_and_its_owners() {
    let (one, other) = (server().create_database(), server().create_database());
    assert_ne!(one.name, other.name);
    server().psql(&one.url, NOTES).unwrap();
    assert_eq!(server().psql(&one.url, "SELECT text FROM notes").unwrap(), "é 一");
    let absent = server().psql(&other.url, COUNT).unwrap_err().to_string();
    assert!(absent.contains("relation \"notes\" does not exist"), "{absent}");
    let encoding = "SHOW server_encoding; SHOW synchronous_commit; SELECT current_user";
    assert_eq!(server().psql(&one.url, encoding).unwrap(), "UTF8\non\ntributary");
}

#[test]
fn clones_have_what_the_template_has_and_part_ways() {
    let template = server().create_database();
    server().psql(&template.url, NOTES).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let clone = server().clone_database(&template.name);
                server().psql(&clone.url, "INSERT INTO notes VALUES ('more')").unwrap();
                assert_eq!(server().psql(&clone.url, COUNT).unwrap(), "2");
                server().psql(&clone.url, "DROP TABLE notes").unwrap();
            });
        }
    });
    assert_eq!(server().psql(&template.url, COUNT).unwrap(), "1");
}

#[test]
fn a_template_that_is_briefly_in_use_is_waited_for() {
    let template = server().create_database();
    let sessions = format!("FROM pg_stat_activity WHERE datname = '{}'", template.name);
    let superuser = |what: &str| server().superuser_psql("postgres", &format!("{what} {sessions}")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| server().psql(&template.url, "SELECT pg_sleep(600)").expect_err("it is ended"));
        until(|| superuser("SELECT count(*)") == "1", "somebody is connected");
        scope.spawn(|| server().clone_database(&template.name));
        let refusal = format!("source database \"{}\" is being accessed by other users", template.name);
        let log = server().directory().join("log");
        until(|| std::fs::read_to_string(&log).unwrap().contains(&refusal), "PostgreSQL refuses once");
        superuser("SELECT pg_terminate_backend(pid)");
    });
}

#[test]
fn the_role_of_the_tests_may_little() {
    let database = server().create_database();
    let cases = [
        ("CREATE ROLE another", "permission denied to create role"),
        ("CREATE DATABASE another", "permission denied to create database"),
        ("SET ROLE postgres", "permission denied to set role"),
        ("COPY (SELECT 1) TO '/tmp/x'", "to COPY to a file"),
    ];
    for (sql, expected) in cases {
        let refused = server().psql(&database.url, sql).unwrap_err().to_string();
        assert!(refused.contains(expected), "{sql}: {refused}");
    }
    let flags = "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user";
    assert_eq!(server().psql(&database.url, flags).unwrap(), "f|f");
}

#[test]
fn over_tcp_only_the_right_password_gets_in() {
    let right = server().create_database().url;
    let password = right.split([':', '@']).nth(2).unwrap();
    let cases = [
        (right.replace(password, "wrong"), "password authentication failed for user \"tributary\""),
        (right.replace("tributary:", "postgres:"), "password authentication failed for user \"postgres\""),
        (right.replace(&format!(":{password}"), ""), "no password supplied"),
    ];
    for (url, expected) in cases {
        let refused = server().psql(&url, "SELECT 1").unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    assert_eq!(server().superuser_psql("postgres", "SELECT current_user").unwrap(), "postgres");
    assert!(!format!("{:?}", server()).contains(password));
}
