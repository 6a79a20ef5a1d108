//! From a conversion at an edge to money in the ledger, once, and provably.

use crate::edge::{Edge, LaneWriter, Publisher, click, click_facts, sale, touch};
use crate::plane::{Catalog, Plane, eventually, seed};
use control_plane_domain::intake::{OrderEventKind, ShardKey};
use control_plane_domain::order::CommissionStatus;
use control_plane_domain::settlement::Statement;
use control_plane_server::app::close_once::CloseRequest;
use control_plane_server::app::orders::{self, NewOrderEvent};
use control_plane_server::app::{clock, close_once, erase, replay, verify};
use control_plane_store::commissions::CommissionRow;
use control_plane_store::conversions::ConversionRow;
use control_plane_store::projection::Who;
use proto_model::event::Authority;
use proto_model::{Address, ClickFacts, Lane, LinkId, VerdictKind};
use std::collections::BTreeMap;

pub struct World {
    pub plane: Plane,
    pub catalog: Catalog,
    pub edge: Edge,
    pub publisher: Publisher,
    pub money: LaneWriter,
    pub traffic: LaneWriter,
}

impl World {
    pub async fn new() -> Self {
        let plane = Plane::start().await;
        let catalog = seed(plane.app()).await;
        let edge = Edge::join(&plane, "one").await;
        let (money, traffic) = (edge.lane(Lane::Money), edge.lane(Lane::Traffic));
        let publisher = edge.open().await;
        Self { plane, catalog, edge, publisher, money, traffic }
    }

    /// Sends one click and gives back its address.
    pub async fn click(&mut self) -> Address {
        let address = self.traffic.address(0);
        let batch = self.traffic.seal(&self.edge.keys.batch_key, &[click(&self.catalog, VerdictKind::Allow)]);
        self.publisher.ack(&batch).await;
        address
    }

    pub async fn sell(&mut self, authority: Authority, click: Option<Address>, order: &str, minor: i64) {
        let facts = click.map(|address| click_facts(&self.catalog, address));
        let event = sale(&self.catalog, authority, facts, order, minor);
        let batch = self.money.seal(&self.edge.keys.batch_key, &[event]);
        self.publisher.ack(&batch).await;
    }

    async fn conversions(&self) -> Vec<ConversionRow> {
        let store = &self.plane.app().store;
        store.list_conversions(self.catalog.tenant, &Default::default(), None, 100).await.unwrap().items
    }

    pub async fn commission(&self, status: CommissionStatus) -> CommissionRow {
        let store = &self.plane.app().store;
        eventually(status.as_str(), async || {
            let page =
                store.list_commissions(self.catalog.tenant, &Default::default(), None, 100).await.unwrap();
            assert!(page.items.len() <= 1, "{:?}", page.items);
            page.items.into_iter().find(|row| row.commission.status == status)
        })
        .await
    }

    pub async fn deliver(&self, order: &str) {
        let event = NewOrderEvent {
            advertiser: self.catalog.advertiser,
            order_id: order.into(),
            event_id: format!("{order} delivered"),
            kind: OrderEventKind::Delivered,
            amount: None,
            occurred_at: None,
        };
        orders::record_order_event(self.plane.app(), self.catalog.tenant, event, "req_test").await.unwrap();
    }

    /// Everything that is credited so far becomes statements.
    pub async fn close(&self) -> Vec<Statement> {
        let idempotency_key = format!("test-{:x}", clock::random_u64());
        let request = CloseRequest { through: None, idempotency_key };
        close_once::close(self.plane.app(), self.catalog.tenant, &request).await.unwrap().statements
    }

    pub fn shards(&self) -> [ShardKey; 2] {
        let Catalog { tenant, advertiser, .. } = self.catalog;
        [ShardKey::advertiser(tenant, advertiser), ShardKey::settlement(tenant)]
    }

    async fn assert_books_balance(&self) {
        assert!(self.plane.app().store.unbalanced(10).await.unwrap().is_empty());
        for shard in self.shards() {
            let report = replay::replay_shard(self.plane.app(), shard).await.unwrap();
            assert_eq!(report.difference, None);
        }
    }
}

