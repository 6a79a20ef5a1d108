//! Datagrams of everybody, and connections over QUIC that do what no browser does.

use super::field::{Field, STRANGER};
use super::initial::{INITIAL_SOURCE_ID, Initials, SOURCE_ID, parameter};
use super::wire::eventually;
use super::{Attack, attack};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, VarInt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// A handshake that nobody goes on with is kept for some seconds; there are at most 512 a thread.
pub const ATTACKS: &[Attack] = &[
    attack("37 transport parameters that are none", bad_parameters),
    attack("38 streams with gaps", gapped_streams),
    attack("39 no early data, hence none replayed", no_early_data),
    attack("40 addresses that change", migration),
    Attack { name: "36 first packets that lead nowhere", grows_mib: 128, play: first_packets },
    Attack { name: "40 tokens that are forged or foreign", grows_mib: 128, play: foreign_tokens },
];

fn udp(source: Ipv4Addr) -> UdpSocket {
    UdpSocket::bind((source, 0)).expect("a port")
}

fn honest_parameters() -> Vec<u8> {
    parameter(INITIAL_SOURCE_ID, SOURCE_ID)
}

fn client_config(field: &Field) -> ClientConfig {
    let certificate = CertificateDer::from_pem_file(field.dir.join("edge.pem")).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3");
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.enable_early_data = true;
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")))
}

fn endpoint() -> Endpoint {
    Endpoint::client((STRANGER, 0).into()).expect("a socket")
}

/// A connection that the node has taken: it speaks first, on its control stream.
async fn connected(endpoint: &Endpoint, config: ClientConfig, to: SocketAddr) -> Connection {
    let connecting = endpoint.connect_with(config, to, "localhost").expect("a name");
    let connection = connecting.await.expect("an honest handshake goes through");
    connection.accept_uni().await.expect("the node's control stream");
    connection
}

/// Somebody who comes over QUIC now is let in.
fn others_get_in(field: &Field) {
    field.runtime.block_on(async {
        let endpoint = endpoint();
        connected(&endpoint, client_config(field), field.tls).await.close(VarInt::from_u32(0x100), b"");
    });
}

fn bad_parameters(field: &Field) {
    let own = honest_parameters();
    let with = |more: &[u8]| [&own[..], more].concat();
    let cases = [
        ("none at all", Vec::new()),
        ("somebody else's id", parameter(INITIAL_SOURCE_ID, b"somebody")),
        ("the id twice", with(&own)),
        ("an acknowledgement exponent of 21", with(&parameter(0x0a, &[21]))),
        ("a delay of 2^14 ms", with(&parameter(0x0b, &[0x80, 0, 0x40, 0]))),
        ("one connection id at most", with(&parameter(0x0e, &[1]))),
        ("datagrams of 1199 bytes", with(&parameter(0x03, &[0x44, 0xaf]))),
        ("more streams than there can be", with(&parameter(0x08, &[0xd0, 0, 0, 0, 0, 0, 0, 1]))),
        ("a server's reset token", with(&parameter(0x02, &[7; 16]))),
        ("a server's original id", with(&parameter(0x00, b"original"))),
        ("a value that is cut off", with(&[0x04, 8, 1, 2])),
        ("a number that is longer than its value", with(&parameter(0x04, &[0xc0, 1]))),
    ];
    let initials = Initials::default();
    let failed = || field.metric("handshakes_total{outcome=\"failed\"}");
    for (name, parameters) in &cases {
        let (before, socket) = (failed(), udp(STRANGER));
        let packet = initials.packet(b"badparam", b"", &initials.hello(parameters));
        socket.send_to(&packet, field.tls).expect("sent");
        assert!(eventually(|| failed() > before), "{name} is taken");
    }
    others_get_in(field);
}

/// What a forger of addresses sends: rubbish that looks like a first packet, and whole hellos nobody goes on with.
fn first_packets(field: &Field) {
    let (initials, socket) = (Initials::default(), udp(STRANGER));
    let hello = initials.hello(&honest_parameters());
    for n in 0..50_000u64 {
        let id = n.to_be_bytes();
        let mut packet = [&[0xc3, 0, 0, 0, 1, 8], &id[..], &[8], &id, &[0, 0x44, 0xb0]].concat();
        packet.resize(1200, n as u8);
        // Every tenth is one that the node cannot tell from an honest one.
        if n % 10 == 0 {
            packet = initials.packet(&id, b"", &hello);
        }
        // What finds no room in the kernel is lost, as on any network.
        let _ = socket.send_to(&packet, field.tls);
    }
    others_get_in(field);
    assert!(field.metric("quic_incoming_total{outcome=\"retried\"}") > 0, "addresses are proved under load");
    field.is_left_alone("first packets");
}

