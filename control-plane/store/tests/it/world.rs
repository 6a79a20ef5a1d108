//! A small network to test in: one tenant with one of everything.

use control_plane_domain::engine;
use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, Input, OrderEvent, OrderEventKind, ShardKey, Source,
};
use control_plane_domain::terms::{GoalPlan, Hold, Model, OfferTerms, Plan};
use control_plane_store::catalog::{
    Advertiser, ClickKeyRecord, Domain, Link, Offer, Partner, Program, Tenant, Vanity,
};
use control_plane_store::fleet::{EdgeEpoch, JoinToken, NewEdge};
use control_plane_store::journal::{BatchHeader, NewBatch};
use control_plane_store::leases::Lease;
use control_plane_store::{DatabaseUrl, Slots, Store};
use proto_model::event::Authority;
use proto_model::{
    Address, AdvertiserId, Amount, ClickFacts, ClickFlags, Country, Currency, DeviceClass, EdgeId, Lane,
    LinkId, OfferId, PartnerId, ProgramId, Rate, StreamNo, TenantId, UnixMicros, VerdictKind,
};
use std::time::Duration;
use tokio::sync::OnceCell;

pub const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);

pub fn usd(minor: i64) -> Amount {
    Amount::new(minor, Currency::parse("USD").unwrap())
}

/// Everything of one tenant; `n` tells tenants apart.
#[derive(Clone, Debug)]
pub struct World {
    pub tenant: TenantId,
    pub advertiser: AdvertiserId,
    pub program: ProgramId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub link: LinkId,
}

impl World {
    pub fn new(n: u64) -> Self {
        Self {
            tenant: TenantId::from_random(n),
            advertiser: AdvertiserId::from_random(n * 100 + 1),
            program: ProgramId::from_random(n * 100 + 2),
            offer: OfferId::from_random(n * 100 + 3),
            partner: PartnerId::from_random(n * 100 + 4),
            link: LinkId::from_random(n * 100 + 5),
        }
    }

    pub async fn create(store: &Store, n: u64) -> Self {
        let world = Self::new(n);
        let Self { tenant, advertiser, program, partner, .. } = world;
        store.create_tenant(&world.tenant_row(), &world.click_key(1)).await.unwrap();
        let row = Advertiser {
            tenant,
            id: advertiser,
            name: "Robots".into(),
            postback_token_sha256: Some([7; 32]),
            test_token_sha256: None,
            postback_json: "{}".into(),
            created_at: NOW,
        };
        store.create_advertiser(&row).await.unwrap();
        let row = Program { tenant, id: program, advertiser, name: "Main".into(), created_at: NOW };
        store.create_program(&row).await.unwrap();
        store.create_offer(&world.offer_row(), &world.terms(1)).await.unwrap();
        let row = Partner { tenant, id: partner, name: "Blog".into(), created_at: NOW };
        store.create_partner(&row).await.unwrap();
        store.create_link(&world.link_row()).await.unwrap();
        world
    }

    pub fn tenant_row(&self) -> Tenant {
        Tenant { id: self.tenant, name: "Network".into(), fallback_url: None, created_at: NOW }
    }

    pub fn click_key(&self, key_id: u8) -> ClickKeyRecord {
        ClickKeyRecord { tenant: self.tenant, key_id, key: [key_id; 32], active: true, created_at: NOW }
    }

    pub fn offer_row(&self) -> Offer {
        Offer {
            tenant: self.tenant,
            id: self.offer,
            program: self.program,
            advertiser: self.advertiser,
            name: "Robot".into(),
            destination: "https://shop.example/robot".into(),
            click_id_parameter: "click_id".into(),
            active: true,
            pause_reason: None,
            routing_json: "{}".into(),
            terms_version: 1,
            created_at: NOW,
        }
    }

    pub fn domain(&self) -> Domain {
        Domain {
            tenant: self.tenant,
            host: format!("go-{}.example", self.tenant.get()),
            home_url: Some("https://network.example/".into()),
            not_found_url: None,
            expired_url: None,
            created_at: NOW,
        }
    }

    pub fn vanity(&self) -> Vanity {
        Vanity { host: self.domain().host, slug: "robots".into() }
    }

    pub fn link_row(&self) -> Link {
        Link {
            tenant: self.tenant,
            id: self.link,
            offer: self.offer,
            partner: self.partner,
            active: true,
            settings_json: "{}".into(),
            vanity: None,
            created_at: NOW,
        }
    }

    /// 10 % of a sale and 5.00 USD for a lead, until delivered or for 30 days.
    pub fn terms(&self, version: u32) -> OfferTerms {
        OfferTerms {
            offer: self.offer,
            program: self.program,
            version,
            valid_from: UnixMicros(0),
            window_secs: 30 * 86_400,
            goals: vec![
                GoalPlan { goal: "sale".into(), plan: Plan::Percentage(Rate(100_000)) },
                GoalPlan { goal: "lead".into(), plan: Plan::Flat(usd(500)) },
            ],
            hold: Hold { until_delivered: true, days: Some(30) },
            model: Model::Last,
            trust_pixel: false,
        }
    }

    pub fn shard(&self) -> ShardKey {
        ShardKey::advertiser(self.tenant, self.advertiser)
    }

    pub fn settlement(&self) -> ShardKey {
        ShardKey::settlement(self.tenant)
    }

