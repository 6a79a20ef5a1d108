//! quinn's streams for h3, with a limit on what one stream may bring.
//!
//! h3 keeps a frame in memory until it is complete, whatever length it announces. So a stream ends here
//! once it has brought more than any honest request.

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// A head of 16 KiB and a form of 64 KiB, with their framing.
const MAX_REQUEST: usize = 96 * 1024;
/// A control stream tells of settings once, then of priorities, a few bytes for each request.
const MAX_CONTROL: usize = 256 * 1024;
const CHUNK: usize = 4096;

type Waiting<T> = Pin<Box<dyn Future<Output = T>>>;

pub struct Connection {
    inner: quinn::Connection,
    bidi: Option<Waiting<Result<(quinn::SendStream, quinn::RecvStream), ConnectionError>>>,
    uni: Option<Waiting<Result<quinn::RecvStream, ConnectionError>>>,
    opener: Opener,
}

impl Connection {
    pub fn new(inner: quinn::Connection) -> Self {
        let opener = Opener { inner: inner.clone(), uni: None };
        Self { inner, bidi: None, uni: None, opener }
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = RecvHalf;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvHalf, ConnectionErrorIncoming>> {
        let inner = &self.inner;
        let waiting = self.uni.get_or_insert_with(|| {
            let inner = inner.clone();
            Box::pin(async move { inner.accept_uni().await })
        });
        let stream = ready!(waiting.as_mut().poll(cx));
        self.uni = None;
        Poll::Ready(stream.map_err(lost).and_then(|stream| RecvHalf::new(stream, MAX_CONTROL)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bidi, ConnectionErrorIncoming>> {
        let inner = &self.inner;
        let waiting = self.bidi.get_or_insert_with(|| {
            let inner = inner.clone();
            Box::pin(async move { inner.accept_bi().await })
        });
        let streams = ready!(waiting.as_mut().poll(cx));
        self.bidi = None;
        let (send, recv) = streams.map_err(lost)?;
        Poll::Ready(Ok(Bidi { send: SendHalf::new(send)?, recv: RecvHalf::new(recv, MAX_REQUEST)? }))
    }

    fn opener(&self) -> Opener {
        Opener { inner: self.inner.clone(), uni: None }
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = Bidi;
    type SendStream = SendHalf;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bidi, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.inner.close(varint(code.value()), reason);
    }
}

/// Opens our control streams. A server opens no requests.
pub struct Opener {
    inner: quinn::Connection,
    uni: Option<Waiting<Result<quinn::SendStream, ConnectionError>>>,
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Bidi;
    type SendStream = SendHalf;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Bidi, StreamErrorIncoming>> {
        let connection_error = internal("a server opens no requests");
        Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error }))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        let inner = &self.inner;
        let waiting = self.uni.get_or_insert_with(|| {
            let inner = inner.clone();
            Box::pin(async move { inner.open_uni().await })
        });
        let stream = ready!(waiting.as_mut().poll(cx));
        self.uni = None;
        Poll::Ready(stream.map_err(lost).and_then(SendHalf::new).map_err(with_connection))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.inner.close(varint(code.value()), reason);
    }
}

pub struct Bidi {
    send: SendHalf,
    recv: RecvHalf,
}

impl quic::BidiStream<Bytes> for Bidi {
    type SendStream = SendHalf;
    type RecvStream = RecvHalf;

    fn split(self) -> (SendHalf, RecvHalf) {
        (self.send, self.recv)
    }
}

impl quic::RecvStream for Bidi {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.recv.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl quic::SendStream<Bytes> for Bidi {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

pub struct RecvHalf {
    inner: quinn::RecvStream,
    id: StreamId,
    /// How much may still come.
    left: usize,
}

impl RecvHalf {
    fn new(inner: quinn::RecvStream, left: usize) -> Result<Self, ConnectionErrorIncoming> {
        let id = stream_id(inner.id())?;
        Ok(Self { inner, id, left })
    }
}

impl quic::RecvStream for RecvHalf {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(self.inner.poll_read_buf(cx, &mut buffer)).map_err(unread)?;
        let Some(left) = self.left.checked_sub(buffer.filled().len()) else {
            let code = Code::H3_EXCESSIVE_LOAD.value();
            self.stop_sending(code);
            return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated { error_code: code }));
        };
        self.left = left;
        let filled = buffer.filled();
        Poll::Ready(Ok((!filled.is_empty()).then(|| Bytes::copy_from_slice(filled))))
    }

    fn stop_sending(&mut self, code: u64) {
        // Fails when the stream has ended already, which is as good.
        let _ = self.inner.stop(varint(code));
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

/// Whoever has its answer need not send the rest, and did nothing wrong.
impl Drop for RecvHalf {
    fn drop(&mut self) {
        quic::RecvStream::stop_sending(self, Code::H3_NO_ERROR.value());
    }
}

pub struct SendHalf {
    inner: quinn::SendStream,
    id: StreamId,
    unsent: Option<WriteBuf<Bytes>>,
    /// Waits for the peer to have received all.
    acked: Option<Waiting<Result<Option<VarInt>, StoppedError>>>,
}

impl SendHalf {
    fn new(inner: quinn::SendStream) -> Result<Self, ConnectionErrorIncoming> {
        let id = stream_id(inner.id())?;
        Ok(Self { inner, id, unsent: None, acked: None })
    }
}

impl quic::SendStream<Bytes> for SendHalf {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(unsent) = &mut self.unsent {
            if !unsent.has_remaining() {
                self.unsent = None;
                break;
            }
            let written = Pin::new(&mut self.inner).poll_write(cx, unsent.chunk());
            unsent.advance(ready!(written).map_err(unwritten)?);
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.unsent.is_some() {
            return Err(with_connection(internal("h3 sends before it was told that it may")));
        }
        self.unsent = Some(data.into());
        Ok(())
    }

    /// Ready when the peer has it: whoever closes the connection then takes nothing from it.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let inner = &mut self.inner;
        let acked = self.acked.get_or_insert_with(|| {
            // Fails when the peer has stopped it; then there is nothing to wait for.
            let _ = inner.finish();
            Box::pin(inner.stopped())
        });
        let _ = ready!(acked.as_mut().poll(cx));
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        let _ = self.inner.reset(varint(code));
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

/// h3's codes are far below the limit of QUIC's numbers.
fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn stream_id(id: quinn::StreamId) -> Result<StreamId, ConnectionErrorIncoming> {
    StreamId::try_from(u64::from(VarInt::from(id))).map_err(|_| internal("a stream without a number"))
}

fn internal(why: &str) -> ConnectionErrorIncoming {
    ConnectionErrorIncoming::InternalError(why.to_owned())
}

fn with_connection(connection_error: ConnectionErrorIncoming) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

fn lost(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(closed) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: closed.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn unread(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        ReadError::ConnectionLost(error) => with_connection(lost(error)),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

fn unwritten(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        WriteError::ConnectionLost(error) => with_connection(lost(error)),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
