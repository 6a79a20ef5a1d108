//! The way out of quarantine, and that it leads nowhere for whoever still contradicts the journal.

use crate::edge::{Edge, click};
use crate::plane::seed;
use crate::rest::Api;
use http::Method;
use proto_model::{Lane, VerdictKind};
use proto_wire::edge_v1::refusal::Kind;
use serde_json::{Value, json};

fn traffic(edge: &Value) -> &Value {
    let streams = edge["streams"].as_array().unwrap();
    streams.iter().find(|stream| stream["lane"] == "traffic").unwrap()
}

#[tokio::test]
async fn an_operator_lets_a_quarantined_stream_go_on() {
    let api = Api::start().await;
    let catalog = seed(api.plane.app()).await;
    let edge = Edge::join(&api.plane, "one").await;
    let key = &edge.keys.batch_key;
    let one = [click(&catalog, VerdictKind::Allow)];
    let mut lane = edge.lane(Lane::Traffic);
    let mut cloned_disk = lane.clone();
    let mut publisher = edge.open().await;
    publisher.ack(&lane.seal(key, &one)).await;
    let fork = cloned_disk.seal(key, &[click(&catalog, VerdictKind::Block)]);
    assert_eq!(publisher.refusal(&fork).await.kind(), Kind::Quarantined);
    let next = lane.seal(key, &one);
    assert_eq!(publisher.refusal(&next).await.kind(), Kind::Quarantined);
    let list = api.get("/v1/edges", &api.operator).await;
    assert_eq!(traffic(&list["data"][0])["status"], "quarantined");

    let path = format!("/v1/edges/{}/release", edge.id);
    let released = api.post(&path, &api.operator, json!({})).await;
    assert_eq!(traffic(&released)["status"], "open");
    assert_eq!(traffic(&released)["reason"], Value::Null);
    assert_eq!(traffic(&released)["last_ordinal"], 1, "what was taken stays");
    publisher.ack(&next).await;
    // The same contradiction again ends where it ended before.
    assert_eq!(publisher.refusal(&fork).await.kind(), Kind::Quarantined);
    let journal = api.post("/v1/journal/verify", &api.operator, json!({})).await;
    assert_eq!((&journal["ok"], &journal["batches"]), (&json!(true), &json!(2)), "{journal}");

    // Nothing to release is no mistake; an edge that may not send, and one that is not there, are.
    api.post(&path, &api.operator, json!({})).await;
    api.post(&path, &api.operator, json!({})).await;
    api.post(&format!("/v1/edges/{}/revoke", edge.id), &api.operator, json!({})).await;
    let refused = api.call(Method::POST, &path, Some(&api.operator), None).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "edge_revoked".into()));
    let unknown = api.call(Method::POST, "/v1/edges/edg_04hmasw9/release", Some(&api.operator), None).await;
    assert_eq!(unknown.status, 404);
    api.plane.stop().await;
}
