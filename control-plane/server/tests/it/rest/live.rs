//! The live page: who gets in, what it says, in which language, and that it escapes.

use super::{Answer, Api};
use control_plane_server::app::keys;
use http::Method;
use serde_json::json;

async fn page(api: &Api, path: &str, cookie: &str, language: &str) -> Answer {
    let headers = [("cookie", cookie), ("accept-language", language)];
    api.call_with(Method::GET, path, None, None, &headers).await
}

async fn sign_in(api: &Api) -> String {
    let token = keys::one_time_login(api.plane.app()).unwrap();
    let link = format!("/login?token={token}");
    assert_eq!(api.call(Method::HEAD, &link, None, None).await.status, 401, "a preview does not use it up");
    let answer = api.call(Method::GET, &link, None, None).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(api.call(Method::GET, &link, None, None).await.status, 401, "it works once");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn only_a_one_time_link_leads_in() {
    let api = Api::start().await;
    api.catalog("Secret").await;
    for cookie in ["", "tributary_session=", "tributary_session=9999999999.AAAA.AAAA", "other=1"] {
        let answer = page(&api, "/", cookie, "en").await;
        assert_eq!(answer.status, 401, "{cookie}");
        assert!(answer.text.contains("one-time link") && !answer.text.contains("Secret"));
    }
    for path in ["/login", "/login?token=", "/login?token=wrong", "/login/wrong"] {
        assert_eq!(page(&api, path, "", "en").await.status, 401, "{path}");
    }
    let cookie = sign_in(&api).await;
    let inside = page(&api, "/", &cookie, "en").await;
    assert_eq!(inside.status, 200);
    assert!(inside.header("content-security-policy").contains("frame-ancestors 'none'"));
    let out = api.call(Method::POST, "/logout", None, None).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    api.plane.stop().await;
}

#[tokio::test]
async fn it_shows_the_way_of_the_money_in_both_languages() {
    let api = Api::start().await;
    let network = api.network("Shown").await;
    let cookie = sign_in(&api).await;
    let english = page(&api, "/", &cookie, "en-US,en").await.text;
    for text in [
        "<html lang=\"en\">",
        network.id("order_id"),
        "10.00 USD",
        "10 % of 100.00 USD is 10.00 USD",
        "Balanced",
    ] {
        assert!(english.contains(text), "{text} in {english}");
    }
    assert!(english.contains("Approved: the order was delivered."));
    assert!(english.contains("http-equiv=\"refresh\""));
    let chinese = page(&api, "/", &cookie, "zh-CN,zh;q=0.9").await.text;
    for text in ["<html lang=\"zh-CN\">", "转化与佣金", "唯一的候选", "已批准：订单已交付。", "平衡"]
    {
        assert!(chinese.contains(text), "{text} in {chinese}");
    }
    let asked = page(&api, "/?lang=zh-CN&refresh=0", &cookie, "en").await.text;
    assert!(asked.contains("<html lang=\"zh-CN\">") && !asked.contains("http-equiv=\"refresh\""));
    api.plane.stop().await;
}

#[tokio::test]
async fn what_people_typed_is_escaped() {
    let api = Api::start().await;
    let mut network = api.catalog("<script>alert(1)</script>").await;
    network.name = "\"><img src=x>".into();
    api.post("/v1/partners", &network.key, json!({ "name": "<b>bold</b>" })).await;
    api.sale(&mut network).await;
    let cookie = sign_in(&api).await;
    let tenant = network.id("tenant_id");
    for path in
        ["/".to_owned(), format!("/?tenant={tenant}"), "/?tenant=<script>&lang=<b>&refresh=<i>".to_owned()]
    {
        let path = path.replace('<', "%3C").replace('>', "%3E");
        let page = page(&api, &path, &cookie, "en").await;
        assert_eq!(page.status, 200);
        for raw in ["<script", "<img", "<b>", "<i>"] {
            assert!(!page.text.contains(raw), "{raw} in {}", page.text);
        }
    }
    api.plane.stop().await;
}
