//! The REST API, called through its router as a client would call it.

mod hits;
mod live;
mod money;
mod openapi;
mod problems;
mod resources;
mod rules;
mod settings;
mod tenancy;

use crate::plane::{Plane, eventually};
use axum::Router;
use axum::body::Body;
use control_plane_server::app::{clock, keys};
use control_plane_server::rest;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use proto_model::{Address, ClickFacts, ClickFlags, Country, DeviceClass, StreamNo, TenantId, VerdictKind};
use proto_wire::click_id::{ClickKey, ClickKeys};
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem, checked for its form.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()));
        body["code"].as_str().unwrap().to_owned()
    }
}

pub struct Api {
    pub plane: Plane,
    router: Router,
    pub operator: String,
}

impl Api {
    pub async fn start() -> Self {
        let plane = Plane::start().await;
        let (_, operator) = keys::create_api_key(plane.app(), None, "operator").await.unwrap();
        let router = rest::router(plane.app().clone());
        Self { plane, router, operator }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub async fn call(&self, method: Method, path: &str, key: Option<&str>, body: Option<Value>) -> Answer {
        self.call_with(method, path, key, body, &[]).await
    }

    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => {
                request.header("content-type", "application/json").body(Body::from(body.to_string()))
            }
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub async fn get(&self, path: &str, key: &str) -> Value {
        let answer = self.call(Method::GET, path, Some(key), None).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text);
        answer.json()
    }

