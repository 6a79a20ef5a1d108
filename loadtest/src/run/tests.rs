mod servers;
mod transports;

use super::*;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

const REDIRECT: &str =
    "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 2\r\n\r\nok";

/// Answers every request with `answer` until the process ends; after `requests` of them it hangs up.
fn server(answer: &'static str, requests: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let ends = lines.map_while(Result::ok).filter(String::is_empty).take(requests);
                ends.for_each(|_| drop(stream.write_all(answer.as_bytes())));
            });
        }
    });
    address
}

fn plan(url: &str, rate: u32) -> Plan {
    let load = Load::Open(Schedule { rate, seconds: 1 });
    let (transport, crowd, expect) = (Transport::H1, Crowd::Direct, Expect::Anything);
    let (timeout, url) = (Duration::from_secs(20), url.parse().unwrap());
    Plan { url, transport, load, connections: 4, streams: 8, timeout, crowd, expect, ca: None }
}

#[test]
fn every_request_is_sent_and_counted_once() {
    let address = server(REDIRECT, usize::MAX);
    let outcome = run(&plan(&format!("http://{address}/c/x?y=1"), 200)).unwrap();
    assert_eq!(outcome.statuses, BTreeMap::from([(302, 200)]));
    assert_eq!((outcome.answered(), outcome.latency.len(), outcome.delay.len()), (200, 200, 200));
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    assert!(outcome.latency.max() >= outcome.delay.min() && outcome.lag.max() <= outcome.delay.max());
    assert_eq!(outcome.connections, Connections { made: 4, resumed: 0 });
}

#[test]
fn at_full_speed_every_connection_works() {
    let address = server(REDIRECT, usize::MAX);
    let peak = Plan { load: Load::Peak { seconds: 1 }, ..plan(&format!("http://{address}/"), 1) };
    let outcome = run(&peak).unwrap();
    assert!(outcome.answered() >= 4 && outcome.errors.is_empty(), "{:?}", outcome.errors);
    assert_eq!(outcome.statuses.keys().copied().collect::<Vec<_>>(), [302]);
    assert!(outcome.rate() > 0.0);
}

#[test]
fn a_connection_that_was_announced_to_close_is_made_anew() {
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let outcome = run(&plan(&format!("http://{}/", server(closing, 1)), 50)).unwrap();
    assert_eq!(outcome.statuses, BTreeMap::from([(200, 50)]));
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
}

#[test]
fn failures_are_counted_by_kind() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = run(&plan(&format!("http://{closed}/"), 20)).unwrap();
    assert_eq!(outcome.errors, BTreeMap::from([("connect", 20)]));
    let peak = Plan { load: Load::Peak { seconds: 9 }, ..plan(&format!("http://{closed}/"), 1) };
    assert_eq!(run(&peak).unwrap().errors, BTreeMap::from([("connect", 4)]));

    let garbage = server("this is not HTTP\r\n\r\n", usize::MAX);
    let outcome = run(&plan(&format!("http://{garbage}/"), 20)).unwrap();
    assert_eq!(outcome.errors, BTreeMap::from([("garbled", 20)]));

    let refusing =
        server("HTTP/1.1 200 OK\r\nx-tributary-reason: duplicate\r\ncontent-length: 0\r\n\r\n", usize::MAX);
    let outcome = run(&plan(&format!("http://{refusing}/"), 20)).unwrap();
    assert_eq!((outcome.answered(), outcome.errors), (20, BTreeMap::from([("refused", 20)])));

    let unexpected =
        Plan { expect: Expect::Redirect, ..plan(&format!("http://{}/", server(REDIRECT, 9)), 20) };
    assert!(run(&unexpected).unwrap().errors.is_empty());
    let unexpected = Plan { expect: Expect::Gif, ..unexpected };
    assert_eq!(run(&unexpected).unwrap().errors, BTreeMap::from([("wrong", 20)]));

    let silent = server("", usize::MAX);
    let hasty = Plan { timeout: Duration::from_millis(1), ..plan(&format!("http://{silent}/"), 20) };
    let outcome = run(&hasty).unwrap();
    assert_eq!((outcome.errors.values().sum::<u64>(), outcome.answered()), (20, 0));
}

#[test]
fn what_cannot_be_run_is_refused() {
    for url in ["/c/x", "ftp://localhost/"] {
        assert!(matches!(run(&plan(url, 1)), Err(LoadError::Url(_))), "{url}");
    }
    assert!(matches!(run(&plan("http://localhost/", 0)), Err(LoadError::Nothing)));
    let peak = Plan { load: Load::Peak { seconds: 0 }, ..plan("http://localhost/", 1) };
    assert!(matches!(run(&peak), Err(LoadError::Nothing)));
    assert!(matches!(run(&plan("https://localhost/", 1)), Err(LoadError::Tls(TlsError::NoCa))));
    for transport in [Transport::Resumed, Transport::H3] {
        let plain = Plan { transport, ..plan("http://localhost/", 1) };
        assert!(matches!(run(&plain), Err(LoadError::Plain { .. })));
    }
}

#[test]
fn only_what_counts_has_a_latency() {
    let address = server(REDIRECT, usize::MAX);
    let outcome = run(&Plan { crowd: Crowd::Flood, ..plan(&format!("http://{address}/"), 200) }).unwrap();
    assert_eq!((outcome.answered(), outcome.delay.len(), outcome.latency.len()), (200, 200, 20));
}
