//! HTTP/1.1: sends the requests and measures. One thread, one epoll, no runtime between the clock and the socket.

use super::client::{Asked, Client, Failure};
use super::tls::Tls;
use super::wire::Wire;
use super::{Load, LoadError, Outcome, Plan, Transport};
use crate::requests::Requests;
use mio::{Events, Poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A wait for sockets is whole milliseconds long; for what is due sooner the loop spins.
const SPIN: Duration = Duration::from_millis(2);
const LOOK_AROUND: Duration = Duration::from_millis(20);
/// So many times `LOOK_AROUND` is what tickets may take behind their handshake.
const TICKETS_COME: u32 = 5;

pub(super) struct Engine<'a> {
    plan: &'a Plan,
    poll: Poll,
    events: Events,
    address: SocketAddr,
    tls: Option<Tls>,
    clients: Vec<Client>,
    free: VecDeque<usize>,
    requests: Requests,
    outcome: Outcome,
    start: Instant,
    started: u64,
}

impl<'a> Engine<'a> {
    pub fn new(plan: &'a Plan, address: SocketAddr, tls: Option<Tls>) -> Result<Self, LoadError> {
        let count = usize::try_from(plan.connections).unwrap_or(usize::MAX);
        let now = Instant::now();
        Ok(Self {
            plan,
            poll: Poll::new().map_err(LoadError::Poll)?,
            events: Events::with_capacity(1024),
            address,
            tls,
            clients: std::iter::repeat_with(|| Client::new(now)).take(count).collect(),
            free: (0..count).collect(),
            requests: Requests::new(&plan.url, plan.crowd),
            outcome: Outcome::new()?,
            start: now,
            started: 0,
        })
    }

    pub fn run(mut self) -> Result<Outcome, LoadError> {
        match self.plan.transport {
            Transport::Each => {}
            Transport::Resumed => self.collect_tickets()?,
            _ => self.connect_all()?,
        }
        self.start = Instant::now();
        self.clients.iter_mut().for_each(|client| client.free = self.start);
        let give_up = self.start + self.plan.length() + self.plan.timeout;
        let mut looked = self.start;
        loop {
            let now = Instant::now();
            self.start_what_is_due(now);
            let next = self.next_due(now);
            let busy = self.clients.iter().any(|client| client.asked.is_some());
            if (!busy && (next.is_none() || self.free.is_empty())) || now >= give_up {
                break;
            }
            for number in self.wait_for_sockets(self.wait(now, next))? {
                self.progress(number);
            }
            if now - looked >= LOOK_AROUND.min(self.plan.timeout) {
                looked = now;
                self.give_up_on(|asked, timeout| asked.at.elapsed() >= timeout);
            }
        }
        self.give_up_on(|_, _| true);
        if let Load::Open(schedule) = self.plan.load {
            self.outcome.failed("unsent", schedule.total().saturating_sub(self.started));
        }
        self.outcome.elapsed = self.start.elapsed();
        Ok(self.outcome)
    }

    fn wait_for_sockets(&mut self, longest: Duration) -> Result<Vec<usize>, LoadError> {
        match self.poll.poll(&mut self.events, Some(longest)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(LoadError::Poll(error)),
            _ => Ok(self.events.iter().map(|event| event.token().0).collect()),
        }
    }

    /// Connections that stay open are made before the clock starts: handshakes are no part of what is measured.
    /// One that fails here is tried again, and counted, with its first request.
    fn connect_all(&mut self) -> Result<(), LoadError> {
        let give_up = Instant::now() + self.plan.timeout;
        let mut waiting = 0;
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.wire = Wire::connect(self.address, self.tls.as_ref(), &self.poll, number).ok();
            waiting += usize::from(client.wire.is_some());
        }
        let mut done = vec![false; self.clients.len()];
        while waiting > 0 && Instant::now() < give_up {
            for number in self.wait_for_sockets(LOOK_AROUND)? {
                let (Some(client), Some(done)) = (self.clients.get_mut(number), done.get_mut(number)) else {
                    continue;
                };
                let Some(wire) = client.wire.as_mut().filter(|_| !*done) else { continue };
                let ready = wire.is_ready();
                if ready.is_err() {
                    client.wire = None;
                }
                *done = !matches!(ready, Ok(false));
                waiting -= usize::from(*done);
            }
        }
        Ok(())
    }

    /// A full handshake for each connection, before the clock starts: what follows has something to go on from.
    fn collect_tickets(&mut self) -> Result<(), LoadError> {
        self.connect_all()?;
        for _ in 0..TICKETS_COME {
            std::thread::sleep(LOOK_AROUND);
            for wire in self.clients.iter_mut().filter_map(|client| client.wire.as_mut()) {
                // There is nothing to read but them, and they come unasked.
                let _ = wire.read(&mut [0; 1]);
            }
        }
        self.clients.iter_mut().filter_map(|client| client.wire.take()).for_each(Wire::hang_up);
        Ok(())
    }

    /// When the next request is due; `None` = there is none left.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        match self.plan.load {
            Load::Open(schedule) => {
                (self.started < schedule.total()).then(|| self.start + schedule.due(self.started))
            }
            Load::Peak { .. } => (now - self.start < self.plan.length()).then_some(now),
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
        let longest = LOOK_AROUND.min(self.plan.timeout);
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
        let Some(client) = self.clients.get_mut(number) else { return };
        self.outcome.sent(at - due, at - due.max(client.free));
        let counts = self.requests.next(&mut client.request);
        client.ask(Asked { due, at, counts });
        if client.wire.is_none() {
            (client.heard, client.fresh) = (false, true);
            match Wire::connect(self.address, self.tls.as_ref(), &self.poll, number) {
                // The request goes out when the socket says that it can be written to.
                Ok(wire) => client.wire = Some(wire),
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
        let Some(asked) = &client.asked else {
            // Closed while nothing was asked: the next request connects anew.
            client.drop_if_closed();
            return;
        };
        let (due, counts) = (asked.due, asked.counts);
        match client.send().and_then(|()| client.receive()) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                client.asked = None;
                client.free = Instant::now();
                if std::mem::take(&mut client.fresh) {
                    self.outcome.connections.made += 1;
                    let resumed = client.wire.as_ref().is_some_and(Wire::is_resumed);
                    self.outcome.connections.resumed += u64::from(resumed);
                }
                let latency = counts.then(|| client.free - due);
                if answer.closes {
                    client.wire = None;
                } else if self.plan.transport.hangs_up() {
                    client.wire.take().into_iter().for_each(Wire::hang_up);
                }
                self.outcome.answer(&answer, self.plan.expect, latency);
                self.free.push_back(number);
            }
            Err(kind) => self.fail(number, kind),
        }
    }

    fn fail(&mut self, number: usize, kind: Failure) {
        self.outcome.failed(kind, 1);
        let Some(client) = self.clients.get_mut(number) else { return };
        (client.wire, client.asked, client.free) = (None, None, Instant::now());
        // At full speed a dead server would be asked a million times: there a connection fails once.
        if matches!(self.plan.load, Load::Open(_)) {
            self.free.push_back(number);
        }
    }

    fn give_up_on(&mut self, late: impl Fn(&Asked, Duration) -> bool) {
        for number in 0..self.clients.len() {
            let asked = self.clients.get(number).and_then(|client| client.asked.as_ref());
            if asked.is_some_and(|asked| late(asked, self.plan.timeout)) {
                self.fail(number, "timeout");
            }
        }
    }
}
