//! Files over HTTP: bounded in size and time, and over TLS unless they come from this machine.

use super::Refused;
use crate::ctl::files;
use crate::error::{BoxError, Failure};
use crate::http_client::tls_connector;
use aws_lc_rs::digest::{Context, SHA256, SHA512};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HyperClient, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;
use url::{Host, Url};

const CONNECT: Duration = Duration::from_secs(20);
/// For the head of an answer, and for each part of its body.
const PATIENCE: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 5;

/// What the bytes of a file must add up to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Digest {
    Sha256(Vec<u8>),
    Sha512(Vec<u8>),
}

impl Digest {
    /// Of 64 hexadecimal digits.
    pub fn sha256(hex: &str) -> Result<Self, Failure> {
        let bad = || Failure::new(format!("{hex:?} is not a SHA-256 in 64 hexadecimal digits"));
        let hex = hex.trim();
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| bad());
        Ok(Self::Sha256((0..64).step_by(2).map(byte).collect::<Result<_, _>>()?))
    }

    fn of(&self, mut file: impl Read) -> io::Result<Vec<u8>> {
        let algorithm = match self {
            Self::Sha256(_) => &SHA256,
            Self::Sha512(_) => &SHA512,
        };
        let (mut context, mut buffer) = (Context::new(algorithm), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(context.finish().as_ref().to_vec()),
                read => context.update(&buffer[..read]),
            }
        }
    }

    pub fn check(&self, path: &Path) -> Result<(), BoxError> {
        let found = File::open(path).and_then(|file| self.of(file)).map_err(files::failed("read", path))?;
        let (Self::Sha256(expected) | Self::Sha512(expected)) = self;
        if found == *expected {
            return Ok(());
        }
        let hex = |bytes: &[u8]| bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        let (found, expected) = (hex(&found), hex(expected));
        Err(Refused::damaged(format!(
            "the downloaded file is not the one that was promised (digest {found}.., expected {expected}..); try again, \
             and if that does not help, do not use that server"
        ))
        .into())
    }
}

pub struct Client {
    client: HyperClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Plain HTTP to other machines too.
    insecure: bool,
}

impl Client {
    pub fn new(insecure: bool) -> Result<Self, BoxError> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        let tls = tls_connector(tcp)?;
        Ok(Self { client: HyperClient::builder(TokioExecutor::new()).build(tls), insecure })
    }

    /// A small answer, held in memory.
    pub async fn text(&self, url: &Url, max: u64) -> Result<Vec<u8>, BoxError> {
        let mut text = Vec::new();
        self.get(url, None, max, &mut text, false).await?;
        Ok(text)
    }

    /// Follows redirects, writes the body to `out`, and shows a person how far it is. `authorization` goes to the
    /// server that was named, and to no other.
    pub async fn get(
        &self,
        url: &Url,
        authorization: Option<&HeaderValue>,
        max: u64,
        out: &mut impl Write,
        show: bool,
    ) -> Result<(), BoxError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            self.permit(&at)?;
            let trusted = authorization.filter(|_| at.origin() == url.origin());
            let reply = waited(&at, self.request(&at, trusted)?).await?;
            if !reply.status().is_redirection() {
                return receive(&at, reply, max, out, show).await;
            }
            let location = reply.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok());
            let next = next.ok_or_else(|| Failure::new(format!("{} redirects to nowhere", shown(&at))))?;
            if at.scheme() == "https" && next.scheme() != "https" {
                return Err(Failure::new(format!(
                    "{} redirects to {}, which is not over TLS",
                    shown(&at),
                    shown(&next)
                ))
                .into());
            }
            at = next;
        }
        Err(Failure::new(format!("{} redirects too often", shown(url))).into())
    }

    fn request(&self, url: &Url, authorization: Option<&HeaderValue>) -> Result<ResponseFuture, BoxError> {
        let agent = concat!("tributary/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::get(url.as_str()).header(header::USER_AGENT, agent);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(self.client.request(request.body(Empty::new())?))
    }

    fn permit(&self, url: &Url) -> Result<(), Failure> {
        let here = match url.host() {
            Some(Host::Ipv4(v4)) => v4.is_loopback(),
            Some(Host::Ipv6(v6)) => v6.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if here || self.insecure => Ok(()),
            "http" => Err(Failure::new(format!(
                "{} is not over TLS; --insecure-http fetches from it all the same",
                shown(url)
            ))),
            scheme => Err(Failure::new(format!("{scheme} is no way to fetch a file; use https"))),
        }
    }
}

