//! An edge by hand: it speaks the protocol with `proto-wire` alone, so that it can also misbehave.

use crate::plane::{Catalog, Plane};
use control_plane_server::app::{clock, fleet};
use control_plane_server::ca::SERVER_NAME;
use proto_model::event::{
    Authority, Body, Click, ConversionHit, FineFacts, Impression, Network, Personal, Privacy, RecordedFacts,
    RecordedVerdict, RefusedHit, TouchHit, TrackingEvent, Uniqueness,
};
use proto_model::{
    Address, Amount, ClickFacts, ClickFlags, Country, Currency, DeviceClass, EdgeId, Lane, Reason, StreamNo,
    VerdictKind,
};
use proto_wire::convert::event_to_wire;
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::{
    EnrollRequest, EnrollResponse, Event, EventBatch, Open, OpenEpochResponse, PublishRequest,
    PublishResponse, Sidecar,
};
use proto_wire::envelope::{GENESIS_HEAD, Header, HeaderFields, SealedBatch};
use proto_wire::join::{JoinBundle, enroll_message};
use proto_wire::keys::{self, PublicKey, SigningKey};
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};

pub type Client = EdgeServiceClient<Channel>;

pub fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

pub async fn connect(bundle: &JoinBundle, identity: Option<Identity>) -> Client {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pem(&bundle.ca_der)))
        .domain_name(SERVER_NAME);
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    let endpoint = Endpoint::new(bundle.url.clone()).unwrap().tls_config(tls).unwrap();
    EdgeServiceClient::new(endpoint.connect_lazy())
}

/// The keys of an edge that has not joined yet.
pub struct Candidate {
    pub batch_key: SigningKey,
    pub tls_key: KeyPair,
    pub csr: Vec<u8>,
}

impl Candidate {
    pub fn new() -> Self {
        let tls_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = CertificateParams::default().serialize_request(&tls_key).unwrap().der().to_vec();
        Self { batch_key: SigningKey::generate().unwrap(), tls_key, csr }
    }

    pub fn request(&self, token: &str) -> EnrollRequest {
        let message = enroll_message(token, &self.csr);
        EnrollRequest {
            join_token: token.to_owned(),
            csr_der: self.csr.clone(),
            batch_public_key: self.batch_key.public().to_vec(),
            batch_key_proof: self.batch_key.sign(keys::ENROLL, &message).to_vec(),
            version: "0.1.0".into(),
        }
    }
}

pub struct Edge {
    pub id: EdgeId,
    pub keys: Candidate,
    pub bundle: JoinBundle,
    pub certificate: Vec<u8>,
    pub control_key: PublicKey,
    pub epoch: OpenEpochResponse,
}

impl Edge {
    pub async fn join(plane: &Plane, name: &str) -> Self {
        let bundle = fleet::create_join_bundle(plane.app(), name).await.unwrap();
        let keys = Candidate::new();
        let request = keys.request(&bundle.token);
        let response = connect(&bundle, None).await.enroll(request).await.unwrap().into_inner();
        let EnrollResponse { edge_id, certificate_der, control_public_key, epoch, .. } = response;
        Self {
            id: EdgeId::new(edge_id).unwrap(),
            keys,
            bundle,
            certificate: certificate_der,
            control_key: PublicKey::from_slice(&control_public_key).unwrap(),
            epoch: epoch.unwrap(),
        }
    }

    /// After a restart of the control plane on another port.
    pub fn follow(&mut self, plane: &Plane) {
        self.bundle.url = plane.app().grpc_url.clone();
    }

    pub fn identity(&self) -> Identity {
        Identity::from_pem(pem(&self.certificate), self.keys.tls_key.serialize_pem())
    }

    pub async fn client(&self) -> Client {
        connect(&self.bundle, Some(self.identity())).await
    }

    pub async fn open(&self) -> Publisher {
        let mut publisher = Publisher::connect(self).await.unwrap();
        let reply = publisher.ask(Up::Open(Open { epoch: self.epoch.epoch, lanes: vec![] })).await.unwrap();
        let Down::OpenAck(ack) = reply else { panic!("{reply:?}") };
        publisher.session = ack.session;
        publisher
    }

    pub fn lane(&self, lane: Lane) -> LaneWriter {
        let stream = match lane {
            Lane::Money => self.epoch.money_stream,
            Lane::Traffic => self.epoch.traffic_stream,
        };
        LaneWriter {
            edge: self.id,
            epoch: self.epoch.epoch,
            lane,
            stream: StreamNo(stream),
            next: 1,
            prev_hash: GENESIS_HEAD,
        }
    }
}

/// One Publish stream.
pub struct Publisher {
    pub session: u64,
    requests: mpsc::Sender<PublishRequest>,
    replies: Streaming<PublishResponse>,
}

