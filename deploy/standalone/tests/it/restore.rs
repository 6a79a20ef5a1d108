//! A control plane that dies, and comes back from a backup that was made while it ran.

use crate::harness::{Api, Up, click, database_of, eventually, temp_dir};
use crate::main_job::{assert_balanced, deliver, wait_for_status};
use crate::outage::clicks_in_reports;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use tributary::http_client::{HttpClient, request};

fn ctl(args: &[&str], dir: &Path, database: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.arg("ctl").args(args).args(["--output", "json", "--data-dir"]).arg(dir);
    command.args(database.iter().flat_map(|url| ["--database", url]));
    command.output().expect("the binary starts")
}

/// What a command that succeeds says.
fn said(output: Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn pg(program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .env("PGOPTIONS", "-c tributary.tenant=-1")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The database of a data directory, where it is on a server: copied and put back by the server's own tools.
struct Server<'a> {
    url: Option<String>,
    dump: &'a Path,
}

/// Runs the line that a backup has printed and that holds this word, as it stands there.
fn run_printed(made: &Value, word: &str, password: &str) {
    let lines = made["commands"].as_array().expect("commands").iter().filter_map(Value::as_str);
    let line = lines.into_iter().find(|line| line.contains(word)).expect("a command");
    assert!(!line.contains(password), "whoever lists processes sees it: {line}");
    let output = Command::new("sh").args(["-c", line]).env("PGPASSWORD", password).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn password_of(url: &str) -> &str {
    url.split(['/', ':', '@']).nth(4).expect("a password")
}

impl Server<'_> {
    /// By what the backup says, into its directory.
    fn back_up(&self, made: &Value) {
        if let Some(url) = &self.url {
            run_printed(made, "pg_dump", password_of(url));
        }
    }

    /// The backup's database in its place, by hand: nobody says that it is one.
    fn put_back_by_hand(&self, dir: &Path, backup: &Path) {
        self.put_back();
        if self.url.is_some() {
            return;
        }
        let database = dir.join("control-plane/tributary.db");
        for log in ["tributary.db-wal", "tributary.db-shm"] {
            let _ = std::fs::remove_file(database.with_file_name(log));
        }
        std::fs::copy(backup.join("tributary.db"), &database).expect("it can be copied");
    }

    /// Everything since the backup is gone.
    fn put_back(&self) {
        let Some(url) = &self.url else { return };
        let server = control_plane_testing::server();
        let name = url.rsplit('/').next().expect("a name").split('?').next().expect("a name");
        let admin = |sql: &str| server.superuser_psql("postgres", sql).expect("the superuser may");
        admin(&format!("DROP DATABASE {name} WITH (FORCE)"));
        admin(&format!("CREATE DATABASE {name} OWNER tributary"));
        let dump = self.dump.to_str().expect("a UTF-8 path");
        pg("pg_restore", &["--no-owner", "--exit-on-error", "--dbname", url, dump]);
    }
}

/// A click on the demo link and what became of it: an order, reported by its postback.
async fn order(up: &Up, id: &str) {
    let click = up.click().await;
    let more = format!("click_id={}&amount=10.00&currency=USD", click.id());
    assert_eq!(up.postback(id, &more).await.status, 202);
}

async fn close_period(up: &Up) -> (u16, Value) {
    let url = format!("{}/v1/settlements", up.text("api_url"));
    let mut request =
        request(Method::POST, &url, Some(up.text("api_key")), Some(&json!({}))).expect("a valid request");
    request.headers_mut().insert("idempotency-key", "one-close".parse().expect("a header value"));
    let reply = up.client.send(request).await.expect("the API answers");
    (reply.status.as_u16(), reply.json().expect("JSON"))
}

async fn clicks_are(api: &Api, wanted: i64) {
    eventually("the clicks", || async { (clicks_in_reports(api).await == wanted).then_some(()) }).await;
}

/// Everything that somebody may have seen before the control plane died.
async fn before_the_crash(up: &Up, dir: &Path, server: &Server<'_>, backup: &Path) {
    let api = up.api();
    for at in 0..3 {
        order(up, &format!("early-{at}")).await;
    }
    clicks_are(&api, 3).await;
    for at in 0..3 {
        wait_for_status(&api, &format!("early-{at}"), "pending").await;
    }
    deliver(up, "early-0").await;
    wait_for_status(&api, "early-0", "approved").await;

    let args = ["backup", "--to", backup.to_str().expect("a UTF-8 path")];
    let made = said(ctl(&args, dir, server.url.as_deref()));
    assert_eq!(made["database"], if server.url.is_some() { "postgres" } else { "sqlite" });
    server.back_up(&made);
    let again = ctl(&args, dir, server.url.as_deref());
    assert_eq!(again.status.code(), Some(3), "a backup is never overwritten");

    for at in 0..4 {
        order(up, &format!("late-{at}")).await;
    }
    // A link that the backup does not know.
    let link = json!({ "offer_id": up.text("demo_offer"), "partner_id": up.text("demo_partner") });
    let link = api.post("/v1/links", link).await;
    let link = link["id"].as_str().expect("an id");
    let on_the_new_link = eventually("the new link on the edge", || async {
        let click = click(&up.client, up.text("edge_url"), link, &[]).await;
        click.click_id
    })
    .await;
    let more = format!("click_id={on_the_new_link}&amount=10.00&currency=USD");
    assert_eq!(up.postback("new-link", &more).await.status, 202);
    clicks_are(&api, 8).await;
    for id in ["late-0", "late-1", "late-2", "late-3", "new-link"] {
        wait_for_status(&api, id, "pending").await;
    }
    deliver(up, "late-0").await;
    wait_for_status(&api, "late-0", "approved").await;
}

fn refused_restores(dir: &Path, server: &Server<'_>, backup: &Path) {
    let from = backup.to_str().expect("a UTF-8 path");
    let code = |args: &[&str]| ctl(args, dir, server.url.as_deref()).status.code();
    if server.url.is_none() {
        assert_eq!(code(&["restore", "--from", from]), Some(3), "there is a database already");
        let damaged = backup.join("keys/api.key");
        let whole = std::fs::read(&damaged).expect("a key");
        std::fs::write(&damaged, b"other").expect("it can be written");
        assert_eq!(code(&["restore", "--from", from, "--replace"]), Some(4), "the backup is damaged");
        std::fs::write(&damaged, whole).expect("it can be written");
    }
    let missing = ctl(&["restore", "--from", "/nowhere"], dir, server.url.as_deref());
    assert_eq!(missing.status.code(), Some(4));
}

#[tokio::test]
async fn what_a_restored_control_plane_has_forgotten_comes_again() {
    let ((_guard, dir), (_backups, backups)) = (temp_dir(), temp_dir());
    let backup = backups.join("it's nightly");
    let dump = backup.join("tributary.dump");
    let server = Server { url: database_of(&dir), dump: &dump };
    let up = Up::start(&dir).await;
    before_the_crash(&up, &dir, &server, &backup).await;
    let args = ["restore", "--replace", "--from", backup.to_str().expect("a UTF-8 path")];
    let running = ctl(&args, &dir, server.url.as_deref());
    assert_eq!(running.status.code(), Some(3), "a control plane is at work");
    up.process.kill().await;
    server.put_back();
    refused_restores(&dir, &server, &backup);
    let restored = said(ctl(&args, &dir, server.url.as_deref()));
    assert_eq!((&restored["restores"], &restored["edges"]), (&json!(1), &json!(1)), "{restored}");

    let up = Up::start(&dir).await;
    let api = up.api();
    clicks_are(&api, 8).await;
    for id in ["early-1", "early-2", "late-0", "late-1", "late-2", "late-3"] {
        let commission = wait_for_status(&api, id, "pending").await;
        assert_eq!(commission["amount"]["amount"], 100, "{id}");
    }
    wait_for_status(&api, "early-0", "approved").await;
    // What nobody but the control plane knew is lost: whose link it was.
    eventually("the order on the lost link", || async { api.conversion("new-link").await }).await;
    let signals = api.all("/v1/fraud-signals").await;
    assert!(signals.iter().any(|signal| signal["kind"] == "click_link_unknown"), "{signals:?}");
    assert!(api.commission("new-link").await.is_none());
    // Nobody but the shop has the order events since the backup: it sends them again, and may send all of them.
    for id in ["early-0", "late-0"] {
        deliver(&up, id).await;
        wait_for_status(&api, id, "approved").await;
    }
    // New numbers for what is new.
    order(&up, "after").await;
    wait_for_status(&api, "after", "pending").await;
    clicks_are(&api, 9).await;
    assert_eq!(api.all("/v1/conversions").await.len(), 9);
    assert_eq!(api.all("/v1/commissions").await.len(), 8);

    let (status, problem) = close_period(&up).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("payouts_frozen")), "{problem}");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("restored from a backup") && detail.contains("/v1/deployment/reconcile"),
        "{detail}"
    );
    let operator = Api::new(up.text("api_url"), up.text("operator_key"));
    let frozen = operator.get("/v1/deployment").await;
    assert!(frozen["restores"] == 1 && frozen["frozen"]["reason"].is_string(), "{frozen}");
    eventually("health says so", || async {
        let health = api.get("/v1/health").await;
        let parts = health["parts"].as_array().expect("parts").clone();
        parts.iter().any(|part| part["part"] == "payouts" && part["status"] == "degraded").then_some(())
    })
    .await;

    let found = operator.post("/v1/deployment/reconcile", json!({})).await;
    assert_eq!(found["reconciled"], true, "{found}");
    assert!(found["edges"][0]["status"] == "whole" && found["journal"]["ok"] == true, "{found}");
    let after = operator.get("/v1/deployment").await;
    assert!(after["frozen"].is_null() && after["reconciliation"]["state"] == "done", "{after}");
    assert_eq!(after["last_reconciliation"]["reconciled"], true, "{after}");
    let (status, closed) = close_period(&up).await;
    assert_eq!((status, closed["statements"][0]["total"]["amount"].is_null()), (201, false), "{closed}");
    assert_balanced(&api).await;
    let replay = api.post("/v1/ledger/replay", json!({})).await;
    assert_eq!(replay["equal"], true, "{replay}");
    up.process.stop().await;
}

