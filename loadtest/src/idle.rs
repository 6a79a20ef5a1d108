//! What a connection costs a server while nothing happens on it.

use crate::answer;
use crate::compare::cpu::CpuError;
use crate::compare::{Peer, memory};
use crate::requests::{Crowd, Requests};
use serde_json::{Value, json as object};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Asked together, so that a server that writes to disk does so once for all of them.
const GROUP: u32 = 64;
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum IdleError {
    #[error("`{name}` did not answer on connection {number}")]
    Connection {
        name: String,
        number: usize,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Memory(#[from] CpuError),
}

/// Of one server, in KiB.
pub struct Idle {
    pub name: String,
    pub before: u64,
    pub after: u64,
    pub connections: u32,
}

impl Idle {
    pub fn bytes_each(&self) -> f64 {
        let grown = self.after.saturating_sub(self.before) as f64 * 1024.0;
        grown / f64::from(self.connections.max(1))
    }
}

/// Opens connections, asks once on each, and leaves them open until all are there.
pub fn idle(peer: &Peer, connections: u32, crowd: Crowd) -> Result<Idle, IdleError> {
    let failed = |number, source| IdleError::Connection { name: peer.name.clone(), number, source };
    let host = peer.url.host().unwrap_or_default().trim_matches(['[', ']']);
    let addresses = (host, peer.url.port_u16().unwrap_or(80)).to_socket_addrs();
    let address = addresses.ok().and_then(|mut found| found.next());
    let address = address.ok_or_else(|| failed(0, io::ErrorKind::AddrNotAvailable.into()))?;
    let mut requests = Requests::new(&peer.url, crowd);
    warm(address, connections, &mut requests).map_err(|source| failed(0, source))?;
    let before = memory::resident(&peer.pids)?;
    let mut held = Vec::new();
    while held.len() < connections as usize {
        let group = GROUP.min(connections - held.len() as u32);
        held.extend(open(address, group, &mut requests).map_err(|source| failed(held.len(), source))?);
    }
    let after = memory::resident(&peer.pids)?;
    drop(held);
    Ok(Idle { name: peer.name.clone(), before, after, connections })
}

/// What requests make a server load, and the pages of its tables that they touch for the first time, are none of the
/// connections' business: as many clients ask as will be counted, and twice, over a few connections.
fn warm(address: SocketAddr, clients: u32, requests: &mut Requests) -> io::Result<()> {
    let mut group = open(address, GROUP, requests)?;
    let mut request = Vec::new();
    for _ in 0..(2 * clients).div_ceil(GROUP) {
        for socket in &mut group {
            requests.next(&mut request);
            socket.write_all(&request)?;
        }
        group.iter_mut().try_for_each(read_answer)?;
    }
    Ok(())
}

fn open(address: SocketAddr, count: u32, requests: &mut Requests) -> io::Result<Vec<TcpStream>> {
    let mut group = Vec::new();
    let mut request = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        requests.next(&mut request);
        socket.write_all(&request)?;
        group.push(socket);
    }
    group.iter_mut().try_for_each(read_answer)?;
    Ok(group)
}

fn read_answer(socket: &mut TcpStream) -> io::Result<()> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = socket.read(&mut buffer)?;
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        match answer::parse(&answer) {
            Ok(None) if count > 0 => {}
            Ok(Some(answer)) if !answer.refused && answer.status < 400 => return Ok(()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The first server is compared with the others.
pub fn idle_table(all: &[Idle]) -> String {
    let mut text = format!(
        "{:<16}{:>14}{:>14}{:>20}{:>8}\n",
        "", "before, MiB", "after, MiB", "bytes a connection", "ratio"
    );
    for idle in all {
        let ratio = all.first().map_or(1.0, Idle::bytes_each) / idle.bytes_each();
        text += &format!(
            "{:<16}{:>14.1}{:>14.1}{:>20.0}{ratio:>8.2}\n",
            idle.name,
            idle.before as f64 / 1024.0,
            idle.after as f64 / 1024.0,
            idle.bytes_each()
        );
    }
    text
}

pub fn idle_json(all: &[Idle]) -> Value {
    let peers = all.iter().map(|idle| {
        object!({
            "name": idle.name,
            "connections": idle.connections,
            "before_kib": idle.before,
            "after_kib": idle.after,
            "bytes_each": idle.bytes_each(),
        })
    });
    object!({ "peers": peers.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_held_until_all_are_there() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            crate::serve_bare(([127, 0, 0, 1], 0).into(), "https://shop.example/", |at| {
                tell.send(at).unwrap()
            })
        });
        let address = told.recv().unwrap();
        let peer: Peer = format!("bare=http://{address}/302,{}", std::process::id()).parse().unwrap();
        let idle = super::idle(&peer, 200, Crowd::Passing).unwrap();
        assert!(idle.before > 0 && idle.after > 0 && idle.connections == 200);
        let gone: Peer = format!("gone=http://127.0.0.1:1/,{}", std::process::id()).parse().unwrap();
        assert!(matches!(super::idle(&gone, 1, Crowd::Direct), Err(IdleError::Connection { .. })));
    }

    #[test]
    fn a_ratio_is_that_of_the_growth() {
        let of = |name: &str, before, after| Idle { name: name.to_owned(), before, after, connections: 1024 };
        let all = [of("edge", 100, 6100), of("bare", 1000, 5000)];
        assert_eq!(all.each_ref().map(Idle::bytes_each), [6000.0, 4000.0]);
        assert!(idle_table(&all).lines().nth(2).unwrap().ends_with("4000    1.50"), "{}", idle_table(&all));
        assert_eq!(idle_json(&all)["peers"][1]["bytes_each"], 4000.0);
    }
}
