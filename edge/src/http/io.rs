//! The socket under a connection, with its time limits.
//!
//! hyper's own header timeout also counts the idle time between two requests and sets a timer for each
//! request. Here a request head, an idle connection and a reader that does not read have limits of their
//! own, and a connection has one timer, which is touched only when something is waited for.

use super::listen::Stop;
use super::reply;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use proto_model::Reason;
use std::cell::Cell;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its headers.
    pub head: Duration,
    /// From a reply to the next request.
    pub idle: Duration,
    /// For a request body.
    pub body: Duration,
    /// For a reader that takes nothing of a reply.
    pub write: Duration,
    /// For a TLS or QUIC handshake.
    pub handshake: Duration,
    /// For requests under way when the node stops.
    pub drain: Duration,
    /// The same when another process waits to take over: all new clients wait with it.
    pub hand_over: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            head: secs(5),
            idle: secs(30),
            body: secs(10),
            write: secs(30),
            handshake: secs(5),
            drain: secs(10),
            hand_over: secs(2),
        }
    }
}

impl Timeouts {
    pub fn drain(&self, why: Stop) -> Duration {
        match why {
            Stop::HandedOver => self.hand_over,
            Stop::Not | Stop::Close => self.drain,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// A request has begun (or the connection has) and its head is not complete.
    Head,
    /// The handler has it.
    Serving,
}

/// What the handler and the socket tell each other.
pub struct Progress {
    phase: Cell<Phase>,
    served: Cell<bool>,
    refused: Cell<Option<Reason>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { phase: Cell::new(Phase::Head), served: Cell::new(false), refused: Cell::new(None) }
    }
}

impl Progress {
    /// Of a connection that carries many requests at once: only its writing is limited here.
    pub fn of_many() -> Self {
        Self { phase: Cell::new(Phase::Serving), ..Self::default() }
    }

    pub fn request_begins(&self) {
        self.phase.set(Phase::Serving);
    }

    pub fn reply_is_ready(&self) {
        self.phase.set(Phase::Idle);
        self.served.set(true);
    }

    /// At least one request was answered.
    pub fn has_served(&self) -> bool {
        self.served.get()
    }

    /// Why a request was refused that could not be read.
    pub fn refused(&self) -> Option<Reason> {
        self.refused.get()
    }
}

pub struct Guarded<T> {
    io: TokioIo<T>,
    progress: Rc<Progress>,
    timeouts: Timeouts,
    reading: Option<(Phase, Instant)>,
    writing: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What is left of a refusal that takes the place of hyper's.
    refusal: &'static [u8],
}

impl<T> Guarded<T> {
    pub fn new(io: T, progress: Rc<Progress>, timeouts: Timeouts) -> Self {
        let io = TokioIo::new(io);
        Self { io, progress, timeouts, reading: None, writing: None, timer: None, refusal: &[] }
    }

    /// Fails once `deadline` has passed, and sees to it that the task wakes up then.
    fn wait_until(&mut self, deadline: Instant, context: &mut Context<'_>) -> Result<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // An earlier timer is left alone: it is cheaper to wake up once for nothing.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
        Ok(())
    }

    fn read_is_pending(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let phase = self.progress.phase.get();
        let limit = match phase {
            Phase::Idle => self.timeouts.idle,
            Phase::Head => self.timeouts.head,
            // The handler limits the body itself.
            Phase::Serving => return Poll::Pending,
        };
        let deadline = match self.reading {
            Some((since, deadline)) if since == phase => deadline,
            _ => Instant::now() + limit,
        };
        self.reading = Some((phase, deadline));
        match self.wait_until(deadline, context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn limit_write(&mut self, result: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let deadline = *self.writing.get_or_insert_with(|| Instant::now() + self.timeouts.write);
        match self.wait_until(deadline, context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// hyper answers a head that it cannot read by itself and gives no reason. Replies of ours always
    /// have a Cache-Control, so whatever has none while no request is being served is such an answer.
    fn notice_refusal(&mut self, bytes: &[u8]) {
        let Some(status) = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)) else { return };
        let ours = || bytes.windows(15).any(|window| window.eq_ignore_ascii_case(b"\r\ncache-control"));
        if self.progress.phase.get() == Phase::Serving || ours() {
            return;
        }
        if let Some((reason, refusal)) = reply::unparsed(status) {
            self.progress.refused.set(Some(reason));
            self.refusal = refusal;
        }
    }
}

impl<T: AsyncRead + Unpin> Read for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending => self.read_is_pending(cx),
            done => {
                if self.progress.phase.get() == Phase::Idle {
                    self.progress.phase.set(Phase::Head);
                    self.reading = None;
                }
                done
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Guarded<T> {
    fn poll_write_refusal(&mut self, claimed: usize, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        while !self.refusal.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, self.refusal);
            let written = ready!(self.limit_write(written, cx))?;
            if written == 0 {
                return Poll::Ready(Err(Error::from(ErrorKind::WriteZero)));
            }
            self.refusal = self.refusal.get(written..).unwrap_or_default();
        }
        Poll::Ready(Ok(claimed))
    }
}

impl<T: AsyncWrite + Unpin> Write for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        if self.refusal.is_empty() {
            self.notice_refusal(buf);
        }
        if !self.refusal.is_empty() {
            return self.poll_write_refusal(buf.len(), cx);
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.limit_write(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if self.refusal.is_empty() {
            self.notice_refusal(bufs.first().map_or(&[][..], |first| first));
        }
        if !self.refusal.is_empty() {
            return self.poll_write_refusal(bufs.iter().map(|buf| buf.len()).sum(), cx);
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.limit_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
