//! A small HTTP client for the demo shop and the command line: bounded, no redirects; plain HTTP unless it is made for
//! TLS.

use crate::error::{BoxError, Failure};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

const BODY_MAX: usize = 8 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct HttpClient<C = HttpConnector> {
    client: Client<C, Full<bytes::Bytes>>,
}

/// To servers that this machine's certificates vouch for; plain HTTP as well, for whoever permits it.
pub fn tls_connector(mut tcp: HttpConnector) -> Result<HttpsConnector<HttpConnector>, BoxError> {
    tcp.enforce_http(false);
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| {
            let message = "this machine has no certificates to know servers by; install ca-certificates, or set \
                           SSL_CERT_FILE";
            Failure::because(message, error)
        })?;
    Ok(tls.https_or_http().enable_http1().wrap_connector(tcp))
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: bytes::Bytes,
}

impl Reply {
    pub fn json(&self) -> Result<serde_json::Value, BoxError> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

/// One that speaks TLS where the URL says so.
pub type TlsClient = HttpClient<HttpsConnector<HttpConnector>>;

impl TlsClient {
    pub fn over_tls() -> Result<Self, BoxError> {
        let tls = tls_connector(HttpConnector::new())?;
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(tls) })
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> HttpClient<C> {
    pub async fn send(&self, request: Request<Full<bytes::Bytes>>) -> Result<Reply, BoxError> {
        let target = request.uri().clone();
        let exchange = async {
            let reply = self.client.request(request).await?;
            let (parts, body) = reply.into_parts();
            let body = Limited::new(body, BODY_MAX).collect().await?.to_bytes();
            Ok::<_, BoxError>(Reply { status: parts.status, headers: parts.headers, body })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                Err(Failure::because(format!("no answer from {}", origin(&target)), error).into())
            }
            Err(_) => Err(Failure::new(format!("no answer from {} within 30 s", origin(&target))).into()),
        }
    }

    pub async fn get(&self, url: &str, key: Option<&str>) -> Result<Reply, BoxError> {
        self.send(request(Method::GET, url, key, None)?).await
    }

    pub async fn post_json(
        &self,
        url: &str,
        key: Option<&str>,
        body: &serde_json::Value,
    ) -> Result<Reply, BoxError> {
        self.send(request(Method::POST, url, key, Some(body))?).await
    }
}

/// Without the path and query: those may hold a token.
fn origin(uri: &http::Uri) -> String {
    uri.authority().map_or_else(|| "the server".to_owned(), ToString::to_string)
}

pub fn request(
    method: Method,
    url: &str,
    key: Option<&str>,
    body: Option<&serde_json::Value>,
) -> Result<Request<Full<bytes::Bytes>>, BoxError> {
    let mut builder = Request::builder().method(method).uri(url);
    if let Some(key) = key {
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let bytes = match body {
        Some(value) => {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
            serde_json::to_vec(value)?
        }
        None => Vec::new(),
    };
    Ok(builder.body(Full::new(bytes.into()))?)
}
