//! `tributary.edge.v1`: what edges call. Every call but Enroll and Renew needs a certificate of our CA
//! that names a known edge which has not been revoked.

mod enroll;
mod lease;
mod publish;
mod watch;

use crate::app::{App, clock, edge_health, fleet, restore};
use crate::ca::{self, CaError};
use crate::error::{AppError, chain};
use crate::listen::{self, Bounded};
use crate::supervise::Stop;
use control_plane_store::StoreError;
use control_plane_store::alerts::AlertKind;
use control_plane_store::fleet::Edge;
use proto_model::EdgeId;
use proto_wire::edge_v1::edge_service_server::{EdgeService, EdgeServiceServer};
use proto_wire::edge_v1::{
    EnrollRequest, EnrollResponse, FetchChunksRequest, FetchChunksResponse, LeaseRequest, LeaseResponse,
    OpenEpochRequest, OpenEpochResponse, PublishRequest, PublishResponse, RenewRequest, RenewResponse,
    ReportRequest, ReportResponse, WatchRequest, WatchResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// An edge holds one Publish and one Watch stream, and now and then makes a unary call.
const MAX_STREAMS: u32 = 16;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Finds peers that vanished without a word.
const KEEPALIVE: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("no certificate for the edge listener")]
    Identity(#[from] CaError),
    #[error("the edge listener failed")]
    Transport(#[from] tonic::transport::Error),
}

/// The listener's set-up, made before the first connection so that a mistake fails the start.
pub fn server(app: &App) -> Result<Server, ServeError> {
    let identity = app.authority.server_identity(clock::now())?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(identity.certificate, identity.key))
        .client_ca_root(Certificate::from_pem(app.authority.ca_pem()))
        .client_auth_optional(true)
        .timeout(HANDSHAKE);
    let server = Server::builder()
        .tls_config(tls)?
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(16 * 1024)
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_local_error_reset_streams(Some(20))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE));
    Ok(server)
}

/// Serves until `stop`; streams then end by themselves, so that the connections can drain.
pub async fn serve(
    server: Server,
    app: Arc<App>,
    listener: TcpListener,
    stop: Stop,
) -> Result<(), ServeError> {
    let edges = EdgeServiceServer::new(Edges { app, stop: stop.clone() })
        .max_decoding_message_size(proto_wire::envelope::MAX_MESSAGE)
        .max_encoding_message_size(proto_wire::manifest::MAX_MESSAGE);
    // A peer that has come through the handshake answers every ping.
    let incoming = Bounded::new(listener, listen::places(), 3 * KEEPALIVE).incoming();
    let mut ended = stop;
    server.serve_with_incoming_shutdown(edges, incoming, async move { ended.wait().await }).await?;
    Ok(())
}

struct Edges {
    app: Arc<App>,
    stop: Stop,
}

impl Edges {
    /// The edge behind this call, by its client certificate.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Edge, Status> {
        let certificates = request.peer_certs();
        let leaf = certificates.as_ref().and_then(|chain| chain.first());
        let leaf = leaf.ok_or_else(|| Status::unauthenticated("this call needs the edge's certificate"))?;
        let id = ca::edge_of(leaf)
            .ok_or_else(|| Status::unauthenticated("the certificate does not name an edge"))?;
        match self.app.store.get_edge(id).await {
            Ok(edge) if !edge.revoked => {
                fleet::seen(&self.app, &edge).await;
                Ok(edge)
            }
            Ok(_) => Err(Status::permission_denied("this edge was revoked")),
            Err(StoreError::NotFound) => {
                restore::notice(
                    &self.app,
                    AlertKind::EdgeUnknown,
                    id,
                    "an edge with a certificate of ours is not known here",
                );
                Err(Status::permission_denied("this edge is not known here"))
            }
            Err(error) => Err(status(error.into())),
        }
    }
}

/// Whether an edge that has a call under way may no longer have one. An error is no answer: the next call gives it.
async fn is_revoked(app: &App, edge: EdgeId) -> bool {
    match app.store.get_edge(edge).await {
        Ok(edge) => edge.revoked,
        Err(StoreError::NotFound) => true,
        Err(_) => false,
    }
}

/// The one place where a failed use case becomes a gRPC status. Causes stay in our log.
fn status(error: AppError) -> Status {
    match &error {
        AppError::Invalid { .. } | AppError::InvalidAt { .. } => Status::invalid_argument(error.to_string()),
        AppError::NotFound(_) => Status::not_found(error.to_string()),
        AppError::Conflict { .. } => Status::failed_precondition(error.to_string()),
        AppError::Unauthenticated => Status::unauthenticated(error.to_string()),
        AppError::Forbidden => Status::permission_denied(error.to_string()),
        AppError::Unavailable(_) => Status::unavailable(error.to_string()),
        AppError::Store(_) | AppError::Internal(..) => {
            tracing::error!("edge call failed: {}", chain(&error));
            Status::unavailable("the control plane cannot do that now; try again shortly")
        }
    }
}

#[tonic::async_trait]
impl EdgeService for Edges {
    type PublishStream = ReceiverStream<Result<PublishResponse, Status>>;
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;
    type FetchChunksStream = ReceiverStream<Result<FetchChunksResponse, Status>>;

    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        enroll::enroll(&self.app, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        enroll::renew(&self.app, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn open_epoch(
        &self,
        request: Request<OpenEpochRequest>,
    ) -> Result<Response<OpenEpochResponse>, Status> {
        let edge = self.caller(&request).await?;
        let reason = request.into_inner().reason;
        enroll::open_epoch(&self.app, &edge, &reason).await.map(Response::new).map_err(status)
    }

    async fn publish(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStream>, Status> {
        let edge = self.caller(&request).await?;
        // Small: an edge that does not read its acks is not read from either.
        let (replies, receiver) = mpsc::channel(16);
        let session = publish::Session::new(self.app.clone(), edge, replies);
        tokio::spawn(session.run(request.into_inner(), self.stop.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let edge = self.caller(&request).await?;
        let have = request.into_inner().have_version;
        let (replies, receiver) = mpsc::channel(1);
        tokio::spawn(watch::run(self.app.clone(), edge, have, replies, self.stop.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let edge = self.caller(&request).await?;
        let now = edge_health::take_report(&self.app, &edge, request.get_ref()).await.map_err(status)?;
        Ok(Response::new(ReportResponse { now_micros: now.0 }))
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let edge = self.caller(&request).await?;
        lease::lease(&self.app, &edge, request.get_ref()).await.map(Response::new).map_err(status)
    }

    async fn fetch_chunks(
        &self,
        request: Request<FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        self.caller(&request).await?;
        let chunks = watch::find_chunks(&self.app, &request.into_inner().sha256)?;
        let (replies, receiver) = mpsc::channel(4);
        tokio::spawn(watch::send_chunks(chunks, replies));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
