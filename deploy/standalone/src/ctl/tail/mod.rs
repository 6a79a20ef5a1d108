//! `tributary ctl tail`: hits as they come in, and what became of them.

mod feed;
mod pending;
mod show;

use crate::error::{BoxError, Failure};
use crate::local::LocalState;
use crate::signal::Stop;
use feed::{Feed, Page, Stumble};
use pending::Pending;
use proto_model::{AdvertiserId, LinkId};
use show::Show;
use std::io::{ErrorKind, stdout};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Between two attempts to reach a server that has gone away.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Options {
    /// The REST interface of the control plane.
    #[arg(long, env = "TRIBUTARY_API_URL", default_value = "http://127.0.0.1:7300", value_name = "URL")]
    api_url: Url,
    /// A tenant's key (better in this variable than in the process list); without one, that of `up` in `--data-dir`.
    #[arg(long, env = "TRIBUTARY_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// Where `up` keeps its key.
    #[arg(long, default_value = "tributary-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Send the key over plain HTTP to another machine, too.
    #[arg(long)]
    insecure: bool,
    /// Only tests: hits of test links, reports with a test token.
    #[arg(long)]
    test: bool,
    /// Only hits of this link.
    #[arg(long, value_name = "LINK")]
    link: Option<LinkId>,
    /// Only hits of this advertiser.
    #[arg(long, value_name = "ADVERTISER")]
    advertiser: Option<AdvertiserId>,
    /// Where to begin.
    #[arg(long, value_enum, default_value_t = From::Now)]
    from: From,
    /// `json` is one array, which is closed when it ends.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    /// What comes in from now on.
    Now,
    /// All that is kept.
    Oldest,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Table,
    Json,
    Jsonl,
}

pub async fn run(options: Options) -> Result<(), BoxError> {
    let mut stop = Stop::listen()?;
    let feed = Feed::open(&options, key(&options)?)?;
    let requested = async {
        stop.requested().await;
    };
    match watch(feed, Show::new(options.output, stdout()), requested).await {
        // Whoever read it has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        ended => ended,
    }
}

/// What was shown is complete in its format, whatever ended it.
async fn watch(
    feed: Feed,
    mut show: Show<impl std::io::Write>,
    stop: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let ended = tokio::select! {
        ended = follow(feed, &mut show) => ended,
        () = stop => Ok(()),
    };
    ended.and(show.end().map_err(BoxError::from))
}

fn is_broken_pipe(error: &BoxError) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn key(options: &Options) -> Result<String, BoxError> {
    if let Some(key) = &options.api_key {
        return Ok(key.clone());
    }
    let account = LocalState::load(&options.data_dir)?.account;
    let missing = || {
        let dir = options.data_dir.display();
        Failure::new(format!(
            "there is no key: set TRIBUTARY_API_KEY, or --data-dir ({dir} has none of `up`)"
        ))
    };
    Ok(account.ok_or_else(missing)?.api_key)
}

/// Until whoever reads goes away, or the server refuses.
async fn follow(mut feed: Feed, show: &mut Show<impl std::io::Write>) -> Result<(), BoxError> {
    let mut pending = Pending::default();
    // Who asks in vain at first has mistyped something; later it is the server that is away for a while.
    let mut page = feed.next(false).await.map_err(Stumble::into_error)?;
    eprintln!("watching; Ctrl-C ends it");
    loop {
        let Page { hits, more } = page;
        for hit in hits {
            show.hit(&hit)?;
            pending.note(hit);
        }
        show.flush()?;
        for hit in settle(&mut feed, &mut pending).await? {
            show.hit(&hit)?;
        }
        show.flush()?;
        // What is decided soon is to be shown soon.
        page = patiently(&mut feed, !more, !pending.is_empty()).await?;
    }
}

