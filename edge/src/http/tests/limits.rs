use super::{PATIENCE, Setup, block_on, eventually, read_to_end};
use crate::config::RateLimit;
use crate::decide::testing::*;
use crate::http::{Door, Timeouts};
use proto_model::Lane;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(50);

fn click() -> String {
    format!("/c/{}", link(LINK))
}

#[test]
fn too_many_requests_are_shed() {
    let mut setup = Setup::default();
    setup.config.rate_limit = RateLimit { per_second: 1, burst: 3 };
    let node = setup.start();
    let replies: Vec<_> = (0..8).map(|_| node.get(&click())).collect();
    let shed: Vec<_> = replies.iter().filter(|reply| reply.status() == 429).collect();
    assert!((4..=5).contains(&shed.len()), "{replies:?}");
    assert!(shed.iter().all(|reply| reply.reason() == Some("rate_limited")));
    assert!(shed.iter().all(|reply| reply.header("retry-after").is_some()));
    let pixel = node.get(&format!("/p/{}.gif?order_id=A", advertiser(1)));
    let as_expected = (pixel.status(), pixel.reason()) == (200, Some("rate_limited"));
    assert!(as_expected || pixel.reason().is_none(), "a second may have passed: {pixel:?}");
    assert_eq!(node.get("/livez").status(), 200, "operators are not limited");
}

#[test]
fn forwarded_addresses_count_from_trusted_proxies_only() {
    let stranger = Setup::default().start();
    let mut behind_proxy = Setup::default();
    behind_proxy.config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let behind_proxy = behind_proxy.start();
    let cases = [
        (&stranger, "x-forwarded-for: 198.51.100.7\r\n", "127.0.0.0/24"),
        (&stranger, "forwarded: for=198.51.100.7\r\n", "127.0.0.0/24"),
        (&behind_proxy, "x-forwarded-for: 198.51.100.7\r\n", "198.51.100.0/24"),
        (&behind_proxy, "x-forwarded-for: 127.0.0.1, 203.0.113.4\r\n", "203.0.113.0/24"),
        (
            &behind_proxy,
            "x-forwarded-for: 1.1.1.1\r\nx-forwarded-for: 2001:db8:7::1, 127.0.0.9\r\n",
            "2001:db8:7::/48",
        ),
        (&behind_proxy, "x-forwarded-for: \u{e9}\r\n", "127.0.0.0/24"),
    ];
    for (node, headers, prefix) in cases {
        assert_eq!(node.send("GET", &click(), headers, "").status(), 302, "{headers}");
        let last = node.on_disk(Lane::Traffic).pop().unwrap();
        assert_eq!(last.personal.network.unwrap().ip_prefix, prefix, "{headers}");
    }
}

#[test]
fn health_is_for_this_machine_and_metrics_are_apart() {
    let node = Setup::default().start();
    node.get(&click());
    for page in ["/livez", "/readyz"] {
        assert_eq!(node.get(page).status(), 200, "{page}");
        assert_eq!(node.admin(page).status(), 200, "{page}");
        let forwarded = node.send("GET", page, "x-forwarded-for: 127.0.0.1\r\n", "");
        assert_eq!((forwarded.status(), forwarded.reason()), (404, Some("not_found")), "{page}");
    }
    let measured = crate::report::Measured { offset_micros: 7_000_000, round_trip_micros: 1000 };
    node.server.shared().parts.clock.set(measured);
    let ready = node.get("/readyz");
    let remark = "ready\nthis machine's clock is 7.0 s behind the control plane's\n";
    assert_eq!((ready.status(), ready.body()), (200, remark));
    assert_eq!(node.get("/metrics").status(), 404, "not among the hits");
    for page in ["/", &click(), "/metrics/"] {
        assert_eq!(node.admin(page).status(), 404, "{page}");
    }
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        "replies_total{route=\"click\",outcome=\"recorded\",reason=\"\"} 1",
        "snapshot_version 3",
        "ready 1",
        "spool_next_ordinal{lane=\"traffic\"} 2",
        &format!("build_info{{version=\"{version}\"}} 1"),
    ] {
        assert!(node.counts(line), "{line} is not in\n{}", node.metrics());
    }
    let metrics = node.metrics();
    let named = [link(LINK).to_string(), advertiser(1).to_string(), "shop.example".into()];
    assert!(named.iter().all(|name| !metrics.contains(name)), "{metrics}");
}

#[test]
fn balancers_hear_of_a_stop_before_it_comes() {
    let node = Setup::default().start();
    node.server.announce_stop();
    for ready in [node.get("/readyz"), node.admin("/readyz")] {
        assert_eq!((ready.status(), ready.body()), (503, "this node stops\n"));
    }
    assert_eq!(node.get("/livez").status(), 200);
    assert_eq!(node.get(&click()).status(), 302, "hits are still answered");
}

