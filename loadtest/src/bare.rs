//! A server that does nothing but answer: what hyper alone costs, on one thread.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Of 43 bytes, as nginx' `empty_gif`.
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\x01\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\x01\0,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;";
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Redirects to `location`, answers with a GIF where the path ends in `.gif`, and does not come back. `tell` hears
/// where it listens.
pub fn serve_bare(listen: SocketAddr, location: &str, tell: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let location = HeaderValue::from_str(location).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        tell(listener.local_addr()?);
        accept(listener, location).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, location: HeaderValue) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some will be free again.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // It costs latency alone when it fails.
        let _ = socket.set_nodelay(true);
        let location = location.clone();
        let service = service_fn(move |request| {
            let reply = reply(&request, &location);
            async move { Ok::<_, Infallible>(reply) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

fn reply(request: &Request<Incoming>, location: &HeaderValue) -> Response<Full<Bytes>> {
    if request.uri().path().ends_with(".gif") {
        let mut reply = Response::new(Full::new(Bytes::from_static(GIF)));
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/gif"));
        return reply;
    }
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::FOUND;
    reply.headers_mut().insert(LOCATION, location.clone());
    reply
}
