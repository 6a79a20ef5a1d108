//! HTTP/2, frame by frame, without TLS.

use super::field::{Field, STRANGER};
use super::wire::{connect_from, eventually};
use super::{Attack, attack};
use std::io::{Read, Write};
use std::net::TcpStream;

pub const ATTACKS: &[Attack] = &[
    attack("30 rapid reset", rapid_reset),
    attack("31 made to reset", made_to_reset),
    attack("32 endless continuations", continuations),
    attack("33 a header bomb", header_bomb),
    attack("34 floods of empty frames", empty_frames),
    attack("35 odd pseudo-headers", odd_fields),
    attack("28 no room for replies", no_window),
    Attack { name: "26 bodies without end", grows_mib: 192, play: endless_bodies },
];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RESET: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GO_AWAY: u8 = 7;
    pub const WINDOW: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [len[1], len[2], len[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A field as a literal, not indexed, in plain text.
fn field_of(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        // A length below 127 is one byte, any other 127 and what is left in groups of seven bits.
        let mut rest = text.len();
        if rest < 127 {
            block.push(rest as u8);
        } else {
            block.push(127);
            rest -= 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend(text.bytes());
    }
    block
}

fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    all.iter().flat_map(|(name, value)| field_of(name, value)).collect()
}

fn get(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut all = vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "edge")];
    all.extend(more);
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &fields(&all))
}

struct Peer(TcpStream);

impl Peer {
    fn greet(field: &Field, settings: &[u8]) -> Self {
        let mut stream = connect_from(STRANGER, field.http);
        stream.write_all(&[PREFACE, &frame(kind::SETTINGS, 0, 0, settings)].concat()).expect("sent");
        Self(stream)
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The kind and stream of the next frame; `None` once the node has closed the connection.
    fn next(&mut self) -> Option<(u8, u32)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        self.0.read_exact(&mut vec![0; usize::try_from(len).expect("short")]).ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
    }

    /// How a stream ends: with a reply, a reset, or (`None`) with its connection.
    fn outcome(&mut self, stream: u32) -> Option<u8> {
        loop {
            match self.next()? {
                (kind::GO_AWAY, _) => return None,
                (kind @ (kind::HEADERS | kind::RESET), found) if found == stream => return Some(kind),
                _ => {}
            }
        }
    }
}

/// Sends until the node has had enough.
fn floods(field: &Field, name: &str, mut make: impl FnMut(u32) -> Vec<u8>) {
    let mut peer = Peer::greet(field, &[]);
    let mut reader = Peer(peer.0.try_clone().expect("a second handle"));
    let reading = std::thread::spawn(move || while reader.next().is_some() {});
    let ended = (0..200_000).any(|n| !peer.send(&make(n)));
    assert!(ended, "{name}: the node took it all");
    reading.join().expect("no panic");
}

fn rapid_reset(field: &Field) {
    floods(field, "rapid reset", |n| {
        let stream = 2 * n + 1;
        [get(stream, &field.click(), &[]), frame(kind::RESET, 0, stream, &[0, 0, 0, 8])].concat()
    });
}

/// A frame about this stream that it may not have.
type Mistake = fn(u32) -> Vec<u8>;

/// Each mistake makes the node reset the stream itself.
fn made_to_reset(field: &Field) {
    let mistakes: [(&str, Mistake); 3] = [
        ("a window of nothing", |stream| frame(kind::WINDOW, 0, stream, &[0; 4])),
        ("a window too large", |stream| frame(kind::WINDOW, 0, stream, &[0x7f, 0xff, 0xff, 0xff])),
        ("data after the end", |stream| frame(kind::DATA, 0, stream, b"x")),
    ];
    for (name, mistake) in mistakes {
        floods(field, name, |n| [get(2 * n + 1, &field.click(), &[]), mistake(2 * n + 1)].concat());
    }
}

fn continuations(field: &Field) {
    let opening = get(1, &field.click(), &[]);
    let open = frame(kind::HEADERS, END_STREAM, 1, &opening[9..]);
    for more in [fields(&[("x", &"x".repeat(100))]), Vec::new(), vec![0x20]] {
        floods(field, "continuations", |n| match n {
            0 => open.clone(),
            _ => frame(kind::CONTINUATION, 0, 1, &more),
        });
    }
}

/// One field of 3 KiB goes into the table; each byte after it stands for the whole field.
fn header_bomb(field: &Field) {
    let mut peer = Peer::greet(field, &[]);
    let mut block = get(1, "/", &[])[9..].to_vec();
    let mut large = field_of("x", &"x".repeat(3000));
    large[0] = 0x40;
    block.extend(large);
    block.extend([0xbe; 12_000]);
    assert!(peer.send(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &block)));
    // A reply is a refusal here: the honest head of the same request is none.
    peer.outcome(1);
    assert_eq!(field.get(&field.click(), "").status(), 302);
}

