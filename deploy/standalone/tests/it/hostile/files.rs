//! Files that are damaged under the process, and before it starts.

use super::field::{Field, IN_CHINA, PROXY};
use super::watch::{Honest, no_panic};
use super::wire::eventually;
use super::{Attack, attack};
use crate::harness;
use serde_json::json;
use std::path::{Path, PathBuf};

pub const WHILE_RUNNING: &[Attack] = &[attack("54 a country database that is broken", broken_database)];

/// It is written over in place, as `cp` would: whoever had mapped the file would fall with it.
fn broken_database(field: &Field) {
    let path = field.dir.join("geo.mmdb");
    let country = || {
        let reply = field.get_from(PROXY, &field.click(), &format!("x-forwarded-for: {IN_CHINA}\r\n"));
        reply.location().is_some_and(|to| to.contains("&c=CN&"))
    };
    assert!(country(), "before");
    let good = std::fs::read(&path).expect("a database");
    let mut flipped = good.clone();
    flipped.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x5a);
    let complaints = || std::fs::read_to_string(&field.log).expect("a log").matches("cannot be used").count();
    std::fs::write(&path, &flipped).expect("written");
    assert!(country(), "right after it was written over");
    std::fs::write(&path, b"").expect("written");
    assert!(country(), "while it is empty");
    std::fs::write(&path, &good[..good.len() / 2]).expect("written");
    assert!(eventually(|| complaints() > 0), "a broken database is complained about");
    assert!(country(), "the last good one stays");
}

/// What happens to a file while nobody looks: its bytes afterwards.
type Damage = fn(&[u8]) -> Vec<u8>;

const DAMAGES: &[(&str, &str, Damage)] = &[
    ("half a manifest", "manifest-", half),
    ("a flipped byte in a signature", "manifest-", |bytes| flip(bytes, bytes.len() - 1)),
    ("an empty manifest", "manifest-", |_| Vec::new()),
    ("a manifest of rubbish", "manifest-", |bytes| vec![0xff; bytes.len()]),
    ("half a chunk", "chunks/", half),
    ("a flipped byte in a chunk", "chunks/", |bytes| flip(bytes, bytes.len() / 2)),
];

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// 55: all snapshots are damaged at once, so that there is none to fall back to. The node starts, obeys nothing that
/// is not signed, and has a new one from the control plane.
pub async fn damage_between_runs(mut field: Field) {
    for (name, kind, damage) in DAMAGES {
        field.edge.take().expect("running").stop().await;
        let files = snapshot_files(&field.dir.join("edge"), kind);
        assert!(!files.is_empty(), "{name}: there are snapshots");
        for file in files {
            let bytes = std::fs::read(&file).expect("a file");
            std::fs::write(&file, damage(&bytes)).expect("written");
        }
        field = field.run().await;
        let running = tokio::task::spawn_blocking(move || {
            let honest = Honest::start(field.http, &field.click());
            honest.goes_on(name);
            drop(honest);
            no_panic(&field.log, name);
            field
        });
        field = running.await.expect("the honest client is served");
        let said = std::fs::read_to_string(&field.log).expect("a log");
        assert!(said.contains("a stored snapshot is unusable"), "{name} is said: {said}");
        std::fs::write(&field.log, "").expect("a new log");
    }
    field.edge.take().expect("running").stop().await;
}

/// 55: a manifest that was good once, under the name of a newer one, is not what it is called.
pub async fn an_older_one_returns(mut field: Field) {
    field.edge.take().expect("running").stop().await;
    for file in snapshot_files(&field.dir.join("edge"), "manifest-") {
        let newer = file.with_file_name(format!("manifest-{:020}", u64::MAX - 7));
        std::fs::copy(file, newer).expect("copied");
    }
    field = field.run().await;
    let said = std::fs::read_to_string(&field.log).expect("a log");
    assert!(said.contains("of another version than its name says"), "{said}");
    // What the control plane says from now on counts, whatever the number of the file.
    let settings = json!({ "settings": { "destination": "https://shop.example/changed" } });
    field.ours.api.patch(&format!("/v1/links/{}", field.ours.link), settings).await;
    let (edge, link) = (field.edge.take().expect("running"), &field.ours.link);
    harness::eventually("the change on the edge", || async {
        let click = harness::click(&field.up.client, edge.text("edge_url"), link, &[]).await;
        let location = click.reply.header("location").expect("a redirect");
        location.starts_with("https://shop.example/changed").then_some(())
    })
    .await;
    edge.stop().await;
    no_panic(&field.log, "an older manifest");
}

/// Of everything below `dir`, what has `kind` in its path below a directory of snapshots.
fn snapshot_files(dir: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(snapshot_files(&path, kind));
        } else if path.display().to_string().contains(kind) {
            found.push(path);
        }
    }
    found
}
