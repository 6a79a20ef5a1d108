//! Books that were really kept: what is sound must not be called otherwise.

use super::Diagnosis;
use crate::harness::{Up, database_of, eventually, temp_dir};
use crate::main_job::{deliver, wait_for_status};
use serde_json::json;

/// A control plane takes its leases up a moment after it says that it is ready.
pub async fn once_at_work(look: impl Fn() -> Diagnosis) -> Diagnosis {
    eventually("everything to be held", || async {
        let diagnosis = look();
        ["nodes", "leases"].iter().all(|name| diagnosis.check(name)["verdict"] == "ok").then_some(diagnosis)
    })
    .await
}

#[tokio::test]
async fn the_books_of_a_closed_period_are_sound_while_it_runs() {
    let (_guard, dir) = temp_dir();
    let up = Up::start(&dir).await;
    for order in ["paid", "returned-later"] {
        let id = up.click().await.id().to_owned();
        let more = format!("click_id={id}&amount=100.00&currency=USD");
        assert_eq!(up.postback(order, &more).await.status, 202);
        wait_for_status(&up.api(), order, "pending").await;
        deliver(&up, order).await;
        wait_for_status(&up.api(), order, "approved").await;
    }
    up.api().post("/v1/settlements", json!({})).await;
    assert_eq!(up.api().all("/v1/payouts").await.len(), 1);

    // The directory of `up`, in which the control plane has one of its own.
    let look = || Diagnosis::of(&dir, database_of(&dir).as_deref(), &["--thorough"]);
    let diagnosis = once_at_work(look).await;
    diagnosis.is_well_but_for(&[]);
    for check in ["ledger", "statements", "journal", "journal.signatures", "edges"] {
        assert_eq!(diagnosis.check(check)["verdict"], "ok", "{:?}", diagnosis.check(check));
    }
    up.process.stop().await;
}
