//! Old days are not kept for ever, and what is left still proves itself.

use crate::money::World;
use crate::plane::{Plane, eventually};
use control_plane_server::app::health::Status;
use control_plane_server::app::{clock, recent, retention};
use control_plane_server::{Config, StartError, start};
use proto_model::Address;
use proto_model::event::Authority;

impl World {
    pub async fn projected(&self) {
        let store = &self.plane.app().store;
        let given = store.journal_count().await.unwrap().given;
        eventually("all of it projected", async || {
            (store.projected_through().await.unwrap() == given).then_some(())
        })
        .await;
    }

    async fn has_conversions(&self, expected: usize) {
        let (store, tenant) = (&self.plane.app().store, self.catalog.tenant);
        eventually("the conversions", async || {
            let page = store.list_conversions(tenant, &Default::default(), None, 100).await.unwrap();
            (page.items.len() == expected).then_some(())
        })
        .await;
    }

    /// A click and a sale, of which the days are over and dropped; then another sale with the same click, and
    /// another click.
    async fn cut() -> (Self, Address, Address) {
        let mut world = Self::new().await;
        let old = world.click().await;
        world.sell(Authority::TokenPostback, Some(old), "A-1", 19_990).await;
        world.projected().await;
        let later = clock::now().plus_days(2);
        let dropped = world.plane.app().store.drop_journal_before(later, later).await.unwrap();
        assert_eq!((dropped.batches, dropped.through_seq), (2, 2));
        // The control plane's own worker ends what it finds begun, so that either may have counted them.
        eventually("personal values go with their day", async || {
            let (store, tenant) = (&world.plane.app().store, world.catalog.tenant);
            store.sidecar_at(tenant, old).await.unwrap().is_empty().then_some(())
        })
        .await;
        let new = world.click().await;
        world.sell(Authority::TokenPostback, Some(old), "A-2", 9_990).await;
        world.projected().await;
        (world, old, new)
    }
}

#[tokio::test]
async fn what_is_left_verifies_and_the_books_know_no_difference() {
    let (world, old, new) = World::cut().await;
    let found = world.verify().await;
    assert!(found.ok(), "{found:?}");
    assert_eq!((found.streams, found.batches, found.events, found.values), (2, 2, 2, 2));
    assert_eq!(found.dropped, 2);
    let later = clock::now().plus_days(2);
    assert!(found.dropped_before.is_some_and(|before| before <= later), "{found:?}");
    let mut from: Vec<u64> = found.cut.iter().map(|cut| cut.from.ordinal).collect();
    from.dedup();
    assert_eq!((found.cut.len(), from), (2, vec![2]));

    // Nobody accuses a conversion whose click is not kept any more.
    world.has_conversions(2).await;
    let (app, tenant) = (world.plane.app(), world.catalog.tenant);
    assert_eq!(app.store.list_signals(tenant, None, 10).await.unwrap().items, []);
    assert_eq!(app.store.batch_at(old).await.unwrap(), None);
    let listed = recent::clicks(app, tenant, None, None, 10).await.unwrap().items;
    assert_eq!(listed.iter().map(|click| click.address).collect::<Vec<_>>(), [new]);
    assert_eq!(world.differences().await, [None, None]);
    world.plane.stop().await;
}

#[tokio::test]
async fn whatever_changes_in_what_is_left_is_found() {
    let (world, ..) = World::cut().await;
    let mut raw = world.database().await;
    let cases = [
        (
            format!("UPDATE journal SET payload = {} WHERE lane = 1", raw.flipped("payload", 5)),
            "not the one its signed",
        ),
        ("DELETE FROM journal WHERE lane = 1".into(), "its head stands at 2"),
        ("DELETE FROM journal WHERE lane = 1".into(), "1 batches"),
        ("UPDATE journal_anchors SET last_ordinal = 0".into(), "ordinals are missing"),
        (
            format!("UPDATE journal_anchors SET head_hash = {}", raw.flipped("head_hash", 5)),
            "the chain does not continue",
        ),
        ("UPDATE journal_anchors SET last_ordinal = 2".into(), "holds 0 batches"),
        ("DELETE FROM journal_anchors".into(), "ordinals are missing"),
        ("UPDATE journal_head SET dropped_through = 1".into(), "1 dropped"),
        ("UPDATE journal_head SET dropped_through = 3".into(), "3 dropped"),
    ];
    let tables = ["journal", "journal_anchors", "journal_head"];
    for table in tables {
        raw.run(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    for (sql, expected) in cases {
        raw.run(&sql).await;
        let found = world.verify().await;
        assert!(found.problems.iter().any(|problem| problem.what.contains(expected)), "{sql}: {found:?}");
        for table in tables {
            raw.run(&format!("DELETE FROM {table}")).await;
            raw.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
        assert!(world.verify().await.ok(), "{sql}");
    }
    drop(raw);
    world.plane.stop().await;
}

#[tokio::test]
async fn its_health_is_shown_and_too_few_days_are_refused() {
    let plane = Plane::start().await;
    eventually("retention at work", async || {
        (plane.status(retention::PART) == Some(Status::Ok)).then_some(())
    })
    .await;
    plane.stop().await;
    let dir = tempfile::tempdir().unwrap();
    let config = Config { keep_journal_days: Some(1), ..Config::local(dir.path()) };
    let refused = start(config).await.err();
    assert!(matches!(refused, Some(StartError::Retention(_))), "{refused:?}");
}
