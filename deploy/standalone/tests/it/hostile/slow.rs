//! Who says little, slowly, or listens to nothing. These are held open all at once until the node ends them.

use super::field::{Field, STRANGER};
use super::wire::{Reply, connect_from, connect_with, eventually, exchange, read_to_end};
use super::{Attack, attack};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};

/// A connection costs less than 24 KiB, also in a build that is not optimised.
pub const ATTACKS: &[Attack] = &[
    Attack { name: "25-28 slow peers of every kind", grows_mib: 160, play: slow_peers },
    Attack { name: "29 idle connections", grows_mib: 456, play: idle },
    attack("27 TLS 1.1", old_tls),
];

/// One address may have 512 connections; this is an attacker with many.
fn source(n: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(n / 500 + 512).expect("few").to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

fn slow_peers(field: &Field) {
    raise_limit();
    let mut heads: Vec<_> = (0..2000).map(|n| slow_head(field, n)).collect();
    let mut bodies: Vec<_> = (2000..2500).map(|n| slow_body(field, n)).collect();
    let mut handshakes: Vec<_> = (2500..3000).map(|n| stalled_handshake(field, n)).collect();
    let deaf: Vec<_> = (3000..3050).map(|n| deaf_reader(field, n)).collect();
    assert!(field.metric("connections_open") > 0);
    for stream in &mut heads {
        assert_eq!(read_to_end(stream), b"", "a head without end has no answer");
    }
    for stream in &mut handshakes {
        read_to_end(stream);
    }
    for stream in &mut bodies {
        let reply = Reply(String::from_utf8_lossy(&read_to_end(stream)).into_owned());
        assert_eq!((reply.status(), reply.reason()), (408, Some("request_timeout")), "{reply:?}");
    }
    field.is_left_alone("readers that do not read");
    drop(deaf);
}

fn slow_head(field: &Field, n: usize) -> TcpStream {
    let mut stream = connect_from(source(n), field.http);
    let head = format!("GET {} HTTP/1.1\r\nhost: a\r\nx-slow: ", field.click());
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

fn slow_body(field: &Field, n: usize) -> TcpStream {
    let mut stream = connect_from(source(n), field.http);
    let head = format!(
        "POST /postback/{} HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 60000\r\n\r\norder_id=",
        field.ours.advertiser
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

/// The first bytes of a hello; every fifth says nothing at all.
fn stalled_handshake(field: &Field, n: usize) -> TcpStream {
    let mut stream = connect_from(source(n), field.tls);
    if !n.is_multiple_of(5) {
        stream.write_all(b"\x16\x03\x01\x02\0\x01\0").expect("sent");
    }
    stream
}

/// Asks for the script again and again and takes nothing of it, until both sides' buffers are full.
fn deaf_reader(field: &Field, n: usize) -> TcpStream {
    let small = |socket: &socket2::Socket| socket.set_recv_buffer_size(1024).expect("a small window");
    let mut stream = connect_with(source(n), field.http, small);
    stream.set_nonblocking(true).expect("non-blocking");
    let requests = "GET /t.js HTTP/1.1\r\nhost: a\r\n\r\n".repeat(500);
    for _ in 0..4 {
        let _ = stream.write(requests.as_bytes());
    }
    stream
}

/// How many descriptors this process and the node may have, each.
fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum");
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).expect("a number"));
    assert!(most >= 4096, "a hard limit of {most} open files is too low for these tests (ulimit -Hn)");
    most
}

/// 20,000 when the machine lets both processes have as many descriptors, else what it lets them.
fn idle(field: &Field) {
    let many = raise_limit().saturating_sub(1500).min(19_500);
    eprintln!("{many} idle connections");
    let request = format!("HEAD {} HTTP/1.1\r\nhost: a\r\n\r\n", field.click());
    let mut held = Vec::with_capacity(many);
    for n in 0..many {
        let mut stream = connect_from(source(n), field.http);
        stream.write_all(request.as_bytes()).expect("sent");
        held.push(stream);
    }
    let open = u64::try_from(many).expect("a number");
    let there = |field: &Field| field.metric("connections_total{transport=\"http1\"}") >= open;
    assert!(eventually(|| there(field)), "all are let in");
    let one = field.get(&field.click(), "");
    assert_eq!(one.status(), 302, "there is room for more: {one:?}");
    assert!(field.metric("connections_open") > open / 2, "they are let be for a while");
    drop(held);
    field.is_left_alone("idle connections");
}

/// A ClientHello that offers TLS 1.1 at best.
fn old_tls(field: &Field) {
    let mut hello = vec![22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    for nonsense in [&hello[..], &[0xff; 600], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let reply = exchange(STRANGER, field.tls, nonsense);
        assert!(reply.0.is_empty() || reply.0.as_bytes()[0] == 21, "an alert at most: {reply:?}");
    }
}
