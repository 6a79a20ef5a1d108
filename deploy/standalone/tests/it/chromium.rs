//! A real browser, driven through chromedriver.

use crate::harness::eventually;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use http::Method;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::ops::Deref;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

const PROGRAMS: [&str; 2] = ["chromedriver", "/usr/lib/chromium/chromedriver"];

const ARGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with a profile of its own.
pub struct Chromium {
    client: Client,
    driver: Child,
}

impl Deref for Chromium {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Chromium {
    pub async fn start(profile: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let driver = start_driver(port);
        Self { client: open_browser(port, profile).await, driver }
    }

    pub async fn close(mut self) {
        self.client.close().await.expect("the browser closes");
        self.driver.kill().await.expect("the driver ends");
    }

    /// What WebDriver has no words for.
    pub async fn devtools(&self, cmd: &'static str, params: Value) {
        self.client.issue_cmd(DevTools { cmd, params }).await.expect("the browser obeys");
    }

    /// From now on every page finds that its visitor has switched Global Privacy Control on, as browsers that have the
    /// switch say it: to the page and to every server.
    pub async fn switch_privacy_control_on(&self) {
        let source =
            "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })";
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setExtraHTTPHeaders", json!({ "headers": { "Sec-GPC": "1" } })).await;
    }
}

#[derive(Debug)]
struct DevTools {
    cmd: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "cmd": self.cmd, "params": self.params }).to_string()))
    }
}

/// `make test` installs Chromium and its driver; without them this test fails rather than pass unseen.
fn start_driver(port: u16) -> Child {
    for program in PROGRAMS {
        let child = Command::new(program)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        if let Ok(child) = child {
            return child;
        }
    }
    panic!(
        "chromedriver was not found: run `make test`, or install the packages chromium and chromium-driver"
    );
}

async fn open_browser(port: u16, profile: &Path) -> Client {
    let profile = format!("--user-data-dir={}", profile.display());
    let args: Vec<&str> = ARGS.into_iter().chain([profile.as_str()]).collect();
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": args }));
    eventually("the browser", || async {
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        ClientBuilder::new(connector)
            .capabilities(capabilities.clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .ok()
    })
    .await
}
