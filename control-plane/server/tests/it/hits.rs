//! The feed of hits: every kind with its fate, past other tenants' batches, and never a word of theirs.

use crate::edge::{Edge, Publisher, click, click_facts, impression, refused_click, sale, touch};
use crate::plane::{Catalog, Plane, eventually, seed};
use control_plane_server::app::hits::{self, Feed, Hit, HitFilter};
use control_plane_server::app::links::{self, LinkPatch};
use control_plane_server::app::settings::LinkSettingsBody;
use proto_model::event::{Authority, Body};
use proto_model::{ClickFlags, Lane, Reason, VerdictKind};
use std::time::Duration;

const ALL: HitFilter = HitFilter { link: None, advertiser: None, test: None };
const AT_ONCE: Duration = Duration::ZERO;
/// Far beyond anything healthy.
const LONG: Duration = Duration::from_secs(30);

fn kind(hit: &Hit) -> &'static str {
    match hit.event.body {
        Body::Click(_) => "click",
        Body::Impression(_) => "impression",
        Body::Touch(_) => "touch",
        Body::Conversion(_) => "conversion",
        Body::Refused(_) => "refused",
    }
}

fn kinds(feed: &Feed) -> Vec<&'static str> {
    feed.hits.iter().map(kind).collect()
}

/// Everything after the place, `limit` hits at a time.
async fn all(plane: &Plane, catalog: &Catalog, filter: HitFilter, limit: usize) -> Vec<Hit> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let feed = hits::follow(plane.app(), catalog.tenant, filter, after, limit, AT_ONCE).await.unwrap();
        assert!(feed.hits.len() <= limit && feed.next >= after);
        found.extend(feed.hits);
        if !feed.more {
            return found;
        }
        assert!(feed.next > after, "every call gets on");
        after = feed.next;
    }
}

async fn make_test_link(plane: &Plane, catalog: &Catalog) {
    let settings = LinkSettingsBody { test: true, ..LinkSettingsBody::default() };
    let patch = LinkPatch { settings: Some(settings), ..LinkPatch::default() };
    links::change_link(plane.app(), catalog.tenant, catalog.link, patch).await.unwrap();
}

/// One hit of every kind for `mine`, among those of `yours`.
async fn publish_all_kinds(edge: &Edge, publisher: &mut Publisher, mine: &Catalog, yours: &Catalog) {
    let (mut traffic, mut money) = (edge.lane(Lane::Traffic), edge.lane(Lane::Money));
    let facts = click_facts(mine, traffic.address(0));
    let hits = [
        click(mine, VerdictKind::Flag),
        click(yours, VerdictKind::Allow),
        impression(mine),
        refused_click(mine, Reason::NotTargeted),
    ];
    publisher.ack(&traffic.seal(&edge.keys.batch_key, &hits)).await;
    let hits = [
        touch(mine, facts),
        sale(mine, Authority::TokenPostback, Some(facts), "m-1", 1_000),
        sale(yours, Authority::TokenPostback, None, "y-1", 1_000),
    ];
    publisher.ack(&money.seal(&edge.keys.batch_key, &hits)).await;
}

#[tokio::test]
async fn every_kind_comes_oldest_first_and_only_to_its_tenant() {
    let plane = Plane::start().await;
    let (mine, yours) = (seed(plane.app()).await, seed(plane.app()).await);
    let edge = Edge::join(&plane, "one").await;
    let mut publisher = edge.open().await;
    publish_all_kinds(&edge, &mut publisher, &mine, &yours).await;
    let expected = ["click", "impression", "refused", "touch", "conversion"];
    for limit in [1, 2, 100] {
        let found = all(&plane, &mine, ALL, limit).await;
        assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), expected, "{limit}");
        assert!(found.iter().all(|hit| hit.event.tenant == mine.tenant && !hit.test));
        assert!(found.iter().all(|hit| hit.target.is_some_and(|target| target.partner == mine.partner)));
        let found = all(&plane, &yours, ALL, limit).await;
        assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), ["click", "conversion"], "{limit}");
    }
    let outcome =
        eventually("the books' word", async || all(&plane, &mine, ALL, 100).await.pop()?.conversion).await;
    assert_eq!((outcome.conversion.key.order_id.as_str(), outcome.link), ("m-1", Some(mine.link)));

    let count = async |filter| all(&plane, &mine, filter, 100).await.len();
    assert_eq!(count(HitFilter { link: Some(yours.link), ..ALL }).await, 0);
    assert_eq!(count(HitFilter { advertiser: Some(yours.advertiser), ..ALL }).await, 0);
    assert_eq!(count(HitFilter { link: Some(mine.link), ..ALL }).await, 5);
    assert_eq!(count(HitFilter { advertiser: Some(mine.advertiser), ..ALL }).await, 5);
    plane.stop().await;
}

