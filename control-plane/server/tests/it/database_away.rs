//! The database goes away and comes back, under a control plane that goes on running.

use crate::plane::{eventually, seed};
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_server::app::health::Status;
use control_plane_server::app::{clock, money};
use control_plane_server::{App, Config, start};
use control_plane_testing::{Options, Server, Stop};
use std::time::Duration;

fn status(app: &App) -> Status {
    let parts = app.health.parts();
    let (_, status) = parts.into_iter().find(|(name, _)| *name == money::PART).unwrap();
    assert!(!matches!(&status, Status::Degraded(_)), "no shard is to blame: {status:?}");
    status
}

/// An embedded database goes nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_money_engine_waits_for_its_database_and_blames_no_shard() {
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let mut server = Server::start(Options::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let database = Some(server.create_database().url.parse().unwrap());
    let control = start(Config { database, ..Config::local(dir.path()) }).await.unwrap();
    let app = control.app();
    let catalog = seed(app).await;
    let shard = ShardKey::advertiser(catalog.tenant, catalog.advertiser);
    let work = async || {
        let input = Input::HoldElapsed { order_id: "none".into() };
        let ordinal = app.store.append_intake(shard, &input, clock::now()).await.unwrap();
        money::wait_applied(app, shard, ordinal, Duration::from_secs(30)).await.unwrap();
    };
    work().await;

    for mode in [Stop::Immediate, Stop::Fast] {
        server.stop(mode).unwrap();
        let why = eventually("the money engine waits", async || match status(app) {
            Status::Failed(why) => Some(why),
            _ => None,
        })
        .await;
        assert!(why.contains("cannot be reached"), "{why}");
        assert!(!app.health.is_ready());
        server.start_again().unwrap();
        eventually("it goes on", async || (status(app) == Status::Ok).then_some(())).await;
        work().await;
    }
    control.shutdown().await;
}
