//! Over real sockets, with a real spool.

mod beacons;
mod capped;
mod clicks;
mod conversions;
mod foreign;
mod hostile;
mod impressions;
mod limits;
mod multiplexed;
mod proxies;
mod routed;
mod shut;
pub mod tls;

use super::{Door, Server, Shared, Timeouts, Worker, serve_with};
use crate::budget::Budgets;
use crate::config::{Config, RateLimit};
use crate::decide::testing::snapshot;
use crate::disk::simulated::SimulatedDisk;
use crate::disk::{RealDisk, SharedDisk};
use crate::forward::ForwardStatus;
use crate::lanes::PerLane;
use crate::node::Parts;
use crate::snapshot::Snapshot;
use crate::spool::{OpenAs, Spool, SpoolConfig, Streams};
use crate::state::State;
use arc_swap::ArcSwapOption;
use proto_model::event::{Personal, TrackingEvent};
use proto_model::{EdgeId, Lane, StreamNo};
use proto_rules::RuleSet;
use proto_wire::convert::{JournalEvent, event_from_wire};
use proto_wire::personal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a test may want to be different.
pub struct Setup {
    pub config: Config,
    pub timeouts: Timeouts,
    pub spool: SpoolConfig,
    pub rules: Option<RuleSet>,
    pub with_snapshot: bool,
    /// In the place of the usual snapshot.
    pub snapshot: Option<Snapshot>,
}

impl Default for Setup {
    fn default() -> Self {
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            workers: 2,
            rate_limit: RateLimit { per_second: 0, burst: 1 },
            ..Config::default()
        };
        let (timeouts, spool) = (Timeouts::default(), SpoolConfig::default());
        Self { config, timeouts, spool, rules: None, with_snapshot: true, snapshot: None }
    }
}

struct Parted {
    parts: Parts,
    spool: Spool,
    dir: tempfile::TempDir,
}

impl Setup {
    fn open(&mut self, disk: Option<SharedDisk>) -> Parted {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk.unwrap_or_else(|| Arc::new(RealDisk));
        let (money, traffic) = (StreamNo(1), StreamNo(2));
        let streams = Streams { edge: EdgeId::new(5).unwrap(), epoch: 1, money, traffic };
        let open = OpenAs { streams, sealed: PerLane::default(), existed: false };
        let spool = Spool::open(disk, &dir.path().join("spool"), self.spool.clone(), open).unwrap();
        let own = self.snapshot.take();
        let snapshot = || Arc::new(own.unwrap_or_else(|| snapshot(self.rules.as_ref())));
        let snapshot = self.with_snapshot.then(snapshot);
        let budgets = Arc::new(Budgets::default());
        snapshot.iter().for_each(|snapshot| budgets.follow(snapshot));
        let parts = Parts {
            snapshot: Arc::new(ArcSwapOption::new(snapshot)),
            spool: spool.handle(),
            state: State::open(dir.path()).unwrap(),
            budgets,
            forward: Arc::new(ForwardStatus::default()),
            watch: Arc::default(),
            clock: Arc::default(),
        };
        Parted { parts, spool, dir }
    }

    pub fn start(mut self) -> Node {
        let parted = self.open(None);
        self.serve(parted)
    }

    /// On a disk that does as it is told.
    pub fn start_on(mut self, disk: &SimulatedDisk) -> Node {
        let parted = self.open(Some(Arc::new(disk.clone())));
        self.serve(parted)
    }

    fn serve(self, parted: Parted) -> Node {
        let server = serve_with(&self.config, parted.parts.clone(), self.timeouts, Vec::new()).unwrap();
        Node { server, spool: parted.spool, _dir: parted.dir }
    }

    /// One worker without a socket, to be driven by the test.
    pub fn worker(mut self) -> (Worker, Spool, tempfile::TempDir) {
        let parted = self.open(Some(Arc::new(SimulatedDisk::default())));
        let shared = Shared::new(&self.config, parted.parts, self.timeouts).unwrap();
        let spool = shared.parts.spool.local();
        (Worker::new(Arc::new(shared), 0, spool), parted.spool, parted.dir)
    }
}

pub struct Node {
    pub server: Server,
    spool: Spool,
    _dir: tempfile::TempDir,
}

/// An event as it came to lie on disk.
#[derive(Debug)]
pub struct OnDisk {
    pub ordinal: u64,
    pub event: TrackingEvent,
    pub personal: Personal,
}

impl Node {
    pub fn connect(&self) -> TcpStream {
        self.connect_to(Door::Plain)
    }

    pub fn connect_to(&self, door: Door) -> TcpStream {
        let stream = TcpStream::connect(self.server.addr(door).unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes and reads until the node closes; what it sent before a reset counts too.
    pub fn raw(&self, request: &[u8]) -> Response {
        let mut stream = self.connect();
        // The node may answer and close before it has read everything.
        let _ = stream.write_all(request);
        Response(read_to_end(&mut stream))
    }

    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n{headers}{length}\r\n");
        self.raw(format!("{head}{body}").as_bytes())
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, "", "")
    }

    pub fn post(&self, path: &str, form: &str) -> Response {
        self.send("POST", path, "content-type: application/x-www-form-urlencoded\r\n", form)
    }

    /// Everything durable in `lane`.
    pub fn on_disk(&self, lane: Lane) -> Vec<OnDisk> {
        let mut reader = self.spool.log().reader(lane, 0);
        let mut found = Vec::new();
        while let Some(spooled) = reader.read_next().unwrap() {
            let JournalEvent::Tracking { ordinal, event } = event_from_wire(&spooled.event).unwrap() else {
                panic!("nothing is skipped here")
            };
            let stream = self.spool.handle().streams().stream(lane);
            let bound = |entry| personal::verify_entry(&spooled.event, stream, entry);
            assert!(spooled.sidecar.iter().all(bound), "sidecars are bound to their events");
            let values = spooled.sidecar.iter().map(|entry| {
                (personal::class_from_wire(entry.personal_class).unwrap(), entry.value.as_slice())
            });
            let personal = personal::decode(values).unwrap();
            found.push(OnDisk { ordinal, event, personal });
        }
        found
    }

    /// What the administrators' listener says.
    pub fn admin(&self, path: &str) -> Response {
        let mut stream = self.connect_to(Door::Admin);
        let request = format!("GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Response(read_to_end(&mut stream))
    }

    pub fn metrics(&self) -> String {
        self.admin("/metrics").0
    }

    /// Whether a number stands in the metrics, or comes to stand there.
    pub fn counts(&self, line: &str) -> bool {
        eventually(|| self.counts_now(line))
    }

    pub fn counts_now(&self, line: &str) -> bool {
        self.metrics().lines().any(|found| found.strip_prefix("tributary_edge_") == Some(line))
    }
}

pub fn read_to_end(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            // TLS wants to be told of the end; a peer that drops us does not.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => panic!("the node did not close the connection: {error}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What came back over a connection.
#[derive(Debug)]
pub struct Response(pub String);

impl Response {
    pub fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        let field = |line: &'_ str| line.split_once(": ").is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        head.lines().find(|line| field(line)).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }

    pub fn reason(&self) -> Option<&str> {
        self.header("x-tributary-reason")
    }

    pub fn location(&self) -> Option<&str> {
        self.header("location")
    }

    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The click id in the Location.
    pub fn click_id(&self) -> Option<&str> {
        let (_, rest) = self.location()?.split_once("click_id=")?;
        rest.split(['&', '#']).next()
    }
}

/// Asks again until it is so, or until nobody would wait longer.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let started = std::time::Instant::now();
    while started.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Blocks on what the node does elsewhere.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
