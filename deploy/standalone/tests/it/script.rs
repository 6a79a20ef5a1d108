//! `/t.js` in a real browser, on an advertiser's site that is this test's own: what is kept, what is told, and to whom
//! a sale belongs.

use crate::chromium::Chromium;
use crate::harness::{Up, eventually, temp_dir};
use axum::Router;
use axum::extract::RawQuery;
use axum::response::Html;
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tributary::http_client::request;

/// An edge, the advertiser's site that loads its script, and a shopper's browser.
struct Shopping {
    up: Up,
    browser: Chromium,
    /// `127.0.0.1:port`, where the demo's offer leads to.
    site: String,
    server: JoinHandle<()>,
    _guard: tempfile::TempDir,
}

impl Shopping {
    async fn start() -> Self {
        let (guard, dir) = temp_dir();
        let up = Up::start(&dir.join("data")).await;
        let (site, server) = serve_site(up.text("edge_url"), up.text("demo_advertiser")).await;
        let path = format!("/v1/offers/{}", up.text("demo_offer"));
        up.api().patch(&path, json!({ "destination": format!("http://{site}/landing") })).await;
        let shopping =
            Self { browser: Chromium::start(&dir.join("profile")).await, up, site, server, _guard: guard };
        shopping.edge_leads_to_the_site().await;
        shopping
    }

    async fn edge_leads_to_the_site(&self) {
        let url = format!("{}/c/{}", self.up.text("edge_url"), self.up.text("demo_link"));
        let landing = format!("http://{}/landing", self.site);
        eventually("the edge has the new destination", || async {
            let head = request(Method::HEAD, &url, None, None).expect("a valid request");
            let reply = self.up.client.send(head).await.expect("the edge answers");
            reply.header("location").is_some_and(|to| to.starts_with(&landing)).then_some(())
        })
        .await;
    }

    /// The partner's link, to the landing page: gives back the click id that stands in its address.
    async fn follow_link(&self) -> String {
        let url = format!("{}/c/{}", self.up.text("edge_url"), self.up.text("demo_link"));
        self.browser.goto(&url).await.expect("the landing page");
        self.script_is_here().await;
        let landed = self.browser.current_url().await.expect("an address");
        assert_eq!(
            landed.host_str().zip(landed.port()).map(|(h, p)| format!("{h}:{p}")),
            Some(self.site.clone())
        );
        let id = landed.query_pairs().find(|(name, _)| name == "click_id");
        id.expect("the page got a click id").1.into_owned()
    }

    /// A page of the site.
    async fn visit(&self, page: &str) {
        self.browser.goto(&format!("http://{}{page}", self.site)).await.expect("a page");
        self.script_is_here().await;
    }

    async fn script_is_here(&self) {
        eventually("the script", || async {
            let loaded = self.run("return window.tributary.loaded === true").await;
            (loaded == true).then_some(())
        })
        .await;
    }

    async fn run(&self, script: &str) -> Value {
        self.browser.execute(script, Vec::new()).await.expect("the page runs it")
    }

    /// As a page says it: `tributary.push(call)`.
    async fn push(&self, call: Value) {
        self.run(&format!("tributary.push({call})")).await;
    }

    /// All that the site keeps in this browser.
    async fn kept(&self) -> Value {
        let text = self.run("return localStorage.getItem('tributary')").await;
        assert_eq!(self.run("return document.cookie").await, "", "no cookies");
        text.as_str().map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"))
    }

    /// The same, once the edge has said that it has the touch.
    async fn kept_and_told(&self) -> Value {
        eventually("the touch", || async { Some(self.kept().await).filter(|kept| kept["bound"].is_string()) })
            .await
    }

    /// Of `POST /e`, on this edge.
    async fn beacons(&self, outcome: &str) -> u64 {
        self.up.edge_counted("beacon", &[outcome]).await
    }

    async fn wait_for_beacons(&self, wanted: u64) {
        eventually(&format!("{wanted} beacons"), || async {
            let recorded = self.beacons("recorded").await;
            assert!(recorded <= wanted, "{recorded} beacons instead of {wanted}");
            (recorded == wanted).then_some(())
        })
        .await;
    }

    /// The conversion, once it stands as `status`.
    async fn conversion(&self, order_id: &str, status: &str) -> Value {
        eventually(&format!("{order_id} that is {status}"), || async {
            let found = self.up.api().conversion(order_id).await;
            found.filter(|conversion| conversion["status"] == status)
        })
        .await
    }

