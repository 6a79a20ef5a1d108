//! A control plane that keeps its journal in memory and misbehaves on command.

mod journal;

use crate::authority::Authority;
use journal::{Ahead, Journal};
use proto_model::{EdgeId, Lane};
use proto_wire::convert::{lane_from_wire, lane_to_wire};
use proto_wire::edge_v1::edge_service_server::{EdgeService, EdgeServiceServer};
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::*;
use proto_wire::envelope::{AckStatement, GapDeclaration, MAX_MESSAGE, SealedBatch};
use proto_wire::join::{JoinBundle, enroll_message, new_token, renew_message};
use proto_wire::keys::{self, PublicKey, SigningKey, sha256};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// What happens to the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Committed, but the acknowledgement is lost.
    LoseAck,
    /// It never arrives.
    LoseBatch,
    /// Committed; then the connection breaks.
    Break,
    /// The acknowledgement is signed by somebody else.
    ForgeAck,
    Fence,
    Unavailable,
    Fine,
}

#[derive(Default)]
pub struct Inner {
    pub journals: HashMap<Lane, Journal>,
    /// Every batch ever received, by lane and first ordinal, to see that it never changes.
    pub received: HashMap<(Lane, u64), Vec<u8>>,
    pub faults: VecDeque<Fault>,
    /// Every declaration ever received.
    pub declared: Vec<GapDeclaration>,
    /// What edges have said of themselves.
    pub reports: Vec<ReportRequest>,
    /// It is older than reports; how often one was sent all the same.
    pub knows_no_reports: bool,
    pub refused_reports: usize,
    /// Of its clock, by which it is ahead of everybody else's.
    pub clock_ahead_micros: i64,
    /// It is older than declarations: one ends the session.
    pub knows_no_gaps: bool,
    /// Batches of this lane cannot be read here, not even whose they are.
    pub unreadable: Option<Lane>,
    /// This lane is refused behind the next answer, whatever that is about.
    pub refuses_unasked: Option<Lane>,
    /// Nothing of these lanes is taken.
    pub quarantined: HashSet<Lane>,
    /// Certificates come expired.
    pub expired: bool,
    /// The edge was revoked.
    pub denies: bool,
    pub sessions: u64,
    /// So many openings are read, and their calls end without an answer.
    pub unanswered_opens: u32,
    pub epoch: u32,
    pub renewals: u32,
    pub chunk_requests: usize,
    pub batch_key: Option<PublicKey>,
    /// All that was ever claimed of click caps.
    pub claims: Vec<LeaseClaim>,
    pub chunks: HashMap<Vec<u8>, Vec<u8>>,
    token: String,
    /// Client certificates that opened a session.
    pub certificates: Vec<Vec<u8>>,
}

pub struct ControlPlane {
    pub inner: Mutex<Inner>,
    pub key: SigningKey,
    authority: Authority,
    pub edge: EdgeId,
    pub manifest: watch::Sender<Option<WatchResponse>>,
    pub changed: watch::Sender<u64>,
    /// Renewals wait for this.
    pub renews: watch::Sender<bool>,
    /// Rising ends all streams of before.
    generation: watch::Sender<u64>,
    addr: Mutex<SocketAddr>,
}

