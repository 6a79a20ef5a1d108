//! The edge goes on without the control plane, and everything arrives after it returns, once.

use crate::harness::{Api, Process, click, database_of, eventually, temp_dir};
use http::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tributary::http_client::{HttpClient, request};

/// Clicks that the hourly report counts, of every verdict.
pub async fn clicks_in_reports(api: &Api) -> i64 {
    api.all("/v1/reports/hourly").await.iter().map(|row| row["clicks"].as_i64().expect("a count")).sum()
}

pub async fn control_plane(dir: &Path, api: &str, grpc: &str, more: &[&str]) -> Process {
    Process::start(&args_of(dir, api, grpc, more, database_of(dir).as_deref())).await
}

/// What it says is kept beside its data.
pub async fn quiet_control_plane(dir: &Path, api: &str, grpc: &str, more: &[&str]) -> Process {
    let log = dir.with_extension("log");
    Process::start_logged(&args_of(dir, api, grpc, more, database_of(dir).as_deref()), &log).await
}

fn args_of<'a>(
    dir: &'a Path,
    api: &'a str,
    grpc: &'a str,
    more: &[&'a str],
    database: Option<&'a str>,
) -> Vec<&'a str> {
    let dir = dir.to_str().expect("a UTF-8 path");
    let mut args = vec!["control-plane", "run", "--output", "json", "--data-dir", dir, "--listen", api];
    args.extend(["--grpc-listen", grpc]);
    args.extend(more);
    args.extend(database.iter().flat_map(|url| ["--database", url]));
    args
}

pub async fn edge(dir: &Path) -> Process {
    let dir = dir.to_str().expect("a UTF-8 path");
    Process::start(&["edge", "run", "--output", "json", "--data-dir", dir, "--listen", "127.0.0.1:0"]).await
}

pub fn enroll(dir: &Path, bundle: &str) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["edge", "enroll", "--bundle", "-", "--data-dir", dir.to_str().expect("a UTF-8 path")])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("stdin is piped").write_all(bundle.as_bytes()).expect("the bundle is read");
    child.wait().expect("it ends").success()
}

/// A tenant with one link, made over REST as an operator and then the tenant would.
async fn tenant_with_a_link(operator: &Api, api_url: &str) -> (Api, Value) {
    let tenant = operator.post("/v1/tenants", json!({ "name": "Outage" })).await;
    let key = operator.post("/v1/api-keys", json!({ "tenant_id": tenant["id"], "name": "test" })).await;
    let api = Api::new(api_url, key["secret"].as_str().expect("a secret"));
    let advertiser = api.post("/v1/advertisers", json!({ "name": "Robots" })).await;
    let program =
        api.post("/v1/programs", json!({ "advertiser_id": advertiser["id"], "name": "Main" })).await;
    let offer = json!({
        "program_id": program["id"],
        "name": "Mower",
        "destination": "https://shop.example/mower",
        "terms": {
            "window_days": 30,
            "goals": [{ "goal": "sale", "flat": { "amount": 500, "currency": "USD" } }],
            "hold": { "until_delivered": true, "days": 14 },
        },
    });
    let offer = api.post("/v1/offers", offer).await;
    let partner = api.post("/v1/partners", json!({ "name": "Blog" })).await;
    let link = api.post("/v1/links", json!({ "offer_id": offer["id"], "partner_id": partner["id"] })).await;
    (
        api,
        json!({ "link": link["id"], "advertiser": advertiser["id"], "token": advertiser["postback_token"] }),
    )
}

pub async fn wait_for_link(client: &HttpClient, edge: &Process, link: &str) {
    eventually("the link on the edge", || async {
        // HEAD redirects like a click and counts as nothing.
        let url = format!("{}/c/{link}", edge.text("edge_url"));
        let head = request(Method::HEAD, &url, None, None).expect("a valid request");
        (client.send(head).await.expect("the edge answers").status == 302).then_some(())
    })
    .await;
}

