//! Killed again and again in the middle of the traffic; then every answer is held against the journal, the reports and
//! the books. The short form runs with all tests; `make soak` runs the long one.

mod backlog;
mod bounded;
mod eio;
mod forger;
mod gateway;
mod history;
mod load;
mod messages;
mod network;
mod verdict;

use crate::failover::{Tenant, tenant};
use crate::harness::{Api, Process, temp_dir};
use crate::outage::{enroll, quiet_control_plane, wait_for_link};
use control_plane_testing::Proxy;
use gateway::Gateway;
use history::History;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tributary::http_client::HttpClient;
use verdict::Record;

/// How long the long form goes on; 0 is the short one.
fn minutes() -> u64 {
    std::env::var("TRIBUTARY_SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Kills of the edge in a round; every third time the control plane goes, too.
const KILLS: usize = 6;
/// Kills of the edge in the long form, at least.
const MANY: usize = 200;
/// Addresses of this machine that no other test listens on: while a process is away, nobody may get its port.
const KILLED: &str = "127.0.7.1:0";
const FAILING: &str = "127.0.7.2:0";
const FAR: &str = "127.0.7.3:0";
const FARTHER: &str = "127.0.7.4:0";
const READ: &str = "127.0.7.5:0";
const ALTERED: &str = "127.0.7.6:0";
const BESIDE: &str = "127.0.7.7:0";
const BAD: &str = "127.0.7.8:0";
const UNREAD: &str = "127.0.7.9:0";
const SWEPT: &str = "127.0.7.10:0";
const BOUNDED: &str = "127.0.7.11:0";
const PILED: &str = "127.0.7.12:0";

const SHOPPERS: usize = 16;
/// At most this long between two kills.
const LONGEST: u64 = 700;

/// A control plane and an edge that come back on the addresses they had.
struct Field {
    dir: PathBuf,
    plane: Option<Process>,
    plane_at: [String; 2],
    edge: Option<Process>,
    edge_at: String,
    tenant: Tenant,
    api_url: String,
    api: Api,
    operator: Api,
    /// Processes that got a SIGKILL.
    kills: usize,
}

/// Its settings may lie beside its data. What it says of each kill is kept beside its data, and is not for whoever waits for the verdict.
async fn edge_at(dir: &Path, listen: &str) -> Process {
    let (log, settings) = (dir.with_extension("log"), dir.with_extension("toml"));
    let dir = dir.to_str().expect("a UTF-8 path");
    let mut args = vec!["edge", "run", "--output", "json", "--data-dir", dir, "--listen", listen];
    if settings.exists() {
        args.extend(["--config", settings.to_str().expect("a UTF-8 path")]);
    }
    Process::start_logged(&args, &log).await
}

/// Lets an edge in, which then finds the control plane behind the gateway.
async fn join(operator: &Api, edge_dir: &Path, gateway: Option<&Gateway>) {
    let bundle = operator.post("/v1/edges/join-bundles", json!({ "name": "edge" })).await;
    assert!(enroll(edge_dir, bundle["bundle"].as_str().expect("a bundle")));
    if let Some(gateway) = gateway {
        gateway.stand_before(edge_dir);
    }
}

/// Of whatever is left to chance; the same one makes the same choices again.
fn seed() -> u64 {
    let given = std::env::var("TRIBUTARY_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from_be_bytes(proto_wire::keys::random()));
    eprintln!("TRIBUTARY_TEST_SEED={seed}");
    seed
}

fn authority(url: &str) -> String {
    url.rsplit('/').next().expect("an authority").to_owned()
}

impl Field {
    async fn start_at(dir: &Path, listen: &str) -> Self {
        let plane = quiet_control_plane(&dir.join("cp"), listen, listen, &["--new-operator-key"]).await;
        Self::with(dir, plane, listen, None).await
    }

    /// Whatever the edge and the control plane say to each other goes through the gateway.
    async fn start_behind_a_gateway(dir: &Path, listen: &str) -> (Self, Gateway) {
        let plane = quiet_control_plane(&dir.join("cp"), listen, listen, &["--new-operator-key"]).await;
        let gateway = Gateway::start(&dir.join("cp"), plane.text("grpc_url"), seed()).await;
        (Self::with(dir, plane, listen, Some(&gateway)).await, gateway)
    }

    /// The edge reaches the control plane through a network that can fail.
    async fn start_behind_a_proxy(dir: &Path, listen: &str) -> (Self, Proxy) {
        // The control plane tells edges the proxy's address, so that its own has to be known before.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let behind = free.expect("a free port");
        let proxy = Proxy::to(behind.port()).expect("a port");
        let public = format!("https://127.0.0.1:{}", proxy.port());
        let more = ["--new-operator-key", "--grpc-public-url", &public];
        let plane = quiet_control_plane(&dir.join("cp"), "127.0.0.1:0", &behind.to_string(), &more).await;
        (Self::with(dir, plane, listen, None).await, proxy)
    }

    async fn with(dir: &Path, plane: Process, listen: &str, gateway: Option<&Gateway>) -> Self {
        let (api_url, operator_key) =
            (plane.text("api_url").to_owned(), plane.text("operator_key").to_owned());
        let plane_at = [authority(&api_url), authority(plane.text("grpc_url"))];
        let operator = Api::new(&api_url, &operator_key);
        let tenant = tenant(&operator, &api_url).await;
        let api = Api::new(&api_url, &tenant.key);
        join(&operator, &dir.join("edge"), gateway).await;
        let edge = edge_at(&dir.join("edge"), listen).await;
        wait_for_link(&HttpClient::default(), &edge, &tenant.link).await;
        Self {
            dir: dir.to_owned(),
            plane: Some(plane),
            plane_at,
            edge_at: authority(edge.text("edge_url")),
            edge: Some(edge),
            api_url,
            api,
            tenant,
            operator,
            kills: 0,
        }
    }

    /// Another tenant on the same processes, whose figures begin at nothing.
    async fn another_tenant(&mut self) {
        self.tenant = tenant(&self.operator, &self.api_url).await;
        self.api = Api::new(&self.api_url, &self.tenant.key);
        let edge = self.edge.as_ref().expect("running");
        wait_for_link(&HttpClient::default(), edge, &self.tenant.link).await;
    }

    async fn kill_edge(&mut self) {
        self.edge.take().expect("running").kill().await;
        self.kills += 1;
        self.start_edge().await;
    }

    async fn start_edge(&mut self) {
        self.edge = Some(edge_at(&self.dir.join("edge"), &self.edge_at).await);
    }

    /// Its disk is replaced, after it has sent what was on the old one: it goes on in a new epoch.
    async fn renew_spool(&mut self) {
        self.edge.take().expect("running").stop().await;
        std::fs::remove_dir_all(self.dir.join("edge/spool")).expect("the disk is replaced");
        self.start_edge().await;
    }

    async fn kill_plane(&mut self) {
        self.plane.take().expect("running").kill().await;
        self.kills += 1;
        tokio::time::sleep(a_moment()).await;
        self.start_plane().await;
    }

    async fn start_plane(&mut self) {
        let [api, grpc] = &self.plane_at;
        self.plane = Some(quiet_control_plane(&self.dir.join("cp"), api, grpc, &[]).await);
    }

    /// Shoppers come and go while `meanwhile` does its worst; gives what they were answered.
    async fn under_load(&mut self, meanwhile: impl AsyncFnOnce(&mut Self)) -> History {
        self.under_load_of(SHOPPERS, meanwhile).await
    }

    async fn under_load_of(&mut self, shoppers: usize, meanwhile: impl AsyncFnOnce(&mut Self)) -> History {
        let stop = Arc::new(AtomicBool::new(false));
        let url = format!("http://{}", self.edge_at);
        let shopper = |number| load::shopper(number, url.clone(), self.tenant.clone(), stop.clone());
        let shoppers: Vec<_> = (0..shoppers).map(|number| tokio::spawn(shopper(number))).collect();
        meanwhile(self).await;
        stop.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for shopper in shoppers {
            history.add(shopper.await.expect("the load went well"));
        }
        history
    }

    async fn kill_again_and_again(&mut self) {
        for kill in 1..=KILLS {
            tokio::time::sleep(a_moment()).await;
            if kill % 3 == 0 {
                self.kill_plane().await;
            }
            self.kill_edge().await;
        }
    }

    async fn stop(self) {
        self.edge.expect("running").stop().await;
        self.plane.expect("running").stop().await;
    }
}

fn a_moment() -> Duration {
    Duration::from_millis(u64::from_be_bytes(proto_wire::keys::random()) % LONGEST)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_again_and_again() {
    let (_guard, dir) = temp_dir();
    let mut field = Field::start_at(&dir, KILLED).await;
    let mut record = Record::begin("kills under load");
    let (began, length) = (Instant::now(), Duration::from_secs(60 * minutes()));
    let enough = if length.is_zero() { KILLS } else { MANY };
    for kills in (KILLS..).step_by(KILLS) {
        let history = field.under_load(Field::kill_again_and_again).await;
        assert!(history.clicks.len() > KILLS, "there was a load");
        record.add(&history.check(&field.api, &field.operator).await);
        if began.elapsed() >= length && kills >= enough {
            break;
        }
        field.another_tenant().await;
    }
    record.end(field.kills);
    field.stop().await;
}
