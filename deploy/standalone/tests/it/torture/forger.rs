//! An edge that has joined like any other, holds its own keys, and sends what no edge would send.

use super::gateway::Gateway;
use super::verdict::Record;
use super::{BAD, Field, a_moment, join, messages::edge_id};
use crate::harness::{Api, eventually, temp_dir};
use edge::identity::{ControlLink, Identity};
use edge::spool::Streams;
use proto_model::{EdgeId, Lane};
use proto_wire::convert::{SkipReason, skipped_to_wire};
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{
    Batch, EventBatch, Open, OpenEpochRequest, PublishRequest, PublishResponse, Sidecar,
};
use proto_wire::envelope::{GENESIS_HEAD, Header, HeaderFields, SealedBatch};
use proto_wire::keys::{self, SigningKey, sha256};
use serde_json::json;
use std::path::Path;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

struct Forger {
    identity: Identity,
    client: EdgeServiceClient<Channel>,
    streams: Streams,
}

/// One Publish stream.
struct Session {
    number: u64,
    /// Where the lanes stand: the last ordinal and the head hash, money first.
    heads: Vec<(u64, Vec<u8>)>,
    up: mpsc::Sender<PublishRequest>,
    replies: Streaming<PublishResponse>,
}

/// The end of a lane as the forger knows it.
#[derive(Clone, Copy)]
struct End {
    lane: Lane,
    next: u64,
    prev_hash: [u8; 32],
}

impl End {
    fn of(lane: Lane) -> Self {
        Self { lane, next: 1, prev_hash: GENESIS_HEAD }
    }
}

impl Forger {
    async fn join(edge_dir: &Path) -> Self {
        let identity = Identity::load(edge_dir).expect("an edge that is enrolled");
        let link = ControlLink::new(identity.clone(), identity.load_tls().expect("its certificate"));
        let client = EdgeServiceClient::new(link.connect().await.expect("the control plane is there"))
            .max_encoding_message_size(usize::MAX);
        let streams = identity.load_epoch().expect("its epoch").streams;
        Self { identity, client, streams }
    }

    fn key(&self) -> &SigningKey {
        &self.identity.batch_key
    }

    async fn open(&mut self) -> Session {
        let (up, upward) = mpsc::channel(16);
        let replies = self.client.publish(ReceiverStream::new(upward)).await.expect("a stream").into_inner();
        let mut session = Session { number: 0, heads: Vec::new(), up, replies };
        let open = Open { epoch: self.streams.epoch, lanes: Vec::new() };
        let reply = session.ask(Up::Open(open)).await;
        let Down::OpenAck(ack) = reply else { panic!("{reply:?}") };
        session.number = ack.session;
        session.heads = ack.heads.into_iter().map(|head| (head.last_ordinal, head.head_hash)).collect();
        session
    }

    /// Where the control plane says that the lanes stand.
    async fn heads(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.open().await.heads
    }

    async fn renew_epoch(&mut self) {
        let reason = OpenEpochRequest { reason: "the disk was replaced".into() };
        let epoch = self.client.open_epoch(reason).await.expect("an epoch").into_inner();
        self.streams.epoch = epoch.epoch;
        self.streams.money = proto_model::StreamNo(epoch.money_stream);
        self.streams.traffic = proto_model::StreamNo(epoch.traffic_stream);
    }

    /// The next batch of a lane: it says that ten ordinals were never given out, which is true.
    fn good(&self, end: End) -> SealedBatch {
        let skipped = skipped_to_wire(end.next, end.next + 9, SkipReason::Unclean);
        let fields = HeaderFields {
            edge: self.streams.edge,
            epoch: self.streams.epoch,
            lane: end.lane,
            stream: self.streams.stream(end.lane),
            prev_hash: end.prev_hash,
        };
        let events = EventBatch { events: vec![skipped] };
        SealedBatch::seal(self.key(), fields, &events, &Sidecar::default()).expect("a batch")
    }

    /// With another payload and whatever else is changed in its header, and signed again.
    fn resealed(
        &self,
        mut batch: SealedBatch,
        payload: Vec<u8>,
        change: impl Fn(&mut Header),
    ) -> SealedBatch {
        let mut header = Header::parse(&batch.header_bytes).expect("a header");
        header.payload_len = u32::try_from(payload.len()).expect("a length");
        (header.payload_sha256, batch.payload) = (sha256(&payload), payload);
        change(&mut header);
        self.signed(SealedBatch { header_bytes: header.to_bytes().to_vec(), ..batch })
    }

