//! Two tenants in one database: whatever one has, the other cannot see, name or change.

use crate::projection::{clicks, value};
use crate::world::{NOW, World, append, edge, lease, run_money, store};
use control_plane_domain::intake::{CustomerRef, Input, OrderEventKind, ShardKey};
use control_plane_domain::terms::OfferTerms;
use control_plane_store::catalog::{Link, LinkFilter, NewApiKey, Offer, OfferChange, Program};
use control_plane_store::commissions::CommissionFilter;
use control_plane_store::conversions::ConversionFilter;
use control_plane_store::ledger::LedgerFilter;
use control_plane_store::projection::{CustomerKey, FraudSignal, Projection};
use control_plane_store::reports::{ReportFilter, RuleFilter};
use control_plane_store::{Page, Store, StoreError};
use proto_model::event::PersonalClass;
use proto_model::{
    Address, DerivedId, LinkId, OfferId, ProgramId, StreamNo, TenantId, UnixMicros, VerdictKind,
};

/// Everything that a tenant can own, down to a payout.
struct Owned {
    world: World,
    api_key: i64,
    conversion: DerivedId,
    commission: DerivedId,
    statement: DerivedId,
    payout: DerivedId,
}

async fn own(store: &Store, n: u64) -> Owned {
    let world = World::create(store, n).await;
    let World { tenant, .. } = world;
    let secret = [u8::try_from(n).unwrap(); 32];
    let key = NewApiKey { tenant: Some(tenant), name: "key".into(), secret_sha256: secret, created_at: NOW };
    let api_key = store.create_api_key(&key).await.unwrap().id;
    store.publish_rule_set(tenant, "{}", None, NOW).await.unwrap();
    let lease = lease(store).await;
    append(store, world.shard(), &world.sale("A-1", 10_000)).await;
    append(store, world.shard(), &world.order_event("A-1", OrderEventKind::Delivered)).await;
    run_money(store, &lease).await;
    append(store, world.settlement(), &Input::ClosePeriod { through: NOW }).await;
    run_money(store, &lease).await;
    let conversion =
        store.list_conversions(tenant, &ConversionFilter::default(), None, 1).await.unwrap().items.remove(0);
    Owned {
        api_key,
        conversion: conversion.conversion.id,
        commission: conversion.conversion.commission.unwrap().id,
        statement: store.list_statements(tenant, None, None, 1).await.unwrap().items[0].statement.id,
        payout: store.list_payouts(tenant, None, None, 1).await.unwrap().items[0].payout.id,
        world,
    }
}

/// Projected once for each tenant: a click, a personal value, a fraud signal, and a customer.
async fn project(store: &Store, one: &World) {
    let edge = edge(store, 1).await;
    store.append_batch(&edge.batch(1, 1, [0; 32], 1)).await.unwrap();
    let signal = FraudSignal {
        tenant: one.tenant,
        id: DerivedId([1; 16]),
        kind: "click_id_disagrees".into(),
        address: Address { stream: StreamNo(2), ordinal: 1 },
        detail: String::new(),
        at: NOW,
    };
    let projection = Projection {
        rollups: [(clicks(one, VerdictKind::Allow), 1)].into(),
        sidecar: vec![value(one, 1, PersonalClass::Network, Some(CustomerRef([1; 16])))],
        signals: vec![signal],
        ..Projection::default()
    };
    let key = CustomerKey { tenant: one.tenant, customer_id: "ann".into(), candidate: CustomerRef([1; 16]) };
    store.resolve_customers(&[key]).await.unwrap();
    let lease = lease(store).await;
    store.commit_projection(&lease, 1, &projection, NOW).await.unwrap();
}

#[track_caller]
fn hidden<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "{result:?}");
}

#[track_caller]
fn empty<T: std::fmt::Debug>(page: Result<Page<T>, StoreError>) {
    let items = page.unwrap().items;
    assert!(items.is_empty(), "{items:?}");
}

