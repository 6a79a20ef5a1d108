//! What a batch means counts, whatever else stands in it.

use crate::edge::{Edge, sale};
use crate::plane::{Catalog, Plane, eventually, seed};
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_server::app::health::Status;
use control_plane_server::app::project;
use proto_model::event::Authority;
use proto_model::{Lane, TenantId};

#[tokio::test]
async fn a_customer_of_an_unknown_tenant_stops_nobody() {
    let plane = Plane::start().await;
    let catalog = seed(plane.app()).await;
    let edge = Edge::join(&plane, "one").await;
    let mut publisher = edge.open().await;
    let mut money = edge.lane(Lane::Money);
    let ghost = Catalog { tenant: TenantId::from_random(987_654), ..catalog };
    let sold = |catalog, order| sale(catalog, Authority::TokenPostback, None, order, 19_990);
    // Before, between and after those that count, so that nobody gets another one's pseudonym.
    let mixed = [sold(&ghost, "A-1"), sold(&catalog, "A-1"), sold(&ghost, "A-2"), sold(&catalog, "A-2")];
    publisher.ack(&money.seal(&edge.keys.batch_key, &mixed)).await;
    publisher.ack(&money.seal(&edge.keys.batch_key, &[sold(&catalog, "A-1")])).await;

    let store = &plane.app().store;
    eventually("both batches projected", async || {
        (store.projected_through().await.unwrap() == 2).then_some(())
    })
    .await;
    let shard = ShardKey::advertiser(catalog.tenant, catalog.advertiser);
    let items = store.intake_items(shard, 0, 100).await.unwrap();
    let reports: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item.input {
            Input::Conversion(report) => Some((report.key.order_id, report.customer.expect("a customer"))),
            _ => None,
        })
        .collect();
    let orders: Vec<_> = reports.iter().map(|(order, _)| order.as_str()).collect();
    assert_eq!(orders, ["A-1", "A-2", "A-1"]);
    assert_eq!(reports[0].1, reports[2].1, "the same customer");
    assert_ne!(reports[0].1, reports[1].1);
    assert_eq!(plane.status(project::PART), Some(Status::Ok));
    plane.stop().await;
}