    /// What the control plane has of this kind.
    async fn told(&self, kind: &str) -> Vec<Value> {
        let feed = self.up.api().get("/v1/hits?from=oldest&limit=100").await;
        let hits = feed["data"].as_array().expect("a list").iter();
        hits.filter(|hit| hit["kind"] == kind).cloned().collect()
    }

    async fn partner_earns(&self, order_id: &str) -> Value {
        let conversion = self.conversion(order_id, "attributed").await;
        assert_eq!(conversion["partner_id"], self.up.text("demo_partner"), "{order_id}");
        conversion
    }

    async fn end(self) {
        self.browser.close().await;
        self.server.abort();
        self.up.process.stop().await;
    }
}

/// Every page of the site loads the script as the documentation has it; the query of a page is what it says of consent,
/// and an empty one leaves it at that.
async fn serve_site(edge: &str, advertiser: &str) -> (String, JoinHandle<()>) {
    let script = format!("<script async src='{edge}/t.js' data-advertiser='{advertiser}'></script>");
    let page = move |RawQuery(query): RawQuery| {
        let consent = query.as_deref().and_then(|query| query.strip_prefix("consent=")).map(str::to_owned);
        let said = consent.map(|word| format!("tributary.push(['consent', '{word}']);")).unwrap_or_default();
        let html = format!(
            "<!doctype html><title>Shop</title>{script}<script>window.tributary = window.tributary || []; {said}</script>"
        );
        async move { Html(html) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let site = listener.local_addr().expect("an address").to_string();
    let router = Router::new().fallback(page);
    let server =
        tokio::spawn(async move { axum::serve(listener, router).await.expect("the site is served") });
    (site, server)
}

fn sale(order_id: &str) -> Value {
    json!({ "order_id": order_id, "amount": "100.00", "currency": "USD" })
}

#[tokio::test]
async fn with_consent_later_sales_find_the_click() {
    let shop = Shopping::start().await;
    let click_id = shop.follow_link().await;
    assert_eq!(shop.kept().await, Value::Null, "nobody has agreed yet");
    // Said before the visitor agrees, and remembered until then.
    shop.push(json!(["identify", { "customer_id": "anna" }])).await;
    assert_eq!((shop.kept().await, shop.beacons("recorded").await), (Value::Null, 0));
    shop.push(json!(["consent", "granted"])).await;
    let kept = shop.kept_and_told().await;
    assert_eq!((&kept["click_id"], &kept["customer_id"]), (&json!(click_id), &json!("anna")));

    // Days later a page reports a sale, and its address says nothing any more.
    shop.visit("/thank-you?consent=granted").await;
    shop.push(json!(["conversion", sale("by-page")])).await;
    let conversion = shop.partner_earns("by-page").await;
    assert_eq!(conversion["authority"], "pixel");
    let touches = shop.told("touch").await;
    assert_eq!(touches.len(), 1, "{touches:?}");
    assert_eq!((&touches[0]["status"], &touches[0]["privacy"]), (&json!("counted"), &json!("full")));
    shop.wait_for_beacons(2).await;
    assert_eq!(shop.kept().await["visitor_id"], kept["visitor_id"], "the same visitor, who was told of once");

    // The touch is in the books: it came before that. The advertiser's server knows its customer and nothing of clicks.
    let report = json!({
        "advertiser_id": shop.up.text("demo_advertiser"), "order_id": "by-server", "customer_id": "anna",
        "amount": { "amount": 10_000, "currency": "USD" },
    });
    shop.up.api().post("/v1/conversions", report).await;
    assert_eq!(shop.partner_earns("by-server").await["authority"], "signed");
    shop.end().await;
}

#[tokio::test]
async fn without_consent_the_page_alone_remembers() {
    let shop = Shopping::start().await;
    shop.follow_link().await;
    for consent in ["denied", "wait", "nonsense"] {
        shop.push(json!(["consent", consent])).await;
        shop.push(json!(["identify", { "customer_id": "berta" }])).await;
        assert_eq!(shop.kept().await, Value::Null, "{consent}");
    }
    shop.push(json!(["conversion", sale("same-page")])).await;
    shop.partner_earns("same-page").await;
    // Of the next page's visitor nobody knows anything.
    shop.visit("/thank-you?consent=denied").await;
    shop.push(json!(["conversion", sale("next-page")])).await;
    assert_eq!(shop.conversion("next-page", "unattributed").await["reason"], "no_click");
    // Two conversions, of which no more was kept than that they happened, and no touch.
    shop.wait_for_beacons(2).await;
    assert!(shop.told("conversion").await.iter().all(|hit| hit["privacy"] == "reduced"));
    assert!(shop.told("touch").await.is_empty());
    shop.end().await;
}

#[tokio::test]
async fn who_does_not_agree_is_not_named_to_anybody() {
    let shop = Shopping::start().await;
    shop.follow_link().await;
    shop.push(json!(["identify", { "customer_id": "dora" }])).await;
    let listen = "window.sent = []; navigator.sendBeacon = (url, text) => sent.push(JSON.parse(text)) > 0";
    shop.run(listen).await;
    let named = json!({ "order_id": "named", "customer_id": "dora", "visitor_id": "7" });
    for (consent, who) in
        [("wait", Value::Null), ("denied", Value::Null), ("granted", json!("dora")), ("denied", Value::Null)]
    {
        shop.push(json!(["consent", consent])).await;
        shop.push(json!(["conversion", sale("unnamed")])).await;
        shop.push(json!(["conversion", named])).await;
        let sent = shop.run("return sent.splice(0)").await;
        let sent = sent.as_array().expect("messages");
        assert_eq!(sent.len(), 2, "{sent:?}");
        for message in sent {
            assert_eq!(message["customer_id"], who, "{consent}: {message}");
            assert_eq!(message["visitor_id"].is_null(), who.is_null(), "{consent}: {message}");
            assert!(message["click_id"].is_string(), "which click it was is no secret: {message}");
        }
    }
    shop.end().await;
}

#[tokio::test]
async fn what_is_over_is_removed_when_it_is_met() {
    let shop = Shopping::start().await;
    shop.visit("/landing?consent=denied").await;
    let keep = |until: &str| {
        format!(
            "localStorage.setItem('tributary', \
             JSON.stringify({{ click_id: 'old', visitor_id: '7', bound: 'old,7,', until: {until} }}))"
        )
    };
    for (until, stays) in [("Date.now() + 1e6", true), ("Date.now() - 1", false), ("undefined", false)] {
        shop.run(&keep(until)).await;
        shop.visit("/account?consent=granted").await;
        assert_eq!(shop.kept().await.is_null(), !stays, "{until}");
    }
    shop.end().await;
}

#[tokio::test]
async fn withdrawn_consent_deletes_what_was_kept() {
    let shop = Shopping::start().await;
    shop.follow_link().await;
    shop.push(json!(["consent", "granted"])).await;
    assert!(shop.kept_and_told().await["visitor_id"].is_string());
    shop.push(json!(["consent", "denied"])).await;
    assert_eq!(shop.kept().await, Value::Null);
    shop.push(json!(["conversion", sale("withdrawn")])).await;
    shop.partner_earns("withdrawn").await;
    assert_eq!(shop.kept().await, Value::Null);

    // On a page that knew the click from the storage alone nothing of it is left.
    shop.follow_link().await;
    shop.push(json!(["consent", "granted"])).await;
    shop.kept_and_told().await;
    shop.visit("/account?consent=granted").await;
    shop.push(json!(["consent", "denied"])).await;
    shop.push(json!(["conversion", sale("forgotten")])).await;
    assert_eq!(shop.conversion("forgotten", "unattributed").await["reason"], "no_click");
    shop.wait_for_beacons(4).await;
    shop.end().await;
}

#[tokio::test]
async fn privacy_control_outweighs_consent() {
    let shop = Shopping::start().await;
    shop.browser.switch_privacy_control_on().await;
    shop.follow_link().await;
    shop.push(json!(["consent", "granted"])).await;
    shop.push(json!(["identify", { "customer_id": "clara" }])).await;
    assert_eq!(shop.kept().await, Value::Null);
    shop.push(json!(["conversion", sale("private")])).await;
    shop.partner_earns("private").await;
    shop.wait_for_beacons(1).await;
    let sale = shop.told("conversion").await.remove(0);
    assert_eq!((&sale["privacy"], shop.told("touch").await.len()), (&json!("reduced"), 0));
    // A script that pays no heed to it gets nowhere either.
    let ignoring = format!(
        "const done = arguments[0]; fetch('{}/e', {{ method: 'POST', body: JSON.stringify({{ type: 'touch', \
         advertiser: '{}', click_id: 'x', customer_id: 'clara', consent: 'granted' }}) }})\
         .then(r => r.json()).then(done)",
        shop.up.text("edge_url"),
        shop.up.text("demo_advertiser"),
    );
    let answer = shop.browser.execute_async(&ignoring, Vec::new()).await.expect("an answer");
    assert_eq!(answer["reason"], "no_consent", "{answer}");
    shop.end().await;
}

#[tokio::test]
async fn a_page_that_is_linked_to_directly_registers_the_click() {
    let shop = Shopping::start().await;
    let link = shop.up.text("demo_link").to_owned();
    shop.visit("/landing?consent=granted").await;
    shop.push(json!(["click", { "link": link, "sub1": "blog" }])).await;
    // The click, and the touch that binds it to the visitor.
    shop.kept_and_told().await;
    shop.visit("/thank-you?consent=granted").await;
    shop.push(json!(["conversion", sale("direct")])).await;
    shop.partner_earns("direct").await;
    // Clicks have a lane of their own.
    let click = eventually("the click", || async { shop.told("click").await.pop() }).await;
    assert_eq!((&click["direct"], &click["status"]), (&json!(true), &json!("counted")));
    shop.wait_for_beacons(3).await;

    // Another site with the same script: the offer does not lead there.
    let foreign = format!("http://localhost:{}", shop.site.rsplit(':').next().unwrap_or_default());
    shop.browser.goto(&format!("{foreign}/landing?consent=granted")).await.expect("a page");
    shop.script_is_here().await;
    shop.push(json!(["click", { "link": link }])).await;
    eventually("the refusal", || async { (shop.beacons("refused").await == 1).then_some(()) }).await;
    assert!(shop.kept().await["click_id"].is_null());
    eventually("the refused hit", || async {
        let refused = shop.up.api().all("/v1/refused-hits").await;
        refused.iter().any(|hit| hit["reason"] == "foreign_page").then_some(())
    })
    .await;
    shop.end().await;
}

/// A shop on a host that its offer does not know, or a link that somebody has cut short.
#[tokio::test]
async fn a_touch_that_the_edge_will_never_take_is_told_once() {
    let shop = Shopping::start().await;
    let click_id = shop.follow_link().await;
    let foreign = format!("http://localhost:{}", shop.site.rsplit(':').next().unwrap_or_default());
    let cases = [(foreign, click_id), (format!("http://{}", shop.site), "cut-short".to_owned())];
    for (told, (origin, click_id)) in (1..).zip(cases) {
        let landing = format!("{origin}/landing?click_id={click_id}");
        shop.browser.goto(&landing).await.expect("a page");
        shop.script_is_here().await;
        shop.push(json!(["consent", "granted"])).await;
        shop.kept_and_told().await;
        for _ in 0..3 {
            shop.browser.goto(&format!("{origin}/account?consent=granted")).await.expect("a page");
            shop.script_is_here().await;
        }
        // Somebody else than before: that is news. What came before it is counted by then.
        shop.push(json!(["identify", { "customer_id": "emil" }])).await;
        eventually("the second refusal", || async {
            (shop.beacons("refused").await >= 2 * told).then_some(())
        })
        .await;
        assert_eq!(shop.beacons("refused").await, 2 * told, "{landing}");
    }
    assert!(shop.told("touch").await.is_empty());
    shop.end().await;
}

#[tokio::test]
async fn an_impression_and_a_frame_are_counted() {
    let shop = Shopping::start().await;
    let click_id = shop.follow_link().await;
    let (edge, link, advertiser) =
        (shop.up.text("edge_url"), shop.up.text("demo_link"), shop.up.text("demo_advertiser"));
    let frame =
        format!("{edge}/p/{advertiser}.html?order_id=framed&amount=100.00&currency=USD&click_id={click_id}");
    let add = format!(
        "const show = (tag, src) => {{ const e = document.createElement(tag); e.src = src; document.body.append(e) }};\
         show('img', '{edge}/i/{link}.gif?sub1=banner'); show('iframe', '{frame}')"
    );
    shop.run(&add).await;
    shop.partner_earns("framed").await;
    eventually("the impression", || async {
        let hours = shop.up.api().all(&format!("/v1/reports/hourly?link_id={link}")).await;
        let seen: u64 = hours.iter().filter_map(|hour| hour["impressions"].as_u64()).sum();
        (seen == 1).then_some(())
    })
    .await;
    shop.end().await;
}