/// The edge's disk is replaced after the backup: it writes in an epoch that the backup knows nothing of.
#[tokio::test]
async fn an_edge_goes_on_with_an_epoch_that_was_forgotten() {
    let ((_guard, dir), (_backups, backups)) = (temp_dir(), temp_dir());
    let backup = backups.join("it's nightly");
    let dump = backup.join("tributary.dump");
    let server = Server { url: database_of(&dir), dump: &dump };
    let up = Up::start(&dir).await;
    order(&up, "one").await;
    wait_for_status(&up.api(), "one", "pending").await;
    let to = backup.to_str().expect("a UTF-8 path");
    let made = said(ctl(&["backup", "--to", to], &dir, server.url.as_deref()));
    server.back_up(&made);
    up.process.stop().await;
    std::fs::remove_dir_all(dir.join("edge/spool")).expect("the disk is replaced");
    let up = Up::start(&dir).await;
    order(&up, "two").await;
    wait_for_status(&up.api(), "two", "pending").await;
    up.process.kill().await;
    server.put_back_by_hand(&dir, &backup);
    let restored = said(ctl(&["restore"], &dir, server.url.as_deref()));
    assert!(restored["restores"] == 1 && restored["replaced"].is_null(), "{restored}");

    let up = Up::start(&dir).await;
    let api = up.api();
    clicks_are(&api, 2).await;
    wait_for_status(&api, "two", "pending").await;
    order(&up, "three").await;
    wait_for_status(&api, "three", "pending").await;
    clicks_are(&api, 3).await;
    let operator = Api::new(up.text("api_url"), up.text("operator_key"));
    let found = operator.post("/v1/deployment/reconcile", json!({})).await;
    assert!(found["reconciled"] == true && found["edges"][0]["status"] == "whole", "{found}");
    assert_balanced(&api).await;
    up.process.stop().await;
}

