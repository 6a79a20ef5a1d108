//! Starts the real binary in a temporary directory and speaks to it over HTTP.

use http::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tributary::http_client::{HttpClient, Reply, request};

/// Generous: a loaded CI machine is slow, and nothing here measures time.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Process {
    child: Child,
    pub ready: Value,
}

impl Process {
    /// Runs `tributary <args>` and waits for its one line of JSON.
    pub async fn start(args: &[&str]) -> Self {
        Self::start_binary(env!("CARGO_BIN_EXE_tributary").as_ref(), args).await
    }

    /// Of another version.
    pub async fn start_binary(binary: &Path, args: &[&str]) -> Self {
        Self::spawn(binary, args, None).await
    }

    /// What it logs is appended to a file.
    pub async fn start_logged(args: &[&str], log: &Path) -> Self {
        Self::spawn(env!("CARGO_BIN_EXE_tributary").as_ref(), args, Some(log)).await
    }

    /// Another program, which starts ours; fails with what it says if it ends before it is ready.
    pub async fn try_start_other(program: &Path, args: &[&str], log: &Path) -> Result<Self, String> {
        Self::try_spawn(program, args, Some(log)).await
    }

    /// Waits for an end that somebody else has brought about.
    pub async fn ended(mut self) {
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        ended.expect("it ends within the deadline").expect("it can be waited for");
    }

    async fn spawn(binary: &Path, args: &[&str], log: Option<&Path>) -> Self {
        let started = Self::try_spawn(binary, args, log).await;
        started.unwrap_or_else(|said| panic!("{args:?} ended before it was ready {said}"))
    }

    async fn try_spawn(binary: &Path, args: &[&str], log: Option<&Path>) -> Result<Self, String> {
        let stderr = log.map_or_else(Stdio::inherit, |log| {
            std::fs::File::options().create(true).append(true).open(log).expect("a log file").into()
        });
        let mut child = Command::new(binary)
            .args(args)
            .env_remove("TRIBUTARY_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        let line = line.expect("ready within the deadline").expect("stdout is readable");
        let said = || log.map(|log| std::fs::read_to_string(log).expect("a log file")).unwrap_or_default();
        let line = line.ok_or_else(said)?;
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Ok(Self { child, ready })
    }

    /// Runs `tributary <args>`, which must refuse, and gives its reasons.
    pub async fn refused(args: &[&str]) -> String {
        let run = Command::new(env!("CARGO_BIN_EXE_tributary")).args(args).kill_on_drop(true).output();
        let output = tokio::time::timeout(DEADLINE, run).await.expect("it ends").expect("it starts");
        assert!(!output.status.success(), "{args:?} was not refused");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    pub fn text(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {}", self.ready))
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("still running")
    }

    /// SIGKILL: no destructor, no flush.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the process can be killed");
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill runs");
        assert!(sent.success());
    }

    /// SIGTERM, and a clean exit.
    pub async fn stop(mut self) {
        self.signal("TERM").await;
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        let status = status.expect("it stops within the deadline").expect("it can be waited for");
        assert!(status.success(), "a clean exit, not {status}");
    }
}

/// The PostgreSQL database that belongs to a data directory, if the tests were started for that: the same one
/// after a restart.
pub fn database_of(data_dir: &Path) -> Option<String> {
    static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let server = control_plane_testing::chosen()?;
    let mut known = KNOWN.lock().expect("no test panics while it holds this");
    let url = known.entry(data_dir.to_owned()).or_insert_with(|| server.create_database().url);
    Some(url.clone())
}

/// `tributary up` with its demo.
pub struct Up {
    pub process: Process,
    pub client: HttpClient,
}

impl Up {
    pub async fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[]).await
    }

    pub async fn start_with(data_dir: &Path, more: &[&str]) -> Self {
        let dir = data_dir.to_str().expect("a UTF-8 path");
        let mut args = vec!["up", "--output", "json", "--listen", "127.0.0.1:0", "--data-dir", dir];
        args.extend(more);
        let database = database_of(data_dir);
        if let Some(url) = &database {
            args.extend(["--database", url.as_str()]);
        }
        Self { process: Process::start(&args).await, client: HttpClient::default() }
    }

    pub fn text(&self, field: &str) -> &str {
        self.process.text(field)
    }

    pub fn api(&self) -> Api {
        Api::new(self.text("api_url"), self.text("api_key"))
    }

    pub async fn click(&self) -> Click {
        click(&self.client, self.text("edge_url"), self.text("demo_link"), &[]).await
    }

    pub async fn click_with(&self, headers: &[(&str, &str)]) -> Click {
        click(&self.client, self.text("edge_url"), self.text("demo_link"), headers).await
    }

    /// A postback of the demo advertiser with the right token; `more` is appended to the query.
    pub async fn postback(&self, order_id: &str, more: &str) -> Reply {
        let (edge, advertiser) = (self.text("edge_url"), self.text("demo_advertiser"));
        let token = self.text("postback_token");
        let url = format!("{edge}/postback/{advertiser}?order_id={order_id}&token={token}&{more}");
        self.client.get(&url, None).await.expect("the edge answers")
    }

    /// Replies of this edge to `route` with one of these outcomes, from its metrics.
    pub async fn edge_counted(&self, route: &str, outcomes: &[&str]) -> u64 {
        let reply = self.client.get(&format!("{}/metrics", self.text("edge_admin_url")), None).await;
        let text = reply.expect("the edge answers").text();
        let wanted = |line: &&str| {
            line.contains(&format!("route=\"{route}\""))
                && outcomes.iter().any(|outcome| line.contains(&format!("outcome=\"{outcome}\"")))
        };
        text.lines().filter(wanted).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    pub async fn pixel(&self, order_id: &str, more: &str) -> Reply {
        let (edge, advertiser) = (self.text("edge_url"), self.text("demo_advertiser"));
        let url = format!("{edge}/p/{advertiser}.gif?order_id={order_id}&{more}");
        self.client.get(&url, None).await.expect("the edge answers")
    }
}

