//! Something between edges and the control plane that reads what they say to each other, message by message, and may do
//! with it what a network, a bad proxy or a thief would. To the edge it has a certificate of the control plane's own
//! authority, whose keys lie in the data directory; to the control plane it is the edge, whose keys lie in its.

mod fate;
mod passage;

pub use fate::{Dice, Fate, Mischief};

use control_plane_server::ca::{self, Authority};
use edge::identity::{ControlLink, Identity};
use passage::{Late, Passage};
use proto_model::{EdgeId, Lane, UnixMicros};
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::edge_service_server::{EdgeService, EdgeServiceServer};
use proto_wire::edge_v1::{
    Batch, EnrollRequest, EnrollResponse, FetchChunksRequest, FetchChunksResponse, LeaseRequest,
    LeaseResponse, OpenEpochRequest, OpenEpochResponse, PublishRequest, PublishResponse, RenewRequest,
    RenewResponse, ReportRequest, ReportResponse, WatchRequest, WatchResponse,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Channel, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

type Reply<T> = Result<Response<T>, Status>;
type Client = EdgeServiceClient<Channel>;

/// Whom the mischief befalls.
#[derive(Debug, Clone, Copy)]
struct Orders {
    mischief: Mischief,
    edge: Option<EdgeId>,
    lane: Option<Lane>,
}

/// What all calls share.
struct Shared {
    edges: Mutex<BTreeMap<EdgeId, Arc<ControlLink>>>,
    orders: watch::Sender<Orders>,
    dice: Mutex<Dice>,
    seen: Mutex<Seen>,
}

/// What has come by.
#[derive(Default)]
struct Seen {
    fates: BTreeMap<Fate, usize>,
    batches: Vec<Batch>,
    /// Batches of this edge that the control plane has acknowledged, by lane.
    answered: BTreeMap<(EdgeId, &'static str), usize>,
    late: Vec<Late>,
    /// What came late and was told so.
    fenced: usize,
    /// What came in an epoch that was over, and was told so.
    outdated: usize,
}

pub struct Gateway {
    url: String,
    plane_url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Gateway {
    /// Before the control plane that keeps its keys in `plane_dir`.
    pub async fn start(plane_dir: &Path, plane_url: &str, seed: u64) -> Self {
        let now = UnixMicros::from_secs(i64::try_from(seconds()).expect("a time"));
        let authority = Authority::open(&plane_dir.join("keys"), now).expect("the keys of the control plane");
        let identity = authority.server_identity(now).expect("a certificate");
        let tls = ServerTlsConfig::new()
            .identity(tonic::transport::Identity::from_pem(identity.certificate, identity.key))
            .client_ca_root(Certificate::from_pem(authority.ca_pem()));
        let orders = Orders { mischief: Mischief::NONE, edge: None, lane: None };
        let shared = Arc::new(Shared {
            edges: Mutex::default(),
            orders: watch::Sender::new(orders),
            dice: Mutex::new(Dice::new(seed)),
            seen: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let service = EdgeServiceServer::new(Calls(shared.clone()))
            .max_decoding_message_size(proto_wire::envelope::MAX_MESSAGE);
        let serving = Server::builder().tls_config(tls).expect("a certificate");
        let server = tokio::spawn(async move {
            serving.serve_with_incoming(service, TcpListenerStream::new(listener)).await.expect("it listens");
        });
        Self { url, plane_url: plane_url.to_owned(), shared, server }
    }

    /// Puts itself between an edge, which does not run now, and its control plane.
    pub fn stand_before(&self, edge_dir: &Path) {
        let identity = Identity::load(edge_dir).expect("an edge that is enrolled");
        let (edge, tls) = (identity.edge, identity.load_tls().expect("its certificate"));
        let link = Arc::new(ControlLink::new(identity, tls));
        self.shared.edges.lock().expect("no poison").insert(edge, link);
        let node = edge::identity::directory(edge_dir).join("node.toml");
        let said = std::fs::read_to_string(&node).expect("an identity");
        assert!(said.contains(&self.plane_url), "{} in {said}", self.plane_url);
        std::fs::write(&node, said.replace(&self.plane_url, &self.url)).expect("it can be written");
    }

    pub fn begin(&self, mischief: Mischief) {
        self.begin_for(mischief, None, None);
    }

    /// Batches and answers of this edge, or this lane, alone.
    pub fn begin_for(&self, mischief: Mischief, edge: Option<EdgeId>, lane: Option<Lane>) {
        let mut seen = self.shared.seen();
        (seen.fates, seen.fenced, seen.outdated) = (BTreeMap::new(), 0, 0);
        drop(seen);
        self.shared.orders.send_replace(Orders { mischief, edge, lane });
    }

    /// From here on everything goes through; sessions that have lost something break.
    pub fn end(&self) {
        self.shared.orders.send_replace(Orders { mischief: Mischief::NONE, edge: None, lane: None });
    }

    /// What has befallen messages since the mischief began.
    pub fn befallen(&self) -> BTreeMap<Fate, usize> {
        self.shared.seen().fates.clone()
    }

    /// Batches that came on a session that was over, and were refused for it.
    pub fn fenced(&self) -> usize {
        self.shared.seen().fenced
    }

    /// Batches of an epoch that was over, which were refused for it.
    pub fn outdated(&self) -> usize {
        self.shared.seen().outdated
    }

    /// Batches of this lane of this edge that were acknowledged, ever.
    pub fn answered(&self, edge: EdgeId, lane: Lane) -> usize {
        self.shared.seen().answered.get(&(edge, lane.as_str())).copied().unwrap_or_default()
    }

    /// Every batch that has come by, as it was sealed.
    pub fn batches(&self) -> Vec<Batch> {
        self.shared.seen().batches.clone()
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no poison")
    }

    fn roll<T>(&self, choose: impl FnOnce(&mut Dice) -> T) -> T {
        choose(&mut self.dice.lock().expect("no poison"))
    }

    fn count(&self, fate: Fate) {
        *self.seen().fates.entry(fate).or_default() += 1;
    }
}

fn seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

struct Calls(Arc<Shared>);

impl Calls {
    /// The control plane, as the edge that calls reaches it.
    async fn onward<T>(&self, request: Request<T>) -> Result<(EdgeId, Client, T), Status> {
        let certificates = request.peer_certs();
        let leaf = certificates.as_ref().and_then(|chain| chain.first());
        let edge = leaf.and_then(|leaf| ca::edge_of(leaf)).expect("TLS asks for an edge's certificate");
        let link = self.0.edges.lock().expect("no poison").get(&edge).cloned();
        let channel = link.expect("one of those it stands before").connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let client = EdgeServiceClient::new(channel)
            .max_encoding_message_size(proto_wire::envelope::MAX_MESSAGE)
            .max_decoding_message_size(proto_wire::manifest::MAX_MESSAGE);
        Ok((edge, client, request.into_inner()))
    }
}

#[tonic::async_trait]
impl EdgeService for Calls {
    type PublishStream = ReceiverStream<Result<PublishResponse, Status>>;
    type WatchStream = Streaming<WatchResponse>;
    type FetchChunksStream = Streaming<FetchChunksResponse>;

    async fn publish(&self, request: Request<Streaming<PublishRequest>>) -> Reply<Self::PublishStream> {
        let (edge, mut client, requests) = self.onward(request).await?;
        let (up, upward) = mpsc::channel(16);
        let (down, downward) = mpsc::channel(16);
        let replies = client.publish(ReceiverStream::new(upward)).await?.into_inner();
        tokio::spawn(Passage::new(self.0.clone(), edge, up, down).run(requests, replies));
        Ok(Response::new(ReceiverStream::new(downward)))
    }

    async fn enroll(&self, _: Request<EnrollRequest>) -> Reply<EnrollResponse> {
        Err(Status::unimplemented("edges enrol at the control plane itself"))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Reply<RenewResponse> {
        let (_, mut client, request) = self.onward(request).await?;
        client.renew(request).await
    }

    async fn open_epoch(&self, request: Request<OpenEpochRequest>) -> Reply<OpenEpochResponse> {
        let (_, mut client, request) = self.onward(request).await?;
        client.open_epoch(request).await
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Reply<Self::WatchStream> {
        let (_, mut client, request) = self.onward(request).await?;
        client.watch(request).await
    }

    async fn fetch_chunks(&self, request: Request<FetchChunksRequest>) -> Reply<Self::FetchChunksStream> {
        let (_, mut client, request) = self.onward(request).await?;
        client.fetch_chunks(request).await
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Reply<LeaseResponse> {
        let (_, mut client, request) = self.onward(request).await?;
        client.lease(request).await
    }

    async fn report(&self, request: Request<ReportRequest>) -> Reply<ReportResponse> {
        let (_, mut client, request) = self.onward(request).await?;
        client.report(request).await
    }
}