#[tokio::test]
async fn a_delivered_sale_is_paid_and_replays_to_the_same_books() {
    let mut world = World::new().await;
    let clicked = world.click().await;
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    let pending = world.commission(CommissionStatus::Pending).await;
    assert_eq!(pending.commission.amount.minor, 1_999);
    assert_eq!(pending.commission.partner, world.catalog.partner);

    world.deliver("A-1").await;
    world.commission(CommissionStatus::Approved).await;
    let tenant = world.catalog.tenant;
    // The credit travels to the settlement shard by itself; close until it has arrived.
    let statement = eventually("a statement", async || world.close().await.into_iter().next()).await;
    assert_eq!(statement.closing_minor, 1_999);
    assert!(statement.payout.is_some());
    world.assert_books_balance().await;

    // The same after a restart, from the files alone.
    let World { plane, catalog, edge, publisher, money, traffic } = world;
    drop(publisher);
    let plane = plane.restart().await;
    let stored = plane.app().store.get_statement(tenant, statement.id).await.unwrap().statement;
    assert_eq!(stored.hash, statement.hash);
    let mut edge = edge;
    edge.follow(&plane);
    let publisher = edge.open().await;
    let world = World { plane, catalog, edge, publisher, money, traffic };
    world.assert_books_balance().await;
    world.plane.stop().await;
}

#[tokio::test]
async fn one_sale_through_two_edges_counts_once_and_a_pixel_never_wins() {
    let mut world = World::new().await;
    let clicked = world.click().await;
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    let second = Edge::join(&world.plane, "two").await;
    let facts = click_facts(&world.catalog, clicked);
    let again = sale(&world.catalog, Authority::TokenPostback, Some(facts), "A-1", 19_990);
    let pixel = sale(&world.catalog, Authority::Pixel, Some(facts), "A-1", 99_990);
    let batch = second.lane(Lane::Money).seal(&second.keys.batch_key, &[again, pixel]);
    second.open().await.ack(&batch).await;

    let row = eventually("the conflict", async || {
        let rows = world.conversions().await;
        assert!(rows.len() <= 1);
        rows.into_iter().find(|row| !row.conversion.conflicts.is_empty())
    })
    .await;
    assert_eq!(row.conversion.amount.map(|amount| amount.minor), Some(19_990));
    assert_eq!(row.conversion.conflicts[0].authority, Authority::Pixel);
    assert_eq!(world.commission(CommissionStatus::Pending).await.commission.amount.minor, 1_999);
    world.assert_books_balance().await;
    world.plane.stop().await;
}

#[tokio::test]
async fn a_page_that_claims_a_customer_does_not_get_the_sale_of_another_click() {
    let mut world = World::new().await;
    let (first, second) = (world.click().await, world.click().await);
    let (carried, claimed) = (click_facts(&world.catalog, first), click_facts(&world.catalog, second));
    let carried = ClickFacts { at_secs: carried.at_secs - 5, ..carried };
    let victim = || Some("customer of A-1".to_owned());
    let mut stuffed = touch(&world.catalog, claimed);
    stuffed.1.customer_id = victim();
    let mut without = sale(&world.catalog, Authority::Signed, None, "B-1", 100);
    without.1.customer_id = victim();
    let with = sale(&world.catalog, Authority::Signed, Some(carried), "A-1", 100);
    world.publisher.ack(&world.money.seal(&world.edge.keys.batch_key, &[stuffed, with, without])).await;

    let rows =
        eventually("both sales", async || Some(world.conversions().await).filter(|rows| rows.len() == 2));
    let decided: BTreeMap<String, Vec<_>> = rows
        .await
        .into_iter()
        .map(|row| {
            let candidates = row.conversion.decision.candidates.into_iter();
            let said = candidates.map(|one| (one.credit.click.address, one.origin.as_str(), one.outcome));
            (row.conversion.key.order_id, said.collect())
        })
        .collect();
    let expected = [(carried.address, "click_id", "won"), (claimed.address, "page_touch", "unvouched")];
    assert_eq!(decided["A-1"], expected, "a later click, and a page's word against the sale's own");
    assert_eq!(decided["B-1"], [(claimed.address, "page_touch", "won")], "nobody knows better");
    world.assert_books_balance().await;
    world.plane.stop().await;
}

