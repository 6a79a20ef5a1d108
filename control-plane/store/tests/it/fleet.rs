//! Edges join once, write under one epoch and one session.

use crate::world::{NOW, edge, new_edge, store};
use control_plane_store::StoreError;
use control_plane_store::fleet::JoinToken;
use proto_model::{EdgeId, Lane, StreamNo};

fn token(n: u8) -> JoinToken {
    JoinToken {
        token_sha256: [n; 32],
        name: "edge".into(),
        created_at: NOW,
        expires_at: NOW.plus_secs(900),
        used_at: None,
    }
}

#[tokio::test]
async fn a_join_token_works_exactly_once() {
    let store = store().await;
    store.create_join_token(&token(1)).await.unwrap();
    assert_eq!(store.check_join_token(&[1; 32], NOW).await.unwrap(), token(1));
    assert!(matches!(store.check_join_token(&[9; 32], NOW).await, Err(StoreError::NotFound)));
    let late = NOW.plus_secs(900);
    let expired = store.enroll_edge(&[1; 32], &new_edge(1), late).await;
    assert!(matches!(expired, Err(StoreError::Conflict("join_token_expired"))));
    let (one, two) = (new_edge(1), new_edge(2));
    let both = tokio::join!(store.enroll_edge(&[1; 32], &one, NOW), store.enroll_edge(&[1; 32], &two, NOW),);
    let (won, lost) = if both.0.is_ok() { (both.0, both.1) } else { (both.1, both.0) };
    assert_eq!(won.unwrap().0.name, "edge");
    assert!(matches!(lost, Err(StoreError::Conflict("join_token_used"))));
    assert_eq!(store.list_edges(None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_token_is_not_used_up_by_an_enrolment_that_fails() {
    let store = store().await;
    edge(&store, 1).await;
    store.create_join_token(&token(2)).await.unwrap();
    let twice = store.enroll_edge(&[2; 32], &new_edge(1), NOW).await;
    assert!(matches!(twice, Err(StoreError::Conflict("already_exists"))));
    store.enroll_edge(&[2; 32], &new_edge(2), NOW).await.unwrap();
}

#[tokio::test]
async fn stream_numbers_are_never_reused() {
    let store = store().await;
    let one = edge(&store, 1).await;
    let two = edge(&store, 2).await;
    assert_eq!((one.epoch.money_stream, one.epoch.traffic_stream), (StreamNo(1), StreamNo(2)));
    assert_eq!((two.epoch.money_stream, two.epoch.traffic_stream), (StreamNo(3), StreamNo(4)));
    let next = store.open_epoch(one.id, "disk lost", NOW).await.unwrap();
    assert_eq!((next.epoch, next.money_stream, next.traffic_stream), (2, StreamNo(5), StreamNo(6)));
    let streams: Vec<u32> =
        store.edge_streams(one.id).await.unwrap().iter().map(|head| head.stream.0).collect();
    assert_eq!(streams, [1, 2, 5, 6]);
}

#[tokio::test]
async fn sessions_rise_and_old_epochs_are_fenced() {
    let store = store().await;
    let edge = edge(&store, 1).await;
    let next = store.open_session(edge.id, 1, &[], NOW).await.unwrap();
    assert!(next.session > edge.session);
    let lanes: Vec<_> =
        next.heads.iter().map(|head| (head.lane, head.last_ordinal, head.head_hash)).collect();
    assert_eq!(lanes, [(Lane::Money, 0, [0; 32]), (Lane::Traffic, 0, [0; 32])]);
    store.open_epoch(edge.id, "disk lost", NOW).await.unwrap();
    assert!(matches!(store.open_session(edge.id, 1, &[], NOW).await, Err(StoreError::Fenced)));
    store.open_session(edge.id, 2, &[], NOW).await.unwrap();
}

#[tokio::test]
async fn a_revoked_edge_opens_nothing() {
    let store = store().await;
    let edge = edge(&store, 1).await;
    store.set_edge_certificate(edge.id, "beef", NOW).await.unwrap();
    store.open_session(edge.id, 1, &[], NOW.plus_secs(5)).await.unwrap();
    let row = store.get_edge(edge.id).await.unwrap();
    assert_eq!((row.certificate_serial.as_str(), row.last_seen_at), ("beef", Some(NOW.plus_secs(5))));
    store.revoke_edge(edge.id).await.unwrap();
    assert!(store.get_edge(edge.id).await.unwrap().revoked);
    assert!(matches!(store.open_session(edge.id, 1, &[], NOW).await, Err(StoreError::NotFound)));
    assert!(matches!(store.open_epoch(edge.id, "again", NOW).await, Err(StoreError::NotFound)));
    assert!(matches!(store.set_edge_certificate(edge.id, "cafe", NOW).await, Err(StoreError::NotFound)));
    assert!(matches!(store.revoke_edge(EdgeId::from_random(5)).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn an_edge_is_seen_by_any_call_and_never_earlier_than_before() {
    let store = store().await;
    let edge = edge(&store, 1).await;
    let seen = async || store.get_edge(edge.id).await.unwrap().last_seen_at;
    assert_eq!(seen().await, Some(NOW), "it has opened a session");
    for (secs, last) in [(0, 0), (60, 60), (30, 60)] {
        store.edge_seen(edge.id, NOW.plus_secs(secs)).await.unwrap();
        assert_eq!(seen().await, Some(NOW.plus_secs(last)), "{secs}");
    }
    for (since, edges) in [(60, 1), (61, 0)] {
        assert_eq!(store.edges_since(NOW.plus_secs(since)).await.unwrap(), edges, "{since}");
    }
    store.revoke_edge(edge.id).await.unwrap();
    store.edge_seen(edge.id, NOW.plus_secs(90)).await.unwrap();
    assert_eq!(seen().await, Some(NOW.plus_secs(60)), "it may say nothing any more");
    assert_eq!(store.edges_since(NOW).await.unwrap(), 0);
}
