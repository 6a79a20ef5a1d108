//! What only an attacker sends. Each must end in a refusal or a closed connection, with a reason wherever
//! there is a reply; the node goes on.

use super::{Setup, eventually};
use crate::decide::testing::*;
use crate::http::connection::Caller;
use crate::http::listen::Stop;
use crate::http::{Door, http1};
use proptest::prelude::*;
use proto_model::Lane;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::LocalSet;

fn click() -> String {
    format!("/c/{}", link(LINK))
}

const MALFORMED: (u16, &str) = (400, "malformed_request");
const TOO_LARGE: (u16, &str) = (431, "headers_too_large");

fn all_refused(cases: &[(&str, String, (u16, &str))]) {
    let node = Setup::default().start();
    for (name, request, (status, reason)) in cases {
        let reply = node.raw(request.as_bytes());
        assert_eq!((reply.status(), reply.reason()), (*status, Some(*reason)), "{name}: {reply:?}");
        assert_eq!(reply.location(), None, "{name}");
        let counted = format!("outcome=\"refused\",reason=\"{reason}\"}}");
        assert!(eventually(|| node.metrics().contains(&counted)), "{name} is not counted");
    }
    assert!(node.on_disk(Lane::Traffic).is_empty());
    assert_eq!(node.get(&click()).status(), 302, "the node goes on");
}