async fn patiently(feed: &mut Feed, wait: bool, briefly: bool) -> Result<Page, BoxError> {
    let mut told = false;
    loop {
        let asked = if wait && briefly { feed.soon().await } else { feed.next(wait).await };
        match asked {
            Ok(page) => return Ok(page),
            Err(Stumble::Refused(error)) => return Err(error),
            Err(Stumble::Away(error)) => {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("{}; trying again", crate::error::chain(error.as_ref()));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The conversions that the books have decided since they were shown.
async fn settle(feed: &mut Feed, pending: &mut Pending) -> Result<Vec<serde_json::Value>, BoxError> {
    let mut decided = Vec::new();
    for id in pending.ids() {
        match feed.conversion(&id).await {
            Ok(Some(conversion)) => decided.extend(pending.decided(&id, &conversion)),
            Ok(None) => pending.still_open(&id),
            Err(Stumble::Away(_)) => break,
            Err(Stumble::Refused(error)) => return Err(error),
        }
    }
    Ok(decided)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::RawQuery;
    use http::StatusCode;
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    /// Answers these in turn, the last one for ever, and remembers what it was asked.
    async fn server(answers: Vec<(StatusCode, serde_json::Value)>) -> (Url, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let answer = move |RawQuery(query): RawQuery| {
            let mut heard = heard.lock().unwrap();
            let (status, body) = answers[heard.len().min(answers.len() - 1)].clone();
            heard.push(query.unwrap_or_default());
            async move { (status, body.to_string()) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        (url, asked)
    }

    fn options(api_url: Url) -> Options {
        Options {
            api_url,
            api_key: None,
            data_dir: PathBuf::new(),
            insecure: false,
            test: true,
            link: None,
            advertiser: None,
            from: From::Now,
            output: Format::Jsonl,
        }
    }

    fn page(order_id: &str, next: &str) -> (StatusCode, serde_json::Value) {
        let hit = json!({ "kind": "refused", "order_id": order_id });
        (StatusCode::OK, json!({ "data": [hit], "has_more": false, "next_cursor": next }))
    }

    #[tokio::test]
    async fn a_server_that_is_away_for_a_while_is_waited_for() {
        let gone = (StatusCode::FORBIDDEN, json!({ "detail": "The key was revoked." }));
        let away = (StatusCode::SERVICE_UNAVAILABLE, json!(null));
        let (url, asked) = server(vec![page("a", "c1"), away, page("b", "c2"), gone]).await;
        let mut out = Vec::new();
        let feed = Feed::open(&options(url), "tbk_x".into()).unwrap();
        let error = follow(feed, &mut Show::new(Format::Jsonl, &mut out)).await.unwrap_err();
        assert!(error.to_string().contains("403") && error.to_string().contains("revoked"), "{error}");
        let orders: Vec<_> = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(orders.len(), 2, "each once");
        let wanted = [
            "limit=100&test=true&wait_secs=0&from=now",
            "limit=100&test=true&wait_secs=20&after=c1",
            "limit=100&test=true&wait_secs=20&after=c1",
            "limit=100&test=true&wait_secs=20&after=c2",
        ];
        assert_eq!(*asked.lock().unwrap(), wanted, "from where it was");
    }

    #[tokio::test]
    async fn an_array_is_closed_whatever_ends_it() {
        let gone = || (StatusCode::FORBIDDEN, json!({ "detail": "The key was revoked." }));
        let both = vec![page("a", "c1"), page("b", "c2"), gone()];
        for (answers, shown) in [(vec![gone()], 0), (vec![page("a", "c1"), gone()], 1), (both, 2)] {
            let (url, _) = server(answers).await;
            let mut out = Vec::new();
            let feed = Feed::open(&options(url), "tbk_x".into()).unwrap();
            let show = Show::new(Format::Json, &mut out);
            let error = watch(feed, show, std::future::pending()).await.unwrap_err();
            assert!(error.to_string().contains("revoked"), "{error}");
            let hits: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
            assert_eq!(hits.len(), shown);
        }
    }

    #[tokio::test]
    async fn what_is_no_control_plane_is_said_to_be_none() {
        for answer in [(StatusCode::OK, json!({ "data": 7 })), (StatusCode::NOT_FOUND, json!({}))] {
            let (url, _) = server(vec![answer]).await;
            let feed = Feed::open(&options(url), "tbk_x".into()).unwrap();
            let error = follow(feed, &mut Show::new(Format::Jsonl, Vec::new())).await.unwrap_err();
            assert!(error.to_string().contains("--api-url"), "{error}");
        }
    }
}
