//! The two multiplexed transports: how a connection comes about, and one request on it.

use super::tls::{Tls, TlsError};
use super::{LoadError, Plan, Transport};
use crate::answer::Answer;
use bytes::{Buf, Bytes};
use http::Request;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Failure = &'static str;

/// Makes connections to one server.
pub(super) enum Dialer {
    H2 { address: SocketAddr, tls: Option<Tls> },
    H3 { address: SocketAddr, endpoint: quinn::Endpoint, name: String },
}

/// Sends requests on one connection; clones share it.
#[derive(Clone)]
pub(super) enum Sender {
    H2(h2::client::SendRequest<Bytes>),
    H3(h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>),
}

impl Dialer {
    /// Within a runtime, which the sockets belong to.
    pub fn new(plan: &Plan, address: SocketAddr, tls: Option<Tls>) -> Result<Self, LoadError> {
        let (Transport::H3, Some(tls)) = (plan.transport, &tls) else {
            return Ok(Self::H2 { address, tls });
        };
        let quic = QuicClientConfig::try_from(tls.config.clone()).map_err(TlsError::from)?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut endpoint = quinn::Endpoint::client(any).map_err(LoadError::Poll)?;
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(quic)));
        let name = match &tls.name {
            ServerName::DnsName(name) => name.as_ref().to_owned(),
            _ => address.ip().to_string(),
        };
        Ok(Self::H3 { address, endpoint, name })
    }

    pub async fn connect(&self) -> Result<Sender, Failure> {
        match self {
            Self::H2 { address, tls } => {
                let socket = TcpStream::connect(address).await.map_err(|_| "connect")?;
                socket.set_nodelay(true).map_err(|_| "connect")?;
                match tls {
                    None => http2(socket).await,
                    Some(tls) => {
                        let connector = TlsConnector::from(tls.config.clone());
                        http2(connector.connect(tls.name.clone(), socket).await.map_err(|_| "tls")?).await
                    }
                }
            }
            Self::H3 { address, endpoint, name } => {
                let connecting = endpoint.connect(*address, name).map_err(|_| "connect")?;
                let connection = connecting.await.map_err(|error| match error {
                    quinn::ConnectionError::TransportError(_) => "tls",
                    _ => "connect",
                })?;
                let connection = h3_quinn::Connection::new(connection);
                let made = h3::client::builder().send_grease(false).build(connection).await;
                let (mut driver, sender) = made.map_err(|_| "connect")?;
                tokio::spawn(async move { driver.wait_idle().await });
                Ok(Sender::H3(sender))
            }
        }
    }

    /// A server that is not told would keep its side of the connections until they time out.
    pub async fn hang_up(&self) {
        if let Self::H3 { endpoint, .. } = self {
            endpoint.close(0u32.into(), b"");
            endpoint.wait_idle().await;
        }
    }
}

async fn http2<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(socket: S) -> Result<Sender, Failure> {
    let (sender, connection) = h2::client::handshake(socket).await.map_err(|_| "connect")?;
    tokio::spawn(connection);
    Ok(Sender::H2(sender))
}

impl Sender {
    /// Waits until the server allows another request; fails when the connection is of no use any more.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        match self {
            Self::H2(sender) => poll_fn(|cx| sender.poll_ready(cx)).await.map_err(|_| "closed"),
            // Opening a stream waits by itself.
            Self::H3(_) => Ok(()),
        }
    }

    pub async fn ask(&mut self, request: Request<()>) -> Result<Answer, Failure> {
        let mut bytes = Vec::new();
        let head = match self {
            Self::H2(sender) => {
                let (response, _) = sender.send_request(request, true).map_err(h2_failure)?;
                let (head, mut body) = response.await.map_err(h2_failure)?.into_parts();
                while let Some(chunk) = body.data().await {
                    let chunk = chunk.map_err(h2_failure)?;
                    body.flow_control().release_capacity(chunk.len()).map_err(h2_failure)?;
                    bytes.extend_from_slice(&chunk);
                }
                head
            }
            Self::H3(sender) => {
                let mut stream = sender.send_request(request).await.map_err(h3_failure)?;
                stream.finish().await.map_err(h3_failure)?;
                let (head, ()) = stream.recv_response().await.map_err(h3_failure)?.into_parts();
                while let Some(mut chunk) = stream.recv_data().await.map_err(h3_failure)? {
                    while chunk.has_remaining() {
                        let part = chunk.chunk();
                        bytes.extend_from_slice(part);
                        let read = part.len();
                        chunk.advance(read);
                    }
                }
                head
            }
        };
        Ok(Answer::of(&head, &bytes))
    }
}

fn h2_failure(error: h2::Error) -> Failure {
    if error.is_io() || error.is_remote() { "closed" } else { "garbled" }
}

fn h3_failure(error: h3::error::StreamError) -> Failure {
    use h3::error::StreamError;
    match error {
        StreamError::HeaderTooBig { .. } | StreamError::StreamError { .. } => "garbled",
        _ => "closed",
    }
}
