//! Sends the requests and measures: one thread, one epoll, no runtime between the clock and the socket.

use super::{Load, LoadError, Outcome, Plan};
use crate::answer;
use crate::requests::Requests;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A wait for sockets is whole milliseconds long; for what is due sooner the loop spins.
const SPIN: Duration = Duration::from_millis(2);
const LOOK_AROUND: Duration = Duration::from_millis(20);

type Failure = &'static str;

#[derive(Default)]
struct Client {
    socket: Option<TcpStream>,
    /// Something was heard on this socket: a failure is no longer one to connect.
    heard: bool,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    asked: Option<Asked>,
}

struct Asked {
    due: Instant,
    at: Instant,
}

pub(super) struct Engine {
    poll: Poll,
    address: SocketAddr,
    clients: Vec<Client>,
    free: VecDeque<usize>,
    requests: Requests,
    outcome: Outcome,
    load: Load,
    length: Duration,
    timeout: Duration,
    start: Instant,
    started: u64,
}

impl Engine {
    pub fn new(plan: &Plan, address: SocketAddr) -> Result<Self, LoadError> {
        let count = usize::try_from(plan.connections).unwrap_or(usize::MAX);
        Ok(Self {
            poll: Poll::new().map_err(LoadError::Poll)?,
            address,
            clients: std::iter::repeat_with(Client::default).take(count).collect(),
            free: (0..count).collect(),
            requests: Requests::new(&plan.url, plan.forwarded),
            outcome: Outcome::new()?,
            load: plan.load,
            length: plan.length(),
            timeout: plan.timeout,
            start: Instant::now(),
            started: 0,
        })
    }

    pub fn run(mut self) -> Result<Outcome, LoadError> {
        let mut events = Events::with_capacity(1024);
        self.start = Instant::now();
        let give_up = self.start + self.length + self.timeout;
        let mut looked = self.start;
        loop {
            let now = Instant::now();
            self.start_what_is_due(now);
            let next = self.next_due(now);
            let busy = self.clients.iter().any(|client| client.asked.is_some());
            if (!busy && (next.is_none() || self.free.is_empty())) || now >= give_up {
                break;
            }
            let wait = self.wait(now, next);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(LoadError::Poll(error)),
                _ => {}
            }
            for event in &events {
                self.progress(event.token().0);
            }
            if now - looked >= LOOK_AROUND.min(self.timeout) {
                looked = now;
                self.give_up_on(|asked, timeout| asked.at.elapsed() >= timeout);
            }
        }
        self.give_up_on(|_, _| true);
        if let Load::Open(schedule) = self.load {
            self.outcome.failed("unsent", schedule.total().saturating_sub(self.started));
        }
        self.outcome.elapsed = self.start.elapsed();
        Ok(self.outcome)
    }

    /// When the next request is due; `None` = there is none left.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        match self.load {
            Load::Open(schedule) => {
                (self.started < schedule.total()).then(|| self.start + schedule.due(self.started))
            }
            Load::Peak { .. } => (now - self.start < self.length).then_some(now),
        }
    }

    fn start_what_is_due(&mut self, now: Instant) {
        while let Some(due) = self.next_due(now).filter(|due| *due <= now) {
            let Some(client) = self.free.pop_front() else { return };
            self.started += 1;
            self.ask(client, due);
        }
    }

    fn wait(&self, now: Instant, next: Option<Instant>) -> Duration {
        let longest = LOOK_AROUND.min(self.timeout);
        match next {
            // Nothing but an answer can help.
            _ if self.free.is_empty() => longest,
            Some(due) if due < now + SPIN => Duration::ZERO,
            Some(due) => (due - now - SPIN / 2).min(longest),
            None => longest,
        }
    }

    fn ask(&mut self, number: usize, due: Instant) {
        let at = Instant::now();
        self.outcome.delay.saturating_record(micros(at - due));
        let Some(client) = self.clients.get_mut(number) else { return };
        self.requests.next(&mut client.request);
        client.sent = 0;
        client.answer.clear();
        client.asked = Some(Asked { due, at });
        if client.socket.is_none() {
            client.heard = false;
            match connect(self.address, &self.poll, number) {
                // The request goes out when the socket says that it can be written to.
                Ok(socket) => client.socket = Some(socket),
                Err(_) => self.fail(number, "connect"),
            }
            return;
        }
        if let Err(kind) = client.send() {
            self.fail(number, kind);
        }
    }

    fn progress(&mut self, number: usize) {
        let Some(client) = self.clients.get_mut(number) else { return };
        let Some(due) = client.asked.as_ref().map(|asked| asked.due) else {
            // Closed while nothing was asked: the next request connects anew.
            client.drop_if_closed();
            return;
        };
        match client.send().and_then(|()| client.receive()) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                client.asked = None;
                if answer.closes {
                    client.socket = None;
                }
                self.outcome.latency.saturating_record(micros(due.elapsed()));
                *self.outcome.statuses.entry(answer.status).or_default() += 1;
                self.outcome.failed("refused", u64::from(answer.refused));
                self.free.push_back(number);
            }
            Err(kind) => self.fail(number, kind),
        }
    }

    fn fail(&mut self, number: usize, kind: Failure) {
        self.outcome.failed(kind, 1);
        let Some(client) = self.clients.get_mut(number) else { return };
        (client.socket, client.asked) = (None, None);
        // At full speed a dead server would be asked a million times: there a connection fails once.
        if matches!(self.load, Load::Open(_)) {
            self.free.push_back(number);
        }
    }

    fn give_up_on(&mut self, late: impl Fn(&Asked, Duration) -> bool) {
        for number in 0..self.clients.len() {
            let asked = self.clients.get(number).and_then(|client| client.asked.as_ref());
            if asked.is_some_and(|asked| late(asked, self.timeout)) {
                self.fail(number, "timeout");
            }
        }
    }
}

fn connect(address: SocketAddr, poll: &Poll, number: usize) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    poll.registry().register(&mut socket, Token(number), Interest::READABLE | Interest::WRITABLE)?;
    Ok(socket)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Client {
    fn failure(&self) -> Failure {
        if self.heard { "closed" } else { "connect" }
    }

    /// Sends what is left of the request, as far as the socket takes it.
    fn send(&mut self) -> Result<(), Failure> {
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let Some(socket) = &mut self.socket else { return Err("closed") };
            match socket.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(()),
                    ErrorKind::Interrupted => {}
                    _ => return Err(self.failure()),
                },
            }
        }
        Ok(())
    }

    /// `None` = not all of the answer is there.
    fn receive(&mut self) -> Result<Option<answer::Answer>, Failure> {
        let mut buffer = [0; 8192];
        loop {
            let Some(socket) = &mut self.socket else { return Err("closed") };
            match socket.read(&mut buffer) {
                Ok(0) => return Err("closed"),
                Ok(count) => {
                    self.heard = true;
                    self.answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    let answer = answer::parse(&self.answer).map_err(|_| "garbled")?;
                    if answer.is_some() {
                        return Ok(answer);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(None),
                    ErrorKind::Interrupted => {}
                    _ => return Err(self.failure()),
                },
            }
        }
    }

    fn drop_if_closed(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        let open = match socket.read(&mut [0; 1]) {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if !open {
            self.socket = None;
        }
    }
}
