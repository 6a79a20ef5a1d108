//! A disk that fails in the middle of the traffic. strace makes the system calls of the real process fail.

use super::{ALONE, Field, a_moment};
use crate::harness::{Process, temp_dir};
use std::path::Path;
use std::process::Command;

/// Which calls fail, by strace's own words: one, two of them apart, all from there on.
const FAULTS: [&str; 4] = [
    "fdatasync:error=EIO:when=25",
    "fdatasync:error=EIO:when=20+30",
    "pwrite64:error=EIO:when=25",
    "fdatasync:error=EIO:when=40+",
];

fn may_trace() -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("skipped: strace is missing, or may not trace here");
    }
    may
}

/// The edge, with a disk that fails as `fault` says.
async fn failing_edge(dir: &Path, listen: &str, fault: &str) -> Process {
    let (call, _) = fault.split_once(':').expect("a call and its fault");
    let (trace, inject) = (format!("trace={call}"), format!("inject={fault}"));
    let (log, dir) = (dir.with_extension("log"), dir.to_str().expect("a UTF-8 path"));
    let strace =
        ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, env!("CARGO_BIN_EXE_tributary")];
    let edge = ["edge", "run", "--output", "json", "--data-dir", dir, "--listen", listen];
    let args: Vec<&str> = strace.into_iter().chain(edge).collect();
    Process::start_other("strace".as_ref(), &args, &log).await
}

impl Field {
    /// strace ends by itself with the process that it watches.
    async fn kill_traced_edge(&mut self) {
        let traced = self.edge.take().expect("running");
        let parent = traced.pid().to_string();
        let killed = Command::new("pkill").args(["-KILL", "-P", &parent]).status().expect("pkill runs");
        assert!(killed.success());
        traced.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_loses_nothing_that_was_answered() {
    if !may_trace() {
        return;
    }
    let (_guard, dir) = temp_dir();
    let mut field = Field::start_at(&dir, ALONE).await;
    for fault in FAULTS {
        field.edge.take().expect("running").stop().await;
        field.edge = Some(failing_edge(&dir.join("edge"), &field.edge_at, fault).await);
        field.another_tenant().await;
        let history = field
            .under_load(async |field| {
                // What the edge does about it is its own affair; then it is killed on top of it.
                for _ in 0..4 {
                    tokio::time::sleep(a_moment()).await;
                }
                field.kill_traced_edge().await;
                field.start_edge().await;
                tokio::time::sleep(a_moment()).await;
            })
            .await;
        assert!(!history.clicks.is_empty(), "{fault}: there was a load");
        let verdict = history.check(&field.api, &field.operator).await;
        eprintln!("{fault}, {} clicks not kept, and said so\n{verdict}", history.unspooled);
    }
    field.stop().await;
}
