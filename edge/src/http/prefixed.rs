//! A stream of which the first bytes were looked at already.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What an HTTP/2 client says first when it was not asked.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub struct Prefixed<T> {
    seen: [u8; PREFACE.len()],
    len: usize,
    /// How many of the seen bytes were read again.
    given: usize,
    io: T,
}

impl<T: AsyncRead + Unpin> Prefixed<T> {
    pub fn new(io: T) -> Self {
        Self { seen: [0; PREFACE.len()], len: 0, given: 0, io }
    }

    /// Reads no further than needed to tell. The end of the stream is no HTTP/2.
    pub async fn begins_http2(&mut self) -> Result<bool> {
        while self.len < PREFACE.len() {
            let read = self.io.read(&mut self.seen[self.len..]).await?;
            self.len += read;
            if read == 0 || !PREFACE.starts_with(&self.seen[..self.len]) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let left = &this.seen[this.given..this.len];
        if left.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let count = left.len().min(buf.remaining());
        buf.put_slice(&left[..count]);
        this.given += count;
        // With what else is there: a reader that gets a few bytes alone makes room for a request twice the size, and
        // keeps it. An error comes again, or as the end.
        if this.given == this.len && buf.remaining() > 0 {
            let _ = Pin::new(&mut this.io).poll_read(cx, buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::block_on;

    #[test]
    fn what_was_looked_at_comes_together_with_the_rest() {
        block_on(async {
            let (mut client, server) = tokio::io::duplex(1024);
            let mut server = Prefixed::new(server);
            let request = b"GET /c/00000000009 HTTP/1.1\r\nHost: go.example\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut client, request).await.unwrap();
            assert!(!server.begins_http2().await.unwrap());
            let mut read = [0; 200];
            let count = server.read(&mut read).await.unwrap();
            assert_eq!(read[..count], request[..]);
        });
    }

    #[test]
    fn tells_the_two_apart_and_loses_nothing() {
        let mut cases: Vec<(Vec<u8>, bool)> = vec![
            ([PREFACE, &b"more"[..]].concat(), true),
            (PREFACE.to_vec(), true),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), false),
            (b"POST /postback/x HTTP/1.1\r\n\r\n".to_vec(), false),
            (b"PRI * HTTP/1.1\r\n\r\n and so on and so on".to_vec(), false),
        ];
        cases.extend((0..PREFACE.len()).map(|len| (PREFACE[..len].to_vec(), false)));
        for (bytes, expected) in cases {
            block_on(async {
                let (mut client, server) = tokio::io::duplex(3);
                let mut server = Prefixed::new(server);
                let sent = bytes.clone();
                let sending = async move {
                    tokio::io::AsyncWriteExt::write_all(&mut client, &sent).await.unwrap();
                };
                let reading = async {
                    assert_eq!(server.begins_http2().await.unwrap(), expected, "{bytes:?}");
                    let mut all = Vec::new();
                    server.read_to_end(&mut all).await.unwrap();
                    assert_eq!(all, bytes);
                };
                tokio::join!(sending, reading);
            });
        }
    }
}
