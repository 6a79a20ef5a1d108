//! Several control planes share one PostgreSQL database. When one is killed, or hangs, the others take over
//! its work, and every order counts once.

use crate::balancer::Balancer;
use crate::harness::{Api, Process, click, copy_keys, eventually, temp_dir};
use crate::main_job::assert_balanced;
use crate::outage::{clicks_in_reports, edge, enroll, wait_for_link};
use control_plane_testing::Server;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tributary::http_client::HttpClient;

const NODES: usize = 3;
const TENANTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(50);
/// Each order is worth this to the partner.
pub const COMMISSION: i64 = 500;
/// How sixteen slots are shared by three.
const FAIR: [usize; NODES] = [4, 6, 6];

#[derive(Clone, PartialEq, Eq, Debug)]
struct Lease {
    holder: String,
    fence: u64,
    stands: bool,
}

struct Node {
    dir: PathBuf,
    grpc: SocketAddr,
    process: Option<Process>,
}

impl Node {
    /// What it is called in leases.
    fn name(&self) -> String {
        std::fs::read_to_string(self.dir.join("node")).expect("it was started once").trim().to_owned()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("running")
    }
}

struct Cluster {
    server: &'static Server,
    database: control_plane_testing::Database,
    balancer: Balancer,
    nodes: Vec<Node>,
}

impl Cluster {
    async fn new(server: &'static Server, dir: &Path) -> Self {
        let balancer = Balancer::start().await;
        // An address of this machine for each, so that all can have the balancer's port.
        let node = |index: usize| Node {
            dir: dir.join(format!("node-{index}")),
            grpc: format!("127.0.0.{}:{}", index + 2, balancer.address.port()).parse().expect("an address"),
            process: None,
        };
        let nodes = (0..NODES).map(node).collect();
        Self { server, database: server.create_database(), balancer, nodes }
    }

    fn args(&self, index: usize) -> Vec<String> {
        let node = &self.nodes[index];
        let public = format!("https://{}", self.balancer.address);
        let (dir, grpc) = (node.dir.display().to_string(), node.grpc.to_string());
        let args = [
            ["control-plane", "run"],
            ["--output", "json"],
            ["--data-dir", &dir],
            ["--database", &self.database.url],
            ["--listen", "127.0.0.1:0"],
            ["--grpc-listen", &grpc],
            ["--grpc-public-url", &public],
        ];
        args.into_iter().flatten().map(str::to_owned).collect()
    }

    async fn start(&mut self, index: usize, more: &[&str]) {
        let args = self.args(index);
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.nodes[index].process = Some(Process::start(&args).await);
        self.balancer.add(self.nodes[index].grpc);
    }

    /// SIGKILL.
    async fn kill(&mut self, index: usize) {
        self.nodes[index].process.take().expect("running").kill().await;
        self.balancer.remove(self.nodes[index].grpc);
    }

    fn ask(&self, sql: &str) -> String {
        self.server.superuser_psql(&self.database.name, sql).expect("psql answers")
    }

    fn leases(&self) -> BTreeMap<String, Lease> {
        let sql = "SELECT name, holder, fence, expires_at > extract(epoch FROM clock_timestamp()) * 1000000 \
            FROM leases";
        let read = |row: &str| {
            let fields: Vec<&str> = row.split('|').collect();
            let [name, holder, fence, stands] = fields[..] else { panic!("{row}") };
            let fence = fence.parse().expect("a number");
            (name.to_owned(), Lease { holder: holder.to_owned(), fence, stands: stands == "t" })
        };
        self.ask(sql).lines().map(read).collect()
    }

    /// The node at work on this now.
    fn owner(&self, lease: &str) -> usize {
        let leases = self.leases();
        let holder = &leases[lease].holder;
        self.nodes.iter().position(|node| node.name() == *holder).expect("one of the nodes")
    }

    fn slots_of(&self, leases: &BTreeMap<String, Lease>, index: usize) -> usize {
        let name = self.nodes[index].name();
        let own = |(lease, held): &(&String, &Lease)| {
            lease.starts_with("money/") && held.holder == name && held.stands
        };
        leases.iter().filter(own).count()
    }

    async fn shared_fairly(&self) {
        eventually("slots shared fairly", || async {
            let leases = self.leases();
            let mut slots: Vec<usize> = (0..NODES).map(|index| self.slots_of(&leases, index)).collect();
            slots.sort_unstable();
            (slots == FAIR).then_some(())
        })
        .await;
    }

