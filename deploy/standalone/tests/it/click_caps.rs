//! A cap on clicks, shared by two edges: exact while they run, bounded when one is killed or cut off.

use crate::harness::{Api, Process, click, database_of, eventually, temp_dir};
use crate::outage::{enroll, wait_for_link};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tributary::http_client::HttpClient;

const CAPPED: &str = "https://capped.example/";
const OTHER: &str = "https://other.example/";

struct Capping {
    dir: PathBuf,
    control: Option<Process>,
    api: Api,
    offer: String,
    link: String,
    edges: Vec<Process>,
}

async fn control_plane(dir: &Path, grpc: &str, lease_secs: &str) -> Process {
    let (database, dir) = (database_of(dir), dir.to_str().expect("a UTF-8 path"));
    let mut args = vec!["control-plane", "run", "--output", "json", "--data-dir", dir, "--new-operator-key"];
    args.extend(["--listen", "127.0.0.1:0", "--grpc-listen", grpc, "--click-lease-secs", lease_secs]);
    if let Some(url) = &database {
        args.extend(["--database", url.as_str()]);
    }
    Process::start(&args).await
}

/// All shoppers have one address here, and some of them click until a lease is over: nobody limits their rate.
async fn edge(dir: &Path) -> Process {
    let config = dir.with_extension("toml");
    std::fs::write(&config, "[rate_limit]\nper_second = 0\n").expect("it can be written");
    let [dir, config] = [dir, &config].map(|path| path.to_str().expect("a UTF-8 path"));
    let args = ["edge", "run", "--output", "json", "--listen", "127.0.0.1:0", "--data-dir", dir];
    Process::start(&[&args[..], &["--config", config]].concat()).await
}

async fn offer(api: &Api, program: &Value, destination: &str) -> String {
    let offer = json!({
        "program_id": program["id"], "name": "Mower", "destination": destination,
        "terms": {
            "window_days": 30,
            "goals": [{ "goal": "sale", "flat": { "amount": 500, "currency": "USD" } }],
            "hold": { "until_delivered": true, "days": 14 },
        },
    });
    api.post("/v1/offers", offer).await["id"].as_str().expect("an id").to_owned()
}

impl Capping {
    /// A link whose offer takes `limit` clicks, and another offer that takes the rest.
    async fn start(dir: &Path, limit: u64, lease_secs: &str) -> Self {
        let control = control_plane(dir, "127.0.0.1:0", lease_secs).await;
        let operator = Api::new(control.text("api_url"), control.text("operator_key"));
        let tenant = operator.post("/v1/tenants", json!({ "name": "Caps" })).await;
        let key = operator.post("/v1/api-keys", json!({ "tenant_id": tenant["id"], "name": "test" })).await;
        let api = Api::new(control.text("api_url"), key["secret"].as_str().expect("a secret"));
        let advertiser = api.post("/v1/advertisers", json!({ "name": "Robots" })).await;
        let program = json!({ "advertiser_id": advertiser["id"], "name": "Main" });
        let program = api.post("/v1/programs", program).await;
        let (capped, other) = (offer(&api, &program, CAPPED).await, offer(&api, &program, OTHER).await);
        let partner = api.post("/v1/partners", json!({ "name": "Blog" })).await;
        let link = api.post("/v1/links", json!({ "offer_id": capped, "partner_id": partner["id"] })).await;
        let routing = json!({
            "click_cap": { "limit": limit, "window": "total" },
            "fallbacks": [{ "id": "other", "offer_id": other }],
        });
        api.patch(&format!("/v1/offers/{capped}"), json!({ "routing": routing })).await;
        let mut edges = Vec::new();
        for name in ["edge-a", "edge-b"] {
            let bundle = operator.post("/v1/edges/join-bundles", json!({ "name": name })).await;
            assert!(enroll(&dir.join(name), bundle["bundle"].as_str().expect("a bundle")));
            edges.push(edge(&dir.join(name)).await);
        }
        let link = link["id"].as_str().expect("an id").to_owned();
        for edge in &edges {
            wait_for_link(&HttpClient::default(), edge, &link).await;
        }
        Self { dir: dir.to_owned(), control: Some(control), api, offer: capped, link, edges }
    }

