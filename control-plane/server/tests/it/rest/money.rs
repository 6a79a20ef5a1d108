//! From a reported conversion to a statement, explained.

use super::{Api, ten_percent, text};
use crate::edge::{self, Edge};
use crate::plane::{Catalog, eventually, now_secs};
use http::Method;
use proto_model::event::Authority;
use proto_model::{Lane, VerdictKind};
use serde_json::{Value, json};

#[tokio::test]
async fn a_sale_is_explained_settled_and_replayed() {
    let api = Api::start().await;
    let network = api.network("Money").await;
    let key = &network.key;
    let usd = |minor: i64| json!({ "amount": minor, "currency": "USD" });

    let conversion = api.get(&network.path("/v1/conversions/{conversion_id}"), key).await;
    assert_eq!((&conversion["status"], &conversion["reason"]), (&json!("attributed"), &json!(null)));
    assert_eq!(conversion["authority"], "signed");
    let explain = &conversion["explain"];
    assert_eq!(explain["candidates"][0]["outcome"], "won");
    assert_eq!(explain["candidates"][0]["click"]["link_id"], network.ids["link_id"]);
    assert_eq!((&explain["winner"], &explain["terms_version"]), (&json!(0), &json!(1)));
    assert_eq!(explain["arithmetic"]["result"], usd(1_000));
    assert_eq!(explain["arithmetic"]["formula"], "100.00 USD x 0.1 = 10.00 USD");
    let listed = api.get(&format!("/v1/conversions?order_id={}", network.id("order_id")), key).await;
    assert_eq!(listed["data"], json!([conversion]));

    let commission = api.get(&network.path("/v1/commissions/{commission_id}"), key).await;
    assert_eq!((&commission["status"], &commission["reason"]), (&json!("approved"), &json!("delivered")));
    assert_eq!(commission["amount"], usd(1_000));
    let transactions =
        api.all(&network.path("/v1/ledger-transactions?commission_id={commission_id}"), key).await;
    let mut ids: Vec<_> = transactions.iter().map(|transaction| text(&transaction["id"])).collect();
    ids.reverse();
    assert_eq!(explain["ledger_transaction_ids"], json!(ids));
    assert!(ids.len() >= 2, "accrued and approved");

    let entries = api.all("/v1/ledger-entries", key).await;
    let sum: i64 = entries.iter().map(|entry| entry["amount"]["amount"].as_i64().unwrap()).sum();
    assert_eq!((sum, entries.len() >= 8), (0, true));
    let accounts = api.get("/v1/ledger-accounts", key).await;
    let sum: i64 =
        accounts["data"].as_array().unwrap().iter().map(|a| a["balance"]["amount"].as_i64().unwrap()).sum();
    assert_eq!(sum, 0);

    let statement = api.get(&network.path("/v1/statements/{statement_id}"), key).await;
    assert_eq!((&statement["total"], &statement["closing"]), (&usd(1_000), &usd(1_000)));
    assert_eq!(statement["lines"][0]["commission_id"], network.ids["commission_id"]);
    assert_eq!(statement["hash"].as_str().map(str::len), Some(64));
    let payout = api.get(&network.path("/v1/payouts/{payout_id}"), key).await;
    assert_eq!((&payout["amount"], &payout["status"]), (&usd(1_000), &json!("draft")));

    let replay = api.post("/v1/ledger/replay", key, json!({})).await;
    assert_eq!(replay["equal"], true, "{replay}");
    assert_eq!(replay["shards"].as_array().map(Vec::len), Some(2), "one advertiser, one settlement");
    api.plane.stop().await;
}

#[tokio::test]
async fn a_settlement_is_closed_once_per_key() {
    let api = Api::start().await;
    let network = api.catalog("Close").await;
    let close = async |key: &str, body: Value| {
        let headers = [("idempotency-key", key)];
        api.call_with(Method::POST, "/v1/settlements", Some(&network.key), Some(body), &headers).await
    };
    let first = close("k-1", json!({})).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let again = close("k-1", json!({})).await;
    assert_eq!(
        (again.status.as_u16(), again.json()),
        (201, first.json()),
        "the same period, not a later one"
    );
    let other = close("k-1", json!({ "through": "2026-01-01T00:00:00Z" })).await;
    assert_eq!((other.status.as_u16(), other.problem().as_str()), (422, "idempotency_key_reused"));
    let future = close("k-2", json!({ "through": "2099-01-01T00:00:00Z" })).await;
    assert_eq!(future.status, 422);
    for bad in ["", "with space", "é", &"x".repeat(129)] {
        let answer = close(bad, json!({})).await;
        assert_eq!(answer.status, 400, "{bad:?}");
    }
    api.plane.stop().await;
}

