//! Messages between edge and control plane that are lost, come twice, out of turn, too late or altered.

use super::gateway::{Fate, Gateway, Mischief};
use super::history::History;
use super::verdict::Record;
use super::{ALTERED, BESIDE, Field, READ, UNREAD, a_moment, authority, edge_at, join, load, minutes};
use crate::failover::tenant;
use crate::harness::{Api, DEADLINE, click, eventually, temp_dir, within};
use crate::outage::wait_for_link;
use edge::Identity;
use proto_model::{EdgeId, Lane};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tributary::http_client::HttpClient;

pub fn edge_id(edge_dir: &Path) -> EdgeId {
    Identity::load(edge_dir).expect("an edge that is enrolled").edge
}

impl Gateway {
    /// Until enough of it has come to pass; of many kinds, not each has to.
    async fn wreak(&self, mischief: Mischief) {
        self.begin(mischief);
        let enough = 2 * (mischief.batches.len() + mischief.answers.len());
        // Much of it comes by chance, and on a busy machine seldom.
        within(10 * DEADLINE, mischief.name, || async {
            let late = if mischief.speaks_late { 2 } else { 0 };
            // The edge has just gone on to a new epoch.
            let outdated = usize::from(mischief.batches.contains(&Fate::Replayed));
            let refused = self.fenced() >= late && self.outdated() >= outdated;
            (self.faults() >= enough && refused).then_some(())
        })
        .await;
        let (fenced, outdated) = (self.fenced(), self.outdated());
        eprintln!("{}: {:?}, {fenced} fenced, {outdated} outdated", mischief.name, self.befallen());
        self.end();
    }

    /// Since the mischief began.
    fn faults(&self) -> usize {
        self.befallen().values().sum()
    }