    fn signed(&self, mut batch: SealedBatch) -> SealedBatch {
        batch.signature = self.key().sign(keys::BATCH, &batch.header_bytes);
        batch
    }
}

impl Session {
    async fn ask(&mut self, message: Up) -> Down {
        self.up.send(PublishRequest { message: Some(message) }).await.expect("the stream is open");
        let reply = self.replies.message().await.expect("an answer").expect("the stream is open");
        reply.message.expect("a message")
    }

    async fn send(&mut self, batch: &SealedBatch) -> Down {
        let message = batch.to_message(self.number);
        self.ask(Up::Batch(message)).await
    }

    /// The next batch of the lane is taken.
    async fn goes_on(&mut self, forger: &Forger, end: &mut End, case: &str) {
        let batch = forger.good(*end);
        let reply = self.send(&batch).await;
        assert!(matches!(&reply, Down::Ack(ack) if ack.last_ordinal == end.next + 9), "{case}: {reply:?}");
        let header = Header::parse(&batch.header_bytes).expect("a header");
        (end.next, end.prev_hash) = (header.last_ordinal + 1, header.head_hash());
    }
}

/// Each could be the next batch of the lane, but for one thing.
fn unreadable(forger: &Forger, end: End, others: &Batch) -> Vec<(&'static str, Kind, SealedBatch)> {
    let good = || forger.good(end);
    let payload = || good().payload;
    let mut newer = good();
    newer.header_bytes[0] += 1;
    let mut laneless = good();
    laneless.header_bytes[1] = 9;
    let mut tampered = good();
    tampered.payload[4] ^= 1;
    let mut cut = good();
    cut.header_bytes.truncate(60);
    let mut unsigned = good();
    unsigned.signature[20] ^= 1;
    let another = SigningKey::generate().expect("a key").sign(keys::BATCH, &good().header_bytes);
    let foreign = SealedBatch::from_message(others.clone()).expect("a batch");
    let first = end.next + 50;
    vec![
        ("another payload than was signed", Kind::Invalid, tampered),
        ("a byte of the signature", Kind::Invalid, unsigned),
        ("another's signature", Kind::Invalid, SealedBatch { signature: another, ..good() }),
        ("a bomb", Kind::Invalid, forger.resealed(good(), zstd_bomb(), |_| {})),
        ("a bomb beside it", Kind::Invalid, SealedBatch { sidecar: zstd_bomb(), ..good() }),
        ("no zstd", Kind::Invalid, forger.resealed(good(), b"no zstd".to_vec(), |_| {})),
        ("no payload", Kind::Invalid, forger.resealed(good(), Vec::new(), |_| {})),
        ("another length", Kind::Invalid, forger.resealed(good(), payload(), |header| header.raw_len += 1)),
        ("more events than ordinals", Kind::Invalid, forger.resealed(good(), payload(), |h| h.events = 4000)),
        ("no ordinals", Kind::Invalid, forger.resealed(good(), payload(), |header| header.last_ordinal = 0)),
        ("a newer form", Kind::Invalid, forger.signed(newer)),
        ("no lane", Kind::Invalid, forger.signed(laneless)),
        ("half a header", Kind::Invalid, forger.signed(cut)),
        ("another epoch", Kind::Invalid, forger.resealed(good(), payload(), |header| header.epoch += 1)),
        ("another's stream", Kind::Invalid, forger.resealed(good(), payload(), |h| h.stream.0 += 1000)),
        ("another edge's batch", Kind::Invalid, foreign),
        ("a gap", Kind::Gap, forger.good(End { next: first, ..end })),
    ]
}

/// 64 MiB of zeros in some kilobytes.
fn zstd_bomb() -> Vec<u8> {
    zstd::bulk::compress(&vec![0; 64 << 20], 1).expect("it compresses")
}

type Make = fn(&Forger, End) -> SealedBatch;

/// For these the stream is closed until an operator has looked.
const CONTRADICTIONS: [(&str, Make); 2] = [
    ("other bytes for what was taken", |forger, end| forger.good(End { next: 1, prev_hash: [7; 32], ..end })),
    ("another past", |forger, end| forger.good(End { prev_hash: [7; 32], ..end })),
];

