//! HTTP/3: one QUIC endpoint, on the thread of the first worker. More than one would need the kernel to
//! know which connection a packet belongs to.

mod quic;
mod request;
mod switch;

pub use switch::Switch;

use super::MAX_HEAD;
use super::activity::Activity;
use super::connection::Caller;
use super::listen::{Stopping, finish, stopped};
use super::sockets::Door;
use super::tls::{Tls, TlsError};
use super::worker::Worker;
use crate::metrics::{Handshake, Incoming, Transport, TurnedAway};
use bytes::Bytes;
use h3::error::Code;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use std::cell::Cell;
use std::net::UdpSocket;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Handshakes under way at once. The addresses of their packets may be forged.
const MAX_HANDSHAKES: usize = 512;
/// From here on an address is proved first, at the cost of a round trip.
const RETRY_ABOVE: usize = MAX_HANDSHAKES / 4;
const LAST_PACKETS: Duration = Duration::from_millis(250);
const MAX_STREAMS: u32 = 100;
/// Control, two for QPACK, and some that nobody knows yet.
const MAX_UNI_STREAMS: u32 = 8;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

pub fn server_config(tls: &Tls, idle: Duration) -> Result<ServerConfig, TlsError> {
    let crypto = QuicServerConfig::try_from(Arc::clone(&tls.quic))
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .max_concurrent_uni_streams(MAX_UNI_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(CONNECTION_WINDOW.into())
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(idle.try_into().ok());
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport)).max_incoming(MAX_HANDSHAKES);
    Ok(config)
}

/// Accepts until the node stops, then lets the connections finish.
pub async fn run(socket: UdpSocket, config: ServerConfig, worker: Rc<Worker>, mut stop: Stopping) {
    let Some(switch) = worker.shared.http3.clone() else { return };
    let opened = Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime));
    let endpoint = match opened {
        Ok(endpoint) => endpoint,
        Err(error) => return tracing::error!(%error, "HTTP/3 is not served: the UDP socket cannot be used"),
    };
    let accepting = stop.clone();
    let handshakes = Rc::new(Cell::new(0));
    let mut connections = JoinSet::new();
    let why = loop {
        tokio::select! {
            why = stopped(&mut stop) => break why,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                let what = admit(incoming, &switch, &worker, &handshakes, &accepting, &mut connections);
                worker.counters().incoming(what);
            }
        }
    };
    endpoint.set_server_config(None);
    let limit = worker.shared.timeouts.drain(why);
    finish(connections, limit).await;
    endpoint.close(code(Code::H3_NO_ERROR), b"");
    // Only the last packets that say so; a peer that does not hear them finds out by itself.
    let _ = timeout(LAST_PACKETS, endpoint.wait_idle()).await;
}

fn admit(
    incoming: quinn::Incoming,
    switch: &Arc<Switch>,
    worker: &Rc<Worker>,
    handshakes: &Rc<Cell<usize>>,
    stop: &Stopping,
    connections: &mut JoinSet<()>,
) -> Incoming {
    if !switch.is_on() {
        incoming.refuse();
        return Incoming::Refused;
    }
    if handshakes.get() >= MAX_HANDSHAKES {
        incoming.ignore();
        return Incoming::Ignored;
    }
    if handshakes.get() >= RETRY_ABOVE && incoming.may_retry() && !incoming.remote_address_validated() {
        // Fails only for one that may not be retried.
        return incoming.retry().map_or(Incoming::Ignored, |()| Incoming::Retried);
    }
    handshakes.set(handshakes.get() + 1);
    let connection =
        connect(incoming, Arc::clone(switch), Rc::clone(worker), Rc::clone(handshakes), stop.clone());
    connections.spawn_local(connection);
    Incoming::Accepted
}

async fn connect(
    incoming: quinn::Incoming,
    switch: Arc<Switch>,
    worker: Rc<Worker>,
    handshakes: Rc<Cell<usize>>,
    stop: Stopping,
) {
    let shaken = timeout(worker.shared.timeouts.handshake, async { incoming.accept()?.await }).await;
    handshakes.set(handshakes.get() - 1);
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a QUIC handshake failed");
            return worker.counters().handshake(Handshake::Failed);
        }
        Err(_) => return worker.counters().handshake(Handshake::Late),
    };
    worker.counters().handshake(Handshake::Quic);
    // Only now: the address of a first packet may be forged, and would take the room of its owner.
    let ip = crate::ip::canonical(connection.remote_address().ip());
    let Some(mut permit) = worker.shared.caps.enter() else {
        connection.close(code(Code::H3_EXCESSIVE_LOAD), b"");
        return worker.counters().turned_away(TurnedAway::Full);
    };
    if !worker.shared.is_trusted(ip) && !permit.claim(ip) {
        connection.close(code(Code::H3_EXCESSIVE_LOAD), b"");
        return worker.counters().turned_away(TurnedAway::ClientFull);
    }
    serve(connection, Caller { ip, door: Door::Tls }, &switch, worker, stop).await;
}

async fn serve(
    connection: quinn::Connection,
    caller: Caller,
    switch: &Switch,
    worker: Rc<Worker>,
    mut stop: Stopping,
) {
    worker.counters().connection(Transport::Http3);
    let timeouts = worker.shared.timeouts;
    let built = h3::server::builder()
        .max_field_section_size(MAX_HEAD as u64)
        .build(quic::Connection::new(connection.clone()))
        .await;
    let Ok(mut http) = built else { return };
    let activity = Rc::new(Activity::default());
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = requests.join_next(), if !requests.is_empty() => {}
            accepted = http.accept() => match accepted {
                Ok(Some(resolver)) => {
                    let (worker, running) = (Rc::clone(&worker), activity.begin());
                    requests.spawn_local(async move {
                        request::serve(resolver, caller, &worker).await;
                        drop(running);
                    });
                }
                Ok(None) => break,
                Err(error) => {
                    if !error.is_h3_no_error() && !is_farewell(&connection) {
                        worker.counters().broken();
                    }
                    return;
                }
            },
            _ = stopped(&mut stop) => break,
            () = switch.switched_off() => break,
            () = activity.idle(timeouts.idle) => break,
        }
    }
    // GOAWAY: what comes from now on is refused in a way that a browser may repeat elsewhere. One round
    // trip later everybody knows.
    let _ = http.shutdown(0).await;
    let known = tokio::time::sleep(2 * connection.rtt());
    let last = async {
        known.await;
        while requests.join_next().await.is_some() {}
    };
    tokio::select! {
        _ = timeout(timeouts.drain, last) => {}
        () = refuse_all(&mut http) => {}
    }
    connection.close(code(Code::H3_NO_ERROR), b"");
}

/// Keeps the connection going while the last replies leave. Resolves when it is lost.
async fn refuse_all(http: &mut h3::server::Connection<quic::Connection, Bytes>) {
    while let Ok(Some(_)) = http.accept().await {}
}

/// The peer went away in order, or fell silent.
fn is_farewell(connection: &quinn::Connection) -> bool {
    use quinn::ConnectionError::{ApplicationClosed, ConnectionClosed, LocallyClosed, TimedOut};
    matches!(
        connection.close_reason(),
        Some(ApplicationClosed(_) | ConnectionClosed(_) | LocallyClosed | TimedOut)
    )
}

fn code(code: Code) -> VarInt {
    VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX)
}
