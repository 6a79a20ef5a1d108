//! One batch has its effects exactly once.

use crate::raw::{Place, Raw};
use crate::world::{Edge, NOW, World, edge, lease, store};
use control_plane_domain::intake::{CustomerRef, ShardKey};
use control_plane_store::projection::{
    CustomerKey, FraudSignal, HitKind, LinkTarget, Projection, RefusedKey, RollupKey, SidecarRow, Who,
};
use control_plane_store::reports::{ReportFilter, RuleFilter, RuleHits};
use control_plane_store::{Store, StoreError};
use proto_model::event::PersonalClass;
use proto_model::time::{DAY_US, HOUR_US};
use proto_model::{
    Address, AdvertiserId, Country, DerivedId, DeviceClass, LinkId, Reason, StreamNo, TenantId, UnixMicros,
    VerdictKind,
};

pub fn clicks(world: &World, verdict: VerdictKind) -> RollupKey<'static> {
    RollupKey {
        tenant: world.tenant,
        hour: NOW.hour_start(),
        kind: HitKind::Click,
        advertiser: world.advertiser,
        offer: Some(world.offer),
        partner: Some(world.partner),
        link: Some(world.link),
        country: Country::parse("CN"),
        device: DeviceClass::Mobile,
        verdict,
        rule_id: (verdict != VerdictKind::Allow).then_some("no-bots"),
        rule_set_version: 3,
        unique: false,
    }
}

pub fn value(world: &World, ordinal: u64, class: PersonalClass, customer: Option<CustomerRef>) -> SidecarRow {
    SidecarRow {
        tenant: world.tenant,
        address: Address { stream: StreamNo(2), ordinal },
        class,
        salt: [5; 16],
        value: b"203.0.113.0/24".to_vec(),
        customer,
    }
}

fn signal(world: &World) -> FraudSignal {
    FraudSignal {
        tenant: world.tenant,
        id: DerivedId([4; 16]),
        kind: "click_id_disagrees".into(),
        address: Address { stream: StreamNo(2), ordinal: 1 },
        detail: "another link".into(),
        at: NOW,
    }
}

fn projection(world: &World) -> Projection {
    let refused = RefusedKey {
        tenant: world.tenant,
        hour: NOW.hour_start(),
        advertiser: world.advertiser,
        reason: Reason::BadToken,
    };
    Projection {
        rollups: [
            (clicks(world, VerdictKind::Allow), 5),
            (clicks(world, VerdictKind::Flag), 2),
            (clicks(world, VerdictKind::Block), 1),
        ]
        .into(),
        refused: [(refused, 4)].into(),
        intake: vec![(world.shard(), world.sale("A-1", 10_000)), (world.shard(), world.sale("A-2", 5_000))],
        sidecar: vec![value(world, 1, PersonalClass::Network, None)],
        signals: vec![signal(world), signal(world)],
        alerts: Vec::new(),
    }
}

pub async fn batches(store: &Store, count: u8) -> Edge {
    let edge = edge(store, 1).await;
    for n in 1..=count {
        store.append_batch(&edge.batch(u64::from(n), u64::from(n), [n - 1; 32], n)).await.unwrap();
    }
    edge
}

fn this_hour() -> ReportFilter {
    let from = NOW.hour_start();
    ReportFilter {
        from,
        until: from.plus_secs(3_600),
        advertiser: None,
        offer: None,
        partner: None,
        link: None,
    }
}

async fn clicks_of(store: &Store, world: &World) -> Vec<(u64, u64, u64)> {
    let report = store.report_links(world.tenant, &this_hour(), 10).await.unwrap();
    report.iter().map(|line| (line.clicks, line.flagged, line.blocked)).collect()
}

#[tokio::test]
async fn a_batch_is_projected_exactly_once() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    batches(&store, 2).await;
    let waiting = store.unprojected(10).await.unwrap();
    assert_eq!(
        waiting.iter().map(|row| (row.seq, row.sidecar.is_some())).collect::<Vec<_>>(),
        [(1, true), (2, true)]
    );

    let skipped = store.commit_projection(&lease, 2, &projection(&world), NOW).await;
    assert!(matches!(skipped, Err(StoreError::Conflict("projection_order"))));
    for (expected, what) in [(true, "first"), (false, "second")] {
        let done = store.commit_projection(&lease, 1, &projection(&world), NOW).await.unwrap();
        assert_eq!(done, expected, "{what}");
        assert_eq!(clicks_of(&store, &world).await, [(7, 2, 1)], "{what}");
        assert_eq!(store.intake_items(world.shard(), 1, 10).await.unwrap().len(), 2, "{what}");
        assert_eq!(
            store.list_signals(world.tenant, None, 10).await.unwrap().items,
            [signal(&world)],
            "{what}"
        );
        let refused =
            store.report_refused(world.tenant, NOW.hour_start(), NOW.plus_secs(3_600)).await.unwrap();
        assert_eq!(
            refused.iter().map(|row| (row.reason, row.hits)).collect::<Vec<_>>(),
            [(Reason::BadToken, 4)]
        );
    }
    assert_eq!(store.journal_batch(1).await.unwrap().sidecar, None, "personal values moved on");
    assert!(store.commit_projection(&lease, 2, &projection(&world), NOW).await.unwrap());
    assert_eq!(clicks_of(&store, &world).await, [(14, 4, 2)], "roll-ups add up");
    assert_eq!(store.unprojected(10).await.unwrap(), []);
}

