//! A disk without space: nothing is half done, and it goes on when there is space again.

use crate::faults::recovers;
use crate::world::{Edge, World, edge};
use control_plane_store::journal::{AppendOutcome, NewBatch};
use control_plane_store::{DatabaseUrl, Store, StoreError};
use control_plane_testing::{Options, Server};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A small file system in memory, if this process may mount one.
struct Disk(TempDir);

impl Disk {
    fn new(mebibytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let size = format!("size={mebibytes}m,mode=1777");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        eprintln!("skipped: mounting a small disk takes the rights of root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all space but this.
    fn fill(&self, but_kibibytes: usize) {
        let _ = fs::write(self.filler(), vec![0u8; 512 << 20]);
        let taken = fs::metadata(self.filler()).unwrap().len();
        let file = fs::File::options().write(true).open(self.filler()).unwrap();
        file.set_len(taken.saturating_sub(u64::try_from(but_kibibytes << 10).unwrap())).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that is being stopped may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

fn batch(edge: &Edge, at: u8) -> NewBatch {
    NewBatch { payload: vec![at; 200 << 10], ..edge.batch(at.into(), at.into(), [at - 1; 32], at) }
}

async fn fills_up_and_goes_on(disk: &Disk, url: &DatabaseUrl) {
    let store = Store::open(url).await.unwrap();
    World::create(&store, 1).await;
    let edge = edge(&store, 1).await;
    store.append_batch(&batch(&edge, 1)).await.unwrap();
    disk.fill(600);
    let mut at = 2;
    let error = loop {
        match store.append_batch(&batch(&edge, at)).await {
            Ok(outcome) => assert!(matches!(outcome, AppendOutcome::Appended { .. }), "{outcome:?}"),
            Err(error) => break error,
        }
        at += 1;
    };
    assert!(matches!(error, StoreError::CannotWrite(_)), "{error:?}");
    let last = u64::from(at - 1);
    let count = store.journal_count().await.unwrap();
    assert_eq!((count.batches, count.highest_seq, count.given), (last, last, last), "nothing is half done");
    disk.free();
    let outcome = recovers(async || store.append_batch(&batch(&edge, at)).await).await;
    assert_eq!(outcome, AppendOutcome::Appended { seq: at.into() });
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_of_an_embedded_database() {
    let Some(disk) = Disk::new(8) else { return };
    let url = format!("sqlite://{}", disk.path().join("tributary.db").display()).parse().unwrap();
    fills_up_and_goes_on(&disk, &url).await;
}

#[tokio::test]
async fn a_full_disk_of_a_server() {
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let Some(disk) = Disk::new(200) else { return };
    // Its log has its space from the beginning: without any the server would stop, and start again.
    let server =
        Server::start(Options { parent: Some(disk.path().to_owned()), ..Options::default() }).unwrap();
    let url = server.create_database().url.parse().unwrap();
    fills_up_and_goes_on(&disk, &url).await;
    drop(server);
}