#[tokio::test]
async fn tests_are_told_apart_also_where_nobody_took_the_click() {
    let plane = Plane::start().await;
    let (tested, live) = (seed(plane.app()).await, seed(plane.app()).await);
    make_test_link(&plane, &tested).await;
    let edge = Edge::join(&plane, "one").await;
    let mut publisher = edge.open().await;
    let mut traffic = edge.lane(Lane::Traffic);
    let mut of_test_link = click(&tested, VerdictKind::Allow);
    if let Body::Click(click) = &mut of_test_link.0.body {
        click.flags = ClickFlags(ClickFlags::TEST);
    }
    let hits = [
        of_test_link,
        refused_click(&tested, Reason::Expired),
        click(&tested, VerdictKind::Allow),
        refused_click(&live, Reason::Expired),
        refused_click(&live, Reason::Test),
    ];
    publisher.ack(&traffic.seal(&edge.keys.batch_key, &hits)).await;
    let only = |test| HitFilter { test: Some(test), ..ALL };
    let kinds_of =
        async |catalog, filter| all(&plane, catalog, filter, 2).await.iter().map(kind).collect::<Vec<_>>();
    assert_eq!(kinds_of(&tested, only(true)).await, ["click", "refused"]);
    assert_eq!(kinds_of(&tested, only(false)).await, ["click"]);
    assert_eq!((kinds_of(&live, only(true)).await.len(), kinds_of(&live, only(false)).await.len()), (1, 1));
    plane.stop().await;
}

#[tokio::test]
async fn one_call_is_bounded_and_gets_past_the_batches_of_others() {
    let plane = Plane::start().await;
    let (quiet, busy) = (seed(plane.app()).await, seed(plane.app()).await);
    let edge = Edge::join(&plane, "one").await;
    let mut publisher = edge.open().await;
    let mut traffic = edge.lane(Lane::Traffic);
    for _ in 0..40 {
        let batch = traffic.seal(&edge.keys.batch_key, &[click(&busy, VerdictKind::Allow)]);
        publisher.ack(&batch).await;
    }
    publisher.ack(&traffic.seal(&edge.keys.batch_key, &[click(&quiet, VerdictKind::Allow)])).await;
    let follow = |after| hits::follow(plane.app(), quiet.tenant, ALL, after, 10, LONG);
    let first = follow(0).await.unwrap();
    assert!(first.hits.is_empty() && first.more, "not all of it at once, and no waiting either");
    let second = follow(first.next).await.unwrap();
    assert_eq!((kinds(&second), second.more), (vec!["click"], false));
    assert_eq!(second.next, hits::now(plane.app()).await.unwrap());
    plane.stop().await;
}

#[tokio::test]
async fn who_waits_is_woken_by_the_next_hit_and_by_the_end() {
    let plane = Plane::start().await;
    let (mine, yours) = (seed(plane.app()).await, seed(plane.app()).await);
    let edge = Edge::join(&plane, "one").await;
    let mut publisher = edge.open().await;
    let mut traffic = edge.lane(Lane::Traffic);
    let from = hits::now(plane.app()).await.unwrap();
    let app = plane.app().clone();
    let waiting =
        tokio::spawn(async move { hits::follow(&app, mine.tenant, ALL, from, 10, LONG).await.unwrap() });
    for catalog in [&yours, &mine] {
        let batch = traffic.seal(&edge.keys.batch_key, &[click(catalog, VerdictKind::Block)]);
        publisher.ack(&batch).await;
    }
    let feed = waiting.await.unwrap();
    assert_eq!(kinds(&feed), ["click"]);

    let app = plane.app().clone();
    let waiting =
        tokio::spawn(async move { hits::follow(&app, mine.tenant, ALL, feed.next, 10, LONG).await });
    plane.stop().await;
    assert!(waiting.await.unwrap().is_ok_and(|feed| feed.hits.is_empty()));
}