/// The base backup is a superuser's to allow.
#[test]
fn the_printed_commands_copy_a_server() {
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let server =
        control_plane_testing::Server::start(control_plane_testing::Options::default()).expect("a server");
    let database = server.create_database();
    let hba = server.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba).expect("who may come in");
    std::fs::write(&hba, format!("{lines}host replication all 127.0.0.1/32 scram-sha-256\n"))
        .expect("it can be written");
    server.superuser_psql("postgres", "ALTER ROLE tributary REPLICATION").expect("the superuser may");
    server.superuser_psql("postgres", "SELECT pg_reload_conf()").expect("the superuser may");
    let (_guard, dir) = temp_dir();
    std::fs::create_dir(dir.join("keys")).expect("a directory");
    std::fs::write(dir.join("keys/ca.der"), b"key").expect("it can be written");
    let to = dir.join("to day");
    let made = said(ctl(&["backup", "--to", to.to_str().expect("a UTF-8 path")], &dir, Some(&database.url)));
    for word in ["pg_basebackup", "pg_dump"] {
        run_printed(&made, word, password_of(&database.url));
    }
    assert!(to.join("base/PG_VERSION").exists() && to.join("tributary.dump").exists());
}

/// As many tasks, each with an address of its own: what one address may ask for is limited.
const SHOPPERS: usize = 50;
const CLICKS_EACH: usize = 196;
const ORDERS_EACH: usize = 4;

