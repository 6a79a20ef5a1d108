//! The stages of a connection before HTTP: PROXY header ▸ room for this client ▸ TLS ▸ which HTTP.

use super::Shared;
use super::admin;
use super::caps::Permit;
use super::listen::Stopping;
use super::prefixed::Prefixed;
use super::proxy_protocol::{self, ProxyError};
use super::reply::Reply;
use super::sockets::Door;
use super::worker::Worker;
use super::{http1, http2};
use crate::metrics::{Handshake, Transport, TurnedAway};
use bytes::Bytes;
use http::Request;
use hyper::body::Body;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A connection that was accepted.
pub struct Opening {
    pub peer: IpAddr,
    pub door: Door,
    /// `None` for those who are not counted.
    pub permit: Option<Permit>,
}

/// Who asks over a connection, and how they came in.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    pub ip: IpAddr,
    pub door: Door,
}

/// Whether something must be read before it is clear what a plain connection speaks.
pub fn has_prelude(opening: &Opening, shared: &Shared) -> bool {
    shared.proxy_protocol(opening.door) || shared.may_speak_h2c(opening.peer)
}

/// HTTP/1.1 from the first byte.
pub async fn plain(stream: TcpStream, mut opening: Opening, worker: Rc<Worker>, stop: Stopping) {
    let ip = opening.peer;
    if !claim(&mut opening, ip, &worker) {
        return;
    }
    http1::serve(stream, Caller { ip, door: opening.door }, worker, stop).await;
}

pub async fn with_prelude(mut stream: TcpStream, mut opening: Opening, worker: Rc<Worker>, stop: Stopping) {
    let Some(ip) = introduce(&mut stream, &mut opening, &worker).await else { return };
    let caller = Caller { ip, door: opening.door };
    if !worker.shared.may_speak_h2c(opening.peer) {
        return http1::serve(stream, caller, worker, stop).await;
    }
    let mut stream = Prefixed::new(stream);
    match timeout(worker.shared.timeouts.head, stream.begins_http2()).await {
        Ok(Ok(true)) => http2::serve(stream, caller, worker, stop).await,
        Ok(Ok(false)) => http1::serve(stream, caller, worker, stop).await,
        Ok(Err(_)) => {}
        Err(_) => worker.counters().broken(),
    }
}

pub async fn tls(mut stream: TcpStream, mut opening: Opening, worker: Rc<Worker>, stop: Stopping) {
    let Some(tls) = &worker.shared.tls else { return };
    let acceptor = TlsAcceptor::from(tls.stream.clone());
    let Some(ip) = introduce(&mut stream, &mut opening, &worker).await else { return };
    let stream = match timeout(worker.shared.timeouts.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return worker.counters().handshake(Handshake::Failed);
        }
        Err(_) => return worker.counters().handshake(Handshake::Late),
    };
    let (_, session) = stream.get_ref();
    let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    worker.counters().handshake(if resumed { Handshake::Resumed } else { Handshake::Full });
    let caller = Caller { ip, door: opening.door };
    match session.alpn_protocol() {
        Some(b"h2") => http2::serve(stream, caller, worker, stop).await,
        _ => http1::serve(stream, caller, worker, stop).await,
    }
}

/// Who the client is, and whether there is room for it.
async fn introduce<T>(stream: &mut T, opening: &mut Opening, worker: &Worker) -> Option<IpAddr>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut ip = opening.peer;
    if worker.shared.proxy_protocol(opening.door) {
        if !worker.shared.is_trusted(ip) {
            worker.counters().turned_away(TurnedAway::UntrustedProxy);
            return None;
        }
        match announced(stream, worker).await {
            Ok(announced) => ip = announced.unwrap_or(ip),
            Err(error) => {
                tracing::debug!(%error, peer = %opening.peer, "a connection was closed");
                worker.counters().turned_away(TurnedAway::ProxyHeader);
                return None;
            }
        }
    }
    claim(opening, ip, worker).then_some(ip)
}

async fn announced<T>(stream: &mut T, worker: &Worker) -> Result<Option<IpAddr>, ProxyError>
where
    T: AsyncRead + Unpin,
{
    let late = |_| ProxyError::Io(std::io::ErrorKind::TimedOut.into());
    timeout(worker.shared.timeouts.head, proxy_protocol::read(stream)).await.map_err(late)?
}

/// A trusted proxy brings the connections of many.
fn claim(opening: &mut Opening, ip: IpAddr, worker: &Worker) -> bool {
    let Some(permit) = &mut opening.permit else { return true };
    let room = worker.shared.is_trusted(ip) || permit.claim(ip);
    if !room {
        worker.counters().turned_away(TurnedAway::ClientFull);
    }
    room
}

/// The same for every transport.
pub async fn respond<B>(worker: &Worker, caller: Caller, transport: Transport, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if caller.door == Door::Admin {
        return admin::reply(&worker.shared, request.method(), request.uri().path());
    }
    worker.counters().request(transport);
    let mut reply = worker.handle(caller.ip, request).await;
    if caller.door == Door::Tls {
        worker.shared.advertise_http3(&mut reply);
    }
    reply
}