#[tokio::test]
async fn ids_of_another_tenant_are_not_found() {
    let store = store().await;
    let (mine, theirs) = (own(&store, 1).await, own(&store, 2).await);
    let me = mine.world.tenant;
    let World { advertiser, program, offer, partner, link, .. } = theirs.world;
    hidden(store.get_advertiser(me, advertiser).await);
    hidden(store.get_program(me, program).await);
    hidden(store.get_offer(me, offer).await);
    hidden(store.get_partner(me, partner).await);
    hidden(store.get_link(me, link).await);
    hidden(store.get_conversion(me, theirs.conversion).await);
    hidden(store.get_commission(me, theirs.commission).await);
    hidden(store.get_statement(me, theirs.statement).await);
    hidden(store.get_payout(me, theirs.payout).await);
    hidden(store.get_order(me, advertiser, "A-1").await);
    assert_eq!(store.offer_terms(me, advertiser, offer).await.unwrap(), []);
    assert_eq!(store.links_by_id(&[(me, link)]).await.unwrap().len(), 0);
    hidden(store.verify_ledger(ShardKey::advertiser(me, advertiser)).await);
    assert_eq!(store.intake_items(ShardKey::advertiser(me, advertiser), 0, 10).await.unwrap(), []);
    assert_eq!(store.shard_ledger(ShardKey::advertiser(me, advertiser), 0, 10).await.unwrap(), []);
    let lease = lease(&store).await;
    assert!(store.begin_money(ShardKey::advertiser(me, advertiser), &lease).await.is_err());
    // The same ids stand open to their own tenant.
    store.get_payout(theirs.world.tenant, theirs.payout).await.unwrap();
    store.get_order(theirs.world.tenant, advertiser, "A-1").await.unwrap();
}

#[tokio::test]
async fn rows_of_another_tenant_are_not_changed() {
    let store = store().await;
    let (mine, theirs) = (own(&store, 1).await, own(&store, 2).await);
    let me = mine.world.tenant;
    let World { tenant, advertiser, offer, link, .. } = theirs.world;
    let change = OfferChange { active: Some(false), ..OfferChange::default() };
    hidden(store.update_offer(me, offer, &change).await);
    hidden(store.set_link_active(me, link, false).await);
    hidden(store.set_postback_token(me, advertiser, None).await);
    hidden(store.revoke_api_key(Some(me), theirs.api_key).await);
    hidden(store.put_terms(me, advertiser, &theirs.world.terms(2), NOW).await);
    hidden(store.append_intake(ShardKey::advertiser(me, advertiser), &mine.world.sale("A-1", 1), NOW).await);
    assert!(store.get_offer(tenant, offer).await.unwrap().active);
    assert!(store.get_link(tenant, link).await.unwrap().active);
    assert!(!store.list_api_keys(Some(tenant), None, 1).await.unwrap().items[0].revoked);
}

#[tokio::test]
async fn rows_cannot_point_into_another_tenant() {
    let store = store().await;
    let (mine, theirs) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let me = mine.tenant;
    #[track_caller]
    fn refused(result: Result<(), StoreError>) {
        assert!(matches!(result, Err(StoreError::MissingReference)), "{result:?}");
    }
    let row = Program {
        tenant: me,
        id: ProgramId::from_random(7),
        advertiser: theirs.advertiser,
        name: String::new(),
        created_at: NOW,
    };
    refused(store.create_program(&row).await);
    let id = OfferId::from_random(7);
    let program = theirs.program;
    let row = Offer { id, program, ..mine.offer_row() };
    refused(store.create_offer(&row, &OfferTerms { offer: id, program, ..mine.terms(1) }).await);
    let row = Link {
        tenant: me,
        id: LinkId::from_random(7),
        offer: mine.offer,
        partner: theirs.partner,
        active: true,
        created_at: NOW,
    };
    refused(store.create_link(&row).await);
    refused(store.create_link(&Link { offer: theirs.offer, partner: mine.partner, ..row }).await);
}

