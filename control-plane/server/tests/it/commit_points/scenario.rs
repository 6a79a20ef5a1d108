//! What is asked of the control plane: two tenants, clicks, sales, deliveries, statements, refunds. Made once, and
//! the same bytes in every run.

use super::process;
use crate::edge::{Candidate, LaneWriter, click, click_facts, impression, refused_click, sale, touch};
use crate::plane::{self, Catalog, seed};
use control_plane_domain::intake::{Input, OrderEvent, OrderEventKind, ShardKey, Source};
use control_plane_server::DatabaseUrl;
use control_plane_server::app::{App, clock};
use control_plane_store::Store;
use control_plane_store::fleet::{EdgeEpoch, JoinToken, NewEdge};
use proto_model::event::{Authority, Personal, TrackingEvent};
use proto_model::{Address, ClickFacts, EdgeId, Lane, OfferId, Reason, UnixMicros, VerdictKind};
use proto_wire::envelope::{GENESIS_HEAD, SealedBatch};
use proto_wire::keys::SigningKey;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

pub enum Call {
    Batch(SealedBatch),
    Append { shard: ShardKey, input: Input, key: String, at: UnixMicros },
}

/// Calls that come while nothing is projected, and then everything that follows from them: what a process leaves
/// undone when it dies is more than one batch.
pub struct Step(pub Vec<Call>);

pub struct Scenario {
    dir: TempDir,
    template: DatabaseUrl,
    databases: AtomicU32,
    pub edge: EdgeId,
    pub epoch: u32,
    pub shards: Vec<ShardKey>,
    pub steps: Vec<Step>,
    /// What the clock says in a run is later than this, and all that stands in the scenario is not, or a day later.
    pub made_at: UnixMicros,
}

impl Scenario {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir_in(roomy()).unwrap();
        let template = match plane::database().await {
            Some(url) => url,
            None => file(&dir, "template"),
        };
        let app = process::app(Store::open(&template).await.unwrap(), &dir.path().join("keys"));
        let catalogs = [seed(&app).await, seed(&app).await];
        let (key, edge, epoch) = enrol(&app).await;
        app.store.close().await;
        let made_at = clock::now().plus_secs(1);
        let steps = Writer::new(catalogs, key, edge, epoch, made_at).steps();
        let shards = catalogs.iter().flat_map(shards_of).collect();
        // Nobody's clock may say a time of the scenario.
        while clock::now() <= made_at {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let databases = AtomicU32::new(0);
        Self { dir, template, databases, edge, epoch: epoch.epoch, shards, steps, made_at }
    }

    pub fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    /// A new one, in which the tenants and the edge stand and nothing has happened.
    pub fn database(&self) -> DatabaseUrl {
        match &self.template {
            DatabaseUrl::Sqlite(_) => {
                let name = format!("run-{}", self.databases.fetch_add(1, Ordering::Relaxed));
                let url = file(&self.dir, &name);
                std::fs::copy(self.template.file().unwrap(), url.file().unwrap()).unwrap();
                url
            }
            DatabaseUrl::Postgres(url) => {
                let (_, name) = url.rsplit_once('/').unwrap();
                control_plane_testing::server().clone_database(name).url.parse().unwrap()
            }
        }
    }

