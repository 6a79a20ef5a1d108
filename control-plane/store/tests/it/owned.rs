//! A tenant with rows in every table, and everything that can be read of it.

use crate::projection::{clicks, value};
use crate::world::{NOW, World, append, edge, lease, run_money};
use control_plane_domain::intake::{CustomerRef, Input, OrderEventKind, Touch, Vouched};
use control_plane_domain::order::Part;
use control_plane_store::Store;
use control_plane_store::catalog::{LinkChange, LinkFilter, NewApiKey};
use control_plane_store::click_leases::{ClickClaim, ClickWant, LeaseTerms};
use control_plane_store::projection::{CustomerKey, FraudSignal, Projection, RefusedKey, RollupKey, Who};
use control_plane_store::reports::{ReportFilter, RuleFilter};
use proto_model::event::PersonalClass;
use proto_model::time::DAY_US;
use proto_model::{Address, Capped, DerivedId, EdgeId, Reason, UnixMicros, VerdictKind};
use std::fmt::Debug;

/// Of everything that has an id, the id.
pub struct Owned {
    pub world: World,
    pub api_key: i64,
    pub secret: [u8; 32],
    pub conversion: DerivedId,
    pub commission: DerivedId,
    pub statement: DerivedId,
    pub payout: DerivedId,
    /// Where personal values of a customer are, and where nobody's.
    pub address: Address,
    pub packed: Address,
}

pub const EVER: ReportFilter = ReportFilter {
    from: UnixMicros(0),
    until: UnixMicros(i64::MAX),
    advertiser: None,
    offer: None,
    partner: None,
    link: None,
};
pub const RULES: RuleFilter = RuleFilter { from: EVER.from, until: EVER.until, period_us: DAY_US };

pub async fn own_everything(store: &Store, n: u64) -> Owned {
    let world = World::create(store, n).await;
    let tenant = world.tenant;
    let secret = [u8::try_from(n).unwrap(); 32];
    let key = NewApiKey { tenant: Some(tenant), name: "key".into(), secret_sha256: secret, created_at: NOW };
    let api_key = store.create_api_key(&key).await.unwrap().id;
    store.publish_rule_set(tenant, "{}", None, NOW).await.unwrap();
    store.create_domain(&world.domain()).await.unwrap();
    let named = LinkChange { vanity: Some(Some(world.vanity())), ..LinkChange::default() };
    store.update_link(tenant, world.link, &named).await.unwrap();
    store.rotate_postback_key(tenant, world.advertiser, secret, NOW).await.unwrap();
    let [address, packed] = project(store, &world, n).await;
    let lease = lease(store).await;
    append(store, world.shard(), &world.sale("A-1", 10_000)).await;
    let customer = CustomerRef([u8::try_from(n).unwrap(); 16]);
    let touch = Touch { customer, click: world.click(1), bound_at: NOW, vouched: Vouched::Page };
    append(store, world.shard(), &Input::Touch(touch)).await;
    append(store, world.shard(), &world.order_event("A-1", OrderEventKind::Delivered)).await;
    run_money(store, &lease).await;
    let close = Input::ClosePeriod { through: NOW };
    store.append_intake_once(world.settlement(), &close, "close", [1; 32], NOW).await.unwrap();
    run_money(store, &lease).await;
    let conversions = store.list_conversions(tenant, &Default::default(), None, 1).await.unwrap();
    let conversion = &conversions.items[0].conversion;
    Owned {
        world,
        api_key,
        secret,
        conversion: conversion.id,
        commission: conversion.commissions[&Part::Whole].id,
        statement: store.list_statements(tenant, None, None, 1).await.unwrap().items[0].statement.id,
        payout: store.list_payouts(tenant, None, None, 1).await.unwrap().items[0].payout.id,
        address,
        packed,
    }
}