#[tokio::test]
async fn lists_and_reports_hold_only_their_own() {
    let store = store().await;
    let theirs = own(&store, 2).await;
    project(&store, &theirs.world).await;
    // A tenant with nothing but itself.
    let mine = World::new(1);
    store.create_tenant(&mine.tenant_row(), &mine.click_key(1)).await.unwrap();
    let me: TenantId = mine.tenant;
    empty(store.list_advertisers(me, None, 10).await);
    empty(store.list_programs(me, None, None, 10).await);
    empty(store.list_offers(me, None, None, 10).await);
    empty(store.list_partners(me, None, 10).await);
    empty(store.list_links(me, &LinkFilter::default(), None, 10).await);
    empty(store.list_rule_sets(me, None, 10).await);
    empty(store.list_api_keys(Some(me), None, 10).await);
    empty(store.list_conversions(me, &ConversionFilter::default(), None, 10).await);
    let filter = ConversionFilter { order_id: Some("A-1".into()), ..ConversionFilter::default() };
    empty(store.list_conversions(me, &filter, None, 10).await);
    empty(store.list_orders(me, Some(theirs.world.advertiser), None, 10).await);
    empty(store.list_commissions(me, &CommissionFilter::default(), None, 10).await);
    let filter = CommissionFilter { order_id: Some("A-1".into()), ..CommissionFilter::default() };
    empty(store.list_commissions(me, &filter, None, 10).await);
    empty(store.list_transactions(me, &LedgerFilter::default(), None, 10).await);
    let filter = LedgerFilter { subject: Some(theirs.commission), ..LedgerFilter::default() };
    empty(store.list_transactions(me, &filter, None, 10).await);
    empty(store.list_statements(me, None, None, 10).await);
    empty(store.list_payouts(me, Some(theirs.world.partner), None, 10).await);
    empty(store.list_outbox(me, None, 10).await);
    empty(store.list_signals(me, None, 10).await);
    assert_eq!(store.current_rule_set(me).await.unwrap(), None);
    hidden(store.get_rule_set(me, 1).await);
    assert_eq!(store.click_keys(me).await.unwrap().len(), 1);
    assert_eq!(store.shards(me).await.unwrap(), [mine.settlement()]);
    assert_eq!(store.balances(me).await.unwrap(), []);
    let (from, until) = (UnixMicros(0), UnixMicros(i64::MAX));
    let filter = ReportFilter { from, until, advertiser: None, offer: None, partner: None, link: None };
    assert_eq!(store.report_links(me, &filter, 10).await.unwrap(), []);
    let rules = RuleFilter { from, until, period_us: 1 };
    assert_eq!(store.report_rules(me, &rules, 0, 10).await.unwrap(), []);
    assert_eq!(store.click_batches(me, None, u64::MAX, 10).await.unwrap(), [0; 0]);
    assert_eq!(store.click_batches(theirs.world.tenant, None, u64::MAX, 10).await.unwrap(), [1]);
    assert_eq!(store.list_order_events(me, "A-1", None, 0, 10).await.unwrap(), []);
    let theirs_by_id = Some(theirs.world.advertiser);
    assert_eq!(store.list_order_events(me, "A-1", theirs_by_id, 0, 10).await.unwrap(), []);
    assert_eq!(store.report_refused(me, from, until).await.unwrap(), []);
    let address = Address { stream: StreamNo(2), ordinal: 1 };
    assert_eq!(store.sidecar_at(me, address).await.unwrap(), []);
    assert_eq!(store.erase_customer(me, "ann").await.unwrap().customers, 0);
    assert_eq!(store.sidecar_at(theirs.world.tenant, address).await.unwrap().len(), 1);
    assert_eq!(store.erase_customer(theirs.world.tenant, "ann").await.unwrap().values, 1);
}
