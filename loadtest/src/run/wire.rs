//! A socket of the HTTP/1.1 engine, in TLS or not.

use super::tls::Tls;
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustls::{ClientConnection, HandshakeKind, StreamOwned};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::SocketAddr;

pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    pub fn connect(address: SocketAddr, tls: Option<&Tls>, poll: &Poll, number: usize) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        poll.registry().register(&mut socket, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        Ok(match tls {
            None => Self::Plain(socket),
            Some(tls) => {
                let client = ClientConnection::new(tls.config.clone(), tls.name.clone());
                let client = client.map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
                Self::Tls(Box::new(StreamOwned::new(client, socket)))
            }
        })
    }

    /// Goes on with connecting; true = a request may be sent.
    pub fn is_ready(&mut self) -> Result<bool> {
        let done = match self {
            Self::Plain(socket) => match socket.take_error()? {
                Some(error) => return Err(error),
                None => socket.peer_addr().map(|_| ()),
            },
            Self::Tls(stream) if !stream.conn.is_handshaking() => Ok(()),
            Self::Tls(stream) => stream.conn.complete_io(&mut stream.sock).map(|_| ()),
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    pub fn is_resumed(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Says goodbye as a browser does; whether it is heard does not matter.
    pub fn hang_up(self) {
        if let Self::Tls(mut stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.conn.complete_io(&mut stream.sock);
        }
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(out),
            Self::Tls(stream) => stream.read(out),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