/// SIGKILL: what was answered must be on its disk. It starts again from there, on another port.
async fn kill_and_restart(edges: &mut Vec<Process>, dir: &Path) {
    edges.remove(0).kill().await;
    edges.insert(0, edge(dir).await);
}

#[tokio::test]
async fn an_outage_of_the_control_plane_loses_nothing_and_doubles_nothing() {
    let (_guard, dir) = temp_dir();
    let (cp_dir, edge_dirs) = (dir.join("cp"), [dir.join("edge-1"), dir.join("edge-2")]);
    let cp = control_plane(&cp_dir, "127.0.0.1:0", "127.0.0.1:0", &["--new-operator-key"]).await;
    let operator = Api::new(cp.text("api_url"), cp.text("operator_key"));
    let (api, demo) = tenant_with_a_link(&operator, cp.text("api_url")).await;
    let link = demo["link"].as_str().expect("a link").to_owned();
    let client = HttpClient::default();

    for (number, dir) in edge_dirs.iter().enumerate() {
        let bundle =
            operator.post("/v1/edges/join-bundles", json!({ "name": format!("edge-{number}") })).await;
        let bundle = bundle["bundle"].as_str().expect("a bundle").to_owned();
        assert!(enroll(dir, &bundle), "the first use");
        assert!(!enroll(&dir.with_extension("thief"), &bundle), "a join token works once");
    }
    let mut edges = vec![edge(&edge_dirs[0]).await, edge(&edge_dirs[1]).await];
    for edge in &edges {
        wait_for_link(&client, edge, &link).await;
    }
    let strip = |url: &str| url.rsplit('/').next().expect("an authority").to_owned();
    let (api_listen, grpc_listen) = (strip(cp.text("api_url")), strip(cp.text("grpc_url")));

    let mut clicks = 0;
    let mut last = String::new();
    let mut cp = Some(cp);
    for round in 0..60 {
        // Killed, not stopped, in the middle of the traffic; back later on the same addresses.
        if round == 20 {
            cp.take().expect("running").kill().await;
        }
        if round == 40 {
            cp = Some(control_plane(&cp_dir, &api_listen, &grpc_listen, &[]).await);
        }
        // The first edge answers last, so that a kill follows right upon its reply.
        for edge in edges.iter().rev() {
            let click = click(&client, edge.text("edge_url"), &link, &[]).await;
            assert_eq!(click.reply.status, 302, "redirects never stop");
            last = click.id().to_owned();
            clicks += 1;
        }
        // Every order is reported through both edges.
        if round % 3 == 0 {
            for edge in edges.iter().rev() {
                let (edge, advertiser) = (edge.text("edge_url"), demo["advertiser"].as_str().expect("an id"));
                let token = demo["token"].as_str().expect("a token");
                let url = format!(
                    "{edge}/postback/{advertiser}?order_id=o-{round}&click_id={last}&amount=1.00&currency=USD&token={token}"
                );
                assert_eq!(client.get(&url, None).await.expect("an answer").status, 202);
            }
        }
        // After a postback with the control plane there, after one without it, and after a click.
        if [15, 30, 50].contains(&round) {
            kill_and_restart(&mut edges, &edge_dirs[0]).await;
        }
    }
    eventually("every click", || async { (clicks_in_reports(&api).await == clicks).then_some(()) }).await;
    eventually("every commission", || async { (api.all("/v1/commissions").await.len() == 20).then_some(()) })
        .await;
    eventually("every report", || async {
        let conversions = api.all("/v1/conversions").await;
        let twice = conversions.iter().filter(|conversion| conversion["explain"]["duplicates"] == 1);
        (twice.count() == 20).then_some(())
    })
    .await;
    assert_eq!(clicks_in_reports(&api).await, clicks, "and none twice");
    crate::main_job::assert_balanced(&api).await;
    for edge in edges {
        edge.stop().await;
    }
    cp.expect("running").stop().await;
}
