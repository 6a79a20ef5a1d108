//! A control plane at rest on the database that is measured: a catalog, edges with their keys, and somebody
//! else's hands on the leases, so that its own projector and money engine do not run beside the measurement.

use super::BenchError;
use super::events::{Catalog, LinkRow};
use control_plane_domain::terms::{GoalPlan, Hold, Model, Plan};
use control_plane_server::app::catalog::{self, NewOffer, TermsDraft};
use control_plane_server::app::ingest::{self, OpenSession};
use control_plane_server::app::{clock, money, project};
use control_plane_server::{App, Config, ControlPlane, DatabaseUrl, start};
use control_plane_store::fleet::{Edge, JoinToken, NewEdge};
use control_plane_store::journal::{BatchHeader, NewBatch};
use control_plane_store::leases::Lease;
use control_plane_store::{Slots, Store};
use proto_model::event::{Personal, TrackingEvent};
use proto_model::{EdgeId, Lane, Rate, StreamNo, UnixMicros};
use proto_wire::edge_v1::{EventBatch, Open, Sidecar};
use proto_wire::envelope::{GENESIS_HEAD, Header, HeaderFields, SealedBatch};
use proto_wire::keys::{SigningKey, random};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const OFFERS: usize = 8;
const PARTNERS: usize = 25;
const HELD: Duration = Duration::from_secs(86_400);

pub struct World {
    control: ControlPlane,
    pub project: Lease,
    pub money: Lease,
    pub catalog: Catalog,
}

impl World {
    pub async fn start(url: &DatabaseUrl, dir: &Path) -> Result<Self, BenchError> {
        let store = Store::open(url).await?;
        let now = store.database_time().await?;
        let project = store.acquire_lease(project::PART, "loadtest", HELD, now).await?;
        let slots: Vec<String> = Slots::ALL.iter().map(|slot| format!("{}/{slot}", money::PART)).collect();
        let mut money = store.acquire_leases(&slots, slots.len(), "loadtest", HELD, now).await?;
        let money = money.pop().ok_or_else(|| BenchError::Unexpected("no lease to be had".into()))?;
        store.close().await;
        let control = start(Config { database: Some(url.clone()), ..Config::local(dir) }).await?;
        let catalog = seed(control.app()).await?;
        Ok(Self { control, project, money, catalog })
    }

    pub fn app(&self) -> &Arc<App> {
        self.control.app()
    }

    pub fn store(&self) -> &Store {
        &self.app().store
    }

    pub async fn stop(self) {
        self.control.shutdown().await;
    }
}

async fn seed(app: &App) -> Result<Catalog, BenchError> {
    let tenant = catalog::create_tenant(app, "Bench", None).await?.id;
    let (advertiser, _) = catalog::create_advertiser(app, tenant, "Robots").await?;
    let program = catalog::create_program(app, tenant, advertiser.id, "Main").await?;
    let mut offers = Vec::new();
    for number in 0..OFFERS {
        let new = NewOffer {
            program: program.id,
            name: format!("Mower {number}"),
            destination: "https://shop.example/mower".into(),
            click_id_parameter: None,
            terms: ten_percent(),
        };
        offers.push(catalog::create_offer(app, tenant, new).await?.id);
    }
    let mut partners = Vec::new();
    for number in 0..PARTNERS {
        partners.push(catalog::create_partner(app, tenant, &format!("Blog {number}")).await?.id);
    }
    let mut links = Vec::new();
    // Each offer with each partner: the cycles have no common factor.
    for (offer, partner) in offers.iter().cycle().zip(partners.iter().cycle()).take(OFFERS * PARTNERS) {
        let link = catalog::create_link(app, tenant, *offer, *partner).await?.id;
        links.push(LinkRow { link, offer: *offer, partner: *partner });
    }
    Ok(Catalog { tenant, advertiser: advertiser.id, program: program.id, links })
}

fn ten_percent() -> TermsDraft {
    TermsDraft {
        // Before the clicks.
        valid_from: Some(UnixMicros(0)),
        window_secs: 30 * 86_400,
        goals: vec![GoalPlan { goal: "sale".into(), plan: Plan::Percentage(Rate(100_000)) }],
        hold: Hold { until_delivered: true, days: Some(30) },
        model: Model::Last,
        trust_pixel: false,
    }
}

/// One lane of an edge that has joined.
pub struct Sender {
    pub edge: Edge,
    pub open: Arc<OpenSession>,
    pub stream: StreamNo,
    epoch: u32,
    lane: Lane,
    key: SigningKey,
    pub next: u64,
    prev_hash: [u8; 32],
}

impl Sender {
    pub async fn join(app: &App, number: u8, lane: Lane) -> Result<Self, BenchError> {
        let now = clock::now();
        let token = JoinToken {
            token_sha256: [number; 32],
            name: format!("edge-{number}"),
            created_at: now,
            expires_at: now.plus_secs(900),
            used_at: None,
        };
        app.store.create_join_token(&token).await?;
        let key = SigningKey::generate()?;
        let new = NewEdge {
            id: EdgeId::from_random(clock::random_u64()),
            batch_public_key: key.public(),
            certificate_serial: format!("{number:02x}"),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let (edge, epoch) = app.store.enroll_edge(&token.token_sha256, &new, now).await?;
        let (open, _) =
            ingest::open_session(app, &edge, &Open { epoch: epoch.epoch, lanes: Vec::new() }).await?;
        let stream = if lane == Lane::Money { epoch.money_stream } else { epoch.traffic_stream };
        let open = Arc::new(open);
        Ok(Self { edge, open, stream, epoch: epoch.epoch, lane, key, next: 1, prev_hash: GENESIS_HEAD })
    }

    /// Seals what `make` gives for each ordinal, and goes on behind it.
    pub fn seal(
        &mut self,
        count: usize,
        mut make: impl FnMut(u64) -> (TrackingEvent, Personal),
    ) -> Result<SealedBatch, BenchError> {
        let (mut events, mut sidecar) = (EventBatch::default(), Sidecar::default());
        for _ in 0..count {
            let (event, personal) = make(self.next);
            let (event, entries) =
                proto_wire::convert::event_to_wire(&event, self.stream, self.next, &personal, random);
            events.events.push(event);
            sidecar.entries.extend(entries);
            self.next += 1;
        }
        let fields = HeaderFields {
            edge: self.edge.id,
            epoch: self.epoch,
            lane: self.lane,
            stream: self.stream,
            prev_hash: self.prev_hash,
        };
        let sealed = SealedBatch::seal(&self.key, fields, &events, &sidecar)?;
        self.prev_hash = Header::parse(&sealed.header_bytes)?.head_hash();
        Ok(sealed)
    }

    /// As the server hands it to the store.
    pub fn verified(&self, sealed: SealedBatch) -> Result<NewBatch, BenchError> {
        let header = Header::parse(&sealed.header_bytes)?;
        Ok(NewBatch {
            edge: self.edge.id,
            session: self.open.number(),
            head_hash: header.head_hash(),
            header: BatchHeader {
                edge: header.edge,
                epoch: header.epoch,
                lane: header.lane,
                stream: header.stream,
                first_ordinal: header.first_ordinal,
                last_ordinal: header.last_ordinal,
                events: header.events,
                prev_hash: header.prev_hash,
            },
            header_bytes: sealed.header_bytes,
            signature: sealed.signature,
            payload: sealed.payload,
            sidecar: sealed.sidecar,
            received_at: clock::now(),
        })
    }
}
