//! `tributary ctl alerts`: what an operator must look at, and that somebody has.

use super::Format;
use super::api::{at, path, permit};
use crate::error::{BoxError, Failure};
use crate::http_client::{HttpClient, Reply, TlsClient};
use crate::local::LocalState;
use http::StatusCode;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use url::Url;

#[derive(clap::Args)]
pub struct Options {
    /// The REST interface of the control plane.
    #[arg(long, env = "TRIBUTARY_API_URL", default_value = "http://127.0.0.1:7300", value_name = "URL")]
    api_url: Url,
    /// An operator's key (better in this variable than in the process list); without one, that of `up` in `--data-dir`.
    #[arg(long, env = "TRIBUTARY_OPERATOR_KEY", hide_env_values = true, value_name = "KEY")]
    operator_key: Option<String>,
    /// Where `up` keeps its key.
    #[arg(long, default_value = "tributary-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Send the key over plain HTTP to another machine, too.
    #[arg(long)]
    insecure: bool,
    /// Those that somebody has acknowledged, too.
    #[arg(long)]
    all: bool,
    /// Only one kind, such as `gap_declared` (docs/fleet.md lists them).
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Say of this alert that you have looked at it; shows what you have acknowledged.
    #[arg(long, value_name = "ALERT", conflicts_with_all = ["all", "kind"])]
    acknowledge: Option<String>,
    /// How often it had happened when you looked; refused if that is more by now. Without it, as often as it has when this
    /// command reads it.
    #[arg(long, value_name = "COUNT", requires = "acknowledge")]
    seen: Option<u64>,
    /// `json` is one array.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn run(options: Options) -> Result<(), BoxError> {
    permit(&options.api_url, options.insecure)?;
    let (client, key) = (HttpClient::over_tls()?, key(&options)?);
    let alerts = match &options.acknowledge {
        Some(id) => vec![acknowledge(&options, id, &client, &key).await?],
        None => {
            let mut alerts = Vec::new();
            let mut cursor = None;
            loop {
                let url = page(&options, cursor.as_deref())?;
                let list = answer(&url, &client.get(url.as_str(), Some(&key)).await?)?;
                alerts.extend(list["data"].as_array().cloned().unwrap_or_default());
                match list["next_cursor"].as_str() {
                    Some(next) => cursor = Some(next.to_owned()),
                    None => break alerts,
                }
            }
        }
    };
    show(options.output, &alerts, &mut std::io::stdout().lock())
}

/// As it is then. Refused if it has happened again since it was seen, or read here: so this is what was acknowledged.
async fn acknowledge(options: &Options, id: &str, client: &TlsClient, key: &str) -> Result<Value, BoxError> {
    let count = match options.seen {
        Some(seen) => Value::from(seen),
        None => {
            let url = path(&options.api_url, &["v1", "alerts", id])?;
            answer(&url, &client.get(url.as_str(), Some(key)).await?)?["count"].clone()
        }
    };
    let url = path(&options.api_url, &["v1", "alerts", id, "acknowledge"])?;
    answer(&url, &client.post_json(url.as_str(), Some(key), &json!({"count": count})).await?)
}

fn page(options: &Options, cursor: Option<&str>) -> Result<Url, BoxError> {
    let mut url = path(&options.api_url, &["v1", "alerts"])?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("limit", "100");
        if !options.all {
            query.append_pair("status", "open");
        }
        for (name, value) in [("kind", options.kind.as_deref()), ("cursor", cursor)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
    }
    Ok(url)
}

fn key(options: &Options) -> Result<String, BoxError> {
    if let Some(key) = &options.operator_key {
        return Ok(key.clone());
    }
    let missing = || {
        let dir = options.data_dir.display();
        Failure::new(format!(
            "there is no operator's key: set TRIBUTARY_OPERATOR_KEY, or --data-dir ({dir} has none of `up`)"
        ))
    };
    Ok(LocalState::load(&options.data_dir)?.operator_key.ok_or_else(missing)?)
}

