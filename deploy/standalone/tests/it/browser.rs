//! A real browser: the publisher's link, the shop, the pixel, the postback, the delivery.

use crate::chromium::Chromium;
use crate::harness::{Up, eventually, temp_dir};
use crate::main_job::{assert_balanced, close_period, wait_for_status};
use fantoccini::Locator;
use serde_json::json;

#[tokio::test]
async fn a_shopper_buys_and_the_partner_is_paid() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir.join("data")).await;
    let api = up.api();
    let browser = Chromium::start(&dir.join("profile")).await;

    browser.goto(up.text("publisher_url")).await.expect("the publisher's page");
    browser.find(Locator::Css("#offer")).await.expect("the link").click().await.expect("a click");
    let buy = browser.wait().for_element(Locator::Css("#buy-mower")).await.expect("the shop");
    let landed = browser.current_url().await.expect("an address");
    assert!(landed.query_pairs().any(|(name, _)| name == "click_id"), "{landed}");
    browser.find(Locator::Css("#agree")).await.expect("a question").click().await.expect("consent");
    eventually("the touch", || async {
        let feed = api.get("/v1/hits?from=oldest&limit=100").await;
        feed["data"].as_array()?.iter().any(|hit| hit["kind"] == "touch").then_some(())
    })
    .await;
    buy.click().await.expect("a purchase");
    let order = browser.wait().for_element(Locator::Css("#order")).await.expect("the thank-you page");
    let order = order.text().await.expect("the order id");

    let pending = wait_for_status(&api, &order, "pending").await;
    assert_eq!(pending["amount"], json!({ "amount": 12_990, "currency": "USD" }), "10 % of 1299.00");
    eventually("the postback's word", || async {
        api.conversion(&order).await.filter(|conversion| conversion["authority"] == "token_postback")
    })
    .await;
    // Recorded, or known already from the postback: it came, and there is still one conversion.
    eventually("the pixel", || async {
        (up.edge_counted("pixel", &["recorded", "duplicate"]).await == 1).then_some(())
    })
    .await;

    browser.find(Locator::Css("#deliver")).await.expect("the button").click().await.expect("a delivery");
    browser.wait().for_element(Locator::Css("#delivered")).await.expect("it is noted");
    let approved = wait_for_status(&api, &order, "approved").await;
    assert_eq!(approved["reason"], "delivered");
    let statements = close_period(&up).await;
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["hash"].as_str().map(str::len), Some(64));
    assert_eq!(api.all("/v1/commissions").await.len(), 1);
    assert_balanced(&api).await;

    browser.goto(up.text("admin_url")).await.expect("the live page");
    let page = browser.source().await.expect("its text");
    assert!(page.contains(&order), "the live page shows the order");
    browser.goto(&format!("{}/?lang=zh-CN", up.text("api_url"))).await.expect("the live page");
    let html = browser.find(Locator::Css("html")).await.expect("a document");
    assert_eq!(html.attr("lang").await.expect("an attribute").as_deref(), Some("zh-CN"));
    browser.close().await;
}
