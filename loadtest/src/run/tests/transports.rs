//! Every transport, a few hundred requests each, against a server in this process.

use super::*;
use crate::answer::Expect;
use std::path::Path;

fn ask(dir: &Path, url: &str, transport: Transport) -> Plan {
    Plan { transport, expect: Expect::Redirect, ca: Some(dir.join("certificate.pem")), ..plan(url, 300) }
}

/// All are answered with a redirect, by the clock and at full speed; the outcomes are returned.
fn all_answered(plan: &Plan) -> [Outcome; 2] {
    let open = run(plan).unwrap();
    assert!(open.errors.is_empty(), "{} {}: {:?}", plan.url, plan.transport, open.errors);
    assert_eq!((open.answered(), open.latency.len(), open.delay.len(), open.lag.len()), (300, 300, 300, 300));
    assert!(open.lag.max() <= open.delay.max());
    let peak = run(&Plan { load: Load::Peak { seconds: 1 }, ..plan.clone() }).unwrap();
    assert!(peak.errors.is_empty(), "{} {}: {:?}", plan.url, plan.transport, peak.errors);
    assert!(peak.answered() >= u64::from(plan.connections));
    for outcome in [&open, &peak] {
        assert_eq!(outcome.statuses.keys().copied().collect::<Vec<_>>(), [302]);
        assert!(outcome.cpu.is_some());
    }
    [open, peak]
}

#[test]
fn http1_in_tls_or_not_with_connections_that_stay_or_go() {
    let dir = tempfile::tempdir().unwrap();
    crate::write_certificate(dir.path()).unwrap();
    let plain = format!("http://{}/c/x", servers::http1(None));
    let secure = format!("https://{}/c/x", servers::http1(Some(dir.path())));

    for url in [&plain, &secure] {
        let [open, peak] = all_answered(&ask(dir.path(), url, Transport::H1));
        assert_eq!(open.connections.resumed + peak.connections.resumed, 0);
        assert!((1..=4).contains(&open.connections.made) && (1..=4).contains(&peak.connections.made));
        for outcome in all_answered(&ask(dir.path(), url, Transport::Each)) {
            assert_eq!(outcome.connections, Connections { made: outcome.answered(), resumed: 0 });
        }
    }
    for outcome in all_answered(&ask(dir.path(), &secure, Transport::Resumed)) {
        let all = outcome.answered();
        assert_eq!(outcome.connections, Connections { made: all, resumed: all });
    }
}

#[test]
fn http2_in_tls_or_not() {
    let dir = tempfile::tempdir().unwrap();
    crate::write_certificate(dir.path()).unwrap();
    let plain = format!("http://{}/c/x", servers::http2(None, usize::MAX));
    let secure = format!("https://{}/c/x", servers::http2(Some(dir.path()), usize::MAX));
    for url in [plain, secure] {
        for outcome in all_answered(&ask(dir.path(), &url, Transport::H2)) {
            assert_eq!(outcome.connections.made, 4);
        }
    }
}

#[test]
fn an_http2_connection_that_ends_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}/c/x", servers::http2(None, 20));
    let one_at_a_time = Plan { streams: 1, ..ask(dir.path(), &url, Transport::H2) };
    let outcome = run(&one_at_a_time).unwrap();
    assert_eq!((outcome.answered(), outcome.errors.len()), (300, 0), "{:?}", outcome.errors);
    assert!(outcome.connections.made >= 15, "{:?}", outcome.connections);
}

#[test]
fn http3() {
    let dir = tempfile::tempdir().unwrap();
    crate::write_certificate(dir.path()).unwrap();
    let url = format!("https://{}/c/x", servers::http3(dir.path()));
    for outcome in all_answered(&ask(dir.path(), &url, Transport::H3)) {
        assert_eq!(outcome.connections.made, 4);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_not_talked_to() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    crate::write_certificate(dir.path()).unwrap();
    crate::write_certificate(other.path()).unwrap();
    let cases = [
        (servers::http1(Some(dir.path())), Transport::H1),
        (servers::http2(Some(dir.path()), usize::MAX), Transport::H2),
        (servers::http3(dir.path()), Transport::H3),
    ];
    for (address, transport) in cases {
        let url = format!("https://{address}/");
        let load = Load::Open(Schedule { rate: 20, seconds: 1 });
        let outcome = run(&Plan { load, ..ask(other.path(), &url, transport) }).unwrap();
        assert_eq!((outcome.answered(), outcome.errors), (0, BTreeMap::from([("tls", 20)])), "{transport}");
    }
}

#[test]
fn nobody_there_is_counted_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = ask(dir.path(), &format!("http://{closed}/"), Transport::H2);
    assert_eq!(run(&open).unwrap().errors, BTreeMap::from([("connect", 300)]));
    let peak = Plan { load: Load::Peak { seconds: 1 }, ..open };
    assert_eq!(run(&peak).unwrap().errors, BTreeMap::from([("connect", 4)]));
}

#[test]
fn transports_have_names() {
    for name in ["h1", "each", "resumed", "h2", "h3"] {
        assert_eq!(name.parse::<Transport>().unwrap().to_string(), name);
    }
    assert!("h4".parse::<Transport>().is_err());
}