/// A batch of an edge of its own, with hits today and hits of a clock that is far off, a fraud signal, a
/// customer who stays and one who was erased.
async fn project(store: &Store, world: &World, n: u64) -> [Address; 2] {
    let mark = u8::try_from(n).unwrap();
    let edge = edge(store, mark).await;
    lease_clicks(store, world, edge.id).await;
    store.append_batch(&edge.batch(1, 3, [0; 32], mark)).await.unwrap();
    store.put_edge_report(edge.id, "0.1.0", &edge.report(0)).await.unwrap();
    let at = |ordinal| Address { stream: edge.epoch.traffic_stream, ordinal };
    let customers = [("ann", mark), ("gone", mark + 100)];
    let keys = customers.map(|(id, n)| CustomerKey {
        tenant: world.tenant,
        who: Who::Customer(id.into()),
        candidate: CustomerRef([n; 16]),
    });
    let refs = store.resolve_customers(&keys).await.unwrap();
    let refused = |hour| RefusedKey {
        tenant: world.tenant,
        hour,
        advertiser: world.advertiser,
        reason: Reason::BadToken,
    };
    let today = clicks(world, VerdictKind::Allow);
    let long_ago = UnixMicros(0);
    let sidecar = [(1, Some("ann")), (2, Some("gone")), (3, None)].map(|(ordinal, id)| {
        let customer = id.map(|id| refs[&(world.tenant, Who::Customer(id.into()))]);
        let row = value(world, ordinal, PersonalClass::Network, customer);
        control_plane_store::projection::SidecarRow { address: at(ordinal), ..row }
    });
    let signal = FraudSignal {
        tenant: world.tenant,
        id: DerivedId([mark; 16]),
        kind: "click_id_disagrees".into(),
        address: at(1),
        detail: String::new(),
        at: NOW,
    };
    let projection = Projection {
        rollups: [(RollupKey { hour: long_ago, ..today }, 1), (today, 1)].into(),
        refused: [(refused(NOW.hour_start()), 1), (refused(long_ago), 1)].into(),
        intake: Vec::new(),
        sidecar: sidecar.into(),
        signals: vec![signal],
        alerts: Vec::new(),
    };
    let seq = store.projected_through().await.unwrap() + 1;
    let lease = lease(store).await;
    assert!(store.commit_projection(&lease, seq, &projection, NOW).await.unwrap());
    // One that is not taken up yet, so that its personal values still wait.
    store.append_batch(&edge.batch(4, 4, [mark; 32], mark + 50)).await.unwrap();
    store.append_gap(&edge.gap(5, 6, mark + 50, mark)).await.unwrap();
    assert_eq!(store.erase_customer(world.tenant, &Who::Customer("gone".into())).await.unwrap().values, 1);
    [at(1), at(3)]
}

/// Leases of the link's clicks, for the one of which the edge has reported.
async fn lease_clicks(store: &Store, world: &World, edge: EdgeId) {
    let subject = Capped::Link(world.link);
    for report in [None, Some((1, 2))] {
        let want =
            Some(ClickWant { number: 1 + u64::from(report.is_some()), clicks: 5, ahead: false, limit: 100 });
        let claim = ClickClaim { subject, window_start: UnixMicros(0), report, want };
        let terms = LeaseTerms { edges: 1, now: NOW, expires_at: NOW.plus_secs(60) };
        store.lease_clicks(world.tenant, edge, &[claim], terms).await.unwrap();
    }
}

/// Everything of a tenant that its own calls give, to see that nobody has touched it.
pub async fn everything(store: &Store, owned: &Owned) -> Vec<String> {
    let World { tenant, advertiser, offer, link, .. } = owned.world;
    let mut seen = Vec::new();
    let mut see = |what: &dyn Debug| seen.push(format!("{what:?}"));
    see(&store.get_tenant(tenant).await.unwrap());
    see(&store.click_keys(tenant).await.unwrap());
    see(&store.list_advertisers(tenant, None, 10).await.unwrap());
    see(&store.list_programs(tenant, None, None, 10).await.unwrap());
    see(&store.list_offers(tenant, None, None, 10).await.unwrap());
    see(&store.list_partners(tenant, None, 10).await.unwrap());
    see(&store.list_links(tenant, &LinkFilter::default(), None, 10).await.unwrap());
    see(&store.list_domains(tenant, None, 10).await.unwrap());
    see(&store.postback_keys(tenant, advertiser).await.unwrap());
    see(&store.list_rule_sets(tenant, None, 10).await.unwrap());
    see(&store.list_api_keys(Some(tenant), None, 10).await.unwrap());
    see(&store.find_api_key(&owned.secret).await.unwrap());
    see(&store.offer_terms(tenant, advertiser, offer).await.unwrap());
    see(&store.links_by_id(&[(tenant, link)]).await.unwrap());
    for shard in store.shards(tenant).await.unwrap() {
        see(&store.intake_items(shard, 0, 100).await.unwrap());
        see(&store.shard_ledger(shard, 0, 100).await.unwrap());
        see(&store.applied_through(shard).await.unwrap());
        see(&store.verify_ledger(shard).await.unwrap());
    }
    see(&store.list_orders(tenant, None, None, 10).await.unwrap());
    see(&store.list_conversions(tenant, &Default::default(), None, 10).await.unwrap());
    see(&store.list_commissions(tenant, &Default::default(), None, 10).await.unwrap());
    see(&store.list_transactions(tenant, &Default::default(), None, 100).await.unwrap());
    see(&store.list_statements(tenant, None, None, 10).await.unwrap());
    see(&store.list_payouts(tenant, None, None, 10).await.unwrap());
    see(&store.list_outbox(tenant, None, 100).await.unwrap());
    see(&store.list_signals(tenant, None, 10).await.unwrap());
    see(&store.list_order_events(tenant, "A-1", None, 0, 10).await.unwrap());
    see(&store.balances(tenant).await.unwrap());
    see(&store.report_links(tenant, &EVER, 10).await.unwrap());
    see(&store.report_rules(tenant, &RULES, 0, 10).await.unwrap());
    see(&store.report_refused(tenant, EVER.from, EVER.until).await.unwrap());
    see(&store.click_usage(tenant, Capped::Link(link), UnixMicros(0), NOW).await.unwrap());
    see(&store.click_batches(tenant, None, u64::MAX, 10).await.unwrap());
    for address in [owned.address, owned.packed] {
        see(&store.sidecar_at(tenant, address).await.unwrap());
    }
    seen
}
