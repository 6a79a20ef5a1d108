//! With clients that others wrote. `.ci/needs.sh` installs them; without them these tests fail and say so.

use super::tls::secure;
use super::{Node, block_on, eventually};
use crate::decide::testing::*;
use crate::http::{Door, Timeouts};
use proto_model::Lane;
use rustls::pki_types::CertificateDer;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

fn click() -> String {
    format!("/c/{}", link(LINK))
}

fn output(command: &mut Command) -> String {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (run .ci/needs.sh)"));
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

fn over_quic(change: impl FnOnce(&mut super::Setup)) -> (Node, tempfile::TempDir) {
    let (node, _, dir) = secure(|setup| {
        setup.config.tls.http3 = true;
        change(setup);
        // The switch lies in the data directory; here the one of the certificate will do.
        setup.config.data_dir = setup.config.tls.key.as_deref().unwrap().parent().unwrap().into();
    });
    (node, dir)
}

/// aioquic, which the tests talk to line by line.
struct Aioquic {
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Aioquic {
    fn start(node: &Node, dir: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("TRIBUTARY_AIOQUIC")
            .map_or_else(|| root.join("../.tools/aioquic/bin/python"), PathBuf::from);
        assert!(python.exists(), "{} is missing: run .ci/needs.sh", python.display());
        let mut child = Command::new(python)
            .arg(root.join("src/http/tests/h3_client.py"))
            .arg(node.server.addr(Door::Tls).unwrap().port().to_string())
            .arg(dir.join("edge.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let words = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, words, answers }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn say(&mut self, command: &str) -> String {
        writeln!(self.words, "{command}").unwrap();
        self.hear()
    }
}

impl Drop for Aioquic {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connected(node: &Node, dir: &Path) -> Aioquic {
    let mut client = Aioquic::start(node, dir);
    assert_eq!(client.hear(), "connected");
    client
}

#[test]
fn curl_speaks_everything_but_http3() {
    let (node, dir) = over_quic(|setup| setup.config.h2c = true);
    let (plain, tls) = (node.server.addr(Door::Plain).unwrap(), node.server.addr(Door::Tls).unwrap());
    let secure = format!("https://localhost:{}{}", tls.port(), click());
    let clear = format!("http://{plain}{}", click());
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--http2"], &secure, "2 302"),
        (&["--http1.1"], &secure, "1.1 302"),
        (&["--http1.1", "--tls-max", "1.2"], &secure, "1.1 302"),
        (&["--http2-prior-knowledge"], &clear, "2 302"),
        // An Upgrade is not taken.
        (&["--http2"], &clear, "1.1 302"),
    ];
    for (flags, url, expected) in cases {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--cacert"]);
        curl.arg(dir.path().join("edge.pem")).args(*flags).arg(url);
        assert_eq!(output(&mut curl), *expected, "{flags:?}");
    }
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-D", "-", "--cacert"]).arg(dir.path().join("edge.pem")).arg(&secure);
    let head = output(&mut curl);
    let expected = format!("alt-svc: h3=\":{}\"; ma=86400", tls.port());
    assert!(head.lines().any(|line| line == expected), "{head}");
    let old =
        output(Command::new("curl").args(["-sk", "-w", "%{http_code}", "--tls-max", "1.1"]).arg(&secure));
    assert_eq!(old, "000", "TLS 1.1");
}

#[test]
fn h2load_has_all_its_requests_answered() {
    let (node, _dir) = over_quic(|setup| setup.config.h2c = true);
    let (plain, tls) = (node.server.addr(Door::Plain).unwrap(), node.server.addr(Door::Tls).unwrap());
    for base in [format!("http://{plain}"), format!("https://{tls}")] {
        let mut h2load = Command::new("h2load");
        let said =
            output(h2load.args(["-n", "1000", "-c", "10", "-m", "50"]).arg(format!("{base}{}", click())));
        let all = "requests: 1000 total, 1000 started, 1000 done, 0 succeeded, 1000 failed, 0 errored";
        // A redirect is no success in its book, but an answer.
        let counted = said.contains("1000 done") && said.contains("0 errored") && said.contains("1000 3xx");
        assert!(counted, "{all}\n{said}");
    }
    assert_eq!(node.on_disk(Lane::Traffic).len(), 2000);
}

/// Slow headers, slow bodies and slow readers: all of them are closed, and everybody else is served meanwhile.
#[test]
fn slowhttptest_finds_nothing_to_hold() {
    let mut setup = super::Setup::default();
    let second = Duration::from_secs(1);
    setup.timeouts = Timeouts { head: second, idle: second, body: second, write: second, ..setup.timeouts };
    let node = setup.start();
    let base = format!("http://{}", node.server.addr(Door::Plain).unwrap());
    let (clicks, postbacks) = (click(), format!("/postback/{}", advertiser(1)));
    // A slow reader has so much of the replies before it that it does not see the end: its test lasts as long as it is
    // told to.
    let modes: [(&[&str], &str, &str); 3] = [
        (&["-H", "-l", "60", "-i", "1", "-x", "24"], &clicks, "No open connections left"),
        (&["-B", "-l", "60", "-i", "1", "-s", "4096", "-x", "10"], &postbacks, "No open connections left"),
        (
            &["-X", "-l", "4", "-w", "16", "-y", "32", "-n", "1", "-z", "1", "-k", "3"],
            "/t.js",
            "Hit test time limit",
        ),
    ];
    for (mode, path, end) in modes {
        let mut slow = Command::new("slowhttptest");
        slow.args(["-c", "200", "-r", "200", "-p", "5"]).args(mode);
        // It speaks in colours.
        let said = output(slow.arg("-u").arg(format!("{base}{path}")));
        assert!(said.contains(end) && said.contains("YES") && !said.contains("NO"), "{mode:?}: {said}");
        assert_eq!(node.get(&clicks).status(), 302);
        assert!(node.counts("connections_open 0"), "{mode:?}: {}", node.metrics());
    }
}

#[test]
fn aioquic_speaks_http3() {
    let (node, dir) = over_quic(|_| {});
    let mut client = connected(&node, dir.path());
    let replies = client.say(&format!("get {} 40", click()));
    assert_eq!(replies.matches("302").count(), 40, "{replies}");
    assert!(replies.contains("https://shop.example/landing"), "{replies}");
    assert_eq!(node.on_disk(Lane::Traffic).len(), 40);
    assert_eq!(client.say("get /nothing 1"), "404 -");
    let postback = format!("/postback/{}", advertiser(1));
    assert_eq!(client.say(&format!("post {postback} order_id=A&token={TOKEN}")), "202");
    assert_eq!(client.say(&format!("post {postback} order_id={}", "x".repeat(70_000))), "413");
    assert_eq!(client.say(&format!("post {postback}")), "403", "no body at all, so no token");
    // h3 itself resets what contradicts its authority.
    assert_eq!(client.say("fields host=other"), "cut");
    assert_eq!(client.say("fields host=localhost"), "404");
    assert_eq!(client.say(&format!("fields x={}", "x".repeat(17_000))), "431");
    assert!(node.counts("connections_total{transport=\"http3\"} 1"), "{}", node.metrics());
    assert!(node.counts("quic_incoming_total{outcome=\"accepted\"} 1"));
}

/// The hash of a certificate's key, as Chromium wants it.
fn key_hash(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
    let hash = proto_wire::keys::sha256(parsed.public_key().raw);
    base64::engine::general_purpose::STANDARD.encode(hash)
}

#[test]
fn a_real_browser_comes_over_quic() {
    let (node, certificate, dir) = secure(|setup| setup.config.tls.http3 = true);
    let host = format!("localhost:{}", node.server.addr(Door::Tls).unwrap().port());
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let found = names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    let mut chromium = Command::new(found.expect("no Chromium: run .ci/needs.sh"));
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    chromium.args(["--no-first-run", "--disable-background-networking", "--dump-dom"]);
    chromium.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
    // Not ::1, where nobody listens.
    chromium.arg("--host-resolver-rules=MAP localhost 127.0.0.1");
    chromium.arg(format!("--origin-to-force-quic-on={host}"));
    chromium.arg(format!("--ignore-certificate-errors-spki-list={}", key_hash(&certificate)));
    let page = output(chromium.arg(format!("https://{host}/c/nothing")));
    assert!(page.contains("This link leads nowhere."), "{page}");
    assert!(node.counts("connections_total{transport=\"http2\"} 0"), "{}", node.metrics());
    assert!(!node.counts_now("requests_total{transport=\"http3\"} 0"), "{}", node.metrics());
}

#[test]
fn a_frame_without_end_is_not_collected() {
    let (node, dir) = over_quic(|_| {});
    let mut client = connected(&node, dir.path());
    assert_ne!(client.say("frame 1000000000"), "whole");
    let mut other = connected(&node, dir.path());
    assert!(other.say(&format!("get {} 1", click())).starts_with("302"));
}

#[test]
fn http3_is_switched_off_and_on() {
    let (node, dir) = over_quic(|_| {});
    let switch = node.server.shared().http3_switch().unwrap();
    let mut client = connected(&node, dir.path());
    assert!(client.say(&format!("get {} 1", click())).starts_with("302"));
    switch.set(false);
    assert_eq!(client.say("wait"), "closed 0x100", "H3_NO_ERROR");
    let refused = Aioquic::start(&node, dir.path()).hear();
    assert!(refused.starts_with("refused"), "{refused}");
    assert!(node.counts("http3_on 0"));
    let url = format!("https://localhost:{}{}", node.server.addr(Door::Tls).unwrap().port(), click());
    let mut curl = Command::new("curl");
    let head = output(curl.args(["-sk", "-o", "/dev/null", "-D", "-"]).arg(url));
    assert!(head.contains("alt-svc: clear"), "{head}");
    switch.set(true);
    assert!(connected(&node, dir.path()).say(&format!("get {} 1", click())).starts_with("302"));
}

#[test]
fn an_idle_connection_over_quic_ends_in_order() {
    let (node, dir) = over_quic(|setup| {
        setup.timeouts = Timeouts { idle: Duration::from_millis(500), ..Timeouts::default() };
    });
    let mut client = connected(&node, dir.path());
    let end = client.say("wait");
    assert!(end == "closed 0x100" || end == "closed 0x0", "{end}");
    assert!(node.counts("connections_open 0"));
}

/// The first packets of `count` connections that nobody will ever go on with.
fn first_packets(certificate: &CertificateDer<'static>, count: usize) -> Vec<Vec<u8>> {
    let tls = super::tls::client(certificate, &[&rustls::version::TLS13], &[b"h3"]);
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
    block_on(async {
        let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        let connect = || endpoint.connect_with(config.clone(), sink.local_addr().unwrap(), "localhost");
        let (mut packets, mut held) = (Vec::new(), Vec::new());
        for _ in 0..count {
            held.push(connect().unwrap());
            let mut packet = vec![0; 2048];
            // A hello takes more than one packet; what comes late is a repetition.
            while let Ok(Ok(len)) =
                tokio::time::timeout(Duration::from_millis(5), sink.recv(&mut packet)).await
            {
                packets.push(packet[..len].to_vec());
            }
        }
        packets
    })
}

/// They may come from forged addresses: beyond a number, addresses are proved first.
#[test]
fn first_packets_that_lead_nowhere_shut_nobody_out() {
    let (node, certificate, dir) = secure(|setup| setup.config.tls.http3 = true);
    let to = node.server.addr(Door::Tls).unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..2000u32 {
        // A long header of version 1, an Initial with ids of its own, and rubbish instead of a handshake.
        let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
        packet.extend([n.to_be_bytes(), n.to_be_bytes()].concat());
        packet.extend([0, 0, 0x44, 0xb0]);
        packet.resize(1200, n as u8);
        socket.send_to(&packet, to).unwrap();
    }
    let packets = first_packets(&certificate, 300);
    for packet in &packets {
        socket.send_to(packet, to).unwrap();
        // The kernel keeps only so many of them for a node that is busy.
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut client = connected(&node, dir.path());
    assert!(client.say(&format!("get {} 1", click())).starts_with("302"));
    let retried = || {
        let metrics = node.metrics();
        metrics.lines().any(|line| {
            let count = line.strip_prefix("tributary_edge_quic_incoming_total{outcome=\"retried\"} ");
            count.is_some_and(|count| count != "0")
        })
    };
    assert!(eventually(retried), "{}", node.metrics());
    assert!(node.counts("connections_open 1"), "the forged take no room: {}", node.metrics());
}
