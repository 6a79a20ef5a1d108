//! Sockets, threads and connections.

use super::io::{Guarded, Progress};
use super::worker::Worker;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use socket2::{Domain, Protocol, Socket, Type};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const BACKLOG: i32 = 4096;
const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;
/// After an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// A connection that was accepted just before the stop may speak for this long.
const LAST_WORD: Duration = Duration::from_millis(250);

/// One listening socket for each worker; the kernel spreads connections over them. With port 0 the first
/// socket finds a port and the others join it.
pub fn bind(addr: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let first = bind_one(addr)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(bind_one(addr)?);
    }
    Ok((addr, listeners))
}

fn bind_one(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        // "[::]" means everybody, IPv4 too.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until `stop` is set or its sender is gone, then lets the connections finish.
pub async fn run(listener: TcpListener, worker: Rc<Worker>, stop: watch::Receiver<bool>) {
    let mut stopped = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer.ip(), &worker, &stop, &mut connections),
                Err(error) => pause_after(&error).await,
            },
        }
    }
    // Who was queued by the kernel before this moment is answered; the socket closes behind them.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, peer)) = listener.accept() {
            let Ok(()) = stream.set_nonblocking(true) else { continue };
            let Ok(stream) = TcpStream::from_std(stream) else { continue };
            admit(stream, peer.ip(), &worker, &stop, &mut connections);
        }
    }
    let drained = tokio::time::timeout(worker.shared.timeouts.drain, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not finish in time");
    }
}

fn admit(
    stream: TcpStream,
    peer: IpAddr,
    worker: &Rc<Worker>,
    stop: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    if connections.len() >= worker.shared.max_connections {
        worker.counters().turned_away.fetch_add(1, Ordering::Relaxed);
        return;
    }
    // Replies are small and written at once; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    worker.counters().accepted.fetch_add(1, Ordering::Relaxed);
    let (worker, stop) = (Rc::clone(worker), stop.clone());
    connections.spawn_local(async move {
        serve_connection(stream, peer, Rc::clone(&worker), stop).await;
        worker.counters().closed.fetch_add(1, Ordering::Relaxed);
    });
}

async fn pause_after(error: &io::Error) {
    // A client that went away before it was accepted is no reason to wait.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections (too many open files? raise the limit)");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Serves one connection to its end.
pub async fn serve_connection<T>(stream: T, peer: IpAddr, worker: Rc<Worker>, mut stop: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let progress = Rc::new(Progress::default());
    let io = Guarded::new(stream, Rc::clone(&progress), worker.shared.timeouts);
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, progress) = (Rc::clone(&worker), Rc::clone(&progress));
        async move {
            progress.request_begins();
            let reply = worker.handle(peer, request).await;
            progress.reply_is_ready();
            Ok::<Response<Full<Bytes>>, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .pipeline_flush(false)
        // Ours are finer; see `Guarded`.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            let first_words = async {
                match progress.has_served() {
                    true => None,
                    false => tokio::time::timeout(LAST_WORD, &mut connection).await.ok(),
                }
            };
            match first_words.await {
                Some(ended) => ended,
                None => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Some(reason) = progress.refused() {
        worker.refused_unread(reason);
    }
    if ended.is_err_and(|error| error.is_parse() || error.is_parse_too_large() || timed_out(&error)) {
        worker.counters().broken.fetch_add(1, Ordering::Relaxed);
    }
}

fn timed_out(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}
