//! Heads and bodies that are none, and requests that hide in others.

use super::field::{Field, STRANGER};
use super::wire::{PATIENCE, Reply, connect_from, exchange, exchange_and_end, read_to_end};
use super::{Attack, attack};
use std::io::Write;

pub const ATTACKS: &[Attack] = &[
    attack("15-19 lengths and chunks", lengths),
    attack("15-19 one reply at most", nothing_hides),
    attack("18, 20-22 heads", heads),
    attack("22 queries that are not UTF-8", queries),
    attack("23 10,000 pipelined requests", pipelined),
    attack("24 a GET with 10 GB", endless_body),
];

/// What a request gets: one of these, or 0 for a connection that is closed without a word.
type Cases<'a> = [(&'a str, Vec<u8>, u16)];

fn refused(field: &Field, cases: &Cases<'_>) {
    for (name, request, status) in cases {
        let reply = exchange(STRANGER, field.http, request);
        assert_eq!(reply.status(), *status, "{name}: {reply:?}");
        assert_eq!(reply.location(), None, "{name}");
    }
}

fn lengths(field: &Field) {
    let path = format!("/postback/{}", field.ours.advertiser);
    let post = |rest: &str| format!("POST {path} HTTP/1.1\r\nhost: a\r\n{rest}").into_bytes();
    refused(
        field,
        &[
            ("two lengths", post("content-length: 1\r\ncontent-length: 2\r\n\r\nab"), 400),
            ("lengths in a list", post("content-length: 1, 2\r\n\r\nab"), 400),
            ("a signed length", post("content-length: +5\r\n\r\nabcde"), 400),
            ("a negative length", post("content-length: -5\r\n\r\nabcde"), 400),
            ("a length in hex", post("content-length: 0x5\r\n\r\nabcde"), 400),
            ("a length without end", post("content-length: 99999999999999999999\r\n\r\n"), 400),
            ("an odd coding", post("transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"), 400),
            ("an unknown coding", post("transfer-encoding: gzip\r\n\r\n"), 400),
            ("chunks, then more", post("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 400),
        ],
    );
}

fn nothing_hides(field: &Field) {
    let inner = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", field.click());
    let form = "host: a\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    let post = |rest: &str| format!("POST /postback/{} HTTP/1.1\r\n{form}{rest}", field.ours.advertiser);
    let chunked = "transfer-encoding: chunked\r\n";
    let cases = [
        ("length and chunks", post(&format!("content-length: 5\r\n{chunked}\r\n0\r\n\r\n{inner}"))),
        ("chunks and length", post(&format!("{chunked}content-length: 5\r\n\r\n0\r\n\r\n{inner}"))),
        ("a size that overflows", post(&format!("{chunked}\r\nfffffffffffffffff\r\n{inner}"))),
        ("a size with a sign", post(&format!("{chunked}\r\n+5\r\nabcde\r\n0\r\n\r\n{inner}"))),
        ("a size that ends in LF", post(&format!("{chunked}\r\n5\nabcde\r\n0\r\n\r\n{inner}"))),
        ("an endless extension", post(&format!("{chunked}\r\n1;{}\r\n", "x".repeat(20_000)))),
        ("an endless trailer", post(&format!("{chunked}\r\n0\r\nx: {}\r\n\r\n", "x".repeat(70_000)))),
        (
            "a body on GET",
            format!(
                "GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{inner}",
                field.click(),
                inner.len()
            ),
        ),
    ];
    for (name, request) in cases {
        let reply = exchange_and_end(STRANGER, field.http, request.as_bytes());
        assert!(reply.0.matches("HTTP/1.1 ").count() <= 1, "{name}: {reply:?}");
    }
}

fn heads(field: &Field) {
    let head = |rest: &str| format!("GET {} HTTP/1.1\r\n{rest}\r\n", field.click()).into_bytes();
    let hosted = |rest: &str| head(&format!("host: a\r\n{rest}"));
    let line = |line: &[u8]| [line, b"\r\nhost: a\r\n\r\n"].concat();
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    refused(
        field,
        &[
            ("no host", head(""), 400),
            ("two hosts", head("host: a\r\nhost: b\r\n"), 400),
            ("a space before the colon", head("host : a\r\n"), 400),
            ("a folded line", hosted("x: 1\r\n 2\r\n"), 400),
            ("a line that ends in CR", hosted("x: 1\r2\r\n"), 400),
            ("101 headers", hosted(&many), 431),
            ("a header of 64 KiB", hosted(&format!("x: {}\r\n", "x".repeat(65_536))), 431),
            ("a path of 64 KiB", line(format!("GET /{} HTTP/1.1", "x".repeat(65_530)).as_bytes()), 431),
            ("NUL in a header", hosted("x: \0\r\n"), 400),
            ("NUL in the path", line(b"GET /c/\0 HTTP/1.1"), 400),
            ("another version", line(b"GET / HTTP/3.0"), 400),
            ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".to_vec(), 400),
        ],
    );
    // Some take these for line ends; whoever does must see one request in it, too.
    let bare = format!("GET {} HTTP/1.1\nhost: a\nconnection: close\n\n", field.click());
    let reply = exchange(STRANGER, field.http, bare.as_bytes());
    assert!(matches!(reply.status(), 302 | 400), "bare LF: {reply:?}");
    assert_eq!(reply.0.matches("HTTP/1.1 ").count(), 1, "bare LF: {reply:?}");
}

fn queries(field: &Field) {
    for query in ["sub1=%", "sub1=%f", "sub1=%ff", "sub1=%c0%af", "sub1=%ed%a0%80", "sub1=%00", "%=%&&&=&="] {
        let reply = field.get(&format!("{}?{query}", field.click()), "");
        assert_eq!(reply.status(), 302, "{query}: {reply:?}");
        let location = reply.location().expect("a Location");
        assert!(
            location.starts_with("https://shop.example/l?") && location.is_ascii(),
            "{query}: {location}"
        );
    }
    let raw = [format!("GET {}?sub1=", field.click()).as_bytes(), &[0xff, 0xc0, 0xaf]].concat();
    let reply = exchange(
        STRANGER,
        field.http,
        &[&raw[..], b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"].concat(),
    );
    assert!(matches!(reply.status(), 302 | 400), "raw bytes: {reply:?}");
    assert!(reply.location().is_none_or(|to| to.starts_with("https://shop.example/l?")), "{reply:?}");
}

/// Each is answered, in turn, whatever else waits.
fn pipelined(field: &Field) {
    const MANY: usize = 10_000;
    let mut stream = connect_from(STRANGER, field.http);
    let mut writing = stream.try_clone().expect("a second handle");
    let one = format!("HEAD {} HTTP/1.1\r\nhost: a\r\n\r\n", field.click());
    let last = one.replace("host: a", "host: a\r\nconnection: close");
    let all = one.repeat(MANY - 1) + &last;
    let writer = std::thread::spawn(move || writing.write_all(all.as_bytes()));
    let replies = Reply(String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned());
    writer.join().expect("no panic").expect("all is read");
    assert_eq!(replies.0.matches("HTTP/1.1 302").count(), MANY);
}

/// It has its redirect, and nobody reads the rest.
fn endless_body(field: &Field) {
    let mut stream = connect_from(STRANGER, field.http);
    let head = format!("GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000000\r\n\r\n", field.click());
    stream.write_all(head.as_bytes()).expect("sent");
    assert_eq!(Reply::read(&mut stream).status(), 302);
    let (piece, started) = (vec![b'x'; 65_536], std::time::Instant::now());
    let mut sent = 0;
    while stream.write_all(&piece).is_ok() && started.elapsed() < PATIENCE {
        sent += piece.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}
