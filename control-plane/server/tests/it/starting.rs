//! What a control plane looks at before it touches a database, and while it works on it.

use crate::plane::{Plane, eventually};
use control_plane_server::StartError;
use control_plane_server::app::health::Status;
use control_plane_server::app::{catalog, clock};
use control_plane_server::error::AppError;
use control_plane_server::{Config, DatabaseUrl, start};
use control_plane_store::{Store, StoreError, backup};
use proto_model::UnixMicros;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// As an older version would have left it: without its last migration.
async fn make_older(url: &DatabaseUrl) {
    let sql = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    match url {
        DatabaseUrl::Sqlite(url) => {
            let mut conn = SqliteConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap();
        }
        DatabaseUrl::Postgres(url) => {
            let mut conn = PgConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut conn).await.unwrap();
        }
    }
}

#[tokio::test]
async fn somebody_elses_database_is_not_brought_up_to_date() {
    let theirs = Plane::start().await;
    let url = theirs.database().cloned().unwrap_or_else(|| Config::local(theirs.dir()).database_url());
    let theirs_dir = theirs.stop_and_keep().await;
    make_older(&url).await;
    let level = async || Store::look(&url).await.unwrap().schema_level().await.unwrap().found;
    let before = level().await;

    let ours = tempfile::tempdir().unwrap();
    let config = |dir| Config { database: Some(url.clone()), ..Config::local(dir) };
    // With no keys yet, and with others.
    for _ in 0..2 {
        let refused = start(config(ours.path())).await.err();
        assert!(matches!(refused, Some(StartError::OtherKeys { .. })), "{refused:?}");
        assert_eq!(level().await, before);
        std::fs::create_dir_all(ours.path().join("keys")).unwrap();
        assert_eq!(std::fs::read_dir(ours.path().join("keys")).unwrap().count(), 0, "none were made");
    }
    drop(theirs_dir);
}

/// Whatever the tests were started for: a server loses no file.
#[tokio::test]
async fn a_database_that_is_gone_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config::local(dir.path());
    start(config()).await.unwrap().shutdown().await;
    let file = config().database_url().file().unwrap();
    let aside = dir.path().join("aside");
    std::fs::rename(&file, &aside).unwrap();
    let refused = start(config()).await.err();
    assert!(matches!(&refused, Some(StartError::Gone { .. })), "{refused:?}");
    assert!(!file.exists(), "nothing was made");
    std::fs::write(&file, b"").unwrap();
    let refused = start(config()).await.err();
    assert!(matches!(&refused, Some(StartError::Gone { .. })), "an empty file: {refused:?}");
    std::fs::rename(&aside, &file).unwrap();
    start(config()).await.unwrap().shutdown().await;

    std::fs::remove_file(&file).unwrap();
    std::fs::remove_dir_all(config().keys_dir()).unwrap();
    start(config()).await.unwrap().shutdown().await;
}

/// A name with a typing error, or a backup that is still to be put back.
#[tokio::test]
async fn an_empty_database_is_not_begun_beside_the_keys_of_another() {
    let Some(server) = control_plane_testing::chosen() else { return };
    let plane = Plane::start().await;
    let dir = plane.stop_and_keep().await;
    let empty: DatabaseUrl = server.create_database().url.parse().unwrap();
    let config = |dir: &std::path::Path| Config { database: Some(empty.clone()), ..Config::local(dir) };
    let refused = start(config(dir.path())).await.err();
    assert!(matches!(&refused, Some(StartError::Empty { .. })), "{refused:?}");
    let found = Store::look(&empty).await.unwrap().schema_level().await.unwrap().found;
    assert_eq!(found, None, "nothing was made");
    let fresh = tempfile::tempdir().unwrap();
    start(config(fresh.path())).await.unwrap().shutdown().await;
}

/// What a restore has made when it is cut off after it has moved away what was there before.
#[tokio::test]
async fn nothing_starts_on_what_an_interrupted_restore_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let file = Config::local(dir.path()).database_url().file().unwrap();
    std::fs::write(backup::restoring(&file), b"not yet").unwrap();
    let refused = start(Config::local(dir.path())).await.err();
    assert!(matches!(&refused, Some(StartError::HalfRestored { .. })), "{refused:?}");
    assert!(!file.exists(), "nothing was made");

    // The old database was still to be moved, and the keys were not.
    std::fs::remove_file(backup::restoring(&file)).unwrap();
    start(Config::local(dir.path())).await.unwrap().shutdown().await;
    std::fs::write(backup::restoring(&file), b"not yet").unwrap();
    let keys = Config::local(dir.path()).keys_dir();
    std::fs::rename(&keys, dir.path().join("aside")).unwrap();
    std::fs::create_dir(&keys).unwrap();
    let refused = start(Config::local(dir.path())).await.err();
    assert!(matches!(&refused, Some(StartError::HalfRestored { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 0, "none were made");
}

fn ahead() -> UnixMicros {
    clock::now().plus_secs(3_600)
}

#[tokio::test]
async fn a_process_whose_clock_has_jumped_says_so_and_writes_nothing() {
    let plane = Plane::start().await;
    let app = plane.app();
    let ready = async || app.health.is_ready().then_some(());
    eventually("ready", ready).await;
    app.store.watch_clock(ahead);
    let failed = async || match plane.status("money") {
        Some(Status::Failed(why)) if why.contains("NTP") => Some(()),
        _ => None,
    };
    eventually("the money engine waits", failed).await;
    assert!(!app.health.is_ready());
    let refused = catalog::create_tenant(app, "Demo", None).await.err();
    assert!(matches!(refused, Some(AppError::Store(StoreError::ClocksApart { .. }))), "{refused:?}");
    app.store.watch_clock(clock::now);
    eventually("ready again", ready).await;
    catalog::create_tenant(app, "Demo", None).await.unwrap();
    plane.stop().await;
}
