//! Clicks and conversions by hour and link.

use crate::projection::{batches, clicks};
use crate::world::{NOW, World, append, lease, run_money, store, usd};
use control_plane_domain::intake::{ConversionReport, Input};
use control_plane_store::projection::{HitKind, Projection, RollupKey, Rollups};
use control_plane_store::reports::{LinkHour, ReportFilter};
use proto_model::{LinkId, PartnerId, UnixMicros, VerdictKind};

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

/// Whatever is asked for is read by another index, and is the same as what is left of everything.
#[tokio::test]
async fn a_filter_takes_lines_away_and_changes_none() {
    let store = store().await;
    let (world, other) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let lease = lease(&store).await;
    batches(&store, 3).await;
    let names = |world: &World, n: u64| {
        let (link, partner) = (LinkId::from_random(50 + n), PartnerId::from_random(60 + n % 2));
        if n == 0 { (world.link, world.partner) } else { (link, partner) }
    };
    // Late batches come again to hours that were reported; the other tenant has links of the same numbers.
    for seq in 1..=3u64 {
        let mut rollups = Rollups::default();
        for (n, hours) in (0..4).flat_map(|n| [0, 1, 25, 49].map(|hours| (n, hours))) {
            for (whose, hits) in [(&world, seq + n), (&other, 100)] {
                let (link, partner) = names(&world, n);
                for verdict in [VerdictKind::Allow, VerdictKind::Flag, VerdictKind::Block] {
                    let key = clicks(whose, verdict);
                    let hour = key.hour.plus_secs(-3_600 * hours);
                    let key = RollupKey { hour, link: Some(link), partner: Some(partner), ..key };
                    rollups.add(&key, hits + u64::from(verdict.code()));
                }
            }
        }
        let projection = Projection { rollups, ..Projection::default() };
        assert!(store.commit_projection(&lease, seq, &projection, NOW).await.unwrap());
    }
    for n in 0..4 {
        let (link, partner) = names(&world, n);
        let mut click = world.click(1);
        (click.click.link, click.partner) = (link, partner);
        let report = ConversionReport { click: Some(click), ..world.report(&format!("A-{n}"), 1_000) };
        append(&store, world.shard(), &Input::Conversion(report)).await;
    }
    run_money(&store, &lease).await;

    let (from, until) = (NOW.hour_start().plus_secs(-49 * 3_600), NOW.plus_secs(3_600));
    let all = ReportFilter { from, until, advertiser: None, offer: None, partner: None, link: None };
    let everything = store.report_links(world.tenant, &all, 100).await.unwrap();
    assert_eq!(everything.len(), 4 * 4);
    assert_eq!(everything.iter().map(|line| line.conversions).sum::<u64>(), 4);
    // Each verdict adds its code: what counts is allowed and flagged.
    let sum = |of: fn(&LinkHour) -> u64| everything.iter().map(of).sum::<u64>();
    let (hits, lines) = ((1..=3).flat_map(|seq| (0..4).map(move |n| seq + n)).sum::<u64>(), 4 * 3);
    assert_eq!(sum(|line| line.clicks), 4 * (2 * hits + lines));
    assert_eq!(sum(|line| line.flagged), 4 * (hits + lines));
    assert_eq!(sum(|line| line.blocked), 4 * (hits + 2 * lines));

    let mut links = vec![None, Some(other.link)];
    links.extend((0..4).map(|n| Some(names(&world, n).0)));
    let partners = [None, Some(other.partner), Some(names(&world, 1).1), Some(names(&world, 2).1)];
    let hours = [(from, until), (from.plus_secs(3_600), NOW.hour_start())];
    for ((link, partner), (from, until)) in links
        .iter()
        .flat_map(|link| partners.map(|partner| (*link, partner)))
        .flat_map(|which| hours.map(|hours| (which, hours)))
    {
        let filter = ReportFilter { from, until, link, partner, ..all };
        let expected: Vec<LinkHour> = everything
            .iter()
            .filter(|line| line.hour >= from && line.hour < until)
            .filter(|line| link.is_none_or(|link| line.link == link))
            .filter(|line| partner.is_none_or(|partner| line.partner == partner))
            .cloned()
            .collect();
        let report = store.report_links(world.tenant, &filter, 100).await.unwrap();
        assert_eq!(report, expected, "{filter:?}");
    }
}
