//! The simulated network under tonic, at both ends.

use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Error};
use turmoil::net::{TcpListener, TcpStream};

pub(super) const PLANE: &str = "control-plane";
pub(super) const PORT: u16 = 1;

pub(super) fn dial(endpoint: Endpoint) -> Pin<Box<dyn Future<Output = Result<Channel, Error>> + Send>> {
    let connect = |_| async { TcpStream::connect((PLANE, PORT)).await.map(TokioIo::new) };
    Box::pin(async move { endpoint.connect_with_connector(tower::service_fn(connect)).await })
}

/// The connections that come in; whoever has come, and is heard of no more, is found by its silence.
pub(super) fn incoming(listener: TcpListener) -> impl tokio_stream::Stream<Item = io::Result<Accepted>> {
    let (connections, accepted) = tokio::sync::mpsc::channel(16);
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if connections.send(Ok(Accepted(stream))).await.is_err() {
                return;
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(accepted)
}

pub(super) struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