#[test]
fn slow_clients_are_let_go() {
    let short = Timeouts { head: SOON, body: SOON, ..Timeouts::default() };
    let node = Setup { timeouts: short, ..Setup::default() }.start();
    for unfinished in ["", "GET ", "GET /c/x HTTP/1.1\r\nhost: edge\r\nx-slow: "] {
        assert_eq!(node.raw(unfinished.as_bytes()).0, "", "{unfinished}");
    }
    let head = format!(
        "POST /postback/{} HTTP/1.1\r\nhost: edge\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 100\r\n\r\norder_id=",
        advertiser(1)
    );
    let reply = node.raw(head.as_bytes());
    assert_eq!((reply.status(), reply.reason()), (408, Some("request_timeout")));
    assert_eq!(reply.header("connection"), Some("close"));
    // Who never said a word was merely silent; the client may see the end before it is counted.
    let counted = || node.metrics().contains("tributary_edge_connections_broken_total 2\n");
    assert!(eventually(counted), "{}", node.metrics());
}

#[test]
fn idle_and_trickling_connections_end() {
    let short = Timeouts { idle: SOON, head: SOON, ..Timeouts::default() };
    let node = Setup { timeouts: short, ..Setup::default() }.start();
    let request = format!("GET {} HTTP/1.1\r\nhost: edge\r\n\r\n", click());
    let kept_alive = node.raw(request.as_bytes());
    assert_eq!(kept_alive.status(), 302, "answered, then closed for silence");
    // One byte now and then does not keep a head alive.
    let mut trickle = node.connect();
    let started = Instant::now();
    for byte in request.bytes().cycle() {
        if trickle.write_all(&[byte]).is_err() || started.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_reader_that_does_not_read_is_let_go() {
    let short = Timeouts { write: SOON, ..Timeouts::default() };
    let node = Setup { timeouts: short, ..Setup::default() }.start();
    let mut stream = node.connect();
    let request = "GET / HTTP/1.1\r\nhost: edge\r\n\r\n".repeat(500);
    let started = Instant::now();
    // Replies pile up until the node gives up; then writing fails here.
    while stream.write_all(request.as_bytes()).is_ok() && started.elapsed() < PATIENCE {}
    assert!(started.elapsed() < PATIENCE, "the node went on for ever");
    assert_eq!(node.get(&click()).status(), 302, "others are served");
}

#[test]
fn connections_have_a_limit() {
    let mut setup = Setup::default();
    (setup.config.workers, setup.config.max_connections) = (1, 3);
    let node = setup.start();
    let request = format!("GET {} HTTP/1.1\r\nhost: edge\r\n\r\n", click());
    let mut held: Vec<_> = (0..3).map(|_| node.connect()).collect();
    for stream in &mut held {
        stream.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 302");
    }
    assert_eq!(node.raw(request.as_bytes()).0, "", "one too many");
    assert!(node.counts("connections_turned_away_total{reason=\"full\"} 1"));
    drop(held);
    assert!(eventually(|| node.get(&click()).status() == 302), "room is never made");
}

#[test]
fn one_client_may_not_take_all_connections() {
    let mut setup = Setup::default();
    setup.config.max_connections_per_ip = 2;
    let node = setup.start();
    let request = format!("GET {} HTTP/1.1\r\nhost: edge\r\n\r\n", click());
    let mut held: Vec<_> = (0..2).map(|_| node.connect()).collect();
    for stream in &mut held {
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    assert_eq!(node.raw(request.as_bytes()).0, "", "one too many");
    assert!(node.counts("connections_turned_away_total{reason=\"client_full\"} 1"));
    drop(held);
    assert!(eventually(|| node.get(&click()).status() == 302), "room is never made");
}

#[test]
fn requests_under_way_are_finished_at_the_end() {
    let node = Setup::default().start();
    let form = format!("order_id=A&token={TOKEN}");
    let head = format!(
        "POST /postback/{} HTTP/1.1\r\nhost: edge\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        advertiser(1),
        form.len()
    );
    let mut under_way = node.connect();
    under_way.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    under_way.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "the handler waits for the body now");
    let mut idle = node.connect();
    idle.write_all(format!("GET {} HTTP/1.1\r\nhost: edge\r\n\r\n", click()).as_bytes()).unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();

    let addr = node.server.addr(Door::Plain).unwrap();
    let super::Node { server, spool, _dir } = node;
    let stopping = std::thread::spawn(move || block_on(server.shutdown()));
    assert!(read_to_end(&mut idle).contains("ocation: "), "an idle connection is closed");
    under_way.write_all(form.as_bytes()).unwrap();
    let reply = read_to_end(&mut under_way);
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    stopping.join().unwrap();
    assert!(std::net::TcpStream::connect(addr).is_err(), "nobody listens any more");
    assert!(spool.log().reader(Lane::Money, 0).read_next().unwrap().is_some());
}
