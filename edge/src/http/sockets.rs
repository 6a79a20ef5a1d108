//! The sockets a node listens on, opened here or taken over from a process before this one.

use super::ServeError;
use crate::config::Config;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

const BACKLOG: i32 = 4096;
const UDP_BUFFER: usize = 4 << 20;

/// What comes in through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Hits over HTTP.
    Plain,
    /// Hits over TLS.
    Tls,
    /// Whoever watches the node.
    Admin,
}

impl Door {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Tls, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.as_str() == text)
    }

    /// Where the operator wants it to be.
    fn address(self, config: &Config) -> Option<SocketAddr> {
        match self {
            Self::Plain => Some(config.listen),
            Self::Tls => config.tls.files().map(|_| config.tls.listen),
            Self::Admin => config.admin_listen,
        }
    }
}

/// A listening socket and what it is for.
#[derive(Debug)]
pub struct Listening {
    pub door: Door,
    pub socket: TcpListener,
}

#[derive(Debug, Default)]
pub struct Sockets(Vec<Listening>);

impl Sockets {
    /// Takes what fits from `inherited` and opens the rest.
    pub fn open(config: &Config, mut inherited: Vec<Listening>) -> Result<Self, ServeError> {
        let mut sockets = Vec::new();
        for door in Door::ALL {
            let Some(addr) = door.address(config) else { continue };
            let count = if door == Door::Admin { 1 } else { config.worker_count() };
            let fits = |held: &mut Listening| held.door == door && stands_at(&held.socket, addr);
            let old = inherited.extract_if(.., fits).map(|held| held.socket).collect();
            let opened = bind(addr, count, old).map_err(|source| ServeError::Bind { addr, source })?;
            sockets.extend(opened.into_iter().map(|socket| Listening { door, socket }));
        }
        Ok(Self(sockets))
    }

    pub fn addr(&self, door: Door) -> Option<SocketAddr> {
        self.of(door).next()?.local_addr().ok()
    }

    /// All of them once more, for another process.
    pub fn duplicates(&self) -> io::Result<Vec<Listening>> {
        let duplicate =
            |held: &Listening| Ok(Listening { door: held.door, socket: held.socket.try_clone()? });
        self.0.iter().map(duplicate).collect()
    }

    fn of(&self, door: Door) -> impl Iterator<Item = &TcpListener> {
        self.0.iter().filter(move |held| held.door == door).map(|held| &held.socket)
    }

    /// The share of one of `workers`; the first one sees to the administrators.
    pub fn share(&self, worker: usize, workers: usize) -> io::Result<Vec<Listening>> {
        let mut share = Vec::new();
        for door in Door::ALL {
            let mine = self.of(door).enumerate().filter(|(at, _)| at % workers == worker);
            for (_, socket) in mine {
                share.push(Listening { door, socket: socket.try_clone()? });
            }
        }
        Ok(share)
    }
}

/// For QUIC, beside a TCP socket of the same number.
pub fn bind_quic(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // As much as the system allows; all connections share it.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    for_everybody(&socket, addr)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Port 0 stands for any.
fn stands_at(socket: &TcpListener, addr: SocketAddr) -> bool {
    socket.local_addr().is_ok_and(|at| at.ip() == addr.ip() && (addr.port() == 0 || at.port() == addr.port()))
}

/// One listening socket for each worker; the kernel spreads connections over them. With port 0 the first
/// socket finds a port and the others join it. `sockets` are there already; one that is too many stays,
/// since it may have connections queued.
fn bind(addr: SocketAddr, count: usize, mut sockets: Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
    while sockets.len() < count {
        let addr = sockets.first().map_or(Ok(addr), TcpListener::local_addr)?;
        sockets.push(bind_one(addr)?);
    }
    Ok(sockets)
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    for_everybody(&socket, addr)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// "[::]" means everybody, IPv4 too.
fn for_everybody(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv6() { socket.set_only_v6(false) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3, Vec::new()).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == addr));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind(taken.local_addr().unwrap(), 1, Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_fits_is_taken_over() {
        let config = |workers, port| Config {
            workers,
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            admin_listen: None,
            ..Config::default()
        };
        let first = Sockets::open(&config(2, 0), Vec::new()).unwrap();
        let addr = first.addr(Door::Plain).unwrap();
        for (workers, expected) in [(1, 2), (2, 2), (3, 3)] {
            let inherited = first.share(0, 1).unwrap();
            let next = Sockets::open(&config(workers, addr.port()), inherited).unwrap();
            assert_eq!((next.addr(Door::Plain), next.0.len()), (Some(addr), expected));
            let shares: Vec<_> = (0..workers).map(|at| next.share(at, workers).unwrap().len()).collect();
            assert_eq!(shares.iter().sum::<usize>(), expected);
            assert!(shares.iter().all(|share| *share > 0), "nobody is without work: {shares:?}");
        }
        let elsewhere = Sockets::open(&config(1, 0), Vec::new()).unwrap().addr(Door::Plain);
        let moved = config(1, elsewhere.unwrap().port());
        let next = Sockets::open(&moved, first.share(0, 1).unwrap()).unwrap();
        assert_eq!((next.addr(Door::Plain), next.0.len()), (elsewhere, 1), "another address: none fits");
    }
}
