//! Clicks and conversions by hour and link.

use crate::projection::{batches, clicks};
use crate::world::{NOW, World, append, lease, run_money, store, usd};
use control_plane_domain::intake::{ConversionReport, Input};
use control_plane_store::projection::{HitKind, Projection, RollupKey};
use control_plane_store::reports::ReportFilter;
use proto_model::{UnixMicros, VerdictKind};

#[tokio::test]
async fn clicks_conversions_and_money_meet_in_one_line() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    batches(&store, 1).await;
    let click = clicks(&world, VerdictKind::Allow);
    let earlier = RollupKey { hour: click.hour.plus_secs(-3_600), ..click };
    let unique = RollupKey { unique: true, ..click };
    let shown = RollupKey { kind: HitKind::Impression, ..click };
    let blocked = RollupKey { verdict: VerdictKind::Block, unique: true, ..click };
    let (hidden, tested) =
        (RollupKey { verdict: VerdictKind::Block, ..shown }, RollupKey { kind: HitKind::Test, ..click });
    let hits = [(click, 1), (unique, 2), (shown, 70), (blocked, 4), (hidden, 5), (tested, 6), (earlier, 1)];
    let projection = Projection { rollups: hits.into(), ..Projection::default() };
    store.commit_projection(&lease, 1, &projection, NOW).await.unwrap();
    for (order, minor) in [("A-1", 10_000), ("A-2", 5_000)] {
        append(&store, world.shard(), &world.sale(order, minor)).await;
    }
    let nobody = Input::Conversion(ConversionReport { click: None, ..world.report("A-3", 1) });
    append(&store, world.shard(), &nobody).await;
    run_money(&store, &lease).await;

    let from = NOW.hour_start().plus_secs(-3_600);
    let filter = ReportFilter {
        from,
        until: from.plus_secs(7_200),
        advertiser: Some(world.advertiser),
        offer: Some(world.offer),
        partner: Some(world.partner),
        link: Some(world.link),
    };
    let report = store.report_links(world.tenant, &filter, 10).await.unwrap();
    let [now, before] = &report[..] else { panic!("{report:?}") };
    assert_eq!((now.hour, now.clicks, now.conversions), (NOW.hour_start(), 3, 2));
    assert_eq!((now.unique_clicks, now.impressions, now.blocked), (2, 70, 4));
    assert_eq!((&now.sales[..], &now.commissions[..]), (&[usd(15_000)][..], &[usd(1_500)][..]));
    assert_eq!((before.hour, before.clicks, before.conversions), (from, 1, 0));
    assert_eq!(store.report_links(world.tenant, &filter, 1).await.unwrap(), report[..1]);
    let later = ReportFilter { from: NOW.hour_start(), ..filter };
    assert_eq!(store.report_links(world.tenant, &later, 10).await.unwrap(), report[..1]);
}

#[tokio::test]
async fn a_report_goes_back_as_far_as_its_rows_need() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    batches(&store, 1).await;
    let hours_ago = [0, 1, 2, 6, 7, 43, 44, 300, 2_100];
    let one = clicks(&world, VerdictKind::Allow);
    let at = |hours: i64| RollupKey { hour: one.hour.plus_secs(-3_600 * hours), ..one };
    let rollups = hours_ago.into_iter().map(|hours| (at(hours), 1)).collect();
    let projection = Projection { rollups, ..Projection::default() };
    store.commit_projection(&lease, 1, &projection, NOW).await.unwrap();

    let anyone = ReportFilter {
        from: at(3_000).hour,
        until: NOW.plus_secs(3_600),
        advertiser: None,
        offer: None,
        partner: None,
        link: None,
    };
    let of_link = ReportFilter { link: Some(world.link), ..anyone };
    for filter in [anyone, of_link, ReportFilter { from: UnixMicros(at(44).hour.0 - 1), ..of_link }] {
        let found: Vec<UnixMicros> =
            hours_ago.into_iter().map(|hours| at(hours).hour).filter(|hour| *hour >= filter.from).collect();
        for limit in 1..=hours_ago.len() {
            let report = store.report_links(world.tenant, &filter, limit as u32).await.unwrap();
            let hours: Vec<UnixMicros> = report.iter().map(|row| row.hour).collect();
            assert_eq!(hours, found[..limit.min(found.len())], "{filter:?}, at most {limit}");
        }
    }
}
