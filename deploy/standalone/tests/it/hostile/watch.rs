//! The honest client, and what can be seen of the process from outside.

use super::field::Field;
use super::wire::{Reply, connect, eventually};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Clicks on one connection, as a browser would keep it for a while.
const CLICKS_A_CONNECTION: usize = 20;
/// Between two clicks: it is one visitor, not a load test.
const THINKS: Duration = Duration::from_millis(2);

/// Clicks until it is dropped; its thread panics at the first answer that is not a redirect with a click id.
pub struct Honest {
    clicks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Honest {
    pub fn start(edge: SocketAddr, path: &str) -> Self {
        let (clicks, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped, path) = (Arc::clone(&clicks), Arc::clone(&stop), path.to_owned());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                visit(edge, &path, &counted);
            }
        });
        Self { clicks, stop, thread: Some(thread) }
    }

    pub fn clicks(&self) -> u64 {
        self.clicks.load(Ordering::Relaxed)
    }

    /// Until it has clicked some more. Fails when it has met an error.
    pub fn goes_on(&self, what: &str) {
        let before = self.clicks();
        let clicked_or_failed = || self.clicks() >= before + 3 || self.failed();
        assert!(eventually(clicked_or_failed), "{what}: the honest client waits for ever");
        assert!(!self.failed(), "{what}: the honest client met an error");
    }

    fn failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the honest client met an error");
    }
}

fn visit(edge: SocketAddr, path: &str, counted: &AtomicU64) {
    let mut stream = connect(edge);
    for _ in 0..CLICKS_A_CONNECTION {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: edge\r\n\r\n").as_bytes()).expect("sent");
        let reply = Reply::read(&mut stream);
        assert_eq!(reply.status(), 302, "the honest client: {reply:?}");
        assert_eq!(reply.click_id().map(str::len), Some(80), "the honest client: {reply:?}");
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(THINKS);
    }
}

/// Of a process, from what the kernel says of it.
pub struct Vitals {
    pub rss_kib: u64,
    /// The most it has been since `forget_peak`.
    pub peak_kib: u64,
    pub files: usize,
}

impl Vitals {
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").count();
        Self { rss_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:"), files }
    }

    pub fn forget_peak(pid: u32) {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be forgotten");
    }
}

/// One attack with everything that must hold during and after it.
pub fn play(field: &Field, honest: &Honest, attack: &super::Attack) {
    let pid = field.pid();
    honest.goes_on(attack.name);
    Vitals::forget_peak(pid);
    let before = Vitals::of(pid);
    let started = std::time::Instant::now();
    (attack.play)(field);
    honest.goes_on(attack.name);
    // The honest client and the watchers come and go too.
    let mut after = Vitals::of(pid);
    let given_back = || {
        after = Vitals::of(pid);
        after.files <= before.files + 8
    };
    assert!(eventually(given_back), "{}: {} files were open, now {}", attack.name, before.files, after.files);
    let grown = after.peak_kib.saturating_sub(before.rss_kib) / 1024;
    eprintln!("{}: {} ms, at most {grown} MiB more", attack.name, started.elapsed().as_millis());
    assert!(grown <= attack.grows_mib, "{}: memory grew by {grown} MiB", attack.name);
    no_panic(&field.log, attack.name);
    assert_eq!(field.admin("/livez").status(), 200, "{}", attack.name);
}

pub fn no_panic(log: &Path, what: &str) {
    let said = std::fs::read_to_string(log).expect("a log");
    assert!(!said.contains("panicked"), "{what}: {said}");
    assert!(!said.contains('\x1b') && !said.contains("forged-line"), "{what} writes into the log: {said}");
}