/// A listener that can be taken away and brought back on the same port.
pub struct Listener(tokio::task::JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ControlPlane {
    pub fn new() -> Arc<Self> {
        let inner = Inner { epoch: 1, token: new_token(), ..Inner::default() };
        Arc::new(Self {
            inner: Mutex::new(inner),
            key: SigningKey::generate().unwrap(),
            authority: Authority::new(),
            edge: EdgeId::new(77).unwrap(),
            manifest: watch::channel(None).0,
            changed: watch::channel(0).0,
            renews: watch::channel(true).0,
            generation: watch::channel(0).0,
            addr: Mutex::new(SocketAddr::from(([127, 0, 0, 1], 0))),
        })
    }

    pub async fn listen(self: &Arc<Self>) -> Listener {
        let at = *self.addr.lock().unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(at).unwrap();
        let listener = socket.listen(64).unwrap();
        *self.addr.lock().unwrap() = listener.local_addr().unwrap();
        let (certificate, key) = self.authority.server();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(&self.authority.ca_pem))
            .client_auth_optional(true);
        let service =
            EdgeServiceServer::new(Service(Arc::clone(self))).max_decoding_message_size(MAX_MESSAGE);
        let server = Server::builder().tls_config(tls).unwrap();
        let incoming = TcpIncoming::from(listener);
        Listener(tokio::spawn(async move { server.serve_with_incoming(service, incoming).await.unwrap() }))
    }

    pub fn bundle(&self) -> JoinBundle {
        let url = format!("https://{}", self.addr.lock().unwrap());
        JoinBundle { url, token: self.lock().token.clone(), ca_der: self.authority.ca_der.clone() }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn script(&self, faults: &[Fault]) {
        self.lock().faults.extend(faults);
    }

    /// Ends all streams, as a restart does.
    pub fn hang_up(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Waits until `met`; the deadline only ends a test that has failed.
    pub async fn until(&self, what: &str, mut met: impl FnMut(&Inner) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                if met(&self.lock()) {
                    return;
                }
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.is_err() {
            let inner = self.lock();
            let heads: Vec<_> =
                inner.journals.iter().map(|(lane, journal)| (lane, journal.head().0)).collect();
            panic!("never happened: {what} ({heads:?}, {} sessions)", inner.sessions);
        }
    }

    fn bump(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// What one batch brings about: the reply, if there is one, and whether the stream goes on.
    fn take(&self, session: u64, message: Batch) -> (Option<PublishResponse>, bool) {
        let mut inner = self.lock();
        if session != inner.sessions || message.session != session {
            return (Some(refusal(Kind::Fenced, 0, 0)), false);
        }
        let batch = SealedBatch::from_message(message).unwrap();
        let header = batch.verify(&inner.batch_key.unwrap()).unwrap();
        assert_eq!((header.edge, header.epoch), (self.edge, inner.epoch));
        let bytes = batch.to_file_bytes();
        let before =
            inner.received.entry((header.lane, header.first_ordinal)).or_insert_with(|| bytes.clone());
        assert!(*before == bytes, "a batch changed between two sendings");
        let lane = lane_to_wire(header.lane).into();
        if inner.unreadable == Some(header.lane) {
            return (Some(refusal(Kind::Invalid, 0, 0)), true);
        }
        if inner.quarantined.contains(&header.lane) {
            return (Some(refusal(Kind::Quarantined, lane, 0)), true);
        }
        self.put(inner, header.lane, |journal| journal.put_batch(batch, header))
    }

    /// The same of a declaration.
    fn take_gap(&self, session: u64, message: Gap) -> (Option<PublishResponse>, bool) {
        let mut inner = self.lock();
        if session != inner.sessions || message.session != session {
            return (Some(refusal(Kind::Fenced, 0, 0)), false);
        }
        if inner.knows_no_gaps {
            return (None, false);
        }
        let key = inner.batch_key.unwrap();
        let gap = GapDeclaration::verify(&key, &message.declaration, &message.signature).unwrap();
        let streams = streams(inner.epoch);
        let stream = if gap.lane == Lane::Money { streams.money_stream } else { streams.traffic_stream };
        assert_eq!((gap.edge, gap.epoch, gap.stream.0), (self.edge, inner.epoch, stream));
        inner.declared.push(gap.clone());
        self.put(inner, gap.lane, |journal| journal.put_gap(gap))
    }

    fn put(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        lane: Lane,
        put: impl FnOnce(&mut Journal) -> Result<(), Ahead>,
    ) -> (Option<PublishResponse>, bool) {
        let wire = lane_to_wire(lane).into();
        let fault = inner.faults.pop_front().unwrap_or(Fault::Fine);
        match fault {
            Fault::LoseBatch => return (None, true),
            Fault::Fence => return (Some(refusal(Kind::Fenced, wire, 0)), false),
            Fault::Unavailable => return (Some(refusal(Kind::Unavailable, wire, 0)), false),
            Fault::LoseAck | Fault::Break | Fault::ForgeAck | Fault::Fine => {}
        }
        let epoch = inner.epoch;
        let journal = inner.journals.entry(lane).or_default();
        if let Err(Ahead { expected }) = put(journal) {
            return (Some(refusal(Kind::Gap, wire, expected)), true);
        }
        let (last_ordinal, head_hash) = journal.head();
        let statement = AckStatement { edge: self.edge, epoch, lane, last_ordinal, head_hash };
        let other = SigningKey::generate().unwrap();
        let key = if fault == Fault::ForgeAck { &other } else { &self.key };
        let ack = PublishResponse { message: Some(Down::Ack(statement.sign(key))) };
        (Some(ack).filter(|_| !matches!(fault, Fault::LoseAck | Fault::Break)), fault != Fault::Break)
    }

    fn leaves_unanswered(&self) -> bool {
        let mut inner = self.lock();
        let leaves = inner.unanswered_opens > 0;
        inner.unanswered_opens = inner.unanswered_opens.saturating_sub(1);
        leaves
    }

    fn open(&self, open: Open) -> (u64, PublishResponse) {
        let mut inner = self.lock();
        assert_eq!(open.epoch, inner.epoch);
        inner.sessions += 1;
        let session = inner.sessions;
        let streams = streams(inner.epoch);
        let heads = [(Lane::Money, streams.money_stream), (Lane::Traffic, streams.traffic_stream)];
        let heads = heads.map(|(lane, stream)| {
            let (last_ordinal, hash) = inner.journals.entry(lane).or_default().head();
            LaneHead { lane: lane_to_wire(lane).into(), stream, last_ordinal, head_hash: hash.to_vec() }
        });
        let ack = OpenAck { session, heads: heads.to_vec() };
        (session, PublishResponse { message: Some(Down::OpenAck(ack)) })
    }
}

fn refusal(kind: Kind, lane: i32, expected_ordinal: u64) -> PublishResponse {
    let refusal = Refusal { kind: kind.into(), lane, expected_ordinal, detail: "as scripted".into() };
    assert!(lane == 0 || lane_from_wire(lane).is_ok());
    PublishResponse { message: Some(Down::Refusal(refusal)) }
}

fn streams(epoch: u32) -> OpenEpochResponse {
    OpenEpochResponse { epoch, money_stream: epoch * 10 + 1, traffic_stream: epoch * 10 + 2 }
}

struct Service(Arc<ControlPlane>);

type Replies<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl EdgeService for Service {
    type PublishStream = Replies<PublishResponse>;
    type WatchStream = Replies<WatchResponse>;
    type FetchChunksStream = Replies<FetchChunksResponse>;

    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let request = request.into_inner();
        let control = &self.0;
        let mut inner = control.lock();
        if request.join_token != inner.token {
            return Err(Status::unauthenticated("the token is spent"));
        }
        let batch_key = PublicKey::from_slice(&request.batch_public_key).unwrap();
        let message = enroll_message(&request.join_token, &request.csr_der);
        batch_key.verify(keys::ENROLL, &message, &request.batch_key_proof).unwrap();
        inner.token = new_token();
        let expired = inner.expired;
        inner.batch_key = Some(batch_key);
        Ok(Response::new(EnrollResponse {
            edge_id: control.edge.get(),
            certificate_der: control.authority.sign(&request.csr_der, &control.edge.to_string(), expired),
            ca_der: control.authority.ca_der.clone(),
            control_public_key: control.key.public().to_vec(),
            epoch: Some(streams(inner.epoch)),
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let request = request.into_inner();
        let control = &self.0;
        let message = renew_message(control.edge, request.signed_at_secs, &request.csr_der);
        let _ = control.renews.subscribe().wait_for(|renews| *renews).await;
        let mut inner = control.lock();
        if inner.denies {
            return Err(Status::permission_denied("this edge was revoked"));
        }
        inner.batch_key.unwrap().verify(keys::RENEW, &message, &request.proof).unwrap();
        inner.renewals += 1;
        let expired = inner.expired;
        drop(inner);
        control.bump();
        let certificate_der = control.authority.sign(&request.csr_der, &control.edge.to_string(), expired);
        Ok(Response::new(RenewResponse { certificate_der }))
    }

    async fn open_epoch(
        &self,
        request: Request<OpenEpochRequest>,
    ) -> Result<Response<OpenEpochResponse>, Status> {
        assert!(request.peer_certs().is_some());
        let mut inner = self.0.lock();
        inner.epoch += 1;
        inner.journals.clear();
        inner.received.clear();
        Ok(Response::new(streams(inner.epoch)))
    }

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let certificates = request.peer_certs().ok_or_else(|| Status::unauthenticated("no certificate"))?;
        if self.0.lock().denies {
            return Err(Status::permission_denied("this edge was revoked"));
        }
        self.0.lock().certificates.push(certificates[0].to_vec());
        let mut inbound = request.into_inner();
        let (replies, stream) = mpsc::channel(64);
        let control = Arc::clone(&self.0);
        let mut generation = control.generation.subscribe();
        generation.mark_unchanged();
        tokio::spawn(async move {
            let mut session = 0;
            loop {
                let message = tokio::select! {
                    message = inbound.message() => message,
                    _ = generation.changed() => return,
                };
                let Ok(Some(PublishRequest { message: Some(message) })) = message else { return };
                let (reply, go_on) = match message {
                    publish_request::Message::Open(_) if control.leaves_unanswered() => return,
                    publish_request::Message::Open(open) => {
                        let (number, reply) = control.open(open);
                        session = number;
                        (Some(reply), true)
                    }
                    publish_request::Message::Batch(batch) => control.take(session, batch),
                    publish_request::Message::Gap(gap) => control.take_gap(session, gap),
                };
                if let Some(reply) = reply {
                    let _ = replies.send(Ok(reply)).await;
                }
                let unasked = control.lock().refuses_unasked.take();
                if let Some(lane) = unasked {
                    let refused = refusal(Kind::Quarantined, lane_to_wire(lane).into(), 0);
                    let _ = replies.send(Ok(refused)).await;
                }
                control.bump();
                if !go_on {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        assert!(request.peer_certs().is_some());
        let (replies, stream) = mpsc::channel(4);
        let mut manifest = self.0.manifest.subscribe();
        let mut generation = self.0.generation.subscribe();
        tokio::spawn(async move {
            loop {
                let current = manifest.borrow_and_update().clone();
                if let Some(current) = current
                    && replies.send(Ok(current)).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    _ = manifest.changed() => {}
                    _ = generation.changed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        assert!(request.peer_certs().is_some());
        let mut inner = self.0.lock();
        let report = request.into_inner();
        let now_micros = report.now_micros + inner.clock_ahead_micros;
        let known = !inner.knows_no_reports;
        if known {
            inner.reports.push(report);
        } else {
            inner.refused_reports += 1;
        }
        drop(inner);
        self.0.bump();
        known
            .then(|| Response::new(ReportResponse { now_micros }))
            .ok_or_else(|| Status::unimplemented("what is a report?"))
    }

    /// Whatever is wanted is granted.
    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        assert!(request.peer_certs().is_some());
        let grant =
            |claim: &LeaseClaim| LeaseGrant { lease: claim.next, granted: claim.wanted, lasts_secs: 60 };
        let claims = request.into_inner().claims;
        let response = LeaseResponse { grants: claims.iter().map(grant).collect() };
        self.0.lock().claims.extend(claims);
        self.0.bump();
        Ok(Response::new(response))
    }

    async fn fetch_chunks(
        &self,
        request: Request<FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        let wanted = request.into_inner().sha256;
        let found: Vec<FetchChunksResponse> = {
            let mut inner = self.0.lock();
            inner.chunk_requests += wanted.len();
            let find = |sha256: &Vec<u8>| {
                let chunk = inner.chunks.get(sha256)?.clone();
                Some(FetchChunksResponse { sha256: sha256.clone(), chunk })
            };
            wanted.iter().filter_map(find).collect()
        };
        let (replies, stream) = mpsc::channel(4);
        tokio::spawn(async move {
            for chunk in found {
                let _ = replies.send(Ok(chunk)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl ControlPlane {
    /// Signs a manifest over `chunks` and sends it to who watches.
    pub fn publish_snapshot(&self, version: u64, chunks: &[Chunk]) {
        let mut references = Vec::new();
        for chunk in chunks {
            let (reference, bytes) = proto_wire::manifest::encode_chunk(chunk).unwrap();
            assert_eq!(reference.sha256, sha256(&bytes));
            self.lock().chunks.insert(reference.sha256.clone(), bytes);
            references.push(reference);
        }
        let manifest = Manifest { version, issued_at_micros: 1, chunks: references };
        self.manifest.send_replace(Some(proto_wire::manifest::sign(&self.key, &manifest)));
    }
}