    /// Clicks of several shoppers at once on one edge; how many of them the capped offer got.
    async fn clicks(&self, edge: usize, shoppers: usize, each: usize) -> u64 {
        let shopper = || {
            let (url, link) = (self.edges[edge].text("edge_url").to_owned(), self.link.clone());
            tokio::spawn(async move {
                let client = HttpClient::default();
                let mut capped = 0;
                for _ in 0..each {
                    let click = click(&client, &url, &link, &[]).await;
                    let location = click.reply.header("location");
                    let location = location.unwrap_or_else(|| panic!("nowhere to go: {:?}", click.reply));
                    assert!(location.starts_with(CAPPED) || location.starts_with(OTHER), "{location}");
                    capped += u64::from(location.starts_with(CAPPED));
                }
                capped
            })
        };
        let shoppers: Vec<_> = std::iter::repeat_with(shopper).take(shoppers).collect();
        let mut capped = 0;
        for shopper in shoppers {
            capped += shopper.await.expect("every click was answered");
        }
        capped
    }

    async fn on_both(&self) -> u64 {
        let (a, b) = tokio::join!(self.clicks(0, 4, 10), self.clicks(1, 4, 10));
        a + b
    }

    /// Used and leased.
    async fn state(&self) -> (u64, u64) {
        let state = self.api.get(&format!("/v1/offers/{}/click-cap", self.offer)).await;
        (state["used"].as_u64().expect("a count"), state["leased"].as_u64().expect("a count"))
    }

    /// Clicks until the budget is used up; how many the capped offer got.
    async fn use_up(&self, limit: u64) -> u64 {
        let mut capped = 0;
        loop {
            capped += self.on_both().await;
            if self.state().await == (limit, 0) {
                return capped + self.on_both().await;
            }
        }
    }

    async fn stop(self) {
        for edge in self.edges {
            edge.stop().await;
        }
        if let Some(control) = self.control {
            control.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_edges_send_exactly_as_many_clicks_as_the_cap_allows() {
    let (_guard, dir) = temp_dir();
    let capping = Capping::start(&dir, 300, "120").await;
    assert_eq!(capping.use_up(300).await, 300);
    // One more is one more.
    let routing = json!({ "click_cap": { "limit": 301, "window": "total" },
        "fallbacks": [{ "id": "other", "offer_id": capping.api.get(&format!("/v1/offers/{}", capping.offer)).await
            ["routing"]["fallbacks"][0]["offer_id"] }] });
    capping.api.patch(&format!("/v1/offers/{}", capping.offer), json!({ "routing": routing })).await;
    let mut more = 0;
    while capping.state().await != (301, 0) {
        more += capping.on_both().await;
    }
    assert_eq!(more + capping.on_both().await, 1);
    capping.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_killed_forgets_no_click_and_keeps_its_share() {
    let (_guard, dir) = temp_dir();
    let mut capping = Capping::start(&dir, 400, "20").await;
    let mut capped = 0;
    for _ in 0..3 {
        capped += capping.on_both().await;
        capping.edges.remove(0).kill().await;
        let again = edge(&capping.dir.join("edge-a")).await;
        capping.edges.insert(0, again);
    }
    assert!(capped > 0, "some of them got a lease");
    // Every answered click of the killed edge is among the used ones: exactly the rest is left. What is counted
    // twice at most is a click that was under way when a lease was written down, and none was.
    let rest = capping.use_up(400).await;
    assert!(capped + rest <= 400, "{capped} and {rest}");
    assert!(capped + rest >= 390, "next to nothing is lost of it: {capped} and {rest}");
    capping.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_cut_off_stops_when_its_lease_ends() {
    let (_guard, dir) = temp_dir();
    let mut capping = Capping::start(&dir, 10_000, "3").await;
    eventually("the first click on the capped offer", || async {
        (capping.clicks(0, 1, 1).await == 1).then_some(())
    })
    .await;
    let control = capping.control.take().expect("it runs");
    let grpc = control.text("grpc_url").trim_start_matches("https://").to_owned();
    control.kill().await;
    eventually("the end of the lease", || async { (capping.clicks(0, 1, 1).await == 0).then_some(()) }).await;
    assert_eq!(capping.clicks(0, 1, 5).await, 0, "it does not begin again");
    capping.control = Some(control_plane(&capping.dir, &grpc, "3").await);
    eventually("a new lease", || async { (capping.clicks(0, 1, 1).await == 1).then_some(()) }).await;
    capping.stop().await;
}