    /// Until others hold whatever this node held, each under a newer fence.
    async fn taken_over(&self, index: usize, before: &BTreeMap<String, Lease>, how: &str) {
        let began = Instant::now();
        let gone = self.nodes[index].name();
        let lost: Vec<&String> = before
            .iter()
            .filter(|(_, lease)| lease.holder == gone && lease.stands)
            .map(|(name, _)| name)
            .collect();
        assert!(lost.iter().any(|name| name.starts_with("money/")), "it held slots: {before:?}");
        eventually("others took over", || async {
            let now = self.leases();
            let taken = |name: &&String| {
                let (was, is) = (&before[*name], &now[*name]);
                is.stands && is.holder != gone && is.fence > was.fence
            };
            lost.iter().all(taken).then_some(())
        })
        .await;
        eprintln!("{how}: {} leases taken over in {:.1} s", lost.len(), began.elapsed().as_secs_f32());
    }

    /// SIGSTOP, in the middle of a transaction if that can be caught: it keeps its connections and its locks.
    async fn freeze(&self, index: usize) {
        // Nobody who runs leaves a transaction alone for that long.
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND state = 'idle in transaction' AND clock_timestamp() - state_change > interval '200 ms'";
        for _ in 0..60 {
            self.nodes[index].process().signal("STOP").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if self.ask(sql) != "0" {
                return eprintln!("stopped in the middle of a transaction");
            }
            self.nodes[index].process().signal("CONT").await;
            tokio::time::sleep(a_moment(50)).await;
        }
        eprintln!("stopped, not in a transaction");
        self.nodes[index].process().signal("STOP").await;
    }
}

/// Less than `longest` milliseconds.
fn a_moment(longest: u64) -> Duration {
    Duration::from_millis(u64::from_be_bytes(proto_wire::keys::random()) % longest)
}

#[derive(Clone)]
pub struct Tenant {
    pub key: String,
    pub link: String,
    pub advertiser: String,
    pub token: String,
}

/// Commissions are approved at once, so that money goes all the way to the settlement shard.
pub async fn tenant(operator: &Api, api_url: &str) -> Tenant {
    let tenant = operator.post("/v1/tenants", json!({ "name": "Failover" })).await;
    let key = operator.post("/v1/api-keys", json!({ "tenant_id": tenant["id"], "name": "test" })).await;
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let key = text(&key["secret"]);
    let api = Api::new(api_url, &key);
    let advertiser = api.post("/v1/advertisers", json!({ "name": "Robots" })).await;
    let program = json!({ "advertiser_id": advertiser["id"], "name": "Main" });
    let program = api.post("/v1/programs", program).await;
    let terms = json!({
        "window_days": 30,
        "goals": [{ "goal": "sale", "flat": { "amount": COMMISSION, "currency": "USD" } }],
        "hold": { "until_delivered": false, "days": 0 },
    });
    let destination = "https://shop.example/mower";
    let offer =
        json!({ "program_id": program["id"], "name": "Mower", "destination": destination, "terms": terms });
    let offer = api.post("/v1/offers", offer).await;
    let partner = api.post("/v1/partners", json!({ "name": "Blog" })).await;
    let link = api.post("/v1/links", json!({ "offer_id": offer["id"], "partner_id": partner["id"] })).await;
    let (advertiser, token) = (text(&advertiser["id"]), text(&advertiser["postback_token"]));
    Tenant { key, link: text(&link["id"]), advertiser, token }
}

/// Clicks and sales of every tenant, in turn, with a pause after each round, until told to stop; gives how many
/// of each.
pub fn load(
    edge_url: String,
    tenants: Vec<Tenant>,
    pause: Duration,
    stop: Arc<AtomicBool>,
) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let client = HttpClient::default();
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            for Tenant { link, advertiser, token, .. } in &tenants {
                let click = click(&client, &edge_url, link, &[]).await;
                assert_eq!(click.reply.status, 302, "redirects never stop");
                let id = click.id();
                let url = format!(
                    "{edge_url}/postback/{advertiser}?order_id=o-{rounds}&click_id={id}&amount=9.00&currency=USD&token={token}"
                );
                assert_eq!(client.get(&url, None).await.expect("an answer").status, 202);
            }
            rounds += 1;
            tokio::time::sleep(pause).await;
        }
        rounds
    })
}

/// Every order once, every amount exact, and the books say the same when they are made again from nothing.
pub async fn assert_exact(api: &Api, orders: usize) {
    eventually("every order approved", || async {
        let approved = api.all("/v1/commissions?status=approved").await;
        (approved.len() >= orders).then_some(())
    })
    .await;
    let expected: BTreeSet<String> = (0..orders).map(|n| format!("o-{n}")).collect();
    for list in ["conversions", "commissions"] {
        let items = api.all(&format!("/v1/{list}")).await;
        let named: BTreeSet<String> =
            items.iter().map(|item| item["order_id"].as_str().expect("an order").to_owned()).collect();
        assert_eq!(items.len(), orders, "{list}: each order once");
        assert_eq!(named, expected, "{list}");
    }
    let commissions = api.all("/v1/commissions").await;
    let amounts =
        commissions.iter().map(|commission| commission["amount"]["amount"].as_i64().expect("minor"));
    assert_eq!(amounts.sum::<i64>(), COMMISSION * i64::try_from(orders).expect("few"));
    let clicks = i64::try_from(orders).expect("few");
    eventually("every click", || async { (clicks_in_reports(api).await >= clicks).then_some(()) }).await;
    assert_eq!(clicks_in_reports(api).await, clicks, "and none twice");
    assert_balanced(api).await;
    let replay = api.post("/v1/ledger/replay", json!({})).await;
    assert_eq!(replay["equal"], true, "{replay}");
}

