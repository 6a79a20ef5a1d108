//! From the start of a process to its first answer.

use crate::answer::{self, Expect};
use crate::compare::stats::Spread;
use crate::requests::{Crowd, Requests};
use http::Uri;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json as object};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two attempts; a start is not known more exactly than this.
const PAUSE: Duration = Duration::from_micros(500);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`{0}` has no host to ask")]
    Url(Uri),
    #[error("cannot start or stop {program}")]
    Process {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} gave no answer as expected within 30 s")]
    Silent { program: String },
}

pub struct Starts {
    /// What is asked for until it is answered as expected.
    pub url: Uri,
    pub expect: Expect,
    /// The program and its arguments; it must stop when told to (SIGTERM).
    pub command: Vec<String>,
    pub runs: u32,
}

impl Starts {
    /// In milliseconds.
    pub fn measure(&self) -> Result<Vec<f64>, StartError> {
        let no_host = || StartError::Url(self.url.clone());
        let host = self.url.host().ok_or_else(no_host)?.trim_matches(['[', ']']);
        let found = (host, self.url.port_u16().unwrap_or(80)).to_socket_addrs();
        let address = found.ok().and_then(|mut found| found.next()).ok_or_else(no_host)?;
        (0..self.runs).map(|_| self.once(address)).collect()
    }

    fn once(&self, address: SocketAddr) -> Result<f64, StartError> {
        let program = self.command.first().cloned().unwrap_or_default();
        let failed = |source| StartError::Process { program: program.clone(), source };
        let mut command = Command::new(&program);
        command
            .args(self.command.iter().skip(1))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut requests = Requests::new(&self.url, Crowd::Direct);
        let start = Instant::now();
        let mut child = command.spawn().map_err(failed)?;
        let answered = loop {
            if self.is_answered(address, &mut requests).unwrap_or(false) {
                break Some(start.elapsed());
            }
            if start.elapsed() > TIMEOUT || child.try_wait().map_err(failed)?.is_some() {
                break None;
            }
            std::thread::sleep(PAUSE);
        };
        stop(&mut child).map_err(failed)?;
        answered.map(|time| time.as_secs_f64() * 1e3).ok_or(StartError::Silent { program })
    }

    fn is_answered(&self, address: SocketAddr, requests: &mut Requests) -> io::Result<bool> {
        let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        requests.next(&mut bytes);
        socket.write_all(&bytes)?;
        bytes.clear();
        loop {
            let count = socket.read(&mut buffer)?;
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            match answer::parse(&bytes) {
                Ok(None) if count > 0 => {}
                Ok(Some(answer)) => return Ok(!answer.refused && self.expect.met_by(&answer)),
                _ => return Ok(false),
            }
        }
    }
}

/// As an operator stops it; if that does not help, by force.
fn stop(child: &mut Child) -> io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    kill_process(Pid::from_child(child), Signal::TERM)?;
    let told = Instant::now();
    while told.elapsed() < TIMEOUT {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait().map(|_| ())
}

pub fn start_table(times: &[f64]) -> String {
    let Spread { least, median, most } = Spread::of(times.iter().copied());
    format!("{} starts, to the first answer: {median:.1} ms [{least:.1} .. {most:.1}]\n", times.len())
}

pub fn start_json(times: &[f64]) -> Value {
    let Spread { least, median, most } = Spread::of(times.iter().copied());
    object!({ "ms": { "least": least, "median": median, "most": most, "runs": times } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(command: &[&str]) -> Starts {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Starts { url: "http://127.0.0.1:1/".parse().unwrap(), expect: Expect::Redirect, command, runs: 2 }
    }

    #[test]
    fn what_does_not_start_is_named() {
        assert!(matches!(starts(&["/no/such/program"]).measure(), Err(StartError::Process { .. })));
        let silent = starts(&["true"]).measure();
        assert!(matches!(&silent, Err(StartError::Silent { program }) if program == "true"), "{silent:?}");
    }

    #[test]
    fn a_process_ends_when_told_to() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        stop(&mut child).unwrap();
        assert!(child.try_wait().unwrap().is_some());
        stop(&mut child).unwrap();
    }

    #[test]
    fn the_middle_of_all_starts() {
        assert_eq!(start_table(&[3.0, 1.0, 2.0]), "3 starts, to the first answer: 2.0 ms [1.0 .. 3.0]\n");
        assert_eq!(start_json(&[3.0, 1.0, 2.0])["ms"]["median"], 2.0);
    }
}