    /// A hundred of them are more than a disk in memory should hold. Those of the server go with it.
    pub fn forget(&self, database: &DatabaseUrl) {
        if let Some(file) = database.file() {
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// Thousands of commits, of which no power cut takes any: where they need no disk.
fn roomy() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn file(dir: &TempDir, name: &str) -> DatabaseUrl {
    format!("sqlite://{}", dir.path().join(name).with_extension("db").display()).parse().unwrap()
}

fn shards_of(catalog: &Catalog) -> [ShardKey; 2] {
    [ShardKey::advertiser(catalog.tenant, catalog.advertiser), ShardKey::settlement(catalog.tenant)]
}

async fn enrol(app: &App) -> (SigningKey, EdgeId, EdgeEpoch) {
    let key = Candidate::new().batch_key;
    let now = clock::now();
    let token = JoinToken {
        token_sha256: [1; 32],
        name: "edge".into(),
        created_at: now,
        expires_at: now.plus_days(1),
        used_at: None,
    };
    app.store.create_join_token(&token).await.unwrap();
    let new = NewEdge {
        id: EdgeId::from_random(1),
        batch_public_key: key.public(),
        certificate_serial: "01".into(),
        version: "0.1.0".into(),
    };
    let (edge, epoch) = app.store.enroll_edge(&token.token_sha256, &new, now).await.unwrap();
    (key, edge.id, epoch)
}

/// Of the edge's batches and the callers' requests.
struct Writer {
    one: Catalog,
    other: Catalog,
    key: SigningKey,
    traffic: LaneWriter,
    money: LaneWriter,
    made_at: UnixMicros,
}

impl Writer {
    fn new(
        catalogs: [Catalog; 2],
        key: SigningKey,
        edge: EdgeId,
        epoch: EdgeEpoch,
        made_at: UnixMicros,
    ) -> Self {
        let lane = |lane, stream| LaneWriter {
            edge,
            epoch: epoch.epoch,
            lane,
            stream,
            next: 1,
            prev_hash: GENESIS_HEAD,
        };
        let [one, other] = catalogs;
        let traffic = lane(Lane::Traffic, epoch.traffic_stream);
        let money = lane(Lane::Money, epoch.money_stream);
        Self { one, other, key, traffic, money, made_at }
    }

    fn steps(mut self) -> Vec<Step> {
        let (one, other) = (self.one, self.other);
        let allowed = |catalog| click(catalog, VerdictKind::Allow);
        let [first, second, third, fourth] =
            [1, 2, 3, 4].map(|ordinal| Address { stream: self.traffic.stream, ordinal });
        let sold = |catalog, at, order, minor| {
            let facts = click_facts(catalog, at);
            sale(catalog, Authority::TokenPostback, Some(facts), order, minor)
        };
        let lying = ClickFacts { offer: OfferId::from_random(4_711), ..click_facts(&other, third) };
        let lied = sale(&other, Authority::Pixel, Some(lying), "B-2", 5_000);
        let pixel = sale(&one, Authority::Pixel, Some(click_facts(&one, first)), "A-1", 99_990);
        let touched = touch(&one, click_facts(&one, fourth));
        let full = Reason::ALL[0];
        vec![
            Step(vec![
                self.hits(&[allowed(&one), click(&one, VerdictKind::Flag), allowed(&other), allowed(&one)]),
                self.hits(&[impression(&one), refused_click(&other, full), allowed(&other)]),
            ]),
            Step(vec![
                self.sales(&[sold(&one, first, "A-1", 19_990), sold(&other, third, "B-1", 7_500)]),
                self.sales(&[sold(&one, second, "A-2", 4_000)]),
            ]),
            Step(vec![self.order(&one, "A-1", OrderEventKind::Delivered)]),
            Step(vec![self.sales(&[pixel, lied]), self.sales(&[touched])]),
            Step(vec![
                self.order(&other, "B-1", OrderEventKind::Delivered),
                self.order(&one, "A-2", OrderEventKind::Delivered),
                self.hits(&[allowed(&one), impression(&other)]),
            ]),
            Step(vec![self.close(&one, 1), self.close(&other, 1)]),
            Step(vec![
                self.order(&one, "A-1", OrderEventKind::Refunded),
                self.order(&other, "B-2", OrderEventKind::Cancelled),
            ]),
            Step(vec![
                self.sales(&[sold(&one, fourth, "A-3", 60_000), sold(&other, third, "B-3", 100)]),
                self.order(&one, "A-3", OrderEventKind::Delivered),
            ]),
            Step(vec![self.close(&one, 2), self.close(&other, 2)]),
            Step(vec![self.hits(&[allowed(&other)])]),
        ]
    }

    fn hits(&mut self, events: &[(TrackingEvent, Personal)]) -> Call {
        Call::Batch(self.traffic.seal(&self.key, events))
    }

    fn sales(&mut self, events: &[(TrackingEvent, Personal)]) -> Call {
        Call::Batch(self.money.seal(&self.key, events))
    }

    fn order(&self, catalog: &Catalog, order: &str, kind: OrderEventKind) -> Call {
        let event = OrderEvent {
            order_id: order.into(),
            event_id: format!("{order} {}", kind.as_str()),
            kind,
            amount: None,
            occurred_at: self.made_at,
            source: Source::Api("request".into()),
        };
        let key = event.event_id.clone();
        let shard = ShardKey::advertiser(catalog.tenant, catalog.advertiser);
        Call::Append { shard, input: Input::OrderEvent(event), key, at: clock::now() }
    }

    /// The period of so many days; closed when it is over, as it is by then for this shard.
    fn close(&self, catalog: &Catalog, days: u32) -> Call {
        let through = self.made_at.plus_days(days);
        let input = Input::ClosePeriod { through };
        let shard = ShardKey::settlement(catalog.tenant);
        Call::Append { shard, input, key: format!("close {days}"), at: through }
    }
}