/// Clicks one after the other; the last of them become orders.
async fn shop(client: HttpClient, [edge, link, advertiser, token]: [String; 4], number: usize) {
    let address = format!("203.0.{number}.9");
    for at in 0..CLICKS_EACH {
        let click = click(&client, &edge, &link, &[("x-forwarded-for", &address)]).await;
        let id = click.id();
        if at + ORDERS_EACH >= CLICKS_EACH {
            let url = format!(
                "{edge}/postback/{advertiser}?order_id=o-{number}-{at}&click_id={id}&amount=10.00&currency=USD&token={token}"
            );
            assert_eq!(client.get(&url, None).await.expect("the edge answers").status, 202);
        }
    }
}

/// Clicks in the reports, and what each order earned.
async fn totals(api: &Api) -> (i64, BTreeMap<String, i64>) {
    let minor = |item: &Value| {
        let order = item["order_id"].as_str().expect("an order").to_owned();
        (order, item["amount"]["amount"].as_i64().expect("integer minor units"))
    };
    let commissions = api.all("/v1/commissions").await;
    let earned: BTreeMap<_, _> = commissions.iter().map(minor).collect();
    assert_eq!(earned.len(), commissions.len(), "one commission an order");
    (clicks_in_reports(api).await, earned)
}

async fn totals_are(api: &Api, clicks: usize, orders: usize) -> (i64, BTreeMap<String, i64>) {
    let whole = (i64::try_from(clicks).expect("few"), orders);
    eventually("all clicks and orders", || async {
        let found = totals(api).await;
        ((found.0, found.1.len()) == whole).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_since_the_backup_come_again() {
    let ((_guard, dir), (_backups, backups)) = (temp_dir(), temp_dir());
    let (backup, dump) = (backups.join("t0"), backups.join("t0/tributary.dump"));
    let server = Server { url: database_of(&dir), dump: &dump };
    let up = Up::start(&dir).await;
    order(&up, "before").await;
    totals_are(&up.api(), 1, 1).await;
    let to = backup.to_str().expect("a UTF-8 path");
    server.back_up(&said(ctl(&["backup", "--to", to], &dir, server.url.as_deref())));

    let places = ["edge_url", "demo_link", "demo_advertiser", "postback_token"];
    let mut shoppers = tokio::task::JoinSet::new();
    for number in 0..SHOPPERS {
        shoppers.spawn(shop(up.client.clone(), places.map(|place| up.text(place).to_owned()), number));
    }
    shoppers.join_all().await;
    let (clicks, orders) = (1 + SHOPPERS * CLICKS_EACH, 1 + SHOPPERS * ORDERS_EACH);
    let before = totals_are(&up.api(), clicks, orders).await;
    up.process.kill().await;
    server.put_back();
    said(ctl(&["restore", "--replace", "--from", to], &dir, server.url.as_deref()));

    let up = Up::start(&dir).await;
    let api = up.api();
    assert_eq!(totals_are(&api, clicks, orders).await, before);
    let operator = Api::new(up.text("api_url"), up.text("operator_key"));
    let found = operator.post("/v1/deployment/reconcile", json!({})).await;
    assert!(found["reconciled"] == true && found["edges"][0]["status"] == "whole", "{found}");
    assert_eq!(totals(&api).await, before, "and nothing came twice");
    assert_balanced(&api).await;
    let replay = api.post("/v1/ledger/replay", json!({})).await;
    assert_eq!(replay["equal"], true, "{replay}");
    up.process.stop().await;
}
