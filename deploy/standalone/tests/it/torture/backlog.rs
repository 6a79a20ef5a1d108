//! A sale does not wait for the clicks of an outage.

use super::gateway::{Fate, Mischief};
use super::messages::edge_id;
use super::{Field, PILED, load};
use crate::harness::{click, eventually, temp_dir};
use crate::main_job::assert_balanced;
use crate::outage::clicks_in_reports;
use proto_model::Lane;
use tributary::http_client::HttpClient;

/// As many tasks, and as many clicks of each.
const SHOPPERS: usize = 16;
const CLICKS_EACH: usize = 200;
/// All of them come from one address.
const SETTINGS: &str = "[rate_limit]\nper_second = 1000000\nburst = 1000000\n";

/// Gives the id of one of the clicks.
async fn pile_up(field: &Field) -> String {
    let mut shoppers = tokio::task::JoinSet::new();
    for _ in 0..SHOPPERS {
        let (url, link) = (format!("http://{}", field.edge_at), field.tenant.link.clone());
        shoppers.spawn(async move {
            let client = HttpClient::default();
            let mut last = None;
            for _ in 0..CLICKS_EACH {
                last = Some(click(&client, &url, &link, &[]).await.id().to_owned());
            }
            last.expect("clicks")
        });
    }
    shoppers.join_all().await.pop().expect("shoppers")
}

/// Not one of the clicks has been delivered, of those before it, and its commission is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_passes_the_clicks_of_an_outage() {
    let (_guard, dir) = temp_dir();
    std::fs::write(dir.join("edge.toml"), SETTINGS).expect("settings of the edge");
    let (mut field, gateway) = Field::start_behind_a_gateway(&dir, PILED).await;
    let (client, url) = (HttpClient::default(), format!("http://{}", field.edge_at));
    for is_restarted in [false, true] {
        field.another_tenant().await;
        field.plane.take().expect("running").kill().await;
        let clicked = pile_up(&field).await;
        load::sell(&client, &url, &field.tenant, "first", &clicked).await;
        if is_restarted {
            field.kill_edge().await;
        }
        let kept =
            Mischief { name: "kept back", batches: &[Fate::KeptBack], is_sure: true, ..Mischief::NONE };
        gateway.begin_for(kept, Some(edge_id(&dir.join("edge"))), Some(Lane::Traffic));
        field.start_plane().await;
        load::sell(&client, &url, &field.tenant, "second", &clicked).await;
        for order in ["first", "second"] {
            eventually("its commission", || field.api.commission(order)).await;
        }
        assert_eq!(clicks_in_reports(&field.api).await, 0, "they are on their way yet");
        gateway.end();
        let all = i64::try_from(SHOPPERS * CLICKS_EACH).expect("few");
        eventually("every click", async || (clicks_in_reports(&field.api).await >= all).then_some(())).await;
        assert_eq!(clicks_in_reports(&field.api).await, all, "and none twice");
        assert_eq!(field.api.all("/v1/commissions").await.len(), 2);
        assert_balanced(&field.api).await;
    }
    field.stop().await;
}
