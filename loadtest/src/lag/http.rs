//! The least of HTTP/1.1: one request after another on a connection, and a document.

use super::LagError;
use crate::answer::{self, Expect};
use http::Uri;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct Connection(TcpStream);

fn connect(url: &Uri) -> io::Result<TcpStream> {
    let no_host = || io::Error::new(io::ErrorKind::InvalidInput, LagError::Url(url.clone()));
    let host = url.host().ok_or_else(no_host)?.trim_matches(['[', ']']);
    let socket = TcpStream::connect((host, url.port_u16().unwrap_or(80)))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

impl Connection {
    pub fn open(url: &Uri) -> io::Result<Self> {
        connect(url).map(Self)
    }

    /// Sends these bytes; fails unless they are answered by a redirect of a click that was taken.
    pub fn redirected(&mut self, request: &[u8]) -> io::Result<()> {
        self.0.write_all(request)?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = self.0.read(&mut buffer)?;
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            match answer::parse(&bytes) {
                Ok(None) if count > 0 => {}
                Ok(Some(answer)) if !answer.refused && Expect::Redirect.met_by(&answer) => return Ok(()),
                Ok(Some(answer)) => return Err(io::Error::other(format!("answered with {}", answer.status))),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

/// On a connection of its own.
pub fn get_json(base: &Uri, path: &str, key: &str) -> io::Result<Value> {
    serde_json::from_slice(&get(base, path, Some(key))?).map_err(io::Error::from)
}

/// The body; fails unless it comes with 200 or 202.
pub fn get(base: &Uri, path: &str, key: Option<&str>) -> io::Result<Vec<u8>> {
    let mut socket = connect(base)?;
    let host = base.authority().map_or("", |authority| authority.as_str());
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{key}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let body = bytes.split_off(end + 4);
    if bytes.starts_with(b"HTTP/1.1 200") || bytes.starts_with(b"HTTP/1.1 202") {
        Ok(body)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()))
    }
}
