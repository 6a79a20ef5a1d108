//! Alerts on their way from where they are raised to the database: none is lost, none holds up the others.

use crate::edge::Edge;
use crate::money::World;
use crate::plane::eventually;
use crate::refusals::alerts;
use control_plane_server::app::{clock, keys};
use control_plane_server::{Config, start};
use control_plane_store::Store;
use control_plane_store::alerts::{AlertKind, Raised, edge_subject};
use proto_wire::edge_v1::ReportRequest;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

#[tokio::test]
async fn one_that_cannot_be_written_holds_up_no_other_and_is_kept() {
    let world = World::new().await;
    let app = world.plane.app().clone();
    let (kind, subject, detail) = (AlertKind::ClockSkew, "b".into(), "it is open".into());
    app.store.raise_alert(&Raised { kind, subject, detail, count: 1, at: clock::now() }).await.unwrap();
    // Whatever is new gets a number that is taken; what is open already is counted all the same.
    let mut raw = world.database().await;
    raw.run("UPDATE sequences SET last = 0 WHERE name = 'alerts'").await;
    app.alerts.raise(AlertKind::BatchRefused, "a".into(), "it comes first".into());
    app.alerts.raise(AlertKind::ClockSkew, "b".into(), "it comes second".into());
    let counted = async || {
        let found = alerts(&app.store, AlertKind::ClockSkew).await;
        (found[0].1 == 2).then_some(())
    };
    eventually("the second", counted).await;
    assert_eq!(alerts(&app.store, AlertKind::BatchRefused).await, []);
    raw.run("UPDATE sequences SET last = 1 WHERE name = 'alerts'").await;
    let plane = world.plane.restart().await;
    let kept = alerts(&plane.app().store, AlertKind::BatchRefused).await;
    assert_eq!(kept, [("a".to_owned(), 1, "it comes first".to_owned())]);
    plane.stop().await;
}

#[tokio::test]
async fn what_calls_raise_that_end_last_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { database: crate::plane::database().await, ..Config::local(dir.path()) };
    let control = start(config.clone()).await.unwrap();
    let app = control.app().clone();
    let (_, key) = keys::create_api_key(&app, None, "operator").await.unwrap();
    // It is taken, and lasts until its body has come.
    let mut call = TcpStream::connect(control.api_addr()).await.unwrap();
    let head = format!(
        "POST /v1/tenants HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\nExpect: 100-continue\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    );
    call.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 12];
    call.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");

    let shutdown = tokio::spawn(control.shutdown());
    app.stop.clone().wait().await;
    // Beyond the end of whoever writes alerts: it waits for nobody.
    for n in 0..30 {
        app.alerts.raise(AlertKind::BatchRefused, format!("{n}"), "while the call lasts".into());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call.write_all(b"{}").await.unwrap();
    let _ = call.read_to_end(&mut Vec::new()).await;
    shutdown.await.unwrap();
    let store = Store::open(&config.database_url()).await.unwrap();
    assert_eq!(alerts(&store, AlertKind::BatchRefused).await.len(), 30);
    store.close().await;
}

#[tokio::test]
async fn an_edge_that_the_database_does_not_know_raises_an_alert() {
    let world = World::new().await;
    let (plane, edge) = (&world.plane, Edge::join(&world.plane, "enrolled after the backup").await);
    world.database().await.run(&format!("DELETE FROM edges WHERE id = {}", edge.id.get())).await;
    let refused = edge.client().await.report(ReportRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let store = &plane.app().store;
    let told = eventually("an alert", async || alerts(store, AlertKind::EdgeUnknown).await.pop()).await;
    assert_eq!((told.0, told.1), (edge_subject(edge.id), 1));
    assert!(told.2.contains("not known here"), "{}", told.2);
    world.plane.stop().await;
}
