//! A control plane that keeps what it was sent in memory, and keeps to the protocol of the stream: next, known, gap,
//! fork, fenced. What is committed survives its death, what is on its way does not.

use super::net::{PORT, incoming};
use super::plan::EDGES;
use proto_model::{EdgeId, Lane};
use proto_wire::convert::lane_to_wire;
use proto_wire::edge_v1::edge_service_server::{EdgeService, EdgeServiceServer};
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::*;
use proto_wire::envelope::{AckStatement, GENESIS_HEAD, Header, SealedBatch};
use proto_wire::keys::{PublicKey, SigningKey};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use turmoil::net::TcpListener;

/// One stream as it is committed: its batches, in order.
#[derive(Clone, Default)]
pub(super) struct Stream(pub Vec<(SealedBatch, Header)>);

impl Stream {
    fn head(&self) -> (u64, [u8; 32]) {
        let last = self.0.last().map(|(_, header)| header);
        last.map_or((0, GENESIS_HEAD), |header| (header.last_ordinal, header.head_hash()))
    }

    /// The events that arrived, each with its ordinal.
    pub fn events(&self) -> Vec<Event> {
        self.0.iter().flat_map(|(batch, header)| batch.open(header).unwrap().events).collect()
    }
}

/// What the database of a control plane holds.
#[derive(Clone, Default)]
pub(super) struct Database {
    sessions: [u64; EDGES],
    /// By edge and lane.
    pub streams: [[Stream; 2]; EDGES],
}

pub(super) struct Inner {
    pub database: Database,
    pub copy: Option<Database>,
    pub lose_answers: u32,
    /// What no edge may say. Kept until the end: whoever panics in a task of a host is not heard.
    pub wrong: Vec<String>,
    /// Everything that came and went, with its time.
    pub trace: Vec<String>,
}

pub(super) struct Plane {
    inner: Mutex<Inner>,
    pub key: SigningKey,
    pub batch_keys: [PublicKey; EDGES],
}

pub(super) fn lane_at(lane: Lane) -> usize {
    usize::from(lane == Lane::Traffic)
}

pub(super) fn edge_id(edge: usize) -> EdgeId {
    EdgeId::new(u64::try_from(edge).unwrap() + 1).unwrap()
}

pub(super) fn stream_no(edge: usize, lane: Lane) -> u32 {
    u32::try_from(edge * 2 + lane_at(lane)).unwrap() + 1
}

