//! The REST interface on its listener.

use crate::listen::Bounded;
use crate::supervise::Stop;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// For a request's head from its first byte to its last, and for the pause between two requests.
const HEAD: Duration = Duration::from_secs(30);

/// Serves until `stop`, then lets the running requests end.
pub async fn serve(router: Router, listener: Bounded, mut stop: Stop) {
    let mut open = JoinSet::new();
    loop {
        let client = tokio::select! {
            () = stop.wait() => break,
            Some(_) = open.join_next() => continue,
            client = listener.accept() => client,
        };
        open.spawn(connection(router.clone(), client, HEAD, stop.clone()));
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn connection<T>(router: Router, client: T, head: Duration, mut stop: Stop)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_head_that_never_ends_is_not_waited_for() {
        let (mut client, server) = tokio::io::duplex(1024);
        let (_sender, stop) = Stop::channel();
        let served = tokio::spawn(connection(Router::new(), server, Duration::from_millis(50), stop));
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
        served.await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(!rest.contains("200"), "{rest}");
    }
}
