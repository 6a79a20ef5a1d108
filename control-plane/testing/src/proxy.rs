//! A network between a client and a server of this machine that can fail: it falls silent and then swallows what either
//! side says, and also that one of them has gone; it loses answers alone; it breaks; it becomes slow.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Its connections end when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: Vec<Arc<Link>>,
    trap: Option<Trap>,
    /// Bytes a second that each direction of a connection passes on; `None` = as they come.
    pace: Option<u64>,
    ended: bool,
}

/// Of one connection. Both sockets are kept, so that neither side learns of the other's end by itself.
struct Link {
    silent: AtomicBool,
    /// What the server says is lost; what the client says arrives.
    deaf: AtomicBool,
    client: TcpStream,
    server: TcpStream,
}

/// What a client says to make its connection fall silent.
struct Trap {
    words: Vec<u8>,
    arrives: bool,
}

impl Proxy {
    pub fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { server, state: Mutex::default() });
        let accepting = shared.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { port, shared })
    }

    /// On 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing comes through any more on the connections that are there; new ones work.
    pub fn silence(&self) {
        self.shared.lock().links.iter().for_each(|link| link.silent.store(true, Ordering::Relaxed));
    }

    /// What the server answers on the connections that are there is lost from now on.
    pub fn lose_answers(&self) {
        self.shared.lock().links.iter().for_each(|link| link.deaf.store(true, Ordering::Relaxed));
    }

    /// Ends the connections that are there, with whatever is under way on them.
    pub fn cut(&self) {
        self.shared.lock().links.drain(..).for_each(|link| link.end());
    }

    /// How many bytes a second each direction of each connection passes on from now on.
    pub fn set_pace(&self, bytes_per_second: Option<u64>) {
        self.shared.lock().pace = bytes_per_second;
    }

    /// The first connection on which a client says these words falls silent; whether they still arrive is to be
    /// said.
    pub fn silence_at(&self, words: &str, arrives: bool) {
        self.shared.lock().trap = Some(Trap { words: words.into(), arrives });
    }

    /// How many connections have fallen silent.
    pub fn fallen(&self) -> usize {
        self.shared.lock().links.iter().filter(|link| link.silent.load(Ordering::Relaxed)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.links.iter().for_each(|link| link.end());
        drop(state);
        // Wakes the one that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As long as so many bytes take.
    fn wait(&self, bytes: usize) -> bool {
        let pace = self.lock().pace;
        if let Some(pace) = pace {
            thread::sleep(Duration::from_secs_f64(bytes as f64 / pace.max(1) as f64));
        }
        true
    }

    /// Whether these words, which a client says, go on to the server.
    fn passes(&self, link: &Link, said: &[u8]) -> bool {
        let mut state = self.lock();
        let is_caught = |trap: &mut Trap| said.windows(trap.words.len()).any(|words| words == trap.words);
        match state.trap.take_if(is_caught) {
            Some(trap) => {
                link.silent.store(true, Ordering::Relaxed);
                trap.arrives
            }
            None => !link.silent.load(Ordering::Relaxed),
        }
    }
}

impl Link {
    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.lock().ended {
            return;
        }
        let Ok(client) = client else { continue };
        // A server that is down is a connection that ends at once.
        let _ = connect(client, shared);
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let link = Arc::new(Link { silent: false.into(), deaf: false.into(), client, server });
    shared.lock().links.push(link.clone());
    let (to_server, to_client) = ((link.clone(), shared.clone()), (link, shared.clone()));
    thread::spawn(move || {
        let (link, shared) = to_server;
        pump(&link, &link.client, &link.server, |said| shared.wait(said.len()) && shared.passes(&link, said));
    });
    thread::spawn(move || {
        let (link, shared) = to_client;
        let lost = || link.silent.load(Ordering::Relaxed) || link.deaf.load(Ordering::Relaxed);
        pump(&link, &link.server, &link.client, |said| shared.wait(said.len()) && !lost());
    });
    Ok(())
}

fn pump(link: &Link, mut from: &TcpStream, mut to: &TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let said = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => &buffer[..length],
        };
        if passes(said) && to.write_all(said).is_err() {
            break;
        }
    }
    if !link.silent.load(Ordering::Relaxed) {
        link.end();
    }
}
