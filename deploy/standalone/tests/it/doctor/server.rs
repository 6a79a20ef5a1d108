//! What a PostgreSQL server does wrong. Each test has one of its own.

use super::books::once_at_work;
use super::start::start_says;
use super::{Diagnosis, run_args};
use crate::harness::{Process, eventually, temp_dir};
use control_plane_testing::{Options, Server, Stop, chosen};

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
    once_at_work(look).await.says_only("database.connections", "warning", "of 35 in use");

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
        (
            "REVOKE UPDATE, DELETE ON streams FROM tributary; REVOKE SELECT ON deployment FROM tributary",
            "GRANT UPDATE, DELETE ON streams TO tributary; GRANT SELECT ON deployment TO tributary",
            "database.tables",
            "UPDATE, DELETE on streams",
        ),
        (
            "ALTER ROLE tributary SET default_transaction_read_only = on",
            "ALTER ROLE tributary RESET default_transaction_read_only",
            "database.writes",
            "is on, by the role",
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

/// Of PostgreSQL alone: each place says how it is put right.
#[tokio::test]
async fn a_server_that_only_reads_is_told_with_the_place_that_says_so() {
    if chosen().is_none() {
        return;
    }
    let mut server = Server::start(Options::default()).expect("a server");
    let (_guard, dir) = temp_dir();
    let dir = dir.join("plane");
    let database = server.create_database();
    let url = database.url.as_str();
    Process::start(&run_args(&dir, Some(url))).await.stop().await;
    let name = &database.name;
    let places = [
        (format!("DATABASE {name}"), format!("off; ALTER DATABASE \"{name}\" RESET")),
        ("ROLE tributary".to_owned(), "ALTER ROLE \"tributary\" RESET".to_owned()),
        (
            format!("ROLE tributary IN DATABASE {name}"),
            format!("ALTER ROLE \"tributary\" IN DATABASE \"{name}\" RESET"),
        ),
    ];
    for (place, fix) in places {
        let set = |what: &str| {
            let sql = format!("ALTER {place} {what}");
            server.superuser_psql("postgres", &sql).expect("it can be done");
        };
        set("SET default_transaction_read_only = on");
        let diagnosis = Diagnosis::of(&dir, Some(url), &[]);
        diagnosis.says_only("database.writes", "wrong", "nothing is written");
        let said = diagnosis.check("database.writes")["fix"].as_str().unwrap_or_default();
        assert!(said.contains(&fix), "{said}");
        start_says(&dir, url, "takes no writes");
        set("RESET default_transaction_read_only");
        Diagnosis::of(&dir, Some(url), &[]).is_well_but_for(&[]);
    }

    for (setting, verdict) in [("on", "wrong"), ("off", "ok")] {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {setting}");
        server.superuser_psql("postgres", &sql).expect("it can be done");
        server.superuser_psql("postgres", "SELECT pg_reload_conf()").expect("it can be done");
        eventually("it is read again", || async {
            let diagnosis = Diagnosis::of(&dir, Some(url), &[]);
            (diagnosis.check("database.writes")["verdict"] == verdict).then_some(())
        })
        .await;
    }

    server.stop(Stop::Fast).expect("it stops");
    std::fs::write(server.directory().join("data/standby.signal"), "").expect("a file");
    server.start_again().expect("as a standby");
    Diagnosis::of(&dir, Some(url), &[]).says_only("database.writes", "wrong", "standby");
    start_says(&dir, url, "takes no writes");
}