    /// A click on the link an hour ago, at this ordinal of stream 2.
    pub fn click(&self, ordinal: u64) -> ClickCredit {
        let click = ClickFacts {
            tenant: self.tenant,
            link: self.link,
            offer: self.offer,
            at_secs: u32::try_from(NOW.secs() - 3_600).unwrap(),
            address: Address { stream: StreamNo(2), ordinal },
            country: Country::parse("CN"),
            device: DeviceClass::Mobile,
            verdict: VerdictKind::Allow,
            rule_set_version: 0,
            flags: ClickFlags::default(),
        };
        ClickCredit { click, partner: self.partner, program: self.program }
    }

    pub fn report(&self, order_id: &str, minor: i64) -> ConversionReport {
        ConversionReport {
            key: ConversionKey { order_id: order_id.into(), goal: "sale".into(), event_id: None },
            authority: Authority::TokenPostback,
            amount: Some(usd(minor)),
            click: Some(self.click(1)),
            customer: None,
            coupon: None,
            occurred_at: NOW,
            source: Source::Journal(Address { stream: StreamNo(1), ordinal: 1 }),
        }
    }

    pub fn sale(&self, order_id: &str, minor: i64) -> Input {
        Input::Conversion(self.report(order_id, minor))
    }

    pub fn order_event(&self, order_id: &str, kind: OrderEventKind) -> Input {
        Input::OrderEvent(OrderEvent {
            order_id: order_id.into(),
            event_id: kind.as_str().into(),
            kind,
            amount: None,
            occurred_at: NOW,
            source: Source::Api("req_1".into()),
        })
    }
}

/// An empty one, on the database that the tests were started for.
pub async fn store() -> Store {
    match database().await {
        Some(url) => Store::open(&url).await.unwrap(),
        None => memory().await,
    }
}

/// A PostgreSQL database of its own with the whole schema, if the tests were started for that.
pub async fn database() -> Option<DatabaseUrl> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let server = control_plane_testing::chosen()?;
    let template = TEMPLATE.get_or_init(async || {
        let empty = server.create_database();
        Store::open(&empty.url.parse().unwrap()).await.unwrap().close().await;
        empty.name
    });
    Some(server.clone_database(template.await).url.parse().unwrap())
}

pub async fn memory() -> Store {
    Store::open(&"sqlite::memory:".parse().unwrap()).await.unwrap()
}

pub async fn lease(store: &Store) -> Lease {
    store.acquire_lease("test", "test", Duration::from_secs(3_600), NOW).await.unwrap()
}

/// Runs the money engine over everything that waits, also over what it sends to itself; gives the number of
/// items applied.
pub async fn run_money(store: &Store, lease: &Lease) -> usize {
    let mut applied = 0;
    loop {
        let shards = store.shards_with_work(Slots::ALL, 100).await.unwrap();
        if shards.is_empty() {
            return applied;
        }
        for shard in shards {
            let mut tx = store.begin_money(shard, lease).await.unwrap();
            for item in tx.next_items(3).await.unwrap() {
                let mut state = tx.load(&item.input).await.unwrap();
                let effects = engine::apply(shard, &mut state, &item).unwrap();
                tx.persist(&item, &state, &effects).await.unwrap();
                applied += 1;
            }
            tx.commit().await.unwrap();
        }
    }
}

pub async fn append(store: &Store, shard: ShardKey, input: &Input) -> u64 {
    store.append_intake(shard, input, NOW).await.unwrap()
}

/// An edge with its first epoch and an open session.
pub struct Edge {
    pub id: EdgeId,
    pub epoch: EdgeEpoch,
    pub session: u64,
}

pub async fn edge(store: &Store, n: u8) -> Edge {
    let token = JoinToken {
        token_sha256: [n; 32],
        name: format!("edge-{n}"),
        created_at: NOW,
        expires_at: NOW.plus_secs(900),
        used_at: None,
    };
    store.create_join_token(&token).await.unwrap();
    let (edge, epoch) = store.enroll_edge(&token.token_sha256, &new_edge(n), NOW).await.unwrap();
    let session = store.open_session(edge.id, epoch.epoch, &[], NOW).await.unwrap().session;
    Edge { id: edge.id, epoch, session }
}

pub fn new_edge(n: u8) -> NewEdge {
    NewEdge {
        id: EdgeId::from_random(u64::from(n) + 1_000),
        batch_public_key: [n; 32],
        certificate_serial: format!("{n:02x}"),
        version: "0.1.0".into(),
    }
}

impl Edge {
    /// A batch of the traffic lane with these ordinals; `mark` makes its bytes and its hash.
    pub fn batch(&self, first: u64, last: u64, prev_hash: [u8; 32], mark: u8) -> NewBatch {
        let header = BatchHeader {
            edge: self.id,
            epoch: self.epoch.epoch,
            lane: Lane::Traffic,
            stream: self.epoch.traffic_stream,
            first_ordinal: first,
            last_ordinal: last,
            events: u32::try_from(last - first + 1).unwrap(),
            prev_hash,
        };
        NewBatch {
            edge: self.id,
            session: self.session,
            header,
            head_hash: [mark; 32],
            header_bytes: vec![mark; 10],
            signature: [mark; 64],
            payload: vec![mark; 20],
            sidecar: vec![mark; 30],
            received_at: NOW,
        }
    }
}
