//! Over TLS, with a client that checks the certificate.

use super::{Node, Response, Setup, eventually, read_to_end};
use crate::config::TlsConfig;
use crate::decide::testing::*;
use crate::http::{Door, Timeouts};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// A certificate for localhost and its key, as PEM.
pub fn dev_certificate(until_year: i32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until_year, 6, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Writes the pair with a time of its own: two writes may fall into one tick of the clock.
pub fn write_pair(dir: &Path, pair: &(String, String)) -> TlsConfig {
    static WRITTEN: AtomicU64 = AtomicU64::new(1);
    let (certificate, key) = (dir.join("edge.pem"), dir.join("edge.key"));
    for (path, text) in [(&certificate, &pair.0), (&key, &pair.1)] {
        std::fs::write(path, text).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(WRITTEN.fetch_add(1, Ordering::Relaxed));
        std::fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }
    TlsConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        certificate: Some(certificate),
        key: Some(key),
        http3: false,
        ..TlsConfig::default()
    }
}

/// A node with TLS, and its certificate.
pub fn secure(change: impl FnOnce(&mut Setup)) -> (Node, CertificateDer<'static>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let pair = dev_certificate(2040);
    let mut setup = Setup::default();
    setup.config.tls = write_pair(dir.path(), &pair);
    change(&mut setup);
    let certificate = CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap();
    (setup.start(), certificate, dir)
}

pub fn client(
    certificate: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

pub fn connect(node: &Node, config: &Arc<ClientConfig>) -> Tls {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(session, node.connect_to(Door::Tls))
}

fn click(mut stream: Tls) -> (Response, Tls) {
    let request = format!("GET /c/{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", link(LINK));
    stream.write_all(request.as_bytes()).unwrap();
    let reply = Response(read_to_end(&mut stream));
    (reply, stream)
}

#[test]
fn answers_over_both_versions_and_resumes() {
    let (node, certificate, _dir) = secure(|_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client(&certificate, &[version], &[b"http/1.1"]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (reply, stream) = click(connect(&node, &config));
            assert_eq!(reply.status(), 302, "{reply:?}");
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            let found = stream.conn.handshake_kind().unwrap();
            assert!(found == kind || found == HandshakeKind::FullWithHelloRetryRequest, "{found:?}");
        }
    }
    assert!(node.counts("handshakes_total{outcome=\"resumed\"} 2"), "{}", node.metrics());
    assert!(node.counts("certificate_expiry_seconds 2222121600"), "{}", node.metrics());
    assert_eq!(node.admin("/readyz").body(), "ready\n");
}

#[test]
fn a_certificate_about_to_expire_is_said() {
    let year = 1970 + SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 31_556_952;
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::default();
    setup.config.tls = write_pair(dir.path(), &dev_certificate(i32::try_from(year).unwrap() - 1));
    let ready = setup.start().admin("/readyz");
    assert_eq!((ready.status(), ready.body()), (200, "ready\nthe certificate has expired\n"));
}

#[test]
fn stalled_and_odd_handshakes_end() {
    let short = Duration::from_millis(50);
    let (node, certificate, _dir) = secure(|setup| {
        setup.timeouts = Timeouts { handshake: short, ..Timeouts::default() };
    });
    let mut silent = node.connect_to(Door::Tls);
    assert_eq!(read_to_end(&mut silent), "");
    let mut half = node.connect_to(Door::Tls);
    half.write_all(b"\x16\x03\x01\x02\0\x01\0").unwrap();
    assert_eq!(read_to_end(&mut half), "");
    assert!(node.counts("handshakes_total{outcome=\"late\"} 2"), "{}", node.metrics());
    for nonsense in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], &[0xff; 600], TLS_1_1] {
        let mut stream = node.connect_to(Door::Tls);
        let _ = stream.write_all(nonsense);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        assert!(all.is_empty() || all[0] == 21, "an alert at most: {all:?}");
    }
    assert!(node.counts("handshakes_total{outcome=\"failed\"} 3"), "{}", node.metrics());
    let config = client(&certificate, &[&rustls::version::TLS13], &[b"spdy/3"]);
    let mut stream = connect(&node, &config);
    assert!(stream.write_all(b"GET").is_err() || stream.read(&mut [0]).is_err(), "nothing in common");
    let config = client(&certificate, rustls::ALL_VERSIONS, &[]);
    assert!(eventually(|| click(connect(&node, &config)).0.status() == 302), "others are served");
}

/// A ClientHello that offers TLS 1.1 at best.
const TLS_1_1: &[u8] = &[
    22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0,
];