fn ids(network: &super::Network) -> Catalog {
    Catalog {
        tenant: network.id("tenant_id").parse().unwrap(),
        advertiser: network.id("advertiser_id").parse().unwrap(),
        program: network.id("program_id").parse().unwrap(),
        offer: network.id("offer_id").parse().unwrap(),
        partner: network.id("partner_id").parse().unwrap(),
        link: network.id("link_id").parse().unwrap(),
        clicked_secs: now_secs(),
    }
}

#[tokio::test]
async fn clicks_conflicts_and_reports_are_visible() {
    let api = Api::start().await;
    let network = api.catalog("Traffic").await;
    let (key, catalog) = (&network.key, ids(&network));
    let edge = Edge::join(&api.plane, "edge").await;
    let (mut publisher, signer) = (edge.open().await, &edge.keys.batch_key);
    let mut traffic = edge.lane(Lane::Traffic);
    let address = traffic.address(0);
    let clicks = [edge::click(&catalog, VerdictKind::Allow), edge::click(&catalog, VerdictKind::Block)];
    publisher.ack(&traffic.seal(signer, &clicks)).await;
    let facts = edge::click_facts(&catalog, address);
    let mut money = edge.lane(Lane::Money);
    let reports = [
        edge::sale(&catalog, Authority::TokenPostback, Some(facts), "o-1", 5_000),
        edge::sale(&catalog, Authority::Pixel, Some(facts), "o-1", 99_900),
        edge::sale(&catalog, Authority::TokenPostback, Some(facts), "o-2", 700),
    ];
    publisher.ack(&money.seal(signer, &reports)).await;

    let seen = eventually("both clicks", async || {
        let seen = api.get("/v1/clicks", key).await;
        (seen["data"].as_array().map(Vec::len) == Some(2)).then_some(seen)
    })
    .await;
    let blocked =
        seen["data"].as_array().unwrap().iter().find(|click| click["verdict"]["kind"] == "block").unwrap();
    assert_eq!(blocked["verdict"], json!({ "kind": "block", "rule_id": "block-cn", "rule_set_version": 1 }));
    assert_eq!((&blocked["country"], &blocked["device"]), (&json!("CN"), &json!("mobile")));

    let conflicted = eventually("the conflict", async || {
        let list = api.get("/v1/conversions?conflict=true", key).await;
        (list["data"].as_array().unwrap().len() == 1).then(|| list["data"][0].clone())
    })
    .await;
    assert_eq!(conflicted["order_id"], "o-1");
    assert_eq!(
        conflicted["amount"],
        json!({ "amount": 5_000, "currency": "USD" }),
        "the postback is believed"
    );
    assert_eq!(conflicted["explain"]["conflicts"][0]["reason"], "amount_differs");
    assert_eq!(conflicted["explain"]["conflicts"][0]["authority"], "pixel");
    eventually("the other one", async || {
        let list = api.get("/v1/conversions?conflict=false", key).await;
        (list["data"][0]["order_id"] == "o-2").then_some(())
    })
    .await;

    let row = eventually("the report", async || {
        let report = api.get("/v1/reports/hourly", key).await;
        report["data"].as_array().unwrap().iter().find(|row| row["conversions"] == 2).cloned()
    })
    .await;
    assert_eq!(
        (&row["clicks"], &row["verdicts"]),
        (&json!(1), &json!({ "allow": 1, "flag": 0, "block": 1 }))
    );
    assert_eq!(row["sales"], json!([{ "amount": 5_700, "currency": "USD" }]));
    assert_eq!(row["link_id"], network.ids["link_id"]);
    api.plane.stop().await;
}

