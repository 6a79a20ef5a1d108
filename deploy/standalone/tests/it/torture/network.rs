//! A network between edge and control plane that loses answers, breaks and drips.

use super::verdict::Record;
use super::{FAR, FARTHER, Field, a_moment, minutes};
use crate::harness::temp_dir;
use control_plane_testing::Proxy;
use std::time::Duration;

/// A few batches take seconds at this.
const DRIP: u64 = 40_000;
/// In the long form.
const ROUNDS: usize = 10;

/// One thing after the other; each leaves a network that works. Gives how many there were.
async fn misbehave(field: &mut Field, proxy: &Proxy) -> usize {
    let mut faults = 0;
    // What was journalled is not known to be: it is sent again, byte for byte.
    for _ in 0..3 {
        tokio::time::sleep(a_moment()).await;
        proxy.lose_answers();
        tokio::time::sleep(a_moment()).await;
        proxy.cut();
        faults += 2;
    }
    // In the middle of whatever is under way.
    for _ in 0..5 {
        tokio::time::sleep(a_moment() / 4).await;
        proxy.cut();
        faults += 1;
    }
    proxy.set_pace(Some(DRIP));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1) + a_moment()).await;
        proxy.cut();
        faults += 1;
    }
    // The edge dies while it does not know what has arrived.
    proxy.lose_answers();
    tokio::time::sleep(a_moment()).await;
    field.kill_edge().await;
    proxy.set_pace(None);
    proxy.cut();
    tokio::time::sleep(a_moment()).await;
    faults + 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_loses_breaks_and_drips_doubles_nothing() {
    let (_guard, dir) = temp_dir();
    let (mut field, proxy) = Field::start_behind_a_proxy(&dir, FAR).await;
    let mut record = Record::begin("a network that loses and breaks");
    for _ in 0..if minutes() == 0 { 1 } else { ROUNDS } {
        field.another_tenant().await;
        let mut faults = 0;
        let history = field.under_load(async |field| faults = misbehave(field, &proxy).await).await;
        assert!(!history.clicks.is_empty(), "there was a load");
        record.figures.faults += faults;
        record.add(&history.check(&field.api, &field.operator).await);
    }
    record.end(field.kills);
    field.stop().await;
}

/// Half-open for as long as it takes the edge to find that out: half a minute and more, so in the long form alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_falls_silent_is_noticed() {
    if minutes() == 0 {
        return;
    }
    let (_guard, dir) = temp_dir();
    let (mut field, proxy) = Field::start_behind_a_proxy(&dir, FARTHER).await;
    let mut record = Record::begin("a network that falls silent");
    let silence = async |_: &mut Field| {
        tokio::time::sleep(a_moment()).await;
        proxy.silence();
        // Nobody cuts these: the edge has to give them up by itself.
        tokio::time::sleep(Duration::from_secs(45)).await;
    };
    let history = field.under_load(silence).await;
    record.figures.faults += 1;
    record.add(&history.check(&field.api, &field.operator).await);
    record.end(field.kills);
    field.stop().await;
}
