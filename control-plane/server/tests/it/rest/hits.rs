//! What edges have told, over REST: the feed of hits, clicks with all that is known of them, refusals by reason.

use super::{Api, Network, text};
use crate::edge::{Edge, click, click_facts, impression, refused_click, sale, touch};
use crate::plane::{Catalog, eventually, now_secs};
use http::Method;
use proto_model::event::{Authority, Body, FineFacts, Uniqueness};
use proto_model::{ClickFlags, Lane, Reason, VerdictKind};
use serde_json::{Value, json};

fn catalog_of(network: &Network) -> Catalog {
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

/// A test click that a page registered, from a visitor of whom much is known.
fn known_click(catalog: &Catalog) -> (proto_model::event::TrackingEvent, proto_model::event::Personal) {
    let (mut event, personal) = click(catalog, VerdictKind::Flag);
    event.facts.fine = FineFacts {
        region: "GD".into(),
        city: "Shenzhen".into(),
        asn: Some(4134),
        language: "zh".into(),
        connection: "4g".into(),
    };
    if let Body::Click(click) = &mut event.body {
        click.flags = ClickFlags(ClickFlags::TEST | ClickFlags::DIRECT);
        click.uniqueness = Uniqueness::Repeated;
    }
    (event, personal)
}

/// Two tenants, and hits of the first.
async fn told(api: &Api) -> (Network, Network) {
    let (mine, yours) = (api.catalog("Mine").await, api.catalog("Yours").await);
    let catalog = catalog_of(&mine);
    let edge = Edge::join(&api.plane, "one").await;
    let mut publisher = edge.open().await;
    let (mut traffic, mut money) = (edge.lane(Lane::Traffic), edge.lane(Lane::Money));
    let facts = click_facts(&catalog, traffic.address(1));
    let hits = [
        known_click(&catalog),
        click(&catalog, VerdictKind::Allow),
        click(&catalog, VerdictKind::Block),
        impression(&catalog),
        refused_click(&catalog, Reason::NotTargeted),
        refused_click(&catalog, Reason::RejectedByAdvertiser),
        refused_click(&catalog, Reason::InvalidClickId),
    ];
    publisher.ack(&traffic.seal(&edge.keys.batch_key, &hits)).await;
    let hits = [
        touch(&catalog, facts),
        sale(&catalog, Authority::TokenPostback, Some(facts), "o-1", 1_000),
        sale(&catalog, Authority::Pixel, None, "o-2", 1_000),
    ];
    publisher.ack(&money.seal(&edge.keys.batch_key, &hits)).await;
    (mine, yours)
}

#[tokio::test]
async fn every_hit_says_what_became_of_it_and_why() {
    let api = Api::start().await;
    let (mine, yours) = told(&api).await;
    let feed = eventually("the books' word on both sales", async || {
        let feed = api.get("/v1/hits?from=oldest&limit=100", &mine.key).await;
        let open = feed["data"].as_array()?.iter().any(|hit| hit["status"] == "undecided");
        (feed["data"].as_array()?.len() == 10 && !open).then_some(feed)
    })
    .await;
    let fates: Vec<Value> = feed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| json!([hit["kind"], hit["test"], hit["status"], hit["reason"]]))
        .collect();
    let expected = json!([
        ["click", true, "noted", "test"],
        ["click", false, "counted", null],
        ["click", false, "blocked", "blocked_by_rule"],
        ["impression", false, "counted", null],
        ["refused", false, "refused", "not_targeted"],
        ["refused", false, "noted", "rejected_by_advertiser"],
        ["refused", false, "refused", "invalid_click_id"],
        ["touch", false, "counted", null],
        ["conversion", false, "attributed", null],
        ["conversion", false, "unattributed", "no_click"],
    ]);
    assert_eq!(json!(fates), expected);
    let hits = feed["data"].as_array().unwrap();
    for hit in hits.iter().take(9) {
        assert_eq!(
            (&hit["link_id"], &hit["partner_id"]),
            (&mine.ids["link_id"], &mine.ids["partner_id"]),
            "{hit}"
        );
    }
    assert_eq!((&hits[2]["verdict"]["rule_id"], &hits[2]["country"]), (&json!("block-cn"), &json!("CN")));
    let sale = &hits[8];
    assert_eq!((&sale["order_id"], &sale["authority"]), (&json!("o-1"), &json!("token_postback")));
    assert_eq!(sale["amount"], json!({ "amount": 1_000, "currency": "USD" }));
    assert_eq!(sale["conversion"]["commission"]["amount"], json!({ "amount": 100, "currency": "USD" }));
    let id = text(&sale["conversion"]["id"]);
    assert_eq!(api.get(&format!("/v1/conversions/{id}"), &mine.key).await["order_id"], "o-1");

    // From here on: nothing, and the same place again.
    let end = text(&feed["next_cursor"]);
    let after = api.get(&format!("/v1/hits?after={end}&limit=100"), &mine.key).await;
    assert_eq!(
        (&after["data"], &after["has_more"], &after["next_cursor"]),
        (&json!([]), &json!(false), &json!(end))
    );
    let from_now = api.get("/v1/hits", &mine.key).await;
    assert_eq!((&from_now["data"], &from_now["next_cursor"]), (&json!([]), &json!(end)));
    for (url, code) in [
        (format!("/v1/hits?after={end}&test=true"), "invalid_cursor"),
        (format!("/v1/hits?after={end}&from=oldest"), "invalid_query"),
        ("/v1/hits?from=yesterday".to_owned(), "invalid_query"),
        ("/v1/hits?wait_secs=21".to_owned(), "invalid_query"),
    ] {
        let answer = api.call(Method::GET, &url, Some(&mine.key), None).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, code), "{url}");
    }
    // Nothing of it is for another tenant, not even the place.
    assert_eq!(api.get("/v1/hits?from=oldest&limit=100", &yours.key).await["data"], json!([]));
    let stolen = api.call(Method::GET, &format!("/v1/hits?after={end}"), Some(&yours.key), None).await;
    assert_eq!(stolen.problem(), "invalid_cursor");
    api.plane.stop().await;
}

