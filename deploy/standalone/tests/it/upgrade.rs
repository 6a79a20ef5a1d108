//! A deploy rolls, and is taken back: the version before this one works on the schema of this one, beside it,
//! alone, and after a restart. `TRIBUTARY_PREVIOUS` names its binary (.ci/previous.sh makes it); without one
//! there is nothing to try.

use crate::balancer::Balancer;
use crate::failover::{Tenant, assert_exact, load, tenant};
use crate::harness::{Api, Process, copy_keys, database_of, eventually, temp_dir};
use crate::outage::{edge, enroll, wait_for_link};
use control_plane_store::Store;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tributary::http_client::HttpClient;

const THIS: &str = env!("CARGO_BIN_EXE_tributary");
const TENANTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(400);

struct Deployment {
    dir: PathBuf,
    database: Option<String>,
    balancer: Balancer,
}

/// A control plane of one version.
struct Node {
    process: Process,
    grpc: SocketAddr,
}

impl Deployment {
    /// `host` is the last byte of its address on this machine.
    async fn start(&self, binary: &Path, name: &str, host: u8, more: &[&str]) -> Node {
        let grpc = format!("127.0.0.{host}:{}", self.balancer.address.port());
        let public = format!("https://{}", self.balancer.address);
        let dir = self.dir.join(name).display().to_string();
        let mut args = vec!["control-plane", "run", "--output", "json", "--data-dir", &dir];
        args.extend(["--listen", "127.0.0.1:0", "--grpc-listen", &grpc, "--grpc-public-url", &public]);
        if let Some(url) = &self.database {
            args.extend(["--database", url]);
        }
        args.extend(more);
        let process = Process::start_binary(binary, &args).await;
        let grpc = grpc.parse().expect("an address");
        self.balancer.add(grpc);
        Node { process, grpc }
    }

    async fn stop(&self, node: Node) {
        self.balancer.remove(node.grpc);
        node.process.stop().await;
    }

    /// The newest migration that is applied.
    async fn level(&self) -> i64 {
        let embedded = || format!("sqlite://{}", self.dir.join("a").join("tributary.db").display());
        let url = self.database.clone().unwrap_or_else(embedded).parse().expect("a URL");
        let store = Store::look(&url).await.expect("the database opens");
        let level = store.schema_level().await.expect("it has a schema").found.expect("migrated");
        store.close().await;
        level
    }
}

/// Until this node has seen some more orders all the way through.
async fn goes_on(node: &Node, tenants: &[Tenant], what: &str) {
    for tenant in tenants {
        let api = Api::new(node.process.text("api_url"), &tenant.key);
        let approved = async || api.all("/v1/commissions?status=approved").await.len();
        let before = approved().await;
        eventually(what, || async { (approved().await > before + 2).then_some(()) }).await;
    }
}

/// Several nodes: the newer one comes beside the older, goes away again, and replaces it in the end.
async fn roll(deployment: &Deployment, previous: &Path, old: Node, tenants: &[Tenant]) -> Node {
    copy_keys(&deployment.dir.join("a"), &deployment.dir.join("b"));
    let new = deployment.start(THIS.as_ref(), "b", 3, &[]).await;
    goes_on(&old, tenants, "orders, with a newer version beside").await;
    let api = Api::new(old.process.text("api_url"), &tenants[0].key);
    api.post("/v1/partners", serde_json::json!({ "name": "From the older one" })).await;
    deployment.stop(new).await;
    goes_on(&old, tenants, "orders, with the older version alone").await;
    deployment.stop(old).await;
    let old = deployment.start(previous, "a", 2, &[]).await;
    goes_on(&old, tenants, "orders, with the older version started on the newer schema").await;
    let new = deployment.start(THIS.as_ref(), "b", 3, &[]).await;
    deployment.stop(old).await;
    new
}

/// One node: the newer version takes its place, is taken back, and comes again.
async fn replace(deployment: &Deployment, previous: &Path, old: Node, tenants: &[Tenant]) -> Node {
    deployment.stop(old).await;
    let new = deployment.start(THIS.as_ref(), "a", 2, &[]).await;
    goes_on(&new, tenants, "orders, with the newer version").await;
    deployment.stop(new).await;
    let old = deployment.start(previous, "a", 2, &[]).await;
    goes_on(&old, tenants, "orders, with the older version on the newer schema").await;
    deployment.stop(old).await;
    deployment.start(THIS.as_ref(), "a", 2, &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_before_works_on_the_schema_of_this_one() {
    let named = std::env::var_os("TRIBUTARY_PREVIOUS").filter(|name| !name.is_empty());
    let Some(previous) = named.map(PathBuf::from) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "TRIBUTARY_PREVIOUS names no older version: fetch its commit"
        );
        return eprintln!("TRIBUTARY_PREVIOUS names no older version to try this with");
    };
    let (_guard, dir) = temp_dir();
    let database = database_of(&dir);
    let deployment = Deployment { dir: dir.clone(), database, balancer: Balancer::start().await };
    let old = deployment.start(&previous, "a", 2, &["--new-operator-key"]).await;
    let before = deployment.level().await;
    let api_url = old.process.text("api_url").to_owned();
    let operator = Api::new(&api_url, old.process.text("operator_key"));
    let mut tenants = Vec::new();
    for _ in 0..TENANTS {
        tenants.push(tenant(&operator, &api_url).await);
    }
    let bundle = operator.post("/v1/edges/join-bundles", serde_json::json!({ "name": "edge" })).await;
    assert!(enroll(&dir.join("edge"), bundle["bundle"].as_str().expect("a bundle")));
    let edge = edge(&dir.join("edge")).await;
    for tenant in &tenants {
        wait_for_link(&HttpClient::default(), &edge, &tenant.link).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(edge.text("edge_url").to_owned(), tenants.clone(), PAUSE, stop.clone());
    goes_on(&old, &tenants, "orders, before").await;

    let new = match deployment.database {
        Some(_) => roll(&deployment, &previous, old, &tenants).await,
        None => replace(&deployment, &previous, old, &tenants).await,
    };
    let after = deployment.level().await;
    assert_eq!(after, before + 1, "the version before this one knows the schema before: see .ci/previous.sh");
    goes_on(&new, &tenants, "orders, with the newer version in the end").await;
    stop.store(true, Ordering::Relaxed);
    let orders = load.await.expect("no request failed");
    for tenant in &tenants {
        assert_exact(&Api::new(new.process.text("api_url"), &tenant.key), orders).await;
    }
    edge.stop().await;
    deployment.stop(new).await;
    eprintln!("schema {before} to {after}, {orders} orders of {TENANTS} tenants, each once");
}
