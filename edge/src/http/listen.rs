//! Accepts connections, and lets them finish at the end.

use super::connection::{self, Opening};
use super::sockets::Door;
use super::worker::Worker;
use crate::metrics::TurnedAway;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// After an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Whoever watches the node gets in when hits have taken all the room, but not without end.
const MAX_ADMIN: usize = 32;

/// What happens to the sockets when a node stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Not,
    /// They close.
    Close,
    /// Another process has them.
    HandedOver,
}

pub type Stopping = watch::Receiver<Stop>;

/// Resolves once the node stops, or whoever could stop it is gone.
pub async fn stopped(stop: &mut Stopping) -> Stop {
    stop.wait_for(|stop| *stop != Stop::Not).await.map_or(Stop::Close, |stop| *stop)
}

/// Accepts until the node stops, then lets the connections finish.
pub async fn run(listener: TcpListener, door: Door, worker: Rc<Worker>, stop: Stopping) {
    let mut stopping = stop.clone();
    let mut connections = JoinSet::new();
    let why = loop {
        tokio::select! {
            why = stopped(&mut stopping) => break why,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer, door, &worker, &stop, &mut connections),
                Err(error) => pause_after(&error).await,
            },
        }
    };
    // Who was queued by the kernel before this moment is answered; the socket closes behind them. What
    // was handed over is queued for the next process.
    if why == Stop::Close
        && let Ok(listener) = listener.into_std()
    {
        while let Ok((stream, peer)) = listener.accept() {
            let Ok(()) = stream.set_nonblocking(true) else { continue };
            let Ok(stream) = TcpStream::from_std(stream) else { continue };
            admit(stream, peer, door, &worker, &stop, &mut connections);
        }
    }
    finish(connections, worker.shared.timeouts.drain(why)).await;
}

/// Waits for what is under way, but not for ever.
pub async fn finish(mut connections: JoinSet<()>, limit: Duration) {
    let drained = tokio::time::timeout(limit, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not finish in time");
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    worker: &Rc<Worker>,
    stop: &Stopping,
    connections: &mut JoinSet<()>,
) {
    let shared = &worker.shared;
    let permit = match door {
        Door::Admin if connections.len() >= MAX_ADMIN => return,
        Door::Admin => None,
        Door::Plain | Door::Tls => match shared.caps.enter() {
            None => return worker.counters().turned_away(TurnedAway::Full),
            permit => permit,
        },
    };
    // Replies are small and written at once; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let opening = Opening { peer: crate::ip::canonical(peer.ip()), door, permit };
    let (worker, stop) = (Rc::clone(worker), stop.clone());
    // Each kind is a task of its own type, so that the plain one stays small.
    match door {
        Door::Tls => connections.spawn_local(connection::tls(stream, opening, worker, stop)),
        Door::Plain if connection::has_prelude(&opening, &worker.shared) => {
            connections.spawn_local(connection::with_prelude(stream, opening, worker, stop))
        }
        Door::Plain | Door::Admin => {
            connections.spawn_local(connection::plain(stream, opening, worker, stop))
        }
    };
}

async fn pause_after(error: &io::Error) {
    // A client that went away before it was accepted is no reason to wait.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections (too many open files? raise the limit)");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
