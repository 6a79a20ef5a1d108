//! Locks are taken in one order, so that nobody waits for who waits for them. SQLite has one writer.

use crate::faults::{private, someone_waits};
use crate::raw::Raw;
use crate::world::{NOW, edge};
use control_plane_store::Store;
use control_plane_store::journal::AppendOutcome;
use control_plane_testing::Options;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_takes_its_edge_before_its_stream_as_sessions_do() {
    let Some((server, url)) = private(Options::default()) else { return };
    let (one, two) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let edge = edge(&one, 1).await;
    let batch = edge.batch(1, 1, [0; 32], 1);
    // As a session that is being opened: it has the edge, and goes on to the streams.
    let mut raw = Raw::open(&url).await;
    raw.run("BEGIN").await.unwrap();
    raw.run("UPDATE edges SET last_seen_at = 1").await.unwrap();
    let appending = tokio::spawn(async move { one.append_batch(&batch).await });
    someone_waits(&server).await;
    raw.run("SELECT 1 FROM streams FOR UPDATE NOWAIT").await.unwrap();
    raw.run("COMMIT").await.unwrap();
    assert!(matches!(appending.await.unwrap().unwrap(), AppendOutcome::Appended { .. }));
    let opened = two.open_session(edge.id, edge.epoch.epoch, &[], NOW).await.unwrap();
    assert_eq!(opened.heads.iter().map(|head| head.last_ordinal).max(), Some(1));
}
