//! HTTP/1.1 on a connection.

use super::connection::{Caller, respond};
use super::io::{Guarded, Progress};
use super::listen::{Stopping, stopped};
use super::worker::Worker;
use super::{MAX_HEAD, MAX_HEADERS};
use crate::metrics::Transport;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection that was accepted just before the stop may speak for this long.
const LAST_WORD: Duration = Duration::from_millis(250);

/// Serves one connection to its end.
pub async fn serve<T>(stream: T, caller: Caller, worker: Rc<Worker>, mut stop: Stopping)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    worker.counters().connection(Transport::Http1);
    let progress = Rc::new(Progress::default());
    let io = Guarded::new(stream, Rc::clone(&progress), worker.shared.timeouts);
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, progress) = (Rc::clone(&worker), Rc::clone(&progress));
        // In a box, which goes with the request: hyper keeps room for one in each connection, also while it is idle.
        Box::pin(async move {
            progress.request_begins();
            let reply = respond(&worker, caller, Transport::Http1, request).await;
            progress.reply_is_ready();
            Ok::<Response<Full<Bytes>>, Infallible>(reply)
        })
    });
    let connection = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .pipeline_flush(false)
        // To look for the end of a client while a hit is on its way to the disk costs a new buffer for each request,
        // and the answer is no use: the hit is recorded all the same.
        .half_close(true)
        // Ours are finer; see `Guarded`.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let ended = until_stopped(connection.as_mut(), &mut stop).await;
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
        worker.counters().broken();
    }
}

/// What `connection` ends with, or `None` once the node stops.
async fn until_stopped<C: Future>(mut connection: Pin<&mut C>, stop: &mut Stopping) -> Option<C::Output> {
    let signal = stop.clone();
    let mut stopped = pin!(stopped(stop));
    let mut asked = false;
    poll_fn(|context| {
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(Some(ended));
        }
        // Asked once, it wakes this task when the time comes. To ask takes a lock, and a connection is looked at
        // several times for each request.
        if asked && matches!(signal.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        asked = true;
        stopped.as_mut().poll(context).map(|_| None)
    })
    .await
}

fn timed_out(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}
