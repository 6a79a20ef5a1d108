//! HTTP/3 can be switched off while the node runs: browsers are told, and connections end.

use super::super::reply::Reply;
use http::header::{ALT_SVC, HeaderValue};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

const OFF_FILE: &str = "http3-off";
const EVERY: Duration = Duration::from_secs(1);
const CLEAR: HeaderValue = HeaderValue::from_static("clear");

pub struct Switch {
    /// Beside `changes`, since it is looked at for each reply.
    on: AtomicBool,
    changes: watch::Sender<bool>,
    alt_svc: HeaderValue,
    file: PathBuf,
}

impl Switch {
    pub fn new(public_port: u16, data_dir: &std::path::Path) -> Self {
        let alt_svc = HeaderValue::try_from(format!("h3=\":{public_port}\"; ma=86400")).unwrap_or(CLEAR);
        let file = data_dir.join(OFF_FILE);
        let on = !file.exists();
        Self { on: AtomicBool::new(on), changes: watch::channel(on).0, alt_svc, file }
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub fn set(&self, on: bool) {
        if self.on.swap(on, Ordering::Relaxed) != on {
            self.changes.send_replace(on);
            tracing::info!("HTTP/3 is {}", if on { "on" } else { "off: browsers are told to forget it" });
        }
    }

    /// Tells a browser that came another way.
    pub fn advertise(&self, reply: &mut Reply) {
        let value = if self.is_on() { self.alt_svc.clone() } else { CLEAR };
        reply.headers_mut().insert(ALT_SVC, value);
    }

    /// Resolves when it is switched off.
    pub async fn switched_off(&self) {
        // The sending half is ours.
        let _ = self.changes.subscribe().wait_for(|on| !*on).await;
    }

    /// Follows the file that switches it off. Runs until it is dropped.
    pub async fn follow(self: Arc<Self>) {
        loop {
            self.set(!self.file.exists());
            tokio::time::sleep(EVERY).await;
        }
    }
}
