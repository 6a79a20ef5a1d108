//! Conversions do not wait behind clicks, and an edge that was revoked is cut off whether or not it says anything.

use crate::edge::{Edge, Publisher, click, sale};
use crate::plane::{Catalog, Plane, eventually, seed};
use control_plane_server::app::{fleet, project};
use proto_model::event::Authority;
use proto_model::{Lane, VerdictKind};
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::{Ack, WatchRequest};
use proto_wire::envelope::SealedBatch;
use std::time::Duration;
use tonic::Code;

async fn send(publisher: &Publisher, batch: &SealedBatch) {
    publisher.tell(Up::Batch(batch.to_message(publisher.session))).await;
}

async fn ack(publisher: &mut Publisher) -> Ack {
    match publisher.reply().await.unwrap() {
        Down::Ack(ack) => ack,
        other => panic!("{other:?}"),
    }
}

fn is_money(ack: &Ack) -> bool {
    ack.lane == i32::from(Lane::Money.code())
}

/// A backlog of clicks, more than is let in without room, and a sale behind them.
fn backlog(edge: &Edge, catalog: &Catalog) -> (Vec<SealedBatch>, SealedBatch) {
    let (mut traffic, mut money) = (edge.lane(Lane::Traffic), edge.lane(Lane::Money));
    let key = &edge.keys.batch_key;
    let clicks = (0..12).map(|_| traffic.seal(key, &[click(catalog, VerdictKind::Allow)])).collect();
    (clicks, money.seal(key, &[sale(catalog, Authority::TokenPostback, None, "A-1", 19_990)]))
}

#[tokio::test]
async fn a_sale_passes_the_clicks_that_wait_for_the_projector() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let mut edge = Edge::join(&plane, "one").await;
    // Another process projects, or should: nothing is projected until it gives the work up.
    let mut lease = None;
    let plane = plane
        .restart_after(async |store| {
            let now = store.database_time().await.unwrap();
            let held = store.acquire_lease(project::PART, "another", Duration::from_secs(600), now).await;
            lease = Some(held.unwrap());
        })
        .await;
    edge.follow(&plane);
    let mut publisher = edge.open().await;
    let (clicks, sale) = backlog(&edge, &catalog);
    for batch in &clicks {
        send(&publisher, batch).await;
    }
    send(&publisher, &sale).await;
    let mut before = 0;
    while !is_money(&ack(&mut publisher).await) {
        before += 1;
    }
    assert!(before < clicks.len(), "all the clicks came before it");

    // With room again, what waited is taken, in order and whole.
    plane.app().store.release_lease(&lease.unwrap()).await.unwrap();
    let last = loop {
        let ack = ack(&mut publisher).await;
        if ack.last_ordinal == clicks.len() as u64 {
            break ack;
        }
    };
    assert!(!is_money(&last));
    let projected = || async { plane.app().store.projected_through().await.unwrap() };
    eventually("all of it projected", async || (projected().await == 13).then_some(())).await;
    plane.stop().await;
}

/// Clicks are safer in the journal than in the spool of an edge, whatever becomes of the projector.
#[tokio::test]
async fn a_projector_that_stands_still_does_not_stop_the_journal() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let mut edge = Edge::join(&plane, "one").await;
    let plane = plane
        .restart_after(async |store| {
            let now = store.database_time().await.unwrap();
            store.acquire_lease(project::PART, "another", Duration::from_secs(600), now).await.unwrap();
        })
        .await;
    edge.follow(&plane);
    let mut publisher = edge.open().await;
    let (clicks, _) = backlog(&edge, &catalog);
    for batch in &clicks {
        send(&publisher, batch).await;
    }
    while ack(&mut publisher).await.last_ordinal < clicks.len() as u64 {}
    plane.stop().await;
}

#[tokio::test]
async fn a_revoked_edge_is_cut_off_while_it_says_nothing() {
    let plane = Plane::start().await;
    seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut publisher = edge.open().await;
    let watch = WatchRequest { have_version: u64::MAX >> 1 };
    let mut manifests = edge.client().await.watch(watch).await.unwrap().into_inner();
    fleet::revoke_edge(plane.app(), edge.id).await.unwrap();
    assert_eq!(publisher.reply().await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(manifests.message().await.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}
