//! HTTP/2, frame by frame: what it answers, and what a hostile peer cannot make of it.

use super::tls::{client, connect, secure};
use super::{Node, Setup, eventually, read_to_end};
use crate::decide::testing::*;
use crate::http::Timeouts;
use proto_model::Lane;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RESET: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GO_AWAY: u8 = 7;
    pub const WINDOW: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Header fields as literals without indexing or Huffman code.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            if text.len() < 127 {
                block.push(text.len() as u8);
            } else {
                block.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    block.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                block.push(rest as u8);
            }
            block.extend(text.bytes());
        }
    }
    block
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn click() -> String {
    format!("/c/{}", link(LINK))
}

fn get(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "edge")];
    all.extend(more);
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &fields(&all))
}

fn h2c(change: impl FnOnce(&mut Setup)) -> Node {
    let mut setup = Setup::default();
    setup.config.h2c = true;
    change(&mut setup);
    setup.start()
}

struct Peer<T>(T);

/// A frame as it came: kind, flags, stream, payload.
type Frame = (u8, u8, u32, Vec<u8>);

impl<T: Read + Write> Peer<T> {
    fn greet(mut io: T) -> Self {
        io.write_all(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat()).unwrap();
        Self(io)
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// `None` once the node has closed the connection.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// The frames up to one that `is` what is waited for, or to the end.
    fn until(&mut self, is: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut seen = Vec::new();
        while let Some(frame) = self.next() {
            let found = is(&frame);
            seen.push(frame);
            if found {
                break;
            }
        }
        seen
    }

    /// The status of the reply on `stream`, or 0.
    fn status(&mut self, stream: u32) -> u16 {
        let last = self.until(|frame| frame.0 == kind::HEADERS && frame.2 == stream).pop();
        let Some((kind::HEADERS, .., block)) = last else { return 0 };
        // Indexed statuses of HPACK's static table, else a literal with an indexed name.
        match block.first() {
            Some(0x88) => 200,
            Some(0x89) => 204,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            _ => status_text(&block),
        }
    }
}

/// A literal status: three digits, plain or in Huffman code.
fn status_text(block: &[u8]) -> u16 {
    let Some([_, len, rest @ ..]) = block.get(..6).or(block.get(..5)).or(block.get(..4)) else { return 0 };
    if len & 0x80 == 0 {
        return std::str::from_utf8(&rest[..3]).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    }
    // The digits 0, 1 and 2 take five bits, 3 to 9 six, beginning at 0x19.
    let (mut bits, mut at, mut digits) = (u64::from_be_bytes([0; 8]), 0, String::new());
    for byte in &rest[..usize::from(len & 0x7f)] {
        bits = bits << 8 | u64::from(*byte);
        at += 8;
    }
    while digits.len() < 3 && at >= 5 {
        let five = bits >> (at - 5) & 0x1f;
        if five < 3 {
            digits.push((b'0' + five as u8).into());
            at -= 5;
        } else {
            let six = bits >> (at - 6) & 0x3f;
            digits.push((b'3' + (six - 0x19) as u8).into());
            at -= 6;
        }
    }
    digits.parse().unwrap_or(0)
}

/// An honest client is served whatever others do.
fn still_serves(node: &Node) {
    assert!(eventually(|| node.get(&click()).status() == 302));
}

fn peer(node: &Node) -> Peer<TcpStream> {
    Peer::greet(node.connect())
}

#[test]
fn many_requests_share_a_connection() {
    let node = h2c(|_| {});
    let mut peer = peer(&node);
    let requests: Vec<u8> = (0..50).flat_map(|n| get(2 * n + 1, &click(), &[])).collect();
    assert!(peer.send(&requests));
    let mut answered = 0;
    while answered < 50 {
        let frame = peer.next().expect("a reply for each");
        answered += usize::from(frame.0 == kind::HEADERS);
    }
    assert_eq!(node.on_disk(Lane::Traffic).len(), 50);
    assert!(node.counts("requests_total{transport=\"http2\"} 50"));
    assert!(peer.send(&get(101, "/nothing", &[])));
    assert_eq!(peer.status(101), 404);
}

#[test]
fn over_tls_it_is_agreed_upon() {
    let (node, certificate, _dir) = secure(|_| {});
    let config = client(&certificate, rustls::ALL_VERSIONS, &[b"h2", b"http/1.1"]);
    let mut peer = Peer::greet(connect(&node, &config));
    assert!(peer.send(&get(1, &click(), &[])));
    assert_eq!(peer.status(1), 302);
    assert_eq!(peer.0.conn.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn without_tls_it_is_for_balancers() {
    let stranger = Setup::default().start();
    let mut io = stranger.connect();
    io.write_all(PREFACE).unwrap();
    assert_eq!(read_to_end(&mut io), "", "closed");
    let mut setup = Setup::default();
    setup.config.trusted_proxies = vec!["127.0.0.1".parse::<std::net::IpAddr>().unwrap().into()];
    let node = setup.start();
    let mut peer = peer(&node);
    assert!(peer.send(&get(1, &click(), &[("x-forwarded-for", "198.51.100.7")])));
    assert_eq!(peer.status(1), 302);
    let last = node.on_disk(Lane::Traffic).pop().unwrap();
    assert_eq!(last.personal.network.unwrap().ip_prefix, "198.51.100.0/24");
    still_serves(&node);
}

#[test]
fn a_form_is_read_and_a_reply_has_no_connection_header() {
    let node = h2c(|_| {});
    let mut peer = peer(&node);
    let path = format!("/postback/{}", advertiser(1));
    let form = format!("order_id=A&token={TOKEN}");
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", &*path),
        (":authority", "edge"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert!(peer.send(&frame(kind::HEADERS, END_HEADERS, 1, &fields(&head))));
    assert!(peer.send(&frame(kind::DATA, END_STREAM, 1, form.as_bytes())));
    assert_eq!(peer.status(1), 202);
    let large = vec![b'x'; 16_000];
    assert!(peer.send(&frame(kind::HEADERS, END_HEADERS, 3, &fields(&head))));
    let _ = (0..5).all(|_| peer.send(&frame(kind::DATA, 0, 3, &large)));
    assert_eq!(peer.status(3), 413);
    assert!(peer.send(&get(5, &click(), &[])));
    assert_eq!(peer.status(5), 302, "the connection goes on");
}

#[test]
fn odd_requests_are_refused() {
    let node = h2c(|_| {});
    let many: Vec<(String, &str)> = (0..65).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("another host", get(1, &click(), &[("host", "other")]), 400),
        ("two hosts", get(1, &click(), &[("host", "edge"), ("host", "edge")]), 400),
        ("65 fields", get(1, &click(), &many), 431),
        ("over 16 KiB", get(1, &click(), &[("x", &"x".repeat(15_000)), ("y", &"y".repeat(1300))]), 431),
        ("a connection header", get(1, &click(), &[("connection", "close")]), 0),
        ("a transfer coding", get(1, &click(), &[("transfer-encoding", "chunked")]), 0),
        ("an upper case name", get(1, &click(), &[("X", "1")]), 0),
        ("a pseudo field too late", get(1, &click(), &[("x", "1"), (":path", "/")]), 0),
        ("an unknown pseudo field", get(1, &click(), &[(":x", "1")]), 0),
        ("no path", frame(1, 5, 1, &fields(&[(":method", "GET"), (":scheme", "http")])), 400),
        ("a line break", get(1, &click(), &[("x", "1\r\nhost: other")]), 0),
    ];
    for (name, request, expected) in cases {
        let mut peer = peer(&node);
        assert!(peer.send(request));
        // Where there is no reply, the stream is reset or the connection ends.
        let ends = |frame: &Frame| matches!(frame.0, kind::HEADERS | kind::RESET | kind::GO_AWAY);
        match expected {
            0 => {
                let last = peer.until(ends).pop().map(|frame| frame.0);
                assert_ne!(last, Some(kind::HEADERS), "{name}");
            }
            status => assert_eq!(peer.status(1), *status, "{name}"),
        }
    }
    assert!(node.on_disk(Lane::Traffic).is_empty());
    still_serves(&node);
}

/// Sends until the node has had enough.
fn floods(node: &Node, name: &str, mut make: impl FnMut(u32) -> Vec<u8>) {
    let mut peer = peer(node);
    let mut reader = Peer(peer.0.try_clone().unwrap());
    let reading = std::thread::spawn(move || {
        let mut said = Vec::new();
        while let Some(frame) = reader.next() {
            if frame.0 == kind::GO_AWAY {
                said.push(frame);
            }
        }
        said
    });
    let ended = (0..200_000).any(|n| !peer.send(&make(n)));
    assert!(ended, "{name}: the node took it all");
    let said = reading.join().unwrap();
    assert!(said.len() <= 2, "{name}: {said:?}");
    still_serves(node);
}

#[test]
fn floods_end_the_connection() {
    let node = h2c(|_| {});
    floods(&node, "rapid reset", |n| {
        let stream = 2 * n + 1;
        [get(stream, &click(), &[]), frame(kind::RESET, 0, stream, &[0, 0, 0, 8])].concat()
    });
    floods(&node, "made to reset", |n| {
        let stream = 2 * n + 1;
        [get(stream, "/", &[]), frame(kind::WINDOW, 0, stream, &[0, 0, 0, 0])].concat()
    });
    let opening = get(1, &click(), &[]);
    let open = frame(kind::HEADERS, END_STREAM, 1, &opening[9..]);
    floods(&node, "continuations", |n| match n {
        0 => open.clone(),
        _ => frame(kind::CONTINUATION, 0, 1, &fields(&[("x", &"x".repeat(100))])),
    });
    floods(&node, "empty continuations", |n| match n {
        0 => open.clone(),
        _ => frame(kind::CONTINUATION, 0, 1, &[]),
    });
}

#[test]
fn a_small_block_does_not_become_a_large_header() {
    let node = h2c(|_| {});
    let mut peer = peer(&node);
    // One field of 3 KiB goes into the table; each byte after it stands for the whole field.
    let mut block =
        fields(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "edge")]);
    let mut field = fields(&[("x", &"x".repeat(3000))]);
    field[0] = 0x40;
    block.extend(field);
    block.extend([0xbe; 12_000]);
    assert!(peer.send(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block)));
    assert!(matches!(peer.status(1), 0 | 431));
    still_serves(&node);
}