fn foreign_tokens(field: &Field) {
    let (initials, socket) = (Initials::default(), udp(STRANGER));
    let hello = initials.hello(&honest_parameters());
    for n in 0..200u64 {
        let token = [n as u8; 100];
        let packet = initials.packet(&n.to_be_bytes(), &token[..n as usize % 100], &hello);
        socket.send_to(&packet, field.tls).expect("sent");
    }
    let Some((id, token)) = retry(field, &initials, &hello) else { panic!("nobody is retried") };
    // Given to one address, used by another: that is refused before it is anybody's handshake.
    let accepted = || field.metric("quic_incoming_total{outcome=\"accepted\"}");
    let (before, thief) = (accepted(), udp(Ipv4Addr::new(127, 0, 0, 67)));
    for _ in 0..100 {
        thief.send_to(&initials.packet(&id, &token, &hello), field.tls).expect("sent");
    }
    others_get_in(field);
    assert!(accepted() <= before + 1, "a foreign token opens nothing");
}

/// Asks from one address until the node wants a proof of it; gives the id and the token of that.
fn retry(field: &Field, initials: &Initials, hello: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let socket = udp(STRANGER);
    socket.set_nonblocking(true).expect("non-blocking");
    let (mut found, mut n) = (None, 1 << 32u64);
    eventually(|| {
        for _ in 0..50 {
            n += 1;
            let _ = socket.send_to(&initials.packet(&u64::to_be_bytes(n), b"", hello), field.tls);
        }
        let mut packet = [0; 2048];
        while let Ok(len) = socket.recv(&mut packet) {
            found = found.take().or_else(|| read_retry(&packet[..len]));
        }
        found.is_some()
    });
    found
}

/// Of a Retry packet: whom to answer, and with which token.
fn read_retry(packet: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    (packet.first()? & 0xf0 == 0xf0).then_some(())?;
    let (_, rest) = packet.get(5..)?.split_at_checked(1 + usize::from(*packet.get(5)?))?;
    let (id, rest) = rest.split_at_checked(1 + usize::from(*rest.first()?))?;
    let token = rest.get(..rest.len().checked_sub(16)?)?;
    Some((id.get(1..)?.to_vec(), token.to_vec()))
}

fn no_early_data(field: &Field) {
    field.runtime.block_on(async {
        let (endpoint, config) = (endpoint(), client_config(field));
        for _ in 0..3 {
            // The ticket of the one before is used; it allows no early data.
            let again = endpoint.connect_with(config.clone(), field.tls, "localhost").expect("a name");
            assert!(again.into_0rtt().is_err(), "early data is allowed");
            connected(&endpoint, config.clone(), field.tls).await.close(VarInt::from_u32(0x100), b"");
        }
    });
}

/// A client whose address is another after every request.
fn migration(field: &Field) {
    field.runtime.block_on(async {
        let endpoint = endpoint();
        let connection = connected(&endpoint, client_config(field), field.tls).await;
        for n in 0..100 {
            endpoint.rebind(udp(Ipv4Addr::new(127, 0, 1, n))).expect("another socket");
            if let Ok(mut stream) = connection.open_uni().await {
                // A stream of no known type; the node stops it.
                let _ = stream.write_all(&[0x21, n]).await;
                let _ = stream.finish();
            }
        }
        connection.close(VarInt::from_u32(0x100), b"");
    });
    others_get_in(field);
}

/// Every second large datagram is lost, so that streams have gaps, and the client has no end of streams.
fn gapped_streams(field: &Field) {
    field.runtime.block_on(async {
        let relay = tokio::net::UdpSocket::bind((STRANGER, 0)).await.expect("a port");
        let through = relay.local_addr().expect("an address");
        let relaying = tokio::spawn(lossy(relay, field.tls));
        let endpoint = endpoint();
        let connection = connected(&endpoint, client_config(field), through).await;
        let streams = (0..100).map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let Ok((mut send, _recv)) = connection.open_bi().await else { return };
                // A frame of an unknown type that announces more than ever comes.
                let _ = send.write_all(&[0x21, 0x80, 0x10, 0, 0]).await;
                let _ = send.write_all(&[7; 60_000]).await;
            })
        });
        let all = async {
            for stream in streams.collect::<Vec<_>>() {
                let _ = stream.await;
            }
        };
        // Where the node gives no more room the client waits; that is the end of it.
        let _ = tokio::time::timeout(Duration::from_secs(3), all).await;
        connection.close(VarInt::from_u32(0x100), b"");
        relaying.abort();
    });
    others_get_in(field);
}

async fn lossy(relay: tokio::net::UdpSocket, node: SocketAddr) {
    let (mut client, mut packet, mut large) = (None, [0; 2048], 0);
    while let Ok((len, from)) = relay.recv_from(&mut packet).await {
        if from == node {
            let Some(client) = client else { continue };
            let _ = relay.send_to(&packet[..len], client).await;
            continue;
        }
        client = Some(from);
        // A long header is the handshake's.
        large += usize::from(len > 1000 && packet[0] & 0x80 == 0);
        if large % 2 == 0 || len <= 1000 || packet[0] & 0x80 != 0 {
            let _ = relay.send_to(&packet[..len], node).await;
        }
    }
}
