//! Click, conversion, delivery, commission, ledger, statement; and what must not count twice.

use crate::harness::{Api, Up, eventually, temp_dir};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub async fn deliver(up: &Up, order_id: &str) {
    let body = json!({
        "advertiser_id": up.text("demo_advertiser"),
        "order_id": order_id,
        "event_id": format!("{order_id}-delivered"),
        "kind": "delivered",
    });
    up.api().post("/v1/order-events", body).await;
}

pub async fn wait_for_status(api: &Api, order_id: &str, status: &str) -> Value {
    eventually(&format!("a commission of {order_id} that is {status}"), || async {
        api.commission(order_id).await.filter(|commission| commission["status"] == status)
    })
    .await
}

/// Debits and credits of every transaction cancel out; returns the number of entries.
pub async fn assert_balanced(api: &Api) -> usize {
    let entries = api.all("/v1/ledger-entries").await;
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for entry in &entries {
        let amount = entry["amount"]["amount"].as_i64().expect("integer minor units");
        let id = entry["ledger_transaction_id"].as_str().expect("a transaction id").to_owned();
        *sums.entry(id).or_default() += amount;
    }
    assert!(sums.values().all(|sum| *sum == 0), "every ledger transaction balances: {sums:?}");
    entries.len()
}

pub async fn close_period(up: &Up) -> Vec<Value> {
    up.api().post("/v1/settlements", json!({})).await;
    up.api().all("/v1/statements").await
}

#[tokio::test]
async fn a_click_becomes_a_commission_and_a_statement() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let api = up.api();

    let click = up.click().await;
    assert_eq!(click.reply.status, 302);
    let more = format!("click_id={}&amount=100.00&currency=USD&customer_id=anna", click.id());
    assert_eq!(up.pixel("order-1", &more).await.status, 200);
    assert_eq!(up.postback("order-1", &more).await.status, 202);
    assert_eq!(up.postback("order-1", &more).await.status, 409, "this edge has seen it");

    let pending = wait_for_status(&api, "order-1", "pending").await;
    assert_eq!(pending["amount"], json!({ "amount": 1000, "currency": "USD" }), "10 % of 100.00");
    let conversion = api.conversion("order-1").await.expect("the conversion");
    assert_eq!(conversion["status"], "attributed");
    let explain = &conversion["explain"];
    assert_eq!(explain["candidates"].as_array().map(Vec::len), Some(1));
    assert_eq!(explain["candidates"][0]["outcome"], "won");
    assert_eq!(explain["terms_version"], 1);

    deliver(&up, "order-1").await;
    deliver(&up, "order-1").await;
    let approved = wait_for_status(&api, "order-1", "approved").await;
    assert_eq!(approved["reason"], "delivered");

    let statements = close_period(&up).await;
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["total"], json!({ "amount": 1000, "currency": "USD" }));
    assert_eq!(statements[0]["hash"].as_str().map(str::len), Some(64));
    let payouts = api.all("/v1/payouts").await;
    assert_eq!(payouts.len(), 1);
    assert_eq!(payouts[0]["amount"], json!({ "amount": 1000, "currency": "USD" }));
    assert!(assert_balanced(&api).await >= 8);
    assert_eq!(close_period(&up).await.len(), 1, "nothing new, no new statement");
    up.process.stop().await;
}

#[tokio::test]
async fn a_pixel_that_disagrees_never_wins() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let api = up.api();
    let click = up.click().await;
    let id = click.id();
    // Once with the pixel first, once with the postback first: the outcome is the same.
    up.pixel("order-a", &format!("click_id={id}&amount=999.00&currency=USD")).await;
    up.postback("order-a", &format!("click_id={id}&amount=100.00&currency=USD")).await;
    up.postback("order-b", &format!("click_id={id}&amount=100.00&currency=USD")).await;
    up.pixel("order-b", &format!("click_id={id}&amount=999.00&currency=USD")).await;
    for order in ["order-a", "order-b"] {
        let conversion = eventually("both reports", || async {
            let conversion = api.conversion(order).await?;
            let conflicts = conversion["explain"]["conflicts"].as_array().map_or(0, Vec::len);
            (conversion["authority"] == "token_postback" && conflicts == 1).then_some(conversion)
        })
        .await;
        assert_eq!(conversion["amount"], json!({ "amount": 10_000, "currency": "USD" }), "{order}");
        let commission = api.commission(order).await.expect("a commission");
        assert_eq!(commission["amount"]["amount"], 1000, "{order}");
    }
    assert_eq!(api.all("/v1/conversions?conflict=true").await.len(), 2);
    assert_balanced(&api).await;
}

#[tokio::test]
async fn bad_input_is_answered_with_a_reason() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    let edge = up.text("edge_url");
    let get = |path: String| {
        let client = up.client.clone();
        async move { client.get(&path, None).await.expect("the edge answers") }
    };
    let unknown = get(format!("{edge}/c/lnk_00000001")).await;
    assert_eq!((unknown.status.as_u16(), unknown.header("x-tributary-reason")), (404, Some("unknown_link")));
    assert!(unknown.header("location").is_none());

    let mut forged = up.click().await.id().to_owned();
    let flipped = if forged.ends_with('A') { "B" } else { "A" };
    forged.replace_range(40..41, if &forged[40..41] == flipped { "C" } else { flipped });
    let reply = up.postback("order-f", &format!("click_id={forged}&amount=1.00&currency=USD")).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-tributary-reason")), (422, Some("invalid_click_id")));

    let advertiser = up.text("demo_advertiser");
    let reply = get(format!("{edge}/postback/{advertiser}?order_id=x&token=wrong")).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-tributary-reason")), (403, Some("bad_token")));
    let reply = up.postback("order-n", "amount=-1&currency=USD").await;
    assert_eq!((reply.status.as_u16(), reply.header("x-tributary-reason")), (422, Some("invalid_amount")));
    let gif = up.pixel("order-g", "amount=NaN&currency=USD").await;
    assert_eq!((gif.status.as_u16(), gif.header("content-type")), (200, Some("image/gif")));
    assert_eq!(gif.header("x-tributary-reason"), Some("invalid_amount"));
    // The refused ones against a known advertiser stay visible.
    eventually("the refused hits", || async {
        let refused = up.api().all("/v1/refused-hits").await;
        let reasons: Vec<_> = refused.iter().filter_map(|hit| hit["reason"].as_str()).collect();
        ["invalid_click_id", "bad_token"].iter().all(|reason| reasons.contains(reason)).then_some(())
    })
    .await;
}