#[test]
fn broken_heads_are_refused_with_a_reason() {
    let head = |rest: &str| format!("GET {} HTTP/1.1\r\n{rest}\r\n", click());
    let with_host = |rest: &str| head(&format!("host: a\r\n{rest}"));
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = |name: &str| with_host(&format!("{name}: {}\r\n", "x".repeat(65536)));
    let cookies = format!("cookie: {}\r\n", "c".repeat(4096)).repeat(50);
    all_refused(&[
        ("no host", head(""), MALFORMED),
        ("two hosts", head("host: a\r\nhost: b\r\n"), MALFORMED),
        ("101 headers", with_host(&many), TOO_LARGE),
        ("64 KiB header", long("x"), TOO_LARGE),
        ("64 KiB user agent", long("user-agent"), TOO_LARGE),
        ("50 cookies of 4 KiB", with_host(&cookies), TOO_LARGE),
        ("64 KiB path", format!("GET /c/{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(65530)), TOO_LARGE),
        ("NUL in the path", "GET /c/\0 HTTP/1.1\r\nhost: a\r\n\r\n".into(), MALFORMED),
        ("NUL in a header", with_host("x: \0\r\n"), MALFORMED),
        ("escape in a header", with_host("user-agent: \x1b[2J\r\n"), MALFORMED),
        ("obs-fold", with_host("x: 1\r\n 2\r\n"), MALFORMED),
        ("space before the colon", head("host : a\r\n"), MALFORMED),
        ("not HTTP", "\x16\x03\x01\x02\0\x01\0\x01\r\n".into(), MALFORMED),
        ("HTTP/3.0", "GET / HTTP/3.0\r\nhost: a\r\n\r\n".into(), MALFORMED),
    ]);
}

#[test]
fn broken_body_lengths_are_refused_with_a_reason() {
    let post = |rest: &str| format!("POST /postback/x HTTP/1.1\r\nhost: a\r\n{rest}");
    all_refused(&[
        ("two lengths", post("content-length: 1\r\ncontent-length: 2\r\n\r\nab"), MALFORMED),
        ("signed length", post("content-length: +5\r\n\r\nabcde"), MALFORMED),
        ("length too large", post("content-length: 99999999999999999999\r\n\r\n"), MALFORMED),
        ("odd transfer coding", post("transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n"), MALFORMED),
        ("unknown transfer coding", post("transfer-encoding: gzip\r\n\r\n"), MALFORMED),
    ]);
}

#[test]
fn no_request_hides_in_another() {
    let node = Setup::default().start();
    let inner = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", click());
    let postback = format!("/postback/{}", advertiser(1));
    let form = "host: a\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let cases = [
        (
            "length and chunks",
            format!("POST {postback} HTTP/1.1\r\n{form}content-length: 5\r\n{chunked}\r\n0\r\n\r\n{inner}"),
        ),
        ("chunks", format!("POST {postback} HTTP/1.1\r\n{form}{chunked}\r\n0\r\n\r\n{inner}")),
        (
            "chunk size overflow",
            format!("POST {postback} HTTP/1.1\r\n{form}{chunked}\r\nfffffffffffffffff\r\n{inner}"),
        ),
        (
            "chunk extension",
            format!("POST {postback} HTTP/1.1\r\n{form}{chunked}\r\n1;{}\r\n", "x".repeat(20000)),
        ),
        (
            "a body on GET",
            format!("GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{inner}", click(), inner.len()),
        ),
        (
            "10 GB on GET",
            format!("GET {} HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000000\r\n\r\n{inner}", click()),
        ),
    ];
    for (name, request) in cases {
        let reply = node.raw(request.as_bytes());
        assert!(reply.0.matches("HTTP/1.1 ").count() <= 1, "{name}: {reply:?}");
    }
}

#[test]
fn many_requests_in_one_go_are_answered_one_by_one() {
    let node = Setup::default().start();
    let one = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", click());
    let last = format!("GET {} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", click());
    let reply = node.raw((one.repeat(499) + &last).as_bytes());
    assert_eq!(reply.0.matches("HTTP/1.1 302 Found").count(), 500);
    assert_eq!(node.on_disk(Lane::Traffic).len(), 500);
}

/// Feeds bytes to one connection as a client that closes after them.
fn feed(worker: &Rc<crate::http::Worker>, pieces: &[Vec<u8>]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (mut client, server) = tokio::io::duplex(256 * 1024);
        let (_stop, stopping) = watch::channel(Stop::Not);
        let caller = Caller { ip: std::net::IpAddr::from([203, 0, 113, 9]), door: Door::Plain };
        let serving = tokio::task::spawn_local(http1::serve(server, caller, Rc::clone(worker), stopping));
        for piece in pieces {
            let _ = client.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        let _ = client.shutdown().await;
        let mut replies = Vec::new();
        let _ = client.read_to_end(&mut replies).await;
        serving.await.unwrap();
        replies
    })
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let (click, adv) = (click(), advertiser(1).to_string());
    let words: Vec<Vec<u8>> = [
        "GET ",
        "HEAD ",
        "POST ",
        "OPTIONS ",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "host: a\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "content-length: 5\r\n",
        "content-length: 0\r\n",
        "transfer-encoding: chunked\r\n",
        "0\r\n\r\n",
        "5\r\nabcde\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "expect: 100-continue\r\n",
        "user-agent: ",
        "referer: http://",
        "x-forwarded-for: ",
        "purpose: prefetch\r\n",
        "?",
        "&",
        "=",
        "%",
        "%41",
        "%ff",
        "sub1=",
        "order_id=",
        "token=s3cret",
        "click_id=",
        "amount=",
        "currency=USD",
        "/c/",
        "/p/",
        ".gif",
        "/postback/",
        "/metrics",
        "connection: close\r\n",
    ]
    .iter()
    .map(|word| word.as_bytes().to_vec())
    .chain([
        click.clone().into_bytes(),
        format!("GET {click} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes(),
        format!("GET {click}?sub1=").into_bytes(),
        format!("GET /p/{adv}.gif?order_id=").into_bytes(),
        format!("POST /postback/{adv} HTTP/1.1\r\nhost: a\r\n").into_bytes(),
    ])
    .collect();
    let piece = prop_oneof![
        6 => prop::sample::select(words),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..24)
}

#[test]
fn any_bytes_are_answered_or_refused() {
    let (worker, _spool, _dir) = Setup::default().worker();
    let worker = Rc::new(worker);
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&pieces(), |pieces| {
            let replies = feed(&worker, &pieces);
            let text = String::from_utf8_lossy(&replies);
            prop_assert!(replies.is_empty() || text.starts_with("HTTP/1."), "{text}");
            for line in text.lines() {
                if let Some(location) = line.strip_prefix("location: ") {
                    prop_assert!(
                        location.starts_with("https://shop.example/landing?ref=a%20b"),
                        "{location}"
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}
