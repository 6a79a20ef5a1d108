//! The server's side of it: `GET /v1/hits`, page by page.

use super::{From, Options};
use crate::ctl::api::{at, path, permit};
use crate::error::{BoxError, Failure};
use crate::http_client::HttpClient;
use http::StatusCode;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use url::Url;

/// As long as the server lets a call wait.
const WAIT_SECS: u32 = 20;
/// While something that was shown is still open.
const SOON_SECS: u32 = 1;

pub struct Feed {
    client: HttpClient<HttpsConnector<HttpConnector>>,
    base: Url,
    key: String,
    /// With what is to be shown.
    hits: Url,
    from: From,
    after: Option<String>,
}

pub struct Page {
    pub hits: Vec<Value>,
    pub more: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Stumble {
    /// The server says no, and will again.
    Refused(BoxError),
    /// It cannot be reached, or is in trouble.
    Away(BoxError),
}

impl Stumble {
    pub fn into_error(self) -> BoxError {
        match self {
            Self::Refused(error) | Self::Away(error) => error,
        }
    }
}

impl Feed {
    pub fn open(options: &Options, key: String) -> Result<Self, BoxError> {
        let base = options.api_url.clone();
        permit(&base, options.insecure)?;
        let mut hits = path(&base, &["v1", "hits"])?;
        {
            let mut query = hits.query_pairs_mut();
            query.append_pair("limit", "100");
            if options.test {
                query.append_pair("test", "true");
            }
            if let Some(link) = options.link {
                query.append_pair("link_id", &link.to_string());
            }
            if let Some(advertiser) = options.advertiser {
                query.append_pair("advertiser_id", &advertiser.to_string());
            }
        }
        Ok(Self { client: HttpClient::over_tls()?, base, key, hits, from: options.from, after: None })
    }

    /// What has come in since; `wait` = until there is something, or for a while.
    pub async fn next(&mut self, wait: bool) -> Result<Page, Stumble> {
        self.page(if wait { WAIT_SECS } else { 0 }).await
    }

    pub async fn soon(&mut self) -> Result<Page, Stumble> {
        self.page(SOON_SECS).await
    }

    async fn page(&mut self, wait_secs: u32) -> Result<Page, Stumble> {
        let mut url = self.hits.clone();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("wait_secs", &wait_secs.to_string());
            match (&self.after, self.from) {
                (Some(after), _) => query.append_pair("after", after),
                (None, From::Oldest) => query.append_pair("from", "oldest"),
                (None, From::Now) => query.append_pair("from", "now"),
            };
        }
        let answer = self.get(&url).await?.ok_or_else(|| not_found(&url))?;
        let (Some(hits), Some(next)) = (answer["data"].as_array(), answer["next_cursor"].as_str()) else {
            return Err(Stumble::Refused(no_feed(&url)));
        };
        self.after = Some(next.to_owned());
        Ok(Page { hits: hits.clone(), more: answer["has_more"] == true })
    }

    /// What the books say; `None` = nothing yet.
    pub async fn conversion(&self, id: &str) -> Result<Option<Value>, Stumble> {
        let url = path(&self.base, &["v1", "conversions", id]).map_err(Stumble::Refused)?;
        self.get(&url).await
    }

    async fn get(&self, url: &Url) -> Result<Option<Value>, Stumble> {
        let reply = self.client.get(url.as_str(), Some(&self.key)).await.map_err(Stumble::Away)?;
        match reply.status {
            StatusCode::OK => reply.json().map(Some).map_err(|_| Stumble::Refused(no_feed(url))),
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                let problem = reply.json().unwrap_or_default();
                let detail = problem["detail"].as_str().unwrap_or("no reason was given");
                let error = Failure::new(format!("{} answers {status}: {detail}", at(url))).into();
                let away = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                Err(if away { Stumble::Away(error) } else { Stumble::Refused(error) })
            }
        }
    }
}

fn no_feed(url: &Url) -> BoxError {
    Failure::new(format!("{} does not answer as a control plane does; see --api-url", at(url))).into()
}

fn not_found(url: &Url) -> Stumble {
    let message = format!("{} has no /v1/hits: see --api-url, or upgrade the control plane", at(url));
    Stumble::Refused(Failure::new(message).into())
}