#[tokio::test]
async fn a_click_id_that_disagrees_with_the_journal_is_shown() {
    let mut world = World::new().await;
    let clicked = world.click().await;
    // The journal has another offer there; and a link that does not exist at all.
    let mut lying = click_facts(&world.catalog, clicked);
    lying.offer = proto_model::OfferId::new(4_711).unwrap();
    let mut unknown = click_facts(&world.catalog, clicked);
    unknown.link = LinkId::new(4_711).unwrap();
    // This one's click has not arrived yet.
    let early = click_facts(&world.catalog, world.traffic.address(0));
    let mut early_lying = early;
    early_lying.offer = lying.offer;
    let events: Vec<_> = [lying, unknown, early, early_lying]
        .into_iter()
        .enumerate()
        .map(|(n, facts)| sale(&world.catalog, Authority::Pixel, Some(facts), &format!("A-{n}"), 100))
        .collect();
    let batch = world.money.seal(&world.edge.keys.batch_key, &events);
    world.publisher.ack(&batch).await;
    eventually("the conversions", async || (world.conversions().await.len() == 4).then_some(())).await;
    world.click().await;

    let store = world.plane.app().store.clone();
    let mut kinds = eventually("four signals", async || {
        let page = store.list_signals(world.catalog.tenant, None, 10).await.unwrap();
        (page.items.len() == 4)
            .then(|| page.items.into_iter().map(|s| (s.address.ordinal, s.kind)).collect::<Vec<_>>())
    })
    .await;
    kinds.sort();
    let expected = [
        (1, "click_id_disagrees"),
        (2, "click_id_disagrees"),
        (2, "click_link_unknown"),
        (4, "click_id_disagrees"),
    ];
    assert_eq!(kinds, expected.map(|(ordinal, kind)| (ordinal, kind.to_owned())));
    world.plane.stop().await;
}

#[tokio::test]
async fn erasing_a_customer_leaves_chain_and_replay_intact() {
    let mut world = World::new().await;
    let clicked = world.click().await;
    let converted = world.money.address(0);
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    world.commission(CommissionStatus::Pending).await;
    let app = world.plane.app().clone();
    let tenant = world.catalog.tenant;
    assert_eq!(app.store.sidecar_at(tenant, converted).await.unwrap().len(), 1);

    erase::erase(&app, tenant, Who::Customer("customer of A-1".into())).await.unwrap();
    assert!(app.store.sidecar_at(tenant, converted).await.unwrap().is_empty());
    let report = verify::verify_journal(&app.store).await.unwrap();
    assert!(report.ok(), "{report:?}");
    assert_eq!((report.batches, report.events, report.values), (2, 2, 0));
    world.assert_books_balance().await;
    world.plane.stop().await;
}

/// The erasure comes right behind the ack: it must hold for what nobody has projected yet.
#[tokio::test]
async fn an_erasure_holds_for_every_batch_that_was_acked_before_it() {
    let mut world = World::new().await;
    let app = world.plane.app().clone();
    for round in 0..5 {
        let order = format!("A-{round}");
        let first = world.money.address(0);
        let events: Vec<_> =
            (0..50).map(|_| sale(&world.catalog, Authority::TokenPostback, None, &order, 100)).collect();
        let batch = world.money.seal(&world.edge.keys.batch_key, &events);
        world.publisher.ack(&batch).await;
        let customer = format!("customer of {order}");
        let counts = erase::erase(&app, world.catalog.tenant, Who::Customer(customer.clone())).await.unwrap();
        assert_eq!((counts.customers, counts.values), (1, 50));
        assert!(app.store.sidecar_at(world.catalog.tenant, first).await.unwrap().is_empty());
    }
    assert_eq!(verify::verify_journal(&app.store).await.unwrap().values, 0);
    world.plane.stop().await;
}
