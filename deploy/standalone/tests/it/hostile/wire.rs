//! Bytes over plain sockets.

use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Only a test that fails waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn connect(to: SocketAddr) -> TcpStream {
    connect_from(Ipv4Addr::LOCALHOST, to)
}

/// Every address of 127.0.0.0/8 is this machine's, so one machine can be many clients.
pub fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    connect_with(source, to, |_| {})
}

pub fn connect_with(source: Ipv4Addr, to: SocketAddr, change: impl FnOnce(&Socket)) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    change(&socket);
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this machine");
    socket.connect(&to.into()).expect("somebody listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Whatever comes until the other side closes; what was sent before a reset counts too.
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return bytes,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("the node did not close the connection: {error}"),
        }
    }
}

/// Sends bytes as one client and gives what came back until the node closed.
pub fn exchange(source: Ipv4Addr, to: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = connect_from(source, to);
    // The node may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    Reply(String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned())
}

/// The same, of one who says that there is no more to come.
pub fn exchange_and_end(source: Ipv4Addr, to: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = connect_from(source, to);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    Reply(String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned())
}

/// What came back over a connection.
#[derive(Debug)]
pub struct Reply(pub String);

impl Reply {
    /// One reply of a connection that goes on.
    pub fn read(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        let mut byte = [0; 1];
        while !bytes.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                ended => panic!("{ended:?} after {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
        let mut reply = Self(String::from_utf8(bytes).expect("a head in ASCII"));
        let length = reply.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("the whole body");
        reply.0.push_str(&String::from_utf8_lossy(&body));
        reply
    }

    /// 0 without a reply.
    pub fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.0.split("\r\n\r\n").next()?;
        let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn location(&self) -> Option<&str> {
        self.header("location")
    }

    pub fn reason(&self) -> Option<&str> {
        self.header("x-tributary-reason")
    }

    pub fn click_id(&self) -> Option<&str> {
        let (_, rest) = self.location()?.split_once("click_id=")?;
        rest.split(['&', '#']).next()
    }
}

/// Asks again until it is so, or until nobody would wait longer.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A value for a query.
pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
