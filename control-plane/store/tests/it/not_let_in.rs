//! A server that is there and lets this process in no more: it is told why, and the server is asked once.

use crate::faults::{private, recovers};
use crate::world::World;
use control_plane_store::{DatabaseUrl, Store, StoreError};
use control_plane_testing::{Options, Server};

const ENDED: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE application_name = 'tributary'";

fn refusals(server: &Server) -> usize {
    std::fs::read_to_string(server.directory().join("log")).unwrap().matches("FATAL:").count()
}

#[tokio::test]
async fn who_is_not_let_in_any_more_is_told_why_and_let_in_again() {
    let Some((server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let DatabaseUrl::Postgres(text) = &url else { unreachable!() };
    let (base, name) = text.rsplit_once('/').unwrap();
    let password = base.split(['/', ':', '@']).nth(4).unwrap();
    let cases = [
        (
            "ALTER ROLE tributary PASSWORD 'another'".to_owned(),
            format!("ALTER ROLE tributary PASSWORD '{password}'"),
            "the password is wrong",
        ),
        (
            "ALTER ROLE tributary NOLOGIN".to_owned(),
            "ALTER ROLE tributary LOGIN".to_owned(),
            "may not log in",
        ),
        (
            format!("ALTER DATABASE {name} RENAME TO away"),
            format!("ALTER DATABASE away RENAME TO {name}"),
            "no such database",
        ),
        (
            format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC, tributary"),
            format!("GRANT CONNECT ON DATABASE {name} TO PUBLIC, tributary"),
            "may not connect",
        ),
    ];
    for (out, back, why) in cases {
        // Whoever listens comes again by himself, and a database in use keeps its name.
        while server.superuser_psql("postgres", &out).is_err() {
            server.superuser_psql("postgres", ENDED).unwrap();
        }
        server.superuser_psql("postgres", ENDED).unwrap();
        // What is lost is noticed first.
        let error = loop {
            match store.get_tenant(world.tenant).await {
                Err(error) if error.to_string().contains(why) => break error,
                Err(StoreError::Unavailable(_)) => {}
                other => panic!("{out}: {other:?}"),
            }
        };
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!error.to_string().contains("cannot be reached"), "{error}");
        let before = refusals(&server);
        store.get_tenant(world.tenant).await.unwrap_err();
        // The listener asks once a second.
        let asked = refusals(&server) - before;
        assert!((1..=3).contains(&asked), "{out}: asked {asked} times");
        server.superuser_psql("postgres", &back).unwrap();
        recovers(async || store.get_tenant(world.tenant).await).await;
    }
}