impl Plane {
    pub fn new(key: SigningKey, batch_keys: [PublicKey; EDGES]) -> Arc<Self> {
        let database = Database::default();
        let inner = Inner { database, copy: None, lose_answers: 0, wrong: Vec::new(), trace: Vec::new() };
        Arc::new(Self { inner: Mutex::new(inner), key, batch_keys })
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn note(&self, at: Duration, what: &str) {
        self.lock().trace.push(format!("{:>9} {what}", at.as_millis()));
    }

    pub async fn serve(self: Arc<Self>) -> turmoil::Result {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let service = EdgeServiceServer::new(Service(self));
        let keepalive = Duration::from_secs(20);
        let server = Server::builder()
            .http2_keepalive_interval(Some(keepalive))
            .http2_keepalive_timeout(Some(keepalive));
        server.serve_with_incoming(service, incoming(listener)).await?;
        Ok(())
    }

    fn open(&self, edge: usize) -> (u64, Down) {
        let mut inner = self.lock();
        inner.database.sessions[edge] += 1;
        let session = inner.database.sessions[edge];
        let head = |lane: Lane| {
            let (last_ordinal, hash) = inner.database.streams[edge][lane_at(lane)].head();
            let stream = stream_no(edge, lane);
            LaneHead { lane: lane_to_wire(lane).into(), stream, last_ordinal, head_hash: hash.to_vec() }
        };
        let heads = Lane::ALL.iter().map(|lane| head(*lane)).collect();
        (session, Down::OpenAck(OpenAck { session, heads }))
    }

    /// What one batch brings about, and whether the stream goes on.
    fn take(&self, edge: usize, session: u64, message: Batch) -> (Down, bool) {
        let mut inner = self.lock();
        if inner.database.sessions[edge] != session || message.session != session {
            return (refusal(Kind::Fenced, 0, 0), false);
        }
        let batch = SealedBatch::from_message(message).unwrap();
        let header = batch.verify(&self.batch_keys[edge]).unwrap();
        assert_eq!((header.edge, header.stream.0), (edge_id(edge), stream_no(edge, header.lane)));
        let lane = lane_to_wire(header.lane).into();
        let stream = &mut inner.database.streams[edge][lane_at(header.lane)];
        let (last, hash) = stream.head();
        if header.first_ordinal > last + 1 {
            return (refusal(Kind::Gap, lane, last + 1), true);
        }
        if header.first_ordinal == last + 1 {
            assert_eq!(header.prev_hash, hash, "the chain continues");
            stream.0.push((batch, header.clone()));
        } else {
            let known = stream.0.iter().find(|(_, known)| known.first_ordinal == header.first_ordinal);
            assert!(known.is_some_and(|(known, _)| *known == batch), "sent again, and not the same");
        }
        let (last_ordinal, head_hash) = stream.head();
        let ack = AckStatement { edge: header.edge, epoch: 1, lane: header.lane, last_ordinal, head_hash };
        (Down::Ack(ack.sign(&self.key)), true)
    }

    /// Disks lose what was not durable and nothing else, and batches are kept for good: no edge has a loss to declare.
    pub fn declared_lost(&self, edge: usize, gap: &Gap) -> Down {
        self.is_wrong(format!("edge {edge} declares a loss that there was not: {gap:?}"))
    }

    fn is_wrong(&self, what: String) -> Down {
        self.lock().wrong.push(what);
        refusal(Kind::Invalid, 0, 0)
    }

    fn loses_answer(&self) -> bool {
        let mut inner = self.lock();
        let loses = inner.lose_answers > 0;
        inner.lose_answers = inner.lose_answers.saturating_sub(1);
        loses
    }
}

fn refusal(kind: Kind, lane: i32, expected_ordinal: u64) -> Down {
    Down::Refusal(Refusal { kind: kind.into(), lane, expected_ordinal, detail: "simulated".into() })
}

struct Service(Arc<Plane>);

type Replies<T> = ReceiverStream<Result<T, Status>>;

impl Service {
    /// Until either side ends.
    async fn talk(
        plane: Arc<Plane>,
        mut inbound: Streaming<PublishRequest>,
        replies: mpsc::Sender<Result<PublishResponse, Status>>,
    ) {
        // There are no certificates: the stream says whose it is.
        let mut opened: Option<(usize, u64)> = None;
        while let Ok(Some(PublishRequest { message: Some(message) })) = inbound.message().await {
            let (down, goes_on) = match (message, opened) {
                (Up::Open(open), None) => {
                    let edge = usize::try_from((open.lanes[0].stream - 1) / 2).unwrap();
                    let (session, down) = plane.open(edge);
                    opened = Some((edge, session));
                    (down, true)
                }
                (Up::Batch(batch), Some((edge, session))) => plane.take(edge, session, batch),
                (Up::Gap(gap), Some((edge, _))) => (plane.declared_lost(edge, &gap), false),
                other => (plane.is_wrong(format!("out of turn: {other:?}")), false),
            };
            let edge = opened.map_or(EDGES, |(edge, _)| edge);
            let lost = matches!(down, Down::Ack(_)) && plane.loses_answer();
            plane.note(
                turmoil::elapsed(),
                &format!("edge {edge}: {}{}", said(&down), if lost { " (lost)" } else { "" }),
            );
            if !lost && replies.send(Ok(PublishResponse { message: Some(down) })).await.is_err() || !goes_on {
                return;
            }
        }
    }
}

fn said(down: &Down) -> String {
    match down {
        Down::OpenAck(ack) => {
            format!(
                "session {} at {:?}",
                ack.session,
                ack.heads.iter().map(|head| head.last_ordinal).collect::<Vec<_>>()
            )
        }
        Down::Ack(ack) => format!("lane {} up to {}", ack.lane, ack.last_ordinal),
        Down::Refusal(refusal) => {
            format!(
                "lane {} refused, kind {}, expected {}",
                refusal.lane, refusal.kind, refusal.expected_ordinal
            )
        }
    }
}

#[tonic::async_trait]
impl EdgeService for Service {
    type PublishStream = Replies<PublishResponse>;
    type WatchStream = Replies<WatchResponse>;
    type FetchChunksStream = Replies<FetchChunksResponse>;

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let (replies, answers) = mpsc::channel(16);
        tokio::spawn(Self::talk(Arc::clone(&self.0), request.into_inner(), replies));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn enroll(&self, _: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn open_epoch(&self, _: Request<OpenEpochRequest>) -> Result<Response<OpenEpochResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn fetch_chunks(
        &self,
        _: Request<FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn lease(&self, _: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }

    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("not simulated"))
    }
}