    pub async fn post(&self, path: &str, key: &str, body: Value) -> Value {
        let unique = format!("test-{:x}", clock::random_u64());
        let headers = [("idempotency-key", unique.as_str())];
        let answer = self.call_with(Method::POST, path, Some(key), Some(body), &headers).await;
        assert!(answer.status.is_success(), "POST {path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    /// Every item of a list, page by page.
    pub async fn all(&self, path: &str, key: &str) -> Vec<Value> {
        let joiner = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{joiner}limit=2{cursor}"), key).await;
            items.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
            assert_eq!(page["has_more"], true);
        }
    }

    /// A tenant with one of everything, up to a statement and a payout.
    pub async fn network(&self, name: &str) -> Network {
        let mut network = self.catalog(name).await;
        self.sale(&mut network).await;
        network
    }

    pub async fn catalog(&self, name: &str) -> Network {
        let tenant = self.post("/v1/tenants", &self.operator, json!({ "name": name })).await;
        let body = json!({ "name": name, "tenant_id": tenant["id"] });
        let key = self.post("/v1/api-keys", &self.operator, body).await;
        let mut network = Network { name: name.into(), ids: json!({}), key: text(&key["secret"]) };
        network.set("tenant_id", &tenant["id"]);
        network.set("api_key_id", &key["id"]);
        let key = network.key.clone();
        let advertiser =
            self.post("/v1/advertisers", &key, json!({ "name": format!("{name} Robots") })).await;
        network.set("advertiser_id", &advertiser["id"]);
        let body = json!({ "advertiser_id": advertiser["id"], "name": format!("{name} program") });
        let program = self.post("/v1/programs", &key, body).await;
        network.set("program_id", &program["id"]);
        let offer = json!({
            "program_id": program["id"],
            "name": format!("{name} mower"),
            "destination": "https://shop.example/mower",
            "terms": ten_percent(),
        });
        let offer = self.post("/v1/offers", &key, offer).await;
        network.set("offer_id", &offer["id"]);
        let partner = self.post("/v1/partners", &key, json!({ "name": format!("{name} blog") })).await;
        network.set("partner_id", &partner["id"]);
        let body = json!({ "offer_id": offer["id"], "partner_id": partner["id"] });
        let link = self.post("/v1/links", &key, body).await;
        network.set("link_id", &link["id"]);
        let plain = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let host = format!("{plain}-domain.example");
        let domain = self.post("/v1/domains", &key, json!({ "host": host })).await;
        network.set("host", &domain["host"]);
        network
    }

    /// A conversion of a click, delivered, settled.
    pub async fn sale(&self, network: &mut Network) {
        let (order, customer) = (format!("{}-order", network.name), format!("{}-anna", network.name));
        let click_id = self.click_id(network).await;
        let report = json!({
            "advertiser_id": network.ids["advertiser_id"], "order_id": order, "click_id": click_id,
            "customer_id": customer, "amount": { "amount": 10_000, "currency": "USD" },
        });
        let accepted = self.post("/v1/conversions", &network.key, report).await;
        let event = json!({
            "advertiser_id": network.ids["advertiser_id"], "order_id": order, "event_id": "delivered-1",
            "kind": "delivered",
        });
        self.post("/v1/order-events", &network.key, event).await;
        let key = network.key.clone();
        let commission = eventually("an approved commission", async || {
            let list = self.get("/v1/commissions?status=approved", &key).await;
            list["data"].as_array().unwrap().first().cloned()
        })
        .await;
        // The credit travels to the settlement shard by itself.
        eventually("the credit", async || {
            let list = self.get("/v1/ledger-accounts", &key).await;
            let accounts = list["data"].as_array().unwrap().clone();
            accounts
                .iter()
                .any(|account| text(&account["account"]).starts_with("partner_payable"))
                .then_some(())
        })
        .await;
        let settlement = self.post("/v1/settlements", &key, json!({})).await;
        network.set("conversion_id", &accepted["conversion_id"]);
        network.set("commission_id", &commission["id"]);
        network.set("statement_id", &settlement["statements"][0]["id"]);
        network.set("payout_id", &settlement["statements"][0]["payout_id"]);
        network.set("customer_id", &json!(customer));
        network.set("visitor_id", &json!(format!("{}-visitor", network.name)));
        network.set("order_id", &json!(order));
        network.set("click_id", &json!(click_id));
    }

    /// A click id as an edge would have sealed it.
    pub async fn click_id(&self, network: &Network) -> String {
        let tenant: TenantId = text(&network.ids["tenant_id"]).parse().unwrap();
        let records = self.plane.app().store.click_keys(tenant).await.unwrap();
        let keys: Vec<_> =
            records.iter().map(|r| (ClickKey { key_id: r.key_id, key: r.key }, r.active)).collect();
        let facts = ClickFacts {
            tenant,
            link: text(&network.ids["link_id"]).parse().unwrap(),
            offer: text(&network.ids["offer_id"]).parse().unwrap(),
            at_secs: u32::try_from(clock::now().secs()).unwrap(),
            address: Address { stream: StreamNo(9), ordinal: clock::random_u64() >> 20 },
            country: Country::parse("US"),
            device: DeviceClass::Desktop,
            verdict: VerdictKind::Allow,
            rule_set_version: 0,
            flags: ClickFlags::default(),
        };
        ClickKeys::try_new(tenant, &keys).unwrap().seal(&facts, clock::random()).to_string()
    }
}

/// The ids of one tenant's things, by the names that paths and bodies use.
#[derive(Clone)]
pub struct Network {
    pub name: String,
    pub ids: Value,
    pub key: String,
}

impl Network {
    fn set(&mut self, name: &str, value: &Value) {
        assert!(value.is_string(), "{name}: {value}");
        self.ids[name] = value.clone();
    }

    pub fn id(&self, name: &str) -> &str {
        self.ids[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ids))
    }

    /// Fills `{parameters}` of a path.
    pub fn path(&self, template: &str) -> String {
        let mut path = template
            .replace("{version}", "1")
            .replace("{edge_id}", "edg_04hmasw9")
            .replace("{alert_id}", "alr_1");
        for (name, value) in self.ids.as_object().unwrap() {
            path = path.replace(&format!("{{{name}}}"), value.as_str().unwrap());
        }
        assert!(!path.contains('{'), "{path}");
        path
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

pub fn ten_percent() -> Value {
    json!({
        "window_days": 30,
        "goals": [{ "goal": "sale", "percentage": "0.1" }],
        "hold": { "until_delivered": true, "days": 14 },
    })
}
