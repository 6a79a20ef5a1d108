//! Behind balancers that speak the PROXY protocol.

use super::{Node, Response, Setup, read_to_end};
use crate::decide::testing::*;
use crate::http::Timeouts;
use proto_model::Lane;
use std::io::Write;
use std::time::Duration;

fn behind(trusted: &str) -> Node {
    let mut setup = Setup::default();
    setup.config.proxy_protocol = true;
    setup.config.trusted_proxies = vec![trusted.parse().unwrap()];
    setup.timeouts = Timeouts { head: Duration::from_millis(300), ..Timeouts::default() };
    setup.start()
}

fn header(kind: u8, source: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([kind, 0x11, 0, 12]);
    bytes.extend(source);
    bytes.extend([10, 0, 0, 1, 0x30, 0x39, 1, 0xbb]);
    bytes
}

fn click(more: &str) -> Vec<u8> {
    format!("GET /c/{} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n{more}\r\n", link(LINK)).into_bytes()
}

#[test]
fn the_header_says_who_clicks() {
    let node = behind("127.0.0.0/8");
    let cases = [
        (header(0x21, [203, 0, 113, 9]), "", "203.0.113.0/24"),
        (header(0x20, [203, 0, 113, 9]), "", "127.0.0.0/24"),
        // Whom a header announces is believed no further.
        (header(0x21, [203, 0, 113, 9]), "x-forwarded-for: 198.51.100.1\r\n", "203.0.113.0/24"),
        (header(0x21, [127, 0, 0, 2]), "x-forwarded-for: 198.51.100.1\r\n", "198.51.100.0/24"),
    ];
    for (header, more, prefix) in cases {
        let reply = node.raw(&[header, click(more)].concat());
        assert_eq!(reply.status(), 302, "{reply:?}");
        let last = node.on_disk(Lane::Traffic).pop().unwrap();
        assert_eq!(last.personal.network.unwrap().ip_prefix, prefix);
    }
}

#[test]
fn without_a_header_nobody_gets_in() {
    let node = behind("127.0.0.0/8");
    let mut long = header(0x21, [203, 0, 113, 9]);
    long[14..16].copy_from_slice(&[0xff, 0xff]);
    let cases = [click(""), long, b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n".to_vec(), Vec::new()];
    for bytes in &cases {
        assert_eq!(node.raw(bytes).0, "", "{bytes:?}");
    }
    let line = format!("connections_turned_away_total{{reason=\"proxy_header\"}} {}", cases.len());
    assert!(node.counts(&line), "{}", node.metrics());
    assert!(node.on_disk(Lane::Traffic).is_empty());
}

#[test]
fn strangers_announce_nobody() {
    let node = behind("192.0.2.0/24");
    let mut stream = node.connect();
    let _ = stream.write_all(&[header(0x21, [203, 0, 113, 9]), click("")].concat());
    assert_eq!(Response(read_to_end(&mut stream)).0, "");
    assert!(node.counts("connections_turned_away_total{reason=\"untrusted_proxy\"} 1"));
    // Where no header is expected, one is not HTTP.
    let reply = Setup::default().start().raw(&[header(0x21, [203, 0, 113, 9]), click("")].concat());
    assert_eq!((reply.status(), reply.reason()), (400, Some("malformed_request")));
}