/// Gives how many there were.
async fn refused_one_by_one(forger: &mut Forger, operator: &Api, others: &Batch) -> usize {
    let (mut money, mut traffic) = (End::of(Lane::Money), End::of(Lane::Traffic));
    let mut session = forger.open().await;
    session.goes_on(forger, &mut traffic, "the first").await;
    let batches = unreadable(forger, traffic, others);
    let refused = batches.len() + 2 * CONTRADICTIONS.len();
    for (case, kind, batch) in batches {
        let reply = session.send(&batch).await;
        let Down::Refusal(refusal) = &reply else { panic!("{case}: {reply:?}") };
        assert_eq!((refusal.kind(), refusal.detail.is_empty()), (kind, false), "{case}: {refusal:?}");
        assert!(kind != Kind::Gap || refusal.expected_ordinal == traffic.next, "{case}: {refusal:?}");
        session.goes_on(forger, &mut money, case).await;
        let known = forger.heads().await;
        assert_eq!(known, heads(money, traffic), "{case} has changed something");
        session = forger.open().await;
    }
    session.goes_on(forger, &mut traffic, "the next").await;
    for (case, make) in CONTRADICTIONS {
        for batch in [make(forger, traffic), forger.good(traffic)] {
            let reply = session.send(&batch).await;
            let closed = matches!(&reply, Down::Refusal(refusal) if refusal.kind() == Kind::Quarantined);
            assert!(closed, "{case}: {reply:?}");
        }
        session.goes_on(forger, &mut money, case).await;
        let known = forger.heads().await;
        assert_eq!(known, heads(money, traffic), "{case} has changed something");
        operator.post(&format!("/v1/edges/{}/release", forger.streams.edge), json!({})).await;
        session = forger.open().await;
        session.goes_on(forger, &mut traffic, case).await;
    }
    refused + over_and_done_with(forger, session, money, traffic).await
}

fn heads(money: End, traffic: End) -> Vec<(u64, Vec<u8>)> {
    [money, traffic]
        .map(|end| (end.next - 1, if end.next == 1 { Vec::new() } else { end.prev_hash.to_vec() }))
        .into()
}

/// What comes in a session that is over, or in an epoch that is over; gives how much that was.
async fn over_and_done_with(forger: &mut Forger, mut session: Session, money: End, traffic: End) -> usize {
    let mut newer = forger.open().await;
    let next = forger.good(traffic);
    let late = [session.send(&next).await, newer.ask(Up::Batch(next.to_message(session.number))).await];
    for reply in &late {
        let fenced = matches!(reply, Down::Refusal(refusal) if refusal.kind() == Kind::Fenced);
        assert!(fenced, "{reply:?}");
    }
    assert_eq!(forger.heads().await, heads(money, traffic), "an old session has changed something");

    forger.renew_epoch().await;
    let mut session = forger.open().await;
    let reply = session.send(&next).await;
    let invalid = matches!(&reply, Down::Refusal(refusal) if refusal.kind() == Kind::Invalid);
    assert!(invalid, "{reply:?}");
    let (mut money, mut traffic) = (End::of(Lane::Money), End::of(Lane::Traffic));
    session.goes_on(forger, &mut traffic, "a new epoch").await;
    session.goes_on(forger, &mut money, "a new epoch").await;
    late.len() + 1
}

/// Batches of clicks wait as long as the projector is behind, the forger's too.
const FEW: usize = 3;

/// Beside it, an honest edge is under load: whatever the forger does, that one goes on, and its books are exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_edge_would_send_is_refused_and_changes_nothing() {
    let (_guard, dir) = temp_dir();
    let (mut field, gateway) = Field::start_behind_a_gateway(&dir, BAD).await;
    let mut record = Record::begin("forged batches beside it");
    let honest = edge_id(&dir.join("edge"));
    join(&field.operator, &dir.join("forger"), None).await;
    let mut forger = Forger::join(&dir.join("forger")).await;
    let mut faults = 0;
    let history = field
        .under_load_of(FEW, async |field| {
            let others = eventually("a batch of the other", async || gateway.batches().pop()).await;
            let before = answered(&gateway, honest);
            faults = refused_one_by_one(&mut forger, &field.operator, &others).await;
            assert!(answered(&gateway, honest) > before, "the honest edge went on");
            gateway.progress(honest, Lane::Money, 1).await;
            gateway.progress(honest, Lane::Traffic, 1).await;
            tokio::time::sleep(a_moment()).await;
        })
        .await;
    record.figures.faults = faults;
    record.add(&history.check(&field.api, &field.operator).await);
    record.end(field.kills);
    field.stop().await;
}

fn answered(gateway: &Gateway, edge: EdgeId) -> usize {
    gateway.answered(edge, Lane::Money) + gateway.answered(edge, Lane::Traffic)
}