#[tokio::test]
async fn clicks_show_what_is_known_and_refusals_what_was_refused() {
    let api = Api::start().await;
    let (mine, yours) = told(&api).await;
    let clicks = eventually("the clicks", async || {
        Some(api.all("/v1/clicks", &mine.key).await).filter(|clicks| clicks.len() == 3)
    })
    .await;
    let [blocked, plain, known] = &clicks[..] else { panic!("{clicks:?}") };
    assert_eq!((&blocked["test"], &blocked["verdict"]["kind"]), (&json!(false), &json!("block")));
    assert_eq!(
        (&plain["test"], &plain["direct"], &plain["unique"]),
        (&json!(false), &json!(false), &json!("unique"))
    );
    let wanted = json!({
        "test": true, "direct": true, "unique": "repeated", "country": "CN", "region": "GD", "city": "Shenzhen",
        "asn": 4134, "language": "zh", "connection": "4g", "privacy": "full", "privacy_policy": 1, "device": "mobile",
    });
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&known[name], value, "{name}");
    }
    assert_eq!((&plain["asn"], &plain["city"]), (&Value::Null, &json!("")));

    let refused = |query: &str| format!("/v1/refused-hits?{query}");
    let rows = eventually("the refusals", async || {
        Some(api.all(&refused(""), &mine.key).await).filter(|rows| rows.len() == 3)
    })
    .await;
    let rows: Vec<Value> =
        rows.iter().map(|row| json!([row["refused"], row["reason"], row["hits"]])).collect();
    for row in
        [["click", "not_targeted"], ["report", "rejected_by_advertiser"], ["report", "invalid_click_id"]]
    {
        assert!(rows.contains(&json!([row[0], row[1], 1])), "{rows:?}");
    }
    assert_eq!(api.all(&refused("reason=not_targeted"), &mine.key).await.len(), 1);
    assert_eq!(
        api.all(&refused(&format!("advertiser_id={}", yours.id("advertiser_id"))), &mine.key).await.len(),
        0
    );
    let answer = api.call(Method::GET, &refused("reason=bad_luck"), Some(&mine.key), None).await;
    assert_eq!(answer.problem(), "invalid_query");
    api.plane.stop().await;
}
