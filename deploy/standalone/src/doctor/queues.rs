//! What the projector and the money engine have not come to: whether they are behind, or something stands in the way.

use super::report::Report;
use control_plane_server::app::ahead::{Ahead, look_ahead};
use control_plane_store::Store;
use control_plane_store::doctor::Work;
use proto_model::UnixMicros;
use proto_model::time::SECOND_US;

const WAITED: i64 = 60 * SECOND_US;

pub async fn check(store: &Store, at_work: bool, report: &mut Report) {
    let now = match store.database_time().await {
        Ok(now) => now,
        Err(error) => {
            report.failed("projector", &error);
            return report.failed("money", &error);
        }
    };
    let late = |since: Option<UnixMicros>| {
        let waited = since.map_or(0, |since| now.0.saturating_sub(since.0));
        (waited > WAITED).then_some(waited / SECOND_US)
    };
    projector(store, at_work, late, report).await;
    money(store, at_work, late, report).await;
}

type Seconds = i64;

const NOBODY: &str = "no control plane is at work: start one";

async fn projector(
    store: &Store,
    at_work: bool,
    late: impl Fn(Option<UnixMicros>) -> Option<Seconds>,
    report: &mut Report,
) {
    const CHECK: &str = "projector";
    match store.waiting_for_projector().await {
        Err(error) => report.failed(CHECK, &error),
        Ok(Work { items, since }) => match late(since) {
            None => report.ok(CHECK, format!("{items} batches wait for the projector")),
            Some(seconds) => {
                let found = format!("{items} batches wait for the projector, the oldest for {seconds} s");
                let fix = "run doctor again: if there are fewer, it is only behind; if not, /v1/health and the log \
                    name what it stands before";
                report.warning(CHECK, found, if at_work { fix } else { NOBODY });
            }
        },
    }
}

async fn money(
    store: &Store,
    at_work: bool,
    late: impl Fn(Option<UnixMicros>) -> Option<Seconds>,
    report: &mut Report,
) {
    const CHECK: &str = "money";
    let (work, ahead) = match (store.waiting_for_engine().await, look_ahead(store).await) {
        (Ok(work), Ok(ahead)) => (work, ahead),
        (Err(error), _) | (_, Err(error)) => return report.failed(CHECK, &error),
    };
    let found = format!("{} intake items wait for the money engine", work.items);
    let Ahead { still, frozen, since } = ahead;
    if let Some(first) = still.first() {
        let others = match still.len() - 1 {
            0 => String::new(),
            more => format!("; {more} others do"),
        };
        let found = format!("{found}; {first}{others}");
        let fix = "the other shards go on, and this one is tried again by itself: do what the message says";
        report.warning(CHECK, found, fix);
    } else if let Some(seconds) = late(since).filter(|_| !at_work) {
        report.warning(CHECK, format!("{found}, the oldest for {seconds} s"), NOBODY);
    } else if let Some(seconds) = late(since) {
        let found = format!("{found}, the oldest for {seconds} s: nothing stands in its way, it is behind");
        let fix = "run doctor again: if there are not fewer, look at the load of the machine and of the database, \
            and at the log of who holds the lease";
        report.warning(CHECK, found, fix);
    } else if frozen > 0 {
        report.ok(CHECK, format!("{found}; {frozen} shards go on when payouts are no longer frozen"));
    } else {
        report.ok(CHECK, found);
    }
}