#[test]
fn pings_keep_nothing_alive() {
    let short = Duration::from_millis(200);
    let node = h2c(|setup| {
        setup.timeouts = Timeouts { idle: short, head: short, ..Timeouts::default() };
    });
    let mut peer = peer(&node);
    let mut reader = Peer(peer.0.try_clone().unwrap());
    let reading = std::thread::spawn(move || reader.until(|frame| frame.0 == kind::GO_AWAY).pop());
    let ping = frame(kind::PING, 0, 0, &[7; 8]);
    let settings = frame(kind::SETTINGS, 0, 0, &[]);
    let ended = eventually(|| {
        std::thread::sleep(Duration::from_millis(1));
        !(peer.send(&ping) && peer.send(&settings))
    });
    assert!(ended, "it goes on for ever");
    assert_eq!(reading.join().unwrap().map(|frame| frame.0), Some(kind::GO_AWAY));
}

#[test]
fn who_gives_no_room_for_replies_is_let_go() {
    let short = Duration::from_millis(200);
    let node = h2c(|setup| {
        setup.timeouts = Timeouts { idle: short, head: short, ..Timeouts::default() };
    });
    let mut io = node.connect();
    // The initial window is 0: no byte of a body may be sent.
    io.write_all(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()).unwrap();
    let mut peer = Peer(io);
    let requests: Vec<u8> = (0..100).flat_map(|n| get(2 * n + 1, "/nothing", &[])).collect();
    assert!(peer.send(&requests));
    peer.until(|_| false);
    assert!(node.counts("connections_open 0"), "{}", node.metrics());
}

#[test]
fn a_stop_says_goodbye_and_finishes() {
    let node = h2c(|_| {});
    let mut peer = peer(&node);
    assert!(peer.send(&get(1, &click(), &[])));
    assert_eq!(peer.status(1), 302);
    let super::Node { server, spool: _spool, _dir } = node;
    let stopping = std::thread::spawn(move || super::block_on(server.shutdown()));
    let away = peer.until(|frame| frame.0 == kind::GO_AWAY).pop().unwrap();
    assert_eq!(&away.3[4..8], &[0; 4], "without an error");
    peer.until(|frame| frame.0 == kind::PING);
    drop(peer);
    stopping.join().unwrap();
}
