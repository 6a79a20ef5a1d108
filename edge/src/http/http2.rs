//! HTTP/2 on a connection: many requests at once, so the limits are on what one peer can make us hold.

use super::activity::Activity;
use super::connection::{Caller, respond};
use super::io::{Guarded, Progress};
use super::listen::{Stopping, stopped};
use super::reply::Reply;
use super::worker::Worker;
use super::{MAX_HEAD, MAX_HEADERS, reply};
use crate::metrics::Transport;
use http::header::CONNECTION;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use proto_model::Reason;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

const MAX_STREAMS: u32 = 100;
/// Streams that a peer opened and reset before we came to them.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we had to reset for a peer's mistakes.
const MAX_OWN_RESETS: usize = 20;
/// A form has up to 64 KiB, and a connection has few of them.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Replies are small; more than this waits for the peer to read.
const MAX_UNSENT: usize = 16 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);

/// Requests run on the thread of their connection.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves one connection to its end.
pub async fn serve<T>(stream: T, caller: Caller, worker: Rc<Worker>, mut stop: Stopping)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    worker.counters().connection(Transport::Http2);
    let timeouts = worker.shared.timeouts;
    let activity = Rc::new(Activity::default());
    let io = Guarded::new(stream, Rc::new(Progress::of_many()), timeouts);
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, running) = (Rc::clone(&worker), activity.begin());
        async move {
            let reply = answer(&worker, caller, Transport::Http2, request).await;
            drop(running);
            Ok::<Reply, Infallible>(reply)
        }
    });
    let connection = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_UNSENT)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let limit = tokio::select! {
        biased;
        ended = &mut connection => {
            if ended.is_err() {
                worker.counters().broken();
            }
            return;
        }
        why = stopped(&mut stop) => timeouts.drain(why),
        () = activity.idle(timeouts.idle) => timeouts.head,
    };
    // GOAWAY; what is under way is finished, but a peer that does not read ends here.
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limit, connection).await;
}

/// What HTTP/2 and HTTP/3 have in common.
pub async fn answer<B>(worker: &Worker, caller: Caller, transport: Transport, request: Request<B>) -> Reply
where
    B: hyper::body::Body<Data = bytes::Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if request.headers().len() > MAX_HEADERS {
        worker.refused_unread(Reason::HeadersTooLarge);
        let mut refusal = reply::empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        reply::set_reason(&mut refusal, Reason::HeadersTooLarge);
        return refusal;
    }
    let mut reply = respond(worker, caller, transport, request).await;
    // A request ends with its stream here, so nothing can hide behind it.
    reply.headers_mut().remove(CONNECTION);
    reply
}
