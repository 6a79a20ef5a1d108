//! What both listeners owe the rest of the process: file handles are shared with the database, so that only so many
//! clients are held, and none that keeps silent.

use rustix::process::{Resource, getrlimit};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

const MAX_CLIENTS: usize = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A quarter of the process's file handles for each listener; further clients wait in the system's queue.
pub fn places() -> usize {
    let handles = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    handles.map_or(MAX_CLIENTS, |handles| (handles / 4).clamp(1, MAX_CLIENTS))
}

pub struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence: Duration,
}

impl Bounded {
    /// A client from which nothing came for as long as `silence` is let go.
    pub fn new(listener: TcpListener, places: usize, silence: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)), silence }
    }

    pub async fn accept(&self) -> Client {
        loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else { std::future::pending().await };
            match self.listener.accept().await {
                Ok((stream, peer)) => return Client::new(stream, peer, self.silence, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    pub fn incoming(self) -> ReceiverStream<io::Result<Client>> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let client = tokio::select! {
                    () = sender.closed() => return,
                    client = self.accept() => client,
                };
                if sender.send(Ok(client)).await.is_err() {
                    return;
                }
            }
        });
        ReceiverStream::new(receiver)
    }
}

pub struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Client {
    fn new(stream: TcpStream, peer: SocketAddr, silence: Duration, place: OwnedSemaphorePermit) -> Self {
        // Replies are small and written at once; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        Self { stream, peer, silence, deadline: Box::pin(tokio::time::sleep(silence)), _place: place }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            let next = Instant::now() + self.silence;
            self.deadline.as_mut().reset(next);
            return Poll::Ready(read);
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Client {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.stream.local_addr().ok(), remote_addr: Some(self.peer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_silent_client_makes_room_for_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::new(listener, 1, Duration::from_millis(50));
        let _silent = TcpStream::connect(address).await.unwrap();
        let waiting = TcpStream::connect(address).await.unwrap();
        let mut first = bounded.accept().await;
        let mut second = Box::pin(bounded.accept());
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is one place"),
            read = first.read_u8() => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut),
        }
        drop(first);
        assert_eq!(second.await.peer, waiting.local_addr().unwrap());
    }
}
