//! A control plane with two tenants, and one real edge process that is attacked.

use super::Attack;
use super::watch::{self, Honest};
use super::wire::{Reply, eventually, exchange};
use crate::harness::{Api, Process, Up, temp_dir};
use crate::outage::{enroll, wait_for_link};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The one whose X-Forwarded-For and PROXY headers are believed.
pub const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// An attacker; the honest client is 127.0.0.1.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// Where the database of the tests sees them.
pub const IN_CHINA: &str = "203.0.113.9";

#[derive(Default)]
pub struct Setup {
    /// Connections to the TLS listener begin with a PROXY header.
    pub proxy_header: bool,
}

/// What a tenant has.
pub struct Tenant {
    pub api: Api,
    pub link: String,
    pub advertiser: String,
    pub token: String,
}

pub struct Field {
    pub up: Up,
    pub edge: Option<Process>,
    pub http: SocketAddr,
    pub tls: SocketAddr,
    pub admin: SocketAddr,
    pub ours: Tenant,
    pub theirs: Tenant,
    pub log: PathBuf,
    pub dir: PathBuf,
    pub runtime: tokio::runtime::Handle,
    _guard: tempfile::TempDir,
}

impl Field {
    pub async fn start(setup: Setup) -> Self {
        let (guard, dir) = temp_dir();
        let up = Up::start_with(&dir.join("up"), &["--no-demo"]).await;
        let operator = Api::new(up.text("api_url"), up.text("operator_key"));
        let ours = tenant(&operator, &up, "shop.example").await;
        let theirs = tenant(&operator, &up, "theirs.example").await;
        let bundle = operator.post("/v1/edges/join-bundles", json!({ "name": "attacked" })).await;
        assert!(enroll(&dir.join("edge"), bundle["bundle"].as_str().expect("a bundle")));
        geoip::testing::write_mmdb(dir.join("geo.mmdb"), &[("203.0.113.0/24", "CN")]).expect("a database");
        let host = own_host();
        let (admin, tls) = (SocketAddr::from((host, 7302)), SocketAddr::from((host, 8443)));
        std::fs::write(dir.join("edge.toml"), config(&dir, admin, tls, &setup)).expect("a configuration");
        let runtime = tokio::runtime::Handle::current();
        let (log, unknown) = (dir.join("log"), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let field = Self {
            up,
            edge: None,
            http: unknown,
            tls,
            admin,
            ours,
            theirs,
            log,
            dir,
            runtime,
            _guard: guard,
        };
        field.run().await
    }

    /// Starts the edge, again if it has run before.
    pub async fn run(mut self) -> Self {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let (dir, config) = (path("edge"), path("edge.toml"));
        let args = ["edge", "run", "--output", "json", "--data-dir", &dir, "--config", &config];
        let edge = Process::start_logged(&args, &self.log).await;
        let authority = edge.text("edge_url").trim_start_matches("http://");
        self.http = authority.parse().expect("an address");
        for link in [&self.ours.link, &self.theirs.link] {
            wait_for_link(&self.up.client, &edge, link).await;
        }
        self.edge = Some(edge);
        self
    }

    /// One attack after the other, with the honest client all along.
    pub async fn play(self, attacks: &'static [Attack]) {
        let played = tokio::task::spawn_blocking(move || {
            let honest = Honest::start(self.http, &self.click());
            attacks.iter().for_each(|attack| watch::play(&self, &honest, attack));
            drop(honest);
            self
        });
        let mut field = played.await.expect("every attack ends well");
        field.edge.take().expect("running").stop().await;
        watch::no_panic(&field.log, "the end");
    }

    pub fn pid(&self) -> u32 {
        self.edge.as_ref().expect("running").pid()
    }

    pub fn click(&self) -> String {
        format!("/c/{}", self.ours.link)
    }

    /// A request of a stranger who closes after it.
    pub fn get(&self, path: &str, headers: &str) -> Reply {
        self.get_from(STRANGER, path, headers)
    }

    pub fn get_from(&self, source: Ipv4Addr, path: &str, headers: &str) -> Reply {
        let head = format!("GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n{headers}\r\n");
        exchange(source, self.http, head.as_bytes())
    }

    pub fn admin(&self, path: &str) -> Reply {
        let head = format!("GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n");
        exchange(Ipv4Addr::LOCALHOST, self.admin, head.as_bytes())
    }

    /// A number of the metrics, by its name and labels.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.admin("/metrics").0;
        let wanted = format!("tributary_edge_{name} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
        value.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().expect("a number")
    }

    /// Until nobody is connected but the honest client.
    pub fn is_left_alone(&self, what: &str) {
        assert!(eventually(|| self.metric("connections_open") <= 2), "{what}: connections stay");
    }
}

async fn tenant(operator: &Api, up: &Up, host: &str) -> Tenant {
    let tenant = operator.post("/v1/tenants", json!({ "name": host })).await;
    let key = operator.post("/v1/api-keys", json!({ "tenant_id": tenant["id"], "name": "test" })).await;
    let api = Api::new(up.text("api_url"), &text(&key["secret"]));
    let advertiser = api.post("/v1/advertisers", json!({ "name": "Robots" })).await;
    let program =
        api.post("/v1/programs", json!({ "advertiser_id": advertiser["id"], "name": "Main" })).await;
    let offer = json!({
        "program_id": program["id"],
        "name": "Mower",
        "destination": format!("https://{host}/l?s={{sub1}}&c={{country}}&r={{referrer}}&q={{referrer}}&t={{referrer}}"),
        "terms": {
            "window_days": 30,
            "goals": [{ "goal": "sale", "flat": { "amount": 500, "currency": "USD" } }],
            "hold": { "until_delivered": false, "days": 0 },
        },
    });
    let offer = api.post("/v1/offers", offer).await;
    let routing = json!({ "routing": { "deep_link_hosts": [host] } });
    api.patch(&format!("/v1/offers/{}", text(&offer["id"])), routing).await;
    let partner = api.post("/v1/partners", json!({ "name": "Blog" })).await;
    let link = api.post("/v1/links", json!({ "offer_id": offer["id"], "partner_id": partner["id"] })).await;
    let (advertiser, token) = (text(&advertiser["id"]), text(&advertiser["postback_token"]));
    Tenant { api, link: text(&link["id"]), advertiser, token }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

/// An address of this machine that nobody else uses, so that its ports are free, also after a restart.
fn own_host() -> Ipv4Addr {
    let [a, b, c] = proto_wire::keys::random();
    Ipv4Addr::new(127, 64 | (a & 63), b, c)
}

/// The limits are the defaults, but for what one machine cannot do without: a rate that lets the flood of an attack
/// through to where it hurts.
fn config(dir: &Path, admin: SocketAddr, tls: SocketAddr, setup: &Setup) -> String {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(dir.join("edge.pem"), certified.cert.pem()).expect("written");
    std::fs::write(dir.join("edge.key"), certified.signing_key.serialize_pem()).expect("written");
    let path = |name: &str| dir.join(name).display().to_string();
    format!(
        "listen = '127.0.0.1:0'\nadmin_listen = '{admin}'\nworkers = 2\nh2c = true\n\
         trusted_proxies = ['{PROXY}']\ngeo_database = '{}'\n\
         [rate_limit]\nper_second = 1000000\nburst = 1000000\n\
         [tls]\nlisten = '{tls}'\ncertificate = '{}'\nkey = '{}'\nproxy_protocol = {}\nhttp3 = {}\n",
        path("geo.mmdb"),
        path("edge.pem"),
        path("edge.key"),
        setup.proxy_header,
        !setup.proxy_header,
    )
}
