//! `tributary ctl alerts`: what an operator must look at, and that somebody has.

use super::Format;
use super::api::{at, path, permit};
use crate::error::{BoxError, Failure};
use crate::http_client::{HttpClient, Reply};
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
    /// Say of this alert that you have looked at it; shows it as it is then.
    #[arg(long, value_name = "ALERT", conflicts_with_all = ["all", "kind"])]
    acknowledge: Option<String>,
    /// `json` is one array.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub async fn run(options: Options) -> Result<(), BoxError> {
    permit(&options.api_url, options.insecure)?;
    let (client, key) = (HttpClient::over_tls()?, key(&options)?);
    let alerts = match &options.acknowledge {
        Some(id) => {
            let url = path(&options.api_url, &["v1", "alerts", id, "acknowledge"])?;
            vec![answer(&url, &client.post_json(url.as_str(), Some(&key), &json!({})).await?)?]
        }
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
}
