//! One connection of the HTTP/1.1 engine and the request that it carries.

use super::wire::Wire;
use crate::answer::{self, Answer};
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

pub(super) type Failure = &'static str;

pub(super) struct Client {
    pub wire: Option<Wire>,
    /// Something was heard on this socket: a failure is no longer one to connect.
    pub heard: bool,
    /// Nothing was answered on this socket yet.
    pub fresh: bool,
    pub request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    pub asked: Option<Asked>,
    /// Since when there is nothing to do.
    pub free: Instant,
}

pub(super) struct Asked {
    pub due: Instant,
    pub at: Instant,
    /// Its latency is of interest.
    pub counts: bool,
}

impl Client {
    pub fn new(now: Instant) -> Self {
        let (request, answer) = (Vec::new(), Vec::new());
        Self { wire: None, heard: false, fresh: true, request, sent: 0, answer, asked: None, free: now }
    }

    pub fn ask(&mut self, asked: Asked) {
        self.sent = 0;
        self.answer.clear();
        self.asked = Some(asked);
    }

    fn failure(&self, kind: ErrorKind) -> Failure {
        match kind {
            ErrorKind::InvalidData => "tls",
            _ if self.heard => "closed",
            _ => "connect",
        }
    }

    /// Sends what is left of the request, as far as the socket takes it.
    pub fn send(&mut self) -> Result<(), Failure> {
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let Some(wire) = &mut self.wire else { return Err("closed") };
            match wire.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(()),
                    ErrorKind::Interrupted => {}
                    kind => return Err(self.failure(kind)),
                },
            }
        }
        Ok(())
    }

    /// `None` = not all of the answer is there.
    pub fn receive(&mut self) -> Result<Option<Answer>, Failure> {
        let mut buffer = [0; 8192];
        loop {
            let Some(wire) = &mut self.wire else { return Err("closed") };
            match wire.read(&mut buffer) {
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
                    kind => return Err(self.failure(kind)),
                },
            }
        }
    }

    pub fn drop_if_closed(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let open = match wire.read(&mut [0; 1]) {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if !open {
            self.wire = None;
        }
    }
}
