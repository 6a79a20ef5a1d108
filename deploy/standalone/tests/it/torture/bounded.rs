//! An edge that answers clicks before they are durable: a kill takes nothing, since the kernel has what was written.

use super::verdict::Record;
use super::{BOUNDED, Field, a_moment, minutes};
use crate::harness::temp_dir;
use std::time::Duration;
use tributary::http_client::HttpClient;

/// In the short form, and in the long one.
const KILLS: [usize; 2] = [4, 40];
/// The longest there is: whatever a kill could take, it would.
const SETTINGS: &str = "admin_listen = \"127.0.7.11:7399\"\n\n[spool]\ndurability = \"bounded\"\n\n[spool.bounded]\nwindow_ms = 1000\n";

/// A start may declare that what was answered last is perhaps lost. That is said apart, of clicks alone, and takes none
/// of those that are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_takes_no_click_that_was_answered_before_it_was_durable() {
    let (_guard, dir) = temp_dir();
    std::fs::write(dir.join("edge.toml"), SETTINGS).expect("settings of the edge");
    let mut field = Field::start_at(&dir, BOUNDED).await;
    let metrics = HttpClient::default().get("http://127.0.7.11:7399/metrics", None).await;
    let metrics = metrics.expect("the edge answers").text();
    assert!(metrics.contains("tributary_edge_spool_bounded 1"), "{metrics}");
    let mut record = Record::begin("kills, clicks not durable yet");
    let kills = KILLS[usize::from(minutes() > 0)];
    let again_and_again = async |field: &mut Field| {
        for _ in 0..kills {
            tokio::time::sleep(Duration::from_millis(300) + a_moment()).await;
            field.kill_edge().await;
        }
    };
    let history = field.under_load(again_and_again).await;
    assert!(history.clicks.len() > kills, "there was a load");
    record.add(&history.check(&field.api, &field.operator).await);
    for alert in field.operator.all("/v1/alerts").await {
        if alert["kind"] == "hits_maybe_lost" {
            let subject = alert["subject"].as_str().expect("whom it is about");
            assert!(subject.ends_with(" traffic"), "conversions are never lost: {alert}");
        }
    }
    record.end(field.kills);
    field.stop().await;
}