pub struct Click {
    pub reply: Reply,
    pub click_id: Option<String>,
}

impl Click {
    pub fn id(&self) -> &str {
        self.click_id.as_deref().expect("the redirect carries a click id")
    }
}

pub async fn click(client: &HttpClient, edge_url: &str, link: &str, headers: &[(&str, &str)]) -> Click {
    let mut request =
        request(Method::GET, &format!("{edge_url}/c/{link}"), None, None).expect("a valid request");
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a header name");
        request.headers_mut().insert(name, value.parse().expect("a header value"));
    }
    let reply = client.send(request).await.expect("the edge answers");
    redirected(reply)
}

/// `None` when nobody answers.
pub async fn try_click(client: &HttpClient, edge_url: &str, link: &str) -> Option<Click> {
    client.get(&format!("{edge_url}/c/{link}"), None).await.ok().map(redirected)
}

fn redirected(reply: Reply) -> Click {
    let click_id = reply.header("location").and_then(|location| {
        let query = location.split_once('?')?.1;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == "click_id").map(|(_, value)| value.into_owned())
    });
    Click { reply, click_id }
}

/// The REST interface under one key.
#[derive(Clone)]
pub struct Api {
    base: String,
    key: String,
    client: HttpClient,
}

impl Api {
    pub fn new(base: &str, key: &str) -> Self {
        Self { base: base.to_owned(), key: key.to_owned(), client: HttpClient::default() }
    }

    pub async fn get(&self, path: &str) -> Value {
        let reply =
            self.client.get(&format!("{}{path}", self.base), Some(&self.key)).await.expect("the API answers");
        assert!(reply.status.is_success(), "GET {path}: {} {}", reply.status, reply.text());
        reply.json().expect("JSON")
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.base);
        let mut request = request(Method::POST, &url, Some(&self.key), Some(&body)).expect("a valid request");
        let key = format!("test-{:032x}", u128::from_be_bytes(proto_wire::keys::random::<16>()));
        request.headers_mut().insert("idempotency-key", key.parse().expect("a header value"));
        let reply = self.client.send(request).await.expect("the API answers");
        assert!(reply.status.is_success(), "POST {path}: {} {}", reply.status, reply.text());
        reply.json().expect("JSON")
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.base);
        let request = request(Method::PATCH, &url, Some(&self.key), Some(&body)).expect("a valid request");
        let reply = self.client.send(request).await.expect("the API answers");
        assert!(reply.status.is_success(), "PATCH {path}: {} {}", reply.status, reply.text());
        reply.json().expect("JSON")
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.base);
        let request = request(Method::PUT, &url, Some(&self.key), Some(&body)).expect("a valid request");
        let reply = self.client.send(request).await.expect("the API answers");
        assert!(reply.status.is_success(), "PUT {path}: {} {}", reply.status, reply.text());
        reply.json().expect("JSON")
    }

    pub async fn delete(&self, path: &str) -> Reply {
        let request = request(Method::DELETE, &format!("{}{path}", self.base), Some(&self.key), None);
        self.client.send(request.expect("a valid request")).await.expect("the API answers")
    }

    /// Every item of a list, through all its pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let joiner = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let suffix = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("{path}{joiner}limit=100{suffix}")).await;
            items.extend(page["data"].as_array().expect("data is a list").iter().cloned());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            assert_eq!(page["has_more"].as_bool(), Some(cursor.is_some()));
            if cursor.is_none() {
                return items;
            }
        }
    }

    pub async fn conversion(&self, order_id: &str) -> Option<Value> {
        let mut items = self.all(&format!("/v1/conversions?order_id={order_id}")).await;
        assert!(items.len() <= 1, "one conversion an order: {items:?}");
        items.pop()
    }

    pub async fn commission(&self, order_id: &str) -> Option<Value> {
        let mut items = self.all(&format!("/v1/commissions?order_id={order_id}")).await;
        assert!(items.len() <= 1, "one commission an order: {items:?}");
        items.pop()
    }
}

/// Asks until the answer is there; the deadline only ends a test that would hang.
pub async fn eventually<T, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(DEADLINE, what, ask).await
}

pub async fn within<T, F>(longest: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + longest;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "still waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn temp_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_owned();
    (dir, path)
}

/// A second node on a database must have the first one's.
pub fn copy_keys(from: &Path, to: &Path) {
    let (from, to) = (from.join("keys"), to.join("keys"));
    std::fs::create_dir_all(&to).expect("a directory");
    for file in std::fs::read_dir(from).expect("the keys") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}