    /// So many more batches of the lane get through.
    pub async fn progress(&self, edge: EdgeId, lane: Lane, batches: usize) {
        let goal = self.answered(edge, lane) + batches;
        let what = format!("the {} lane goes on", lane.as_str());
        eventually(&what, || async { (self.answered(edge, lane) >= goal).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mischief_with_messages_loses_nothing_and_doubles_nothing() {
    let (_guard, dir) = temp_dir();
    let (mut field, gateway) = Field::start_behind_a_gateway(&dir, READ).await;
    let (began, length) = (Instant::now(), Duration::from_secs(60 * minutes()));
    let mut record = Record::begin("mischief with messages");
    loop {
        for mischief in Mischief::KINDS {
            if mischief.batches.contains(&Fate::Replayed) {
                field.renew_spool().await;
            }
            field.another_tenant().await;
            let history = field.under_load(async |_| gateway.wreak(mischief).await).await;
            assert!(!history.clicks.is_empty() && !history.orders.is_empty(), "there was a load");
            record.figures.faults += gateway.faults();
            record.add(&history.check(&field.api, &field.operator).await);
        }
        if began.elapsed() >= length {
            break;
        }
    }
    record.end(field.kills);
    field.stop().await;
}

/// Half-open for as long as it takes the edge to find that out: half a minute, so in the long form alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_reads_is_given_up() {
    if minutes() == 0 {
        return;
    }
    let (_guard, dir) = temp_dir();
    let (mut field, gateway) = Field::start_behind_a_gateway(&dir, UNREAD).await;
    let mut record = Record::begin("a session that nobody reads");
    let unread = Mischief { name: "unread", batches: &[Fate::Silent], ..Mischief::NONE };
    // The second time needs a second session.
    let history = field.under_load(async |_| gateway.wreak(unread).await).await;
    record.figures.faults = gateway.faults();
    record.add(&history.check(&field.api, &field.operator).await);
    record.end(field.kills);
    field.stop().await;
}

/// The lane stands still, and only the lane, until it was tried again. Nobody has to look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_altered_on_the_way_is_refused_and_sent_again() {
    let (_guard, dir) = temp_dir();
    let (mut field, gateway) = Field::start_behind_a_gateway(&dir, ALTERED).await;
    let edge = edge_id(&dir.join("edge"));
    let mut record = Record::begin("batches altered on their way");
    let cases: [(Fate, &[Fate]); 2] = [(Fate::Damaged, &[Fate::Damaged]), (Fate::Forged, &[Fate::Forged])];
    for (fate, batches) in cases {
        field.another_tenant().await;
        // While the lane stands still there are no clicks, and the other one has only their orders.
        let mut history = clicks(&field, 12).await;
        let ids = history.clicks.clone();
        let mischief = Mischief { name: "altered", batches, ..Mischief::NONE };
        let load = field
            .under_load(async |field| {
                gateway.begin_for(mischief, None, Some(Lane::Traffic));
                eventually("it is altered", || async { gateway.befallen().get(&fate).copied() }).await;
                sell_one_by_one(field, &gateway, edge, &ids).await;
                gateway.end();
                gateway.progress(edge, Lane::Traffic, 1).await;
            })
            .await;
        history.add(load);
        history.orders.extend((0..ids.len()).map(|number| format!("kept-{number}")));
        history.orders_sent += ids.len();
        record.figures.faults += gateway.faults();
        record.add(&history.check(&field.api, &field.operator).await);
    }
    record.end(field.kills);
    field.stop().await;
}

async fn clicks(field: &Field, count: usize) -> History {
    let client = HttpClient::default();
    let mut history = History::default();
    for _ in 0..count {
        let click = click(&client, &format!("http://{}", field.edge_at), &field.tenant.link, &[]).await;
        history.sent += 1;
        history.clicks.push(click.id().to_owned());
    }
    history
}

/// Each in a batch of its own.
async fn sell_one_by_one(field: &Field, gateway: &Gateway, edge: EdgeId, clicks: &[String]) {
    let (client, url) = (HttpClient::default(), format!("http://{}", field.edge_at));
    for (number, click) in clicks.iter().enumerate() {
        let before = gateway.answered(edge, Lane::Money);
        load::sell(&client, &url, &field.tenant, &format!("kept-{number}"), click).await;
        eventually("its batch", || async { (gateway.answered(edge, Lane::Money) > before).then_some(()) })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_kept_waiting_keeps_nobody_waiting() {
    let (_guard, dir) = temp_dir();
    let (mut field, gateway) = Field::start_behind_a_gateway(&dir, BESIDE).await;
    let mut record = Record::begin("a lane that is kept waiting");
    let (edge, other_dir) = (edge_id(&dir.join("edge")), dir.join("other"));
    join(&field.operator, &other_dir, Some(&gateway)).await;
    let other = edge_at(&other_dir, BESIDE).await;
    let other_edge = edge_id(&other_dir);
    let other_tenant = tenant(&field.operator, &field.api_url).await;
    wait_for_link(&HttpClient::default(), &other, &other_tenant.link).await;
    let stop = Arc::new(AtomicBool::new(false));
    let url = format!("http://{}", authority(other.text("edge_url")));
    let shopper = tokio::spawn(load::shopper(0, url, other_tenant.clone(), stop.clone()));

    let mut faults = 0;
    let history = field
        .under_load(async |_| {
            // Clicks are kept back: conversions go on.
            let kept = Mischief { name: "kept back", batches: &[Fate::KeptBack], ..Mischief::NONE };
            gateway.begin_for(kept, Some(edge), Some(Lane::Traffic));
            eventually("some are kept back", || async { gateway.befallen().get(&Fate::KeptBack).copied() })
                .await;
            gateway.progress(edge, Lane::Money, 5).await;
            gateway.end();
            faults += gateway.faults();
            gateway.progress(edge, Lane::Traffic, 1).await;
            // Nobody reads the one edge: the other goes on.
            let silent = Mischief { name: "silent", batches: &[Fate::Silent], ..Mischief::NONE };
            gateway.begin_for(silent, Some(edge), None);
            eventually("silence", || async { gateway.befallen().get(&Fate::Silent).copied() }).await;
            gateway.progress(other_edge, Lane::Traffic, 5).await;
            gateway.progress(other_edge, Lane::Money, 5).await;
            gateway.end();
            faults += gateway.faults();
            tokio::time::sleep(a_moment()).await;
        })
        .await;
    stop.store(true, Ordering::Relaxed);
    let others = shopper.await.expect("the load went well");
    for (history, key) in [(history, &field.tenant.key), (others, &other_tenant.key)] {
        let api = Api::new(&field.api_url, key);
        record.add(&history.check(&api, &field.operator).await);
    }
    record.figures.faults = faults;
    record.end(field.kills);
    other.stop().await;
    field.stop().await;
}
