//! A new process takes the listening sockets of the one before it, over a socket in the data directory.
//!
//! Both then hold the same queues of connections, so the old process can close its own without turning
//! anybody away. It says so only when the new one has them all.

use crate::http::{Door, Listening, Server};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::fs::Permissions;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;

const FILE: &str = "hand-over.sock";
/// Sockets in one message; the kernel takes up to 253.
const AT_ONCE: usize = 64;
/// Longer than the names of so many sockets.
const MAX_NAMES: usize = 1024;
const END: &[u8] = b"end\n";
const TAKEN: &[u8] = b"taken\n";
/// Both sides have nothing else to do meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Offers the sockets to whoever may use the data directory.
pub(super) struct Offer(UnixListener);

impl Offer {
    /// A node that cannot offer its sockets is a good node all the same.
    pub fn open(data_dir: &Path) -> Option<Self> {
        let path = data_dir.join(FILE);
        // Of a process before this one. The data directory is ours alone.
        let _ = std::fs::remove_file(&path);
        let opened = UnixListener::bind(&path).and_then(|listener| {
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map(|()| listener)
        });
        match opened {
            Ok(listener) => Some(Self(listener)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no other process can take over from this one");
                None
            }
        }
    }

    /// Resolves when another process has all sockets.
    pub async fn taken(&self, server: &Server) {
        loop {
            let offered = match self.0.accept().await {
                Ok((stream, _)) => offer_to(stream, server).await,
                Err(error) => Err(error),
            };
            match offered {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "another process wanted to take over and did not"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn offer_to(stream: tokio::net::UnixStream, server: &Server) -> io::Result<()> {
    let (peer, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if peer != own && peer != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it runs as user {peer}")));
    }
    let sockets = server.duplicate_sockets()?;
    let stream = stream.into_std()?;
    let sent = tokio::task::spawn_blocking(move || send(stream, &sockets));
    sent.await.map_err(io::Error::other)?
}

fn send(mut stream: UnixStream, sockets: &[Listening]) -> io::Result<()> {
    be_patient(&stream)?;
    for some in sockets.chunks(AT_ONCE) {
        let names: String = some.iter().flat_map(|held| [held.door.as_str(), "\n"]).collect();
        let fds: Vec<BorrowedFd<'_>> = some.iter().map(|held| held.socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("too many sockets for one message"));
        }
        sendmsg(&stream, &[IoSlice::new(names.as_bytes())], &mut control, SendFlags::empty())?;
    }
    stream.write_all(END)?;
    let mut answer = [0; TAKEN.len()];
    stream.read_exact(&mut answer)?;
    if answer == TAKEN { Ok(()) } else { Err(io::Error::other("its answer cannot be read")) }
}

/// The sockets of the process that runs on `data_dir`; none, where none runs.
pub(super) async fn take(data_dir: &Path) -> io::Result<Vec<Listening>> {
    let path = data_dir.join(FILE);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            tracing::info!("there is no process to take over from; starting anew");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let received = tokio::task::spawn_blocking(move || receive(stream));
    received.await.map_err(io::Error::other)?
}

fn receive(mut stream: UnixStream) -> io::Result<Vec<Listening>> {
    be_patient(&stream)?;
    let mut sockets = Vec::new();
    loop {
        let mut names = [0; MAX_NAMES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut names)];
        let bytes = recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
        let fds: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        let names = names.get(..bytes).unwrap_or_default();
        if fds.is_empty() && names == END {
            stream.write_all(TAKEN)?;
            return Ok(sockets);
        }
        sockets.extend(named(names, fds)?);
    }
}

/// Pairs each socket with what it is for. A kind that this version does not know is closed.
fn named(names: &[u8], fds: Vec<OwnedFd>) -> io::Result<Vec<Listening>> {
    let names = std::str::from_utf8(names).map_err(io::Error::other)?;
    if fds.is_empty() || names.lines().count() != fds.len() {
        return Err(io::Error::other("the other process does not say what its sockets are for"));
    }
    let pairs = names.lines().map(Door::parse).zip(fds);
    Ok(pairs
        .filter_map(|(door, fd)| Some(Listening { door: door?, socket: TcpListener::from(fd) }))
        .collect())
}

fn be_patient(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(count: usize) -> Vec<Listening> {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let door = |at: usize| Door::ALL[at % 3];
        (0..count).map(|at| Listening { door: door(at), socket: bind() }).collect()
    }

    #[test]
    fn all_sockets_come_over() {
        for count in [1, 3, AT_ONCE, AT_ONCE + 1, 150] {
            let sockets = listening(count);
            let (old, new) = UnixStream::pair().unwrap();
            let received = std::thread::scope(|scope| {
                let sending = scope.spawn(|| send(old, &sockets));
                let received = receive(new).unwrap();
                sending.join().unwrap().unwrap();
                received
            });
            let place = |held: &Listening| (held.door.as_str(), held.socket.local_addr().unwrap());
            let (sent, received): (Vec<_>, Vec<_>) =
                (sockets.iter().map(place).collect(), received.iter().map(place).collect());
            assert_eq!(received, sent);
        }
    }

    #[test]
    fn who_takes_only_some_has_taken_none() {
        let (old, mut new) = UnixStream::pair().unwrap();
        let sending = std::thread::spawn(move || send(old, &listening(3)));
        new.read_exact(&mut [0; 3]).unwrap();
        drop(new);
        assert!(sending.join().unwrap().is_err());
        let (old, new) = UnixStream::pair().unwrap();
        let mut old = old;
        old.write_all(b"plain\n").unwrap();
        assert!(receive(new).is_err(), "names without sockets");
    }
}