impl Publisher {
    pub async fn connect(edge: &Edge) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(16);
        let replies = edge.client().await.publish(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { session: 0, requests, replies })
    }

    pub async fn ask(&mut self, message: Up) -> Result<Down, Status> {
        self.tell(message).await;
        self.reply().await
    }

    /// Without waiting for the reply.
    pub async fn tell(&self, message: Up) {
        let _ = self.requests.send(PublishRequest { message: Some(message) }).await;
    }

    pub async fn reply(&mut self) -> Result<Down, Status> {
        let reply = self.replies.message().await?;
        Ok(reply.and_then(|reply| reply.message).expect("a reply with a message"))
    }

    pub async fn send(&mut self, batch: &SealedBatch) -> Result<Down, Status> {
        self.ask(Up::Batch(batch.to_message(self.session))).await
    }

    pub async fn ack(&mut self, batch: &SealedBatch) -> proto_wire::edge_v1::Ack {
        match self.send(batch).await.unwrap() {
            Down::Ack(ack) => ack,
            other => panic!("{other:?}"),
        }
    }

    pub async fn refusal(&mut self, batch: &SealedBatch) -> proto_wire::edge_v1::Refusal {
        match self.send(batch).await.unwrap() {
            Down::Refusal(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

/// The end of one lane, as the edge knows it.
#[derive(Clone)]
pub struct LaneWriter {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub next: u64,
    pub prev_hash: [u8; 32],
}

impl LaneWriter {
    pub fn address(&self, index: u64) -> Address {
        Address { stream: self.stream, ordinal: self.next + index }
    }

    /// Seals the events and moves on behind them.
    pub fn seal(&mut self, key: &SigningKey, events: &[(TrackingEvent, Personal)]) -> SealedBatch {
        let mut wire = EventBatch::default();
        let mut sidecar = Sidecar::default();
        for (event, personal) in events {
            let (event, entries) = event_to_wire(event, self.stream, self.next, personal, keys::random);
            wire.events.push(event);
            sidecar.entries.extend(entries);
            self.next += 1;
        }
        self.seal_batch(key, &wire, &sidecar)
    }

    /// Seals what the caller made, ordinals included.
    pub fn seal_wire(&mut self, key: &SigningKey, events: Vec<Event>) -> SealedBatch {
        self.seal_batch(key, &EventBatch { events }, &Sidecar::default())
    }

    fn seal_batch(&mut self, key: &SigningKey, wire: &EventBatch, sidecar: &Sidecar) -> SealedBatch {
        let fields = HeaderFields {
            edge: self.edge,
            epoch: self.epoch,
            lane: self.lane,
            stream: self.stream,
            prev_hash: self.prev_hash,
        };
        let sealed = SealedBatch::seal(key, fields, wire, sidecar).unwrap();
        self.prev_hash = Header::parse(&sealed.header_bytes).unwrap().head_hash();
        sealed
    }
}

fn event(catalog: &Catalog, verdict: VerdictKind, body: Body) -> TrackingEvent {
    let rule_id = (verdict != VerdictKind::Allow).then(|| "block-cn".to_owned());
    TrackingEvent {
        tenant: catalog.tenant,
        occurred_at: clock::now(),
        facts: RecordedFacts {
            country: Country::parse("CN"),
            device: DeviceClass::Mobile,
            os: "Android".into(),
            browser: "Chrome".into(),
            geo_version: 0,
            fine: FineFacts::default(),
            privacy: Privacy::Full,
            privacy_policy: 1,
        },
        verdict: RecordedVerdict { kind: verdict, rule_id, rule_set_version: 1 },
        body,
    }
}

pub fn click(catalog: &Catalog, verdict: VerdictKind) -> (TrackingEvent, Personal) {
    let click = Click {
        link: catalog.link,
        offer: catalog.offer,
        partner: catalog.partner,
        program: catalog.program,
        advertiser: catalog.advertiser,
        flags: ClickFlags::default(),
        uniqueness: Uniqueness::Unique,
    };
    let network = Network {
        ip_prefix: "203.0.113.0/24".into(),
        ip_hash: [7; 16],
        user_agent: "Mozilla/5.0 (Linux; Android 14)".into(),
        referrer: "https://blog.example/".into(),
    };
    let personal = Personal { network: Some(network), ..Personal::default() };
    (event(catalog, verdict, Body::Click(click)), personal)
}

pub fn impression(catalog: &Catalog) -> (TrackingEvent, Personal) {
    let shown = Impression {
        link: catalog.link,
        offer: catalog.offer,
        partner: catalog.partner,
        program: catalog.program,
        advertiser: catalog.advertiser,
        flags: ClickFlags::default(),
    };
    (event(catalog, VerdictKind::Allow, Body::Impression(shown)), Personal::default())
}

/// A click that nobody took.
pub fn refused_click(catalog: &Catalog, reason: Reason) -> (TrackingEvent, Personal) {
    let refused = RefusedHit {
        advertiser: catalog.advertiser,
        authority: Authority::Pixel,
        reason,
        order_id: None,
        link: Some(catalog.link),
    };
    (event(catalog, VerdictKind::Allow, Body::Refused(refused)), Personal::default())
}

pub fn touch(catalog: &Catalog, click: ClickFacts) -> (TrackingEvent, Personal) {
    let touch = TouchHit { advertiser: catalog.advertiser, click };
    let personal = Personal { visitor_id: Some("v-1".into()), ..Personal::default() };
    (event(catalog, VerdictKind::Allow, Body::Touch(touch)), personal)
}

/// What the click id of the click at `address` carries.
pub fn click_facts(catalog: &Catalog, address: Address) -> ClickFacts {
    ClickFacts {
        tenant: catalog.tenant,
        link: catalog.link,
        offer: catalog.offer,
        at_secs: catalog.clicked_secs,
        address,
        country: Country::parse("CN"),
        device: DeviceClass::Mobile,
        verdict: VerdictKind::Allow,
        rule_set_version: 1,
        flags: ClickFlags::default(),
    }
}

pub fn sale(
    catalog: &Catalog,
    authority: Authority,
    click: Option<ClickFacts>,
    order: &str,
    minor: i64,
) -> (TrackingEvent, Personal) {
    let hit = ConversionHit {
        advertiser: catalog.advertiser,
        authority,
        click,
        order_id: order.to_owned(),
        goal: "sale".into(),
        event_id: None,
        amount: Some(Amount::new(minor, Currency::parse("USD").unwrap())),
        coupon: None,
    };
    let personal = Personal { customer_id: Some(format!("customer of {order}")), ..Personal::default() };
    (event(catalog, VerdictKind::Allow, Body::Conversion(hit)), personal)
}