/// Frames that ask for no reply, or for one that costs the node more than the question. They may go on for as long
/// as they like, but cost nothing that stays, and keep nobody else waiting.
fn empty_frames(field: &Field) {
    let open = frame(kind::HEADERS, END_HEADERS, 1, &post_head(field));
    let kinds: [(&str, Vec<u8>); 5] = [
        ("pings", frame(kind::PING, 0, 0, &[7; 8])),
        ("settings", frame(kind::SETTINGS, 0, 0, &[])),
        ("acknowledged pings", frame(kind::PING, ACK, 0, &[7; 8])),
        ("priorities", frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("empty data", frame(kind::DATA, 0, 1, &[])),
    ];
    for (name, one) in kinds {
        let mut peer = Peer::greet(field, &[]);
        assert!(peer.send(&open), "{name}");
        let (mut sending, many) = (peer.0.try_clone().expect("a second handle"), one.repeat(500));
        let writer = std::thread::spawn(move || (0..200).any(|_| sending.write_all(&many).is_err()));
        let mut reader = Peer(peer.0.try_clone().expect("a third handle"));
        let reading = std::thread::spawn(move || while reader.next().is_some() {});
        let reply = field.get(&field.click(), "");
        assert_eq!(reply.status(), 302, "{name}");
        writer.join().expect("no panic");
        // It may be closed already.
        let _ = peer.0.shutdown(std::net::Shutdown::Both);
        reading.join().expect("no panic");
        field.is_left_alone(name);
    }
}

fn post_head(field: &Field) -> Vec<u8> {
    let path = format!("/postback/{}", field.ours.advertiser);
    let form = "application/x-www-form-urlencoded";
    let all = [(":method", "POST"), (":scheme", "http"), (":path", &*path), (":authority", "edge")];
    [fields(&all), fields(&[("content-type", form)])].concat()
}

fn odd_fields(field: &Field) {
    let click = field.click();
    let bare = |all: &[(&str, &str)]| frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &fields(all));
    let cases = [
        ("a connection header", get(1, &click, &[("connection", "close")])),
        ("a transfer coding", get(1, &click, &[("transfer-encoding", "chunked")])),
        ("an upper case name", get(1, &click, &[("X", "1")])),
        ("a pseudo field too late", get(1, &click, &[("x", "1"), (":path", "/")])),
        ("an unknown pseudo field", get(1, &click, &[(":x", "1")])),
        ("two paths", get(1, &click, &[(":path", "/")])),
        ("a line break", get(1, &click, &[("x", "1\r\nhost: other")])),
        ("NUL", get(1, &click, &[("x", "\0")])),
        ("an escape", get(1, &click, &[("user-agent", "\x1b[2Jforged-line")])),
        ("a status", bare(&[(":status", "200")])),
        ("an even stream", get(2, &click, &[])),
        ("stream 0", get(0, &click, &[])),
    ];
    for (name, request) in cases {
        let mut peer = Peer::greet(field, &[]);
        assert!(peer.send(&request), "{name}");
        assert_ne!(peer.outcome(1), Some(kind::HEADERS), "{name} has a reply");
    }
    assert_eq!(field.get(&click, "").status(), 302);
}

/// The initial window is 0: no byte of a body may be sent.
fn no_window(field: &Field) {
    let mut peer = Peer::greet(field, &[0, 4, 0, 0, 0, 0]);
    let requests: Vec<u8> = (0..100).flat_map(|n| get(2 * n + 1, "/nothing", &[])).collect();
    assert!(peer.send(&requests));
    let mut heads = 0;
    while heads < 100 {
        heads += usize::from(peer.next().expect("heads need no window").0 == kind::HEADERS);
    }
    assert!(eventually(|| field.metric("connections_open") > 0));
}

/// As much as all the windows of a client with many connections let it send, and no end of it.
fn endless_bodies(field: &Field) {
    let head = post_head(field);
    let body = vec![b'x'; 15_000];
    let open = |stream: u32| {
        let data = frame(kind::DATA, 0, stream, &body);
        [frame(kind::HEADERS, END_HEADERS, stream, &head), data.repeat(4)].concat()
    };
    let all: Vec<u8> = (0..4).flat_map(|n| open(2 * n + 1)).collect();
    let mut held: Vec<Peer> = (0..400).map(|_| Peer::greet(field, &[])).collect();
    for peer in &mut held {
        // Of the connection; those of its streams are large enough from the beginning.
        while peer.next().expect("a window") != (kind::WINDOW, 0) {}
        assert!(peer.send(&all), "there is room");
    }
    assert_eq!(field.get(&field.click(), "").status(), 302);
    assert!(field.metric("connections_open") >= 400, "they are waited for");
    drop(held);
    field.is_left_alone("bodies without end");
}