#[tokio::test]
async fn two_projectors_cannot_both_count() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    batches(&store, 1).await;
    let old = lease(&store).await;
    let new = lease(&store).await;
    let fenced = store.commit_projection(&old, 1, &projection(&world), NOW).await;
    assert!(matches!(fenced, Err(StoreError::Fenced)));
    assert_eq!(clicks_of(&store, &world).await, []);
    assert!(store.commit_projection(&new, 1, &projection(&world), NOW).await.unwrap());
}

#[tokio::test]
async fn what_names_nobody_is_left_out_and_stops_nothing() {
    let store = store().await;
    let (world, other, ghost) =
        (World::create(&store, 1).await, World::create(&store, 2).await, World::new(3));
    let lease = lease(&store).await;
    batches(&store, 1).await;
    let mut mixed = projection(&ghost);
    mixed.rollups.add(&clicks(&world, VerdictKind::Allow), 1);
    // An advertiser of another tenant is nobody, too.
    let crossed = ShardKey::advertiser(world.tenant, other.advertiser);
    mixed.intake.extend([(crossed, world.sale("A-1", 1)), (world.shard(), world.sale("A-1", 1))]);
    assert!(store.commit_projection(&lease, 1, &mixed, NOW).await.unwrap());
    assert_eq!(clicks_of(&store, &world).await, [(1, 0, 0)]);
    assert_eq!(clicks_of(&store, &ghost).await, []);
    assert_eq!(store.intake_items(world.shard(), 1, 10).await.unwrap().len(), 1);
    assert_eq!(store.intake_items(other.shard(), 1, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_customer_keeps_one_pseudonym_per_tenant() {
    let store = store().await;
    let (one, two) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let key = |tenant: TenantId, customer_id: &str, n: u8| CustomerKey {
        tenant,
        who: Who::Customer(customer_id.into()),
        candidate: CustomerRef([n; 16]),
    };
    let asked = [
        key(one.tenant, "ann", 1),
        key(two.tenant, "ann", 2),
        key(one.tenant, "bob", 3),
        key(one.tenant, "ann", 4),
    ];
    let visitor = CustomerKey { who: Who::Visitor("ann".into()), ..key(one.tenant, "", 7) };
    let given = store.resolve_customers(&asked).await.unwrap();
    let named =
        |tenant, customer_id: &str, n| ((tenant, Who::Customer(customer_id.into())), CustomerRef([n; 16]));
    let expected = [named(one.tenant, "ann", 1), named(one.tenant, "bob", 3), named(two.tenant, "ann", 2)];
    assert_eq!(given, expected.into());
    let visited = store.resolve_customers(&[visitor]).await.unwrap();
    assert_eq!(visited.into_values().collect::<Vec<_>>(), [CustomerRef([7; 16])], "a visitor is no customer");
    // Who names a tenant that does not exist keeps nobody else from theirs.
    let ghost = World::new(3);
    let mixed = [key(ghost.tenant, "ann", 5), key(one.tenant, "ann", 9), key(ghost.tenant, "bob", 6)];
    assert_eq!(store.resolve_customers(&mixed).await.unwrap(), [named(one.tenant, "ann", 1)].into());
    assert_eq!(store.resolve_customers(&[]).await.unwrap(), [].into());
}

#[tokio::test]
async fn links_are_found_within_their_tenant() {
    let store = store().await;
    let (one, two) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let asked = [(one.tenant, one.link), (one.tenant, two.link), (two.tenant, LinkId::from_random(9))];
    let found = store.links_by_id(&asked).await.unwrap();
    let World { tenant, advertiser, program, offer, partner, link } = one;
    let target = LinkTarget { offer, partner, program, advertiser };
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [((tenant, link), target)]);
}

#[tokio::test]
async fn reports_by_rule() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    batches(&store, 1).await;
    let blocked = clicks(&world, VerdictKind::Block);
    let earlier = RollupKey { hour: blocked.hour.plus_secs(-3_600), ..blocked };
    let sale = RollupKey { kind: HitKind::Conversion, link: None, ..blocked };
    let mut projection = projection(&world);
    // What is shown alone is no line of this report.
    let shown = RollupKey { kind: HitKind::Impression, rule_set_version: 99, ..blocked };
    projection.rollups.extend([(earlier, 9), (sale, 6), (shown, 7)]);
    store.commit_projection(&lease, 1, &projection, NOW).await.unwrap();
    let hours = RuleFilter { from: UnixMicros(0), until: UnixMicros(i64::MAX), period_us: HOUR_US };
    let rows = async |filter: &RuleFilter, skip, limit| {
        let rows = store.report_rules(world.tenant, filter, skip, limit).await.unwrap();
        let row = |row: RuleHits| ((NOW.0 - row.start.0) / HOUR_US, row.rule_id, row.clicks, row.conversions);
        rows.into_iter().map(row).collect::<Vec<_>>()
    };
    let bots = || Some("no-bots".to_owned());
    let all = [(0, None, 5, 0), (0, bots(), 2, 0), (0, bots(), 1, 6), (1, bots(), 9, 0)];
    assert_eq!(rows(&hours, 0, 10).await, all);
    assert_eq!(rows(&hours, 2, 1).await, all[2..3]);
    assert_eq!(rows(&RuleFilter { from: NOW.hour_start(), ..hours }, 0, 10).await, all[..3]);
    let days = RuleFilter { period_us: DAY_US, ..hours };
    let days: Vec<_> = rows(&days, 0, 10).await.into_iter().map(|row| (row.2, row.3)).collect();
    assert_eq!(days, [(5, 0), (2, 0), (10, 6)]);
    let filter = ReportFilter { advertiser: Some(AdvertiserId::from_random(9)), ..this_hour() };
    assert_eq!(store.report_links(world.tenant, &filter, 10).await.unwrap(), []);
}

#[tokio::test]
async fn batches_with_clicks_are_found_by_tenant_and_verdict() {
    let store = store().await;
    let (one, two) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let lease = lease(&store).await;
    batches(&store, 3).await;
    let sale = RollupKey { kind: HitKind::Conversion, ..clicks(&one, VerdictKind::Allow) };
    let all = [
        vec![(clicks(&one, VerdictKind::Block), 1), (clicks(&two, VerdictKind::Allow), 7)],
        vec![(clicks(&two, VerdictKind::Flag), 1), (sale, 2)],
        vec![(clicks(&one, VerdictKind::Allow), 1), (clicks(&one, VerdictKind::Flag), 1)],
    ];
    for (seq, rollups) in (1..).zip(all) {
        let projection = Projection { rollups: rollups.into_iter().collect(), ..Projection::default() };
        assert!(store.commit_projection(&lease, seq, &projection, NOW).await.unwrap());
    }
    let cases: [(&World, Option<VerdictKind>, u64, &[u64]); 7] = [
        (&one, None, u64::MAX, &[3, 1]),
        (&one, None, 2, &[1]),
        (&one, Some(VerdictKind::Block), u64::MAX, &[1]),
        (&one, Some(VerdictKind::Flag), u64::MAX, &[3]),
        (&two, None, u64::MAX, &[2, 1]),
        (&two, Some(VerdictKind::Allow), u64::MAX, &[1]),
        (&two, Some(VerdictKind::Block), u64::MAX, &[]),
    ];
    for (world, verdict, through, expected) in cases {
        let found = store.click_batches(world.tenant, verdict, through, 10).await.unwrap();
        assert_eq!(found, expected, "{verdict:?} {through}");
    }
    assert_eq!(store.click_batches(one.tenant, None, u64::MAX, 1).await.unwrap(), [3]);
}

#[tokio::test]
async fn who_reads_for_long_does_not_stop_the_projection_of_a_new_day() {
    // SQLite has no parts, and its readers keep nobody waiting.
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let place = Place::new().await;
    let store = place.open().await;
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    batches(&store, 3).await;
    let (mut reader, mut owner) = (Raw::open(&place.url).await, Raw::open(&place.url).await);
    reader.run("BEGIN").await.unwrap();
    reader.run("SELECT 1 FROM rollup_links_other").await.unwrap();

    for (seq, hits) in [(1, (7, 2, 1)), (2, (14, 4, 2))] {
        assert!(store.commit_projection(&lease, seq, &projection(&world), NOW).await.unwrap());
        assert_eq!(clicks_of(&store, &world).await, [hits]);
    }
    assert_eq!(owner.count("rollup_links_other").await, 3, "what falls beside the days");
    let waits = store.make_days_ahead(NOW).await;
    assert!(matches!(waits, Err(StoreError::Busy(_))), "{waits:?}");

    reader.run("COMMIT").await.unwrap();
    store.make_days_ahead(NOW).await.unwrap();
    let parts = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_d[0-9]{8}$'";
    assert_eq!(owner.number(parts).await, 5 * 2, "today and tomorrow");
    for table in ["links", "facts", "rules", "refused"] {
        assert_eq!(owner.count(&format!("rollup_{table}_other")).await, 0, "{table}");
    }
    assert_eq!(clicks_of(&store, &world).await, [(14, 4, 2)], "moved, not lost");
    assert!(store.commit_projection(&lease, 3, &projection(&world), NOW).await.unwrap());
    assert_eq!(clicks_of(&store, &world).await, [(21, 6, 3)]);
    assert_eq!(owner.count("rollup_links_other").await, 0);
}