/// SQLite has one process, hence nobody to take over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_dies_or_hangs_is_replaced_and_every_order_counts_once() {
    let Some(server) = control_plane_testing::chosen() else { return };
    let (_guard, dir) = temp_dir();
    let mut cluster = Cluster::new(server, &dir).await;
    cluster.start(0, &["--new-operator-key"]).await;

    let second = cluster.args(1);
    let refused = Process::refused(&second.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(refused.contains("copy the keys directory"), "{refused}");
    for index in 1..NODES {
        copy_keys(&cluster.nodes[0].dir, &cluster.nodes[index].dir);
        cluster.start(index, &[]).await;
    }
    let (api_url, operator_key) = {
        let first = cluster.nodes[0].process();
        (first.text("api_url").to_owned(), first.text("operator_key").to_owned())
    };
    let operator = Api::new(&api_url, &operator_key);
    let mut tenants = Vec::new();
    for _ in 0..TENANTS {
        tenants.push(tenant(&operator, &api_url).await);
    }
    let bundle = operator.post("/v1/edges/join-bundles", json!({ "name": "edge" })).await;
    let edge_dir = dir.join("edge");
    assert!(enroll(&edge_dir, bundle["bundle"].as_str().expect("a bundle")));
    let edge = edge(&edge_dir).await;
    for tenant in &tenants {
        wait_for_link(&HttpClient::default(), &edge, &tenant.link).await;
    }
    cluster.shared_fairly().await;

    let stop = Arc::new(AtomicBool::new(false));
    let load = load(edge.text("edge_url").to_owned(), tenants.clone(), PAUSE, stop.clone());
    let mut dead = Vec::new();
    while dead.len() < NODES - 1 {
        tokio::time::sleep(a_moment(2_000)).await;
        let victim = cluster.owner("project");
        let before = cluster.leases();
        cluster.kill(victim).await;
        cluster.taken_over(victim, &before, "killed").await;
        dead.push(victim);
    }
    for index in dead {
        cluster.start(index, &[]).await;
    }
    cluster.shared_fairly().await;

    let victim = cluster.owner("project");
    cluster.freeze(victim).await;
    let before = cluster.leases();
    cluster.balancer.remove(cluster.nodes[victim].grpc);
    cluster.taken_over(victim, &before, "hanging").await;
    cluster.nodes[victim].process().signal("CONT").await;
    cluster.balancer.add(cluster.nodes[victim].grpc);
    cluster.shared_fairly().await;
    tokio::time::sleep(a_moment(2_000)).await;

    stop.store(true, Ordering::Relaxed);
    let orders = load.await.expect("the load went well");
    eprintln!("{orders} orders of each of {TENANTS} tenants");
    let all = orders * TENANTS;
    eventually("every credit", || async {
        let credits: usize = cluster.ask("SELECT count(*) FROM credits").parse().expect("a number");
        (credits >= all).then_some(())
    })
    .await;
    let credited = "SELECT DISTINCT count(*), sum(amount_minor) FROM credits GROUP BY tenant_id";
    let each = COMMISSION * i64::try_from(orders).expect("few");
    assert_eq!(cluster.ask(credited), format!("{orders}|{each}"), "to each tenant's partner");
    // Whichever node is asked.
    for (tenant, node) in tenants.iter().zip(cluster.nodes.iter().cycle()) {
        assert_exact(&Api::new(node.process().text("api_url"), &tenant.key), orders).await;
    }
    let operator = Api::new(cluster.nodes[victim].process().text("api_url"), &operator_key);
    let verified = operator.post("/v1/journal/verify", json!({})).await;
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(cluster.ask("SELECT count(*) = max(seq) AND min(seq) = 1 FROM journal"), "t", "dense");
    for node in &cluster.nodes {
        let ready = format!("{}/readyz", node.process().text("api_url"));
        let ready = HttpClient::default().get(&ready, None).await.expect("an answer");
        assert_eq!(ready.status, 200, "{}", ready.text());
    }

    edge.stop().await;
    for node in &mut cluster.nodes {
        node.process.take().expect("running").stop().await;
    }
    assert_eq!(cluster.ask("SELECT count(*) FROM nodes"), "0", "each said that it ends");
    let held: Vec<_> = cluster.leases().into_iter().filter(|(_, lease)| lease.stands).collect();
    assert!(held.is_empty(), "and left nothing behind: {held:?}");
}