fn answer(url: &Url, reply: &Reply) -> Result<Value, BoxError> {
    let body = reply.json().unwrap_or_default();
    if reply.status == StatusCode::OK {
        return Ok(body);
    }
    let detail = body["detail"].as_str().unwrap_or("no reason was given");
    Err(Failure::new(format!("{} answers {}: {detail}", at(url), reply.status)).into())
}

fn show(format: Format, alerts: &[Value], out: &mut impl Write) -> Result<(), BoxError> {
    if format == Format::Json {
        writeln!(out, "{}", Value::from(alerts))?;
        return Ok(out.flush()?);
    }
    for alert in alerts {
        let text = |name: &str| alert[name].as_str().unwrap_or("-").to_owned();
        let count = format!("{}x", alert["count"].as_u64().unwrap_or_default());
        let (id, kind, subject) = (text("id"), text("kind"), text("subject"));
        writeln!(
            out,
            "{id:<8}{kind:<20}{subject:<22}{count:<7}{}  {}",
            text("last_at"),
            plain(&text("detail"))
        )?;
    }
    if alerts.is_empty() {
        writeln!(out, "no alerts")?;
    }
    Ok(out.flush()?)
}

/// Some of what stands in a detail comes from edges: nothing of it may drive a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_table_has_a_line_for_each_and_json_is_one_array() {
        let alert = json!({
            "id": "alr_7", "kind": "batch_refused", "subject": "edg_04hmasw9 money", "count": 3,
            "last_at": "2026-01-02T03:04:05Z", "detail": "not zstd\u{1b}[2J\nalr_8",
        });
        let shown = |format, alerts: &[Value]| {
            let mut out = Vec::new();
            show(format, alerts, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let table = shown(Format::Table, std::slice::from_ref(&alert));
        assert_eq!(
            table,
            "alr_7   batch_refused       edg_04hmasw9 money    3x     2026-01-02T03:04:05Z  not zstd [2J alr_8\n"
        );
        assert_eq!(shown(Format::Table, &[]), "no alerts\n");
        let json = shown(Format::Json, std::slice::from_ref(&alert));
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!([alert]));
    }

    /// Answers each call with one alert, and gives what was asked: the first line and the body.
    async fn answered(listener: TcpListener, calls: usize) -> Vec<(String, String)> {
        let mut asked = Vec::new();
        for _ in 0..calls {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let (mut line, mut length) = (String::new(), 0);
            stream.read_line(&mut line).await.unwrap();
            loop {
                let mut header = String::new();
                stream.read_line(&mut header).await.unwrap();
                match header.trim_end().to_ascii_lowercase().split_once(": ") {
                    Some(("content-length", value)) => length = value.parse().unwrap(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let reply = json!({"id": "alr_7", "count": 3}).to_string();
            let reply = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{reply}",
                reply.len()
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
            let words = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
            asked.push((words, String::from_utf8(body).unwrap()));
        }
        asked
    }

    #[tokio::test]
    async fn it_acknowledges_what_was_seen_and_nothing_more() {
        let alert = "/v1/alerts/alr_7";
        let (read, write) = (format!("GET {alert}"), format!("POST {alert}/acknowledge"));
        for (seen, expected) in [
            (None, vec![(read.as_str(), ""), (&write, r#"{"count":3}"#)]),
            (Some("2"), vec![(&write, r#"{"count":2}"#)]),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let mut args = vec!["alerts", "--api-url", &url, "--operator-key", "k", "--acknowledge", "alr_7"];
            args.extend(seen.iter().flat_map(|seen| ["--seen", seen]));
            let options = Command::try_parse_from(args).unwrap().options;
            let (asked, done) = tokio::join!(answered(listener, expected.len()), run(options));
            done.unwrap();
            let asked: Vec<_> = asked.iter().map(|(line, body)| (line.as_str(), body.as_str())).collect();
            assert_eq!(asked, expected);
        }
        let without = Command::try_parse_from(["alerts", "--seen", "2"]);
        assert!(without.is_err(), "what was seen?");
    }
}