/// 404, for whoever has another address to try.
#[derive(Debug, thiserror::Error)]
#[error("there is no {0} (404)")]
pub struct NotFound(String);

async fn waited(url: &Url, reply: ResponseFuture) -> Result<http::Response<Incoming>, BoxError> {
    let silent = || Failure::new(format!("no answer from {} within {} s", shown(url), PATIENCE.as_secs()));
    let reply = tokio::time::timeout(PATIENCE, reply).await.map_err(|_| silent())?;
    Ok(reply.map_err(|error| Failure::because(format!("no answer from {}", shown(url)), error))?)
}

async fn receive(
    url: &Url,
    reply: http::Response<Incoming>,
    max: u64,
    out: &mut impl Write,
    show: bool,
) -> Result<(), BoxError> {
    match reply.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(NotFound(shown(url)).into()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let message = format!(
                "{} does not let us in ({}); check the account and its key",
                shown(url),
                reply.status()
            );
            return Err(Failure::new(message).into());
        }
        status => {
            return Err(Failure::new(format!("{} answered {status}; try again later", shown(url))).into());
        }
    }
    let too_large = || Refused::damaged(format!("{} is larger than --max-size allows", shown(url)));
    let length =
        reply.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > max) {
        return Err(too_large().into());
    }
    let bar = bar(length, show);
    let (mut body, mut received) = (reply.into_body(), 0);
    loop {
        let silent = || Failure::new(format!("{} stopped sending", shown(url)));
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            Refused::damaged_because(format!("the answer of {} broke off; try again", shown(url)), error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        received += u64::try_from(data.len()).unwrap_or(u64::MAX);
        if received > max {
            return Err(too_large().into());
        }
        out.write_all(&data).map_err(|error| Failure::because("cannot write what is downloaded", error))?;
        bar.set_position(received);
    }
    bar.finish_and_clear();
    Ok(out.flush()?)
}

/// Where nobody looks, one that draws nothing.
fn bar(length: Option<u64>, show: bool) -> ProgressBar {
    if !show || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("  {bytes} of {total_bytes}  {bytes_per_sec}  {wide_bar}");
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Without a query, which may hold a token.
pub fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let cases = [
            ("https://example.test/x", true, true),
            ("http://127.0.0.1:8080/x", true, true),
            ("http://[::1]/x", true, true),
            ("http://localhost/x", true, true),
            ("http://example.test/x", false, true),
            ("http://127.0.0.1.example.test/x", false, true),
            ("ftp://127.0.0.1/x", false, false),
            ("file:///etc/passwd", false, false),
        ];
        for (text, usually, insecurely) in cases {
            let permitted = |insecure| Client::new(insecure).unwrap().permit(&url(text)).is_ok();
            assert_eq!((permitted(false), permitted(true)), (usually, insecurely), "{text}");
        }
    }

    #[test]
    fn digests_are_read_and_compared() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(Digest::sha256(hex).unwrap().check(file.path()).is_ok());
        assert!(Digest::sha256(&hex.replace('b', "c")).unwrap().check(file.path()).is_err());
        for bad in ["", "ba78", &format!("{}g", &hex[1..]), &"é".repeat(32)] {
            assert!(Digest::sha256(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_has_no_secret() {
        assert_eq!(
            shown(&url("https://me:pw@example.test:8443/a/b?token=x#y")),
            "https://example.test:8443/a/b"
        );
    }
}
