//! A process that is told to stop before it is ready.

use crate::harness::{DEADLINE, eventually, temp_dir};
use control_plane_testing::Proxy;
use std::process::Stdio;
use tokio::process::Command;

/// Of PostgreSQL alone: an embedded database does not fall silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_a_silent_server_can_be_stopped() {
    let Some(server) = control_plane_testing::chosen() else { return };
    for command in [&["control-plane", "run"][..], &["up"][..]] {
        let proxy = Proxy::to(server.port()).expect("a port is free");
        let url = server.create_database().url;
        let url = url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
        // Whoever changes tables may take its time: no limit ends that wait.
        proxy.silence_at("pg_advisory_lock", false);
        let (_guard, dir) = temp_dir();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(command)
            .args(["--listen", "127.0.0.1:0", "--data-dir", dir.to_str().expect("a UTF-8 path")])
            .args(["--database", &url])
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        eventually("it waits", || async { (proxy.fallen() > 0).then_some(()) }).await;
        let pid = child.id().expect("still running").to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().await.expect("kill runs").success());
        let ended = tokio::time::timeout(DEADLINE, child.wait()).await.expect("it ends");
        assert!(ended.expect("it can be waited for").success(), "{command:?}");
    }
}
