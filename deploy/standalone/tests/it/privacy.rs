//! Erasing a person, and replaying money from nothing.

use crate::harness::{Api, Up, database_of, eventually, temp_dir};
use crate::main_job::{close_period, deliver, wait_for_status};
use crate::outage::clicks_in_reports;
use serde_json::{Value, json};
use std::path::Path;

/// What a replay found, without how much it read: messages between shards may still be on their way.
async fn books(api: &Api) -> Value {
    let mut replay = api.post("/v1/ledger/replay", json!({})).await;
    for shard in replay["shards"].as_array_mut().expect("shards") {
        shard.as_object_mut().expect("an object").remove("intake_items");
    }
    replay
}

#[tokio::test]
async fn erasing_a_customer_leaves_chain_and_replay_intact() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let api = up.api();
    let operator = Api::new(up.text("api_url"), up.text("operator_key"));
    for customer in ["anna@example.com", "bo@example.com"] {
        let order = format!("order-{}", &customer[..2]);
        let click = up.click_with(&[("user-agent", "a-very-personal-browser/1.0")]).await;
        let encoded: String = form_urlencoded::byte_serialize(customer.as_bytes()).collect();
        let more = format!("click_id={}&amount=100.00&currency=USD&customer_id={encoded}", click.id());
        assert_eq!(up.postback(&order, &more).await.status, 202);
        wait_for_status(&api, &order, "pending").await;
        deliver(&up, &order).await;
        wait_for_status(&api, &order, "approved").await;
    }
    let statements = close_period(&up).await;
    let before = books(&api).await;
    assert_eq!(before["equal"], true, "{before}");
    eventually("both clicks", || async { (clicks_in_reports(&api).await == 2).then_some(()) }).await;

    let journal = operator.post("/v1/journal/verify", json!({})).await;
    assert_eq!(journal["ok"], true, "{journal}");

    let reply = api.delete("/v1/customers/anna%40example.com").await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let erased = reply.json().expect("JSON");
    assert!(
        erased["sidecar_values"].as_i64().expect("a count") >= 2,
        "the click's and the conversion's: {erased}"
    );

    let after = books(&api).await;
    assert_eq!(after, before, "the same ledger, the same statements, and the chain still verifies");
    assert_eq!(api.all("/v1/statements").await, statements);
    let verified = operator.post("/v1/journal/verify", json!({})).await;
    assert_eq!(verified["ok"], true, "every signature, chain and remaining commitment: {verified}");
    assert_eq!(verified["events"], journal["events"]);
    let values = |report: &Value| report["personal_values"].as_i64().expect("a count");
    assert_eq!(values(&journal) - values(&verified), erased["sidecar_values"].as_i64().expect("a count"));
    up.process.stop().await;

    assert!(!holds(&dir, "anna@example.com"), "no trace of the erased customer");
    assert!(holds(&dir, "bo@example.com"), "the other one is still there");
}

/// Whether the database still has a text anywhere: in the file, or in the tables that personal values pass.
fn holds(dir: &Path, needle: &str) -> bool {
    let Some(url) = database_of(dir) else {
        let file = std::fs::read(dir.join("control-plane").join("tributary.db")).expect("the database");
        return file.windows(needle.len()).any(|window| window == needle.as_bytes());
    };
    let sql = format!(
        "SELECT EXISTS (SELECT FROM customers WHERE customer_id = '{needle}')
            OR EXISTS (SELECT FROM sidecar WHERE position('{needle}'::bytea IN value) > 0)
            OR EXISTS (SELECT FROM sidecar_batches WHERE position('{needle}'::bytea IN packed) > 0)
            OR EXISTS (SELECT FROM intake WHERE position('{needle}' IN input) > 0)
            OR EXISTS (SELECT FROM journal_sidecars)"
    );
    let (_, name) = url.rsplit_once('/').expect("a database in the URL");
    control_plane_testing::server().superuser_psql(name, &sql).expect("psql runs").trim() == "t"
}
