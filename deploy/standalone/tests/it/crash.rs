//! kill -9 right after a reply, and a restart: what was answered arrives, once.

use crate::harness::{Up, eventually, temp_dir};
use crate::main_job::{assert_balanced, deliver, wait_for_status};
use crate::outage::clicks_in_reports;

#[tokio::test]
async fn an_answered_click_survives_sigkill() {
    let (_guard, dir) = temp_dir();
    let mut ids = Vec::new();
    for round in 1..=5 {
        let up = Up::start(&dir).await;
        let id = up.click().await.id().to_owned();
        let more = format!("click_id={id}&amount=10.00&currency=USD");
        assert_eq!(up.postback(&format!("crash-{round}"), &more).await.status, 202);
        up.process.kill().await;
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "no address is used twice");

    let up = Up::start(&dir).await;
    let api = up.api();
    eventually("five clicks in the reports", || async { (clicks_in_reports(&api).await == 5).then_some(()) })
        .await;
    for round in 1..=5 {
        let order = format!("crash-{round}");
        eventually("the conversion", || async { api.conversion(&order).await }).await;
        deliver(&up, &order).await;
        let commission = wait_for_status(&api, &order, "approved").await;
        assert_eq!(commission["amount"]["amount"], 100);
    }
    assert_eq!(api.all("/v1/conversions").await.len(), 5);
    assert_eq!(clicks_in_reports(&api).await, 5);
    assert_balanced(&api).await;
    up.process.stop().await;
}

#[tokio::test]
async fn a_second_up_goes_on_where_the_first_stopped() {
    let (_guard, dir) = temp_dir();
    let first = Up::start(&dir).await;
    let key = first.text("api_key").to_owned();
    let link = first.text("demo_link").to_owned();
    let click = first.click().await;
    first.process.stop().await;

    let second = Up::start(&dir).await;
    assert_eq!(second.text("api_key"), key);
    assert_eq!(second.text("demo_link"), link);
    assert_eq!(clicks_in_reports(&second.api()).await, 1, "a clean stop delivered it");
    let more = format!("click_id={}&amount=10.00&currency=USD", click.id());
    assert_eq!(second.postback("later", &more).await.status, 202, "yesterday's click id is good today");
    wait_for_status(&second.api(), "later", "pending").await;
    let redirect = second.click().await;
    let location = redirect.reply.header("location").expect("a redirect").to_owned();
    let shop = second.text("publisher_url").trim_end_matches("/publisher");
    assert!(location.starts_with(shop), "the demo follows its new address: {location}");
}