#[tokio::test]
async fn a_touch_wins_a_conversion_that_names_no_click() {
    let api = Api::start().await;
    let network = api.catalog("Touch").await;
    let click_id = api.click_id(&network).await;
    let touch = json!({ "click_id": click_id, "customer_id": "anna" });
    api.post("/v1/touches", &network.key, touch).await;
    let report = json!({
        "advertiser_id": network.id("advertiser_id"), "order_id": "o-1", "customer_id": "anna",
        "amount": { "amount": 2_000, "currency": "USD" },
    });
    let accepted = api.post("/v1/conversions", &network.key, report.clone()).await;
    let twice = api.post("/v1/conversions", &network.key, report).await;
    assert_eq!(accepted["conversion_id"], twice["conversion_id"]);
    let path = format!("/v1/conversions/{}", text(&accepted["conversion_id"]));
    let conversion = eventually("both reports", async || {
        let answer = api.call(Method::GET, &path, Some(&network.key), None).await;
        (answer.status == 200).then(|| answer.json()).filter(|c| c["explain"]["duplicates"] == 1)
    })
    .await;
    assert_eq!(conversion["explain"]["candidates"][0]["origin"], "touch");
    assert_eq!(conversion["commission"]["amount"], json!({ "amount": 200, "currency": "USD" }));
    api.plane.stop().await;
}

#[tokio::test]
async fn clicks_of_several_partners_share_a_conversion_by_the_model_of_the_terms() {
    let api = Api::start().await;
    let network = api.catalog("Shares").await;
    let key = &network.key;
    let mut terms = ten_percent();
    terms["attribution"] = json!({ "model": "linear" });
    let offer = json!({
        "program_id": network.id("program_id"), "name": "Robot", "destination": "https://shop.example/", "terms": terms,
    });
    let offer = api.post("/v1/offers", key, offer).await["id"].clone();
    let history = api.get(&format!("/v1/offers/{}/terms", text(&offer)), key).await;
    assert_eq!(history["data"][0]["attribution"], json!({ "model": "linear" }));
    for partner in ["Blog", "Video", "News"] {
        let partner = api.post("/v1/partners", key, json!({ "name": partner })).await["id"].clone();
        let link = json!({ "offer_id": offer, "partner_id": partner });
        let mut of_partner = network.clone();
        of_partner.ids["link_id"] = api.post("/v1/links", key, link).await["id"].clone();
        of_partner.ids["offer_id"] = offer.clone();
        let click_id = api.click_id(&of_partner).await;
        api.post("/v1/touches", key, json!({ "click_id": click_id, "customer_id": "anna" })).await;
    }
    let report = json!({
        "advertiser_id": network.id("advertiser_id"), "order_id": "o-1", "customer_id": "anna",
        "amount": { "amount": 10_000, "currency": "USD" },
    });
    let accepted = api.post("/v1/conversions", key, report).await;
    let path = format!("/v1/conversions/{}", text(&accepted["conversion_id"]));
    let conversion = eventually("the conversion", async || {
        let answer = api.call(Method::GET, &path, Some(key), None).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    let commissions = conversion["commissions"].as_array().unwrap();
    let mut parts: Vec<_> = commissions
        .iter()
        .map(|part| (part["amount"]["amount"].as_i64().unwrap(), text(&part["share"]).to_owned()))
        .collect();
    parts.sort_unstable();
    let part = |minor, share: &str| (minor, share.to_owned());
    assert_eq!(parts, [part(333, "0.333333"), part(333, "0.333333"), part(334, "0.333334")]);
    assert_eq!(commissions[0]["arithmetic"]["formula"], "100.00 USD x 0.1 = 10.00 USD");
    assert_eq!(conversion["commission"]["partner_id"], conversion["partner_id"]);
    assert_eq!(conversion["explain"]["ledger_transaction_ids"].as_array().unwrap().len(), 3);
    let outcomes: Vec<_> = conversion["explain"]["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|candidate| text(&candidate["outcome"]).to_owned())
        .collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "shared").count(), 2, "{outcomes:?}");
    let list = api.get("/v1/commissions?order_id=o-1", key).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
    let replay = api.post("/v1/ledger/replay", key, json!({})).await;
    assert_eq!(replay["equal"], true, "{replay}");
    api.plane.stop().await;
}
