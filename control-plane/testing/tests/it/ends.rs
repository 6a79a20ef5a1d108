//! However a process ends: its server, the keeper and the directory are gone soon after.

use crate::until;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[derive(Clone, Copy, Debug)]
enum When {
    /// The first sign of the server's directory.
    Preparing,
    Running,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Exit,
    Signal(&'static str),
}

#[test]
fn a_server_does_not_outlive_its_process() {
    let cases = [
        (When::Running, End::Exit),
        (When::Running, End::Signal("TERM")),
        (When::Running, End::Signal("KILL")),
        (When::Preparing, End::Signal("KILL")),
    ];
    for (when, end) in cases {
        let place = tempfile::tempdir().unwrap();
        crate::open_to_all(place.path());
        let mut process = start(place.path());
        match when {
            When::Preparing => until(|| servers(place.path()) == 1, "a directory is made"),
            When::Running => {
                let mut line = String::new();
                BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
                assert!(line.starts_with("postgres://tributary:"), "{line}");
                assert!(inhabitants(place.path()) > 2, "the keeper, PostgreSQL and its helpers");
            }
        }
        match end {
            End::Exit => drop(process.stdin.take()),
            End::Signal(name) => send(name, &process),
        }
        let succeeded = process.wait().unwrap().success();
        assert_eq!(succeeded, matches!(end, End::Exit), "{when:?} {end:?}");
        until(|| servers(place.path()) == 0, "the directory is removed");
        until(|| inhabitants(place.path()) == 0, "every process is gone");
    }
}

fn start(place: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane-testing"));
    command.env("TMPDIR", place).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn send(signal: &str, process: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

fn servers(place: &Path) -> usize {
    fs::read_dir(place).unwrap().count()
}

/// Processes that work in a directory below `place`, even one that is removed.
fn inhabitants(place: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let folders = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
    folders.filter(|folder| folder.starts_with(place)).count()
}
