//! A disk that fails in the middle of the traffic. strace makes the system calls of the real process fail, and says so
//! of each.

use super::verdict::{Record, skip};
use super::{FAILING, Field, SWEPT, a_moment, minutes};
use crate::harness::{Process, eventually, temp_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which calls fail, by strace's own words: one, several of them apart, all from there on. Directories are synced by
/// `fsync`, files by `fdatasync`.
const FAULTS: [&str; 7] = [
    "fdatasync:error=EIO:when=25",
    "fdatasync:error=EIO:when=20+30",
    "pwrite64:error=EIO:when=25",
    "pwrite64:error=EIO:when=20+30",
    "fsync:error=EIO:when=5",
    "fsync:error=EIO:when=5+10",
    "fdatasync:error=EIO:when=40+",
];
/// In the long form each of these fails once, at every one of its first calls: those of the start are among them.
const CALLS: [&str; 3] = ["fdatasync", "fsync", "pwrite64"];
const FIRST_CALLS: usize = 50;

/// Why nothing can be traced here, if it cannot.
fn untraceable() -> Option<&'static str> {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let may = tried.is_ok_and(|status| status.success());
    (!may).then_some("strace is missing, or may not trace here")
}

/// An edge whose disk fails, and what strace says of it.
struct Failing<'a> {
    fault: &'a str,
    trace: PathBuf,
}

impl<'a> Failing<'a> {
    fn new(dir: &Path, fault: &'a str) -> Self {
        Self { fault, trace: dir.join(format!("{fault}.trace")) }
    }

    /// Fails with what the edge has to say if it does not start on such a disk.
    async fn start(&self, dir: &Path, listen: &str) -> Result<Process, String> {
        let (call, _) = self.fault.split_once(':').expect("a call and its fault");
        let (calls, inject) = (format!("trace={call}"), format!("inject={}", self.fault));
        let (log, dir) = (dir.with_extension("log"), dir.to_str().expect("a UTF-8 path"));
        let trace = self.trace.to_str().expect("a UTF-8 path");
        // Only what fails is written down (-Z).
        let strace = ["-f", "-qq", "-Z", "-o", trace, "-e", &calls, "-e", &inject];
        let edge = ["edge", "run", "--output", "json", "--data-dir", dir, "--listen", listen];
        let args: Vec<&str> =
            strace.into_iter().chain([env!("CARGO_BIN_EXE_tributary")]).chain(edge).collect();
        Process::try_start_other("strace".as_ref(), &args, &log).await
    }

    /// How often it has failed.
    fn injected(&self) -> usize {
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        trace.lines().filter(|line| line.ends_with("(INJECTED)")).count()
    }

    /// How often it has to, so that it has come to pass.
    fn wanted(&self) -> usize {
        if self.fault.contains('+') { 2 } else { 1 }
    }
}

impl Field {
    /// strace ends by itself with the process that it watches.
    async fn kill_traced_edge(&mut self) {
        let traced = self.edge.take().expect("running");
        let parent = traced.pid().to_string();
        let killed = Command::new("pkill").args(["-KILL", "-P", &parent]).status().expect("pkill runs");
        assert!(killed.success());
        traced.ended().await;
        self.kills += 1;
    }

    /// The disk fails, until it has; what the edge does about it is its own affair; then it is killed on top of it and
    /// has a whole disk again. Gives how often the disk has failed.
    async fn fail(&mut self, fault: &str) -> usize {
        let failing = Failing::new(&self.dir, fault);
        self.edge.take().expect("running").stop().await;
        match failing.start(&self.dir.join("edge"), &self.edge_at).await {
            Ok(edge) => {
                self.edge = Some(edge);
                let what = format!("{fault}: the disk fails");
                eventually(&what, async || (failing.injected() >= failing.wanted()).then_some(())).await;
                tokio::time::sleep(a_moment()).await;
                self.kill_traced_edge().await;
            }
            Err(said) => assert!(failing.injected() > 0, "{fault}: {said}"),
        }
        self.start_edge().await;
        failing.injected()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_loses_nothing_that_was_answered() {
    const TITLE: &str = "a disk that fails";
    if let Some(why) = untraceable() {
        return skip(TITLE, why);
    }
    let (_guard, dir) = temp_dir();
    let mut field = Field::start_at(&dir, FAILING).await;
    let mut record = Record::begin(TITLE);
    for fault in FAULTS {
        field.another_tenant().await;
        let mut faults = 0;
        let history = field
            .under_load(async |field| {
                faults = field.fail(fault).await;
                tokio::time::sleep(a_moment()).await;
            })
            .await;
        assert!(!history.clicks.is_empty(), "{fault}: there was a load");
        record.figures.faults += faults;
        record.add(&history.check(&field.api, &field.operator).await);
    }
    record.end(field.kills);
    field.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_call_fails_nothing_that_was_answered_is_lost() {
    const TITLE: &str = "a disk that fails at each call";
    if minutes() == 0 {
        return;
    }
    if let Some(why) = untraceable() {
        return skip(TITLE, why);
    }
    let (_guard, dir) = temp_dir();
    let mut field = Field::start_at(&dir, SWEPT).await;
    let mut record = Record::begin(TITLE);
    for call in CALLS {
        field.another_tenant().await;
        let mut faults = 0;
        let sweep = async |field: &mut Field| {
            for at in 1..=FIRST_CALLS {
                faults += field.fail(&format!("{call}:error=EIO:when={at}")).await;
            }
        };
        let history = field.under_load(sweep).await;
        record.figures.faults += faults;
        record.add(&history.check(&field.api, &field.operator).await);
    }
    record.end(field.kills);
    field.stop().await;
}
