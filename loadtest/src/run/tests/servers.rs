//! A server for each transport, as small as can be. They answer every request with a redirect until the test
//! process ends.

use bytes::Bytes;
use http::header::LOCATION;
use http::{Response, StatusCode};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

const HERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn config(dir: &Path, alpn: &[u8]) -> ServerConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certificate = CertificateDer::from_pem_file(dir.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config
}

pub fn http1(dir: Option<&Path>) -> SocketAddr {
    let config = dir.map(|dir| Arc::new(config(dir, b"http/1.1")));
    let listener = TcpListener::bind(SocketAddr::from(HERE)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            std::thread::spawn(move || match config {
                None => answer_all(socket),
                Some(config) => answer_all(StreamOwned::new(ServerConnection::new(config).unwrap(), socket)),
            });
        }
    });
    address
}

fn answer_all(stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line == "\r\n" {
            let answer =
                "HTTP/1.1 302 Found\r\nlocation: https://shop.example/\r\ncontent-length: 2\r\n\r\nok";
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
        line.clear();
    }
}

fn redirect() -> Response<()> {
    let redirect = Response::builder().status(StatusCode::FOUND);
    redirect.header(LOCATION, "https://shop.example/").body(()).unwrap()
}

/// Runs a server on a thread of its own and says where it listens.
fn in_background<F: Future<Output = ()>>(
    serve: impl FnOnce(std::sync::mpsc::Sender<SocketAddr>) -> F + Send + 'static,
) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve(tell))
    });
    told.recv().unwrap()
}

/// After `requests` of them it says goodbye to a connection.
pub fn http2(dir: Option<&Path>, requests: usize) -> SocketAddr {
    let acceptor = dir.map(|dir| TlsAcceptor::from(Arc::new(config(dir, b"h2"))));
    in_background(move |tell| async move {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(HERE)).await.unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => answer_http2(socket, requests).await,
                    Some(acceptor) => answer_http2(acceptor.accept(socket).await.unwrap(), requests).await,
                }
            });
        }
    })
}

async fn answer_http2(socket: impl AsyncRead + AsyncWrite + Unpin, requests: usize) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let mut served = 0;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        served += 1;
        if served == requests {
            connection.graceful_shutdown();
        }
        let mut body = respond.send_response(redirect(), false).unwrap();
        body.send_data(Bytes::from_static(b"ok"), true).unwrap();
    }
}

pub fn http3(dir: &Path) -> SocketAddr {
    let mut config = config(dir, b"h3");
    // QUIC wants all of a ticket's early data, or none.
    config.max_early_data_size = 0;
    in_background(move |tell| async move {
        let quic = QuicServerConfig::try_from(config).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(quic));
        let endpoint = quinn::Endpoint::server(config, SocketAddr::from(HERE)).unwrap();
        tell.send(endpoint.local_addr().unwrap()).unwrap();
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(answer_http3(incoming));
        }
    })
}

async fn answer_http3(incoming: quinn::Incoming) {
    let Ok(connection) = incoming.await else { return };
    let connection = h3_quinn::Connection::new(connection);
    let mut connection: h3::server::Connection<_, Bytes> =
        h3::server::Connection::new(connection).await.unwrap();
    while let Ok(Some(resolver)) = connection.accept().await {
        tokio::spawn(async move {
            let Ok((_, mut stream)) = resolver.resolve_request().await else { return };
            let _ = stream.send_response(redirect()).await;
            let _ = stream.send_data(Bytes::from_static(b"ok")).await;
            let _ = stream.finish().await;
        });
    }
}
