//! One process after the other takes over, under load.

use crate::node::World;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const HAND_OVERS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Process {
    fn start(config: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary-edge"))
            .args(["run", "--config"])
            .arg(config)
            .args(more)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Reads its log up to the line that says it answers.
    fn answering(&mut self) -> SocketAddr {
        let mut all = String::new();
        loop {
            let from = all.len();
            assert_ne!(self.log.read_line(&mut all).unwrap(), 0, "it ended:\n{all}");
            let line = &all[from..];
            if let Some((_, rest)) = line.split_once(" address=") {
                return rest.split(' ').next().unwrap().parse().unwrap();
            }
        }
    }

    fn ends_well(mut self) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection for each request: none may fail.
fn once(addr: SocketAddr) {
    let mut stream = connect(addr);
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("live\n"), "{reply:?}");
}

/// Requests over one connection until the node closes it. A browser asks again, on a new connection, only
/// where it has not seen a byte of an answer.
fn keep_asking(addr: SocketAddr, stop: &AtomicBool) -> usize {
    let mut stream = connect(addr);
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        if stream.write_all(b"GET /livez HTTP/1.1\r\nhost: edge\r\n\r\n").is_err() {
            break;
        }
        let mut reply = Vec::new();
        let mut byte = [0];
        while !reply.ends_with(b"live\n") {
            match stream.read(&mut byte) {
                Ok(1) => reply.push(byte[0]),
                _ => break,
            }
        }
        if reply.is_empty() {
            break;
        }
        assert!(reply.ends_with(b"live\n"), "half an answer: {:?}", String::from_utf8_lossy(&reply));
        answered += 1;
    }
    // The first request of a connection is never one for an idle connection.
    assert!(answered > 0, "a connection that was accepted was not answered");
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_processes_change() {
    let world = World::new().await;
    let config = world.dir.path().join("edge.toml");
    let text = format!(
        "data_dir = {:?}\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\nworkers = 2\n[rate_limit]\nper_second = 0\n",
        world.dir.path()
    );
    std::fs::write(&config, text).unwrap();
    let mut running = Process::start(&config, &[]);
    let addr = running.answering();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    once(addr);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    answered.fetch_add(keep_asking(addr, &stop), Ordering::Relaxed);
                }
            });
        }
        for _ in 0..HAND_OVERS {
            let mut next = Process::start(&config, &["--takeover"]);
            assert_eq!(next.answering(), addr);
            std::mem::replace(&mut running, next).ends_well();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.into_inner() > HAND_OVERS);
    once(addr);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_runs_it_is_a_start() {
    let world = World::new().await;
    let node = edge::take_over(world.config()).await.unwrap();
    once(node.http_addr());
    node.shutdown().await;
    // What a crash leaves behind is nobody, too.
    let node = edge::take_over(world.config()).await.unwrap();
    once(node.http_addr());
    node.shutdown().await;
}
