//! One request over HTTP/3.

use super::quic;
use crate::http::connection::Caller;
use crate::http::http2::answer;
use crate::http::reply::Reply;
use crate::http::worker::Worker;
use crate::metrics::Transport;
use bytes::{Buf, Bytes};
use h3::error::StreamError;
use h3::server::{RequestResolver, RequestStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

type Sending = RequestStream<quic::SendHalf, Bytes>;
type Receiving = RequestStream<quic::RecvHalf, Bytes>;

pub async fn serve(resolver: RequestResolver<quic::Connection, Bytes>, caller: Caller, worker: &Worker) {
    let timeouts = worker.shared.timeouts;
    let (request, stream) = match timeout(timeouts.head, resolver.resolve_request()).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(_)) | Err(_) => return worker.counters().broken(),
    };
    let (mut sending, receiving) = stream.split();
    let is_head = request.method() == Method::HEAD;
    let form = Form::begin(receiving, request.method(), timeouts.body).await;
    let reply = answer(worker, caller, Transport::Http3, request_with(request, form)).await;
    // A peer that reads nothing, or has gone, ends here.
    let _ = timeout(timeouts.write, send(&mut sending, reply, is_head)).await;
}

fn request_with(request: Request<()>, form: Form) -> Request<Form> {
    let (parts, ()) = request.into_parts();
    Request::from_parts(parts, form)
}

async fn send(sending: &mut Sending, reply: Reply, is_head: bool) -> Result<(), StreamError> {
    let (mut parts, body) = reply.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Ok(now) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        parts.headers.insert(DATE, now);
    }
    sending.send_response(Response::from_parts(parts, ())).await?;
    if !is_head && !body.is_empty() {
        sending.send_data(body).await?;
    }
    sending.finish().await
}

/// The body of a request.
struct Form {
    stream: Option<Receiving>,
    /// Whether there is a body at all is seen only by asking for it.
    ahead: Option<Bytes>,
}

impl Form {
    /// Dropping a stream asks the peer to stop sending.
    async fn begin(mut stream: Receiving, method: &Method, limit: Duration) -> Self {
        if method != Method::POST {
            return Self { stream: None, ahead: None };
        }
        let ahead = match timeout(limit, stream.recv_data()).await {
            Ok(Ok(None)) => return Self { stream: None, ahead: None },
            Ok(Ok(Some(mut data))) => Some(data.copy_to_bytes(data.remaining())),
            // The handler meets the same again, and says so.
            Ok(Err(_)) | Err(_) => None,
        };
        Self { stream: Some(stream), ahead }
    }
}

impl Body for Form {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let data = match ready!(stream.poll_recv_data(cx)) {
            Ok(Some(mut data)) => Ok(data.copy_to_bytes(data.remaining())),
            Ok(None) => {
                self.stream = None;
                return Poll::Ready(None);
            }
            Err(error) => Err(error),
        };
        Poll::Ready(Some(data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none() && self.ahead.is_none()
    }
}
