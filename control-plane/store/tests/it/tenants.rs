//! Two tenants in one database: whatever one has, the other cannot see, name or change.

use crate::owned::{EVER, Owned, RULES, everything, own_everything};
use crate::projection::{clicks, value};
use crate::signatures;
use crate::world::{NOW, World, lease, store};
use control_plane_domain::intake::{ConversionKey, CustomerRef, ShardKey};
use control_plane_domain::ledger::Account;
use control_plane_domain::terms::OfferTerms;
use control_plane_store::catalog::{
    Advertiser, ClickKeyRecord, Domain, Link, LinkChange, LinkFilter, NewApiKey, Offer, OfferChange, Partner,
    Program, Tenant,
};
use control_plane_store::click_leases::{ClickClaim, ClickUsage, ClickWant, LeaseTerms};
use control_plane_store::commissions::CommissionFilter;
use control_plane_store::conversions::ConversionFilter;
use control_plane_store::ledger::LedgerFilter;
use control_plane_store::projection::{CustomerKey, Projection, SidecarRow, Who};
use control_plane_store::reports::ReportFilter;
use control_plane_store::{Page, Store, StoreError};
use proto_model::event::PersonalClass;
use proto_model::{Capped, EdgeId, LinkId, OfferId, ProgramId, UnixMicros, VerdictKind};
use std::collections::BTreeSet;
use std::fmt::Debug;

#[track_caller]
fn hidden<T: Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "{result:?}");
}

#[track_caller]
fn refused<T: Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::MissingReference)), "{result:?}");
}

#[track_caller]
fn taken<T: Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict("already_exists"))), "{result:?}");
}

#[track_caller]
fn empty<T: Debug>(page: Result<Page<T>, StoreError>) {
    none(page.map(|page| page.items));
}

#[track_caller]
fn none<T: Debug>(items: Result<Vec<T>, StoreError>) {
    let items = items.unwrap();
    assert!(items.is_empty(), "{items:?}");
}

/// The store, and which of its operations have been asked across tenants.
struct Crossing {
    store: Store,
    asked: BTreeSet<&'static str>,
}

macro_rules! cross {
    ($crossing:ident.$name:ident($($argument:expr),* $(,)?)) => {{
        $crossing.asked.insert(stringify!($name));
        $crossing.store.$name($($argument),*).await
    }};
}

#[tokio::test]
async fn whatever_one_has_the_other_cannot_see_name_or_change() {
    let store = store().await;
    let (mine, theirs) = (own_everything(&store, 1).await, own_everything(&store, 2).await);
    // A tenant with nothing but itself.
    let nobody = World::new(3);
    store.create_tenant(&nobody.tenant_row(), &nobody.click_key(1)).await.unwrap();
    let before = everything(&store, &theirs).await;
    let mut crossing = Crossing { store, asked: BTreeSet::new() };
    ids_are_not_found(&mut crossing, &mine, &theirs).await;
    shards_are_not_found(&mut crossing, &mine, &theirs).await;
    filters_find_nothing(&mut crossing, &mine, &theirs).await;
    lists_are_empty(&mut crossing, &nobody, &theirs).await;
    rows_are_not_changed(&mut crossing, &mine, &theirs).await;
    ids_are_not_taken_over(&mut crossing, &mine, &theirs).await;
    rows_do_not_point_across(&mut crossing, &mine, &theirs).await;
    projections_stay_inside(&mut crossing, &mine, &theirs).await;
    assert_eq!(everything(&crossing.store, &theirs).await, before, "nothing of theirs has changed");

    let all = signatures::of_tenants();
    assert!(all.len() > 60, "the sources are found: {all:?}");
    let forgotten: Vec<_> = all.iter().filter(|name| !crossing.asked.contains(name.as_str())).collect();
    assert!(forgotten.is_empty(), "ask these with one tenant's id for another's rows, here: {forgotten:?}");
}

async fn ids_are_not_found(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let me = mine.world.tenant;
    let World { advertiser, program, offer, partner, link, .. } = theirs.world;
    hidden(cross!(crossing.get_advertiser(me, advertiser)));
    hidden(cross!(crossing.get_program(me, program)));
    hidden(cross!(crossing.get_offer(me, offer)));
    hidden(cross!(crossing.get_partner(me, partner)));
    hidden(cross!(crossing.get_link(me, link)));
    hidden(cross!(crossing.get_domain(me, &theirs.world.domain().host)));
    assert_eq!(cross!(crossing.postback_keys(me, advertiser)).unwrap(), []);
    hidden(cross!(crossing.get_conversion(me, theirs.conversion)));
    hidden(cross!(crossing.get_commission(me, theirs.commission)));
    hidden(cross!(crossing.get_statement(me, theirs.statement)));
    hidden(cross!(crossing.get_payout(me, theirs.payout)));
    hidden(cross!(crossing.get_order(me, advertiser, "A-1")));
    none(cross!(crossing.offer_terms(me, advertiser, offer)));
    for address in [theirs.address, theirs.packed] {
        none(cross!(crossing.sidecar_at(me, address)));
    }
    assert_eq!(cross!(crossing.links_by_id(&[(me, link)])).unwrap().len(), 0);
    assert_eq!(cross!(crossing.get_tenant(me)).unwrap().id, me);
    let budget = cross!(crossing.click_usage(me, Capped::Link(link), UnixMicros(0), NOW)).unwrap();
    assert_eq!(budget, ClickUsage::default());
}

async fn shards_are_not_found(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let shard = ShardKey::advertiser(mine.world.tenant, theirs.world.advertiser);
    let key = ConversionKey { order_id: "A-1".into(), goal: "sale".into(), event_id: None };
    assert_eq!(cross!(crossing.conversion_reports(theirs.world.shard(), &key, 10)).unwrap().count, 1);
    assert_eq!(cross!(crossing.conversion_reports(shard, &key, 10)).unwrap().count, 0);
    none(cross!(crossing.intake_items(shard, 0, 10)));
    none(cross!(crossing.shard_ledger(shard, 0, 10)));
    assert_eq!(cross!(crossing.applied_through(shard)).unwrap(), 0);
    assert_eq!(cross!(crossing.next_for_engine(shard)).unwrap().map(|(item, _)| item), None);
    hidden(cross!(crossing.verify_ledger(shard)));
    let lease = lease(&crossing.store).await;
    hidden(cross!(crossing.begin_money(shard, &lease)).map(|_| ()));
    let sale = mine.world.sale("A-1", 1);
    hidden(cross!(crossing.append_intake(shard, &sale, NOW)));
    let tenant = mine.world.tenant;
    let key = CustomerKey { tenant, who: Who::Customer("ann".into()), candidate: CustomerRef([76; 16]) };
    hidden(cross!(crossing.append_of_customer(shard, &key, &|_| sale.clone(), NOW)));
    hidden(cross!(crossing.append_intake_once(shard, &sale, "new", [1; 32], NOW)));
}

/// With rows of one's own, by the other's ids.
async fn filters_find_nothing(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let me = mine.world.tenant;
    let World { advertiser, program, offer, partner, link, .. } = theirs.world;
    empty(cross!(crossing.list_programs(me, Some(advertiser), None, 10)));
    empty(cross!(crossing.list_offers(me, Some(program), None, 10)));
    for filter in [
        LinkFilter { offer: Some(offer), ..LinkFilter::default() },
        LinkFilter { partner: Some(partner), ..LinkFilter::default() },
    ] {
        empty(cross!(crossing.list_links(me, &filter, None, 10)));
    }
    empty(cross!(crossing.list_orders(me, Some(advertiser), None, 10)));
    for filter in [
        ConversionFilter { advertiser: Some(advertiser), ..ConversionFilter::default() },
        ConversionFilter { partner: Some(partner), ..ConversionFilter::default() },
    ] {
        empty(cross!(crossing.list_conversions(me, &filter, None, 10)));
    }
    for filter in [
        CommissionFilter { advertiser: Some(advertiser), ..CommissionFilter::default() },
        CommissionFilter { partner: Some(partner), ..CommissionFilter::default() },
    ] {
        empty(cross!(crossing.list_commissions(me, &filter, None, 10)));
    }
    for filter in [
        LedgerFilter { subject: Some(theirs.commission), ..LedgerFilter::default() },
        LedgerFilter { account: Some(Account::PartnerPayable(partner)), ..LedgerFilter::default() },
    ] {
        empty(cross!(crossing.list_transactions(me, &filter, None, 10)));
    }
    empty(cross!(crossing.list_statements(me, Some(partner), None, 10)));
    empty(cross!(crossing.list_payouts(me, Some(partner), None, 10)));
    none(cross!(crossing.list_order_events(me, "A-1", Some(advertiser), 0, 10)));
    for filter in [
        ReportFilter { advertiser: Some(advertiser), ..EVER },
        ReportFilter { offer: Some(offer), ..EVER },
        ReportFilter { partner: Some(partner), ..EVER },
        ReportFilter { link: Some(link), ..EVER },
    ] {
        none(cross!(crossing.report_links(me, &filter, 10)));
    }
}

async fn lists_are_empty(crossing: &mut Crossing, nobody: &World, theirs: &Owned) {
    let me = nobody.tenant;
    empty(cross!(crossing.list_advertisers(me, None, 10)));
    empty(cross!(crossing.list_programs(me, None, None, 10)));
    empty(cross!(crossing.list_offers(me, None, None, 10)));
    empty(cross!(crossing.list_partners(me, None, 10)));
    empty(cross!(crossing.list_links(me, &LinkFilter::default(), None, 10)));
    empty(cross!(crossing.list_rule_sets(me, None, 10)));
    empty(cross!(crossing.list_domains(me, None, 10)));
    empty(cross!(crossing.list_api_keys(Some(me), None, 10)));
    empty(cross!(crossing.list_orders(me, None, None, 10)));
    empty(cross!(crossing.list_conversions(me, &ConversionFilter::default(), None, 10)));
    let filter = ConversionFilter { order_id: Some("A-1".into()), ..ConversionFilter::default() };
    empty(cross!(crossing.list_conversions(me, &filter, None, 10)));
    empty(cross!(crossing.list_commissions(me, &CommissionFilter::default(), None, 10)));
    let filter = CommissionFilter { order_id: Some("A-1".into()), ..CommissionFilter::default() };
    empty(cross!(crossing.list_commissions(me, &filter, None, 10)));
    empty(cross!(crossing.list_transactions(me, &LedgerFilter::default(), None, 10)));
    empty(cross!(crossing.list_statements(me, None, None, 10)));
    empty(cross!(crossing.list_payouts(me, None, None, 10)));
    empty(cross!(crossing.list_outbox(me, None, 10)));
    empty(cross!(crossing.list_signals(me, None, 10)));
    assert_eq!(cross!(crossing.current_rule_set(me)).unwrap(), None);
    hidden(cross!(crossing.get_rule_set(me, 1)));
    assert_eq!(cross!(crossing.click_keys(me)).unwrap().len(), 1);
    assert_eq!(cross!(crossing.shards(me)).unwrap(), [nobody.settlement()]);
    none(cross!(crossing.balances(me)));
    none(cross!(crossing.report_links(me, &EVER, 10)));
    none(cross!(crossing.report_rules(me, &RULES, 0, 10)));
    none(cross!(crossing.report_refused(me, EVER.from, EVER.until)));
    none(cross!(crossing.click_batches(me, None, u64::MAX, 10)));
    none(cross!(crossing.list_order_events(me, "A-1", None, 0, 10)));
    for address in [theirs.address, theirs.packed] {
        none(cross!(crossing.sidecar_at(me, address)));
    }
    assert_eq!(cross!(crossing.erase_customer(me, &Who::Customer("ann".into()))).unwrap().customers, 0);
}

async fn rows_are_not_changed(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let me = mine.world.tenant;
    let World { advertiser, offer, link, .. } = theirs.world;
    let change = OfferChange { active: Some(false), ..OfferChange::default() };
    hidden(cross!(crossing.update_offer(me, offer, &change)));
    let unnamed = LinkChange { vanity: Some(None), ..LinkChange::default() };
    hidden(cross!(crossing.update_link(me, link, &unnamed)));
    hidden(cross!(crossing.set_postback(me, advertiser, "{}")));
    hidden(cross!(crossing.set_test_token(me, advertiser, None)));
    hidden(cross!(crossing.rotate_postback_key(me, advertiser, [9; 32], NOW)));
    let row = Domain { tenant: me, ..theirs.world.domain() };
    hidden(cross!(crossing.update_domain(&row)));
    hidden(cross!(crossing.delete_domain(me, &row.host)));
    let want = Some(ClickWant { number: 9, clicks: 5, ahead: false, limit: 100 });
    let claim =
        ClickClaim { subject: Capped::Link(link), window_start: UnixMicros(0), report: Some((1, 9)), want };
    let terms = LeaseTerms { edges: 1, now: NOW, expires_at: NOW.plus_secs(60) };
    let edge = EdgeId::from_random(1);
    refused(cross!(crossing.lease_clicks(me, edge, &[claim], terms)));
    hidden(cross!(crossing.set_postback_token(me, advertiser, None)));
    hidden(cross!(crossing.revoke_api_key(Some(me), theirs.api_key)));
    hidden(cross!(crossing.revoke_api_key(None, theirs.api_key)));
    hidden(cross!(crossing.put_terms(me, advertiser, &theirs.world.terms(2), NOW)));
    hidden(cross!(crossing.put_terms(me, mine.world.advertiser, &theirs.world.terms(2), NOW)));
    // What is told apart by the tenant alone: mine changes, theirs does not.
    cross!(crossing.set_fallback_url(me, Some("https://mine.example/"))).unwrap();
    cross!(crossing.publish_rule_set(me, "{}", Some(1), NOW)).unwrap();
    cross!(crossing.rotate_click_key(&mine.world.click_key(2))).unwrap();
    assert_eq!(cross!(crossing.erase_customer(me, &Who::Customer("ann".into()))).unwrap().customers, 1);
}

/// Ids that are unique in the deployment belong to who has them; others are each tenant's own.
async fn ids_are_not_taken_over(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let me = mine.world.tenant;
    let World { tenant, advertiser, partner, link, .. } = theirs.world;
    let row = Tenant { id: tenant, ..mine.world.tenant_row() };
    taken(cross!(crossing.create_tenant(&row, &ClickKeyRecord { tenant, ..mine.world.click_key(1) })));
    let row = Advertiser {
        tenant: me,
        id: advertiser,
        name: "Theirs".into(),
        postback_token_sha256: None,
        test_token_sha256: None,
        postback_json: "{}".into(),
        created_at: NOW,
    };
    taken(cross!(crossing.create_advertiser(&row)));
    taken(cross!(crossing.create_domain(&Domain { tenant: me, ..theirs.world.domain() })));
    let row = Link { id: link, ..mine.world.link_row() };
    taken(cross!(crossing.create_link(&row)));
    let key =
        NewApiKey { tenant: Some(me), name: "key".into(), secret_sha256: theirs.secret, created_at: NOW };
    taken(cross!(crossing.create_api_key(&key)));
    let row = Partner { tenant: me, id: partner, name: "Namesake".into(), created_at: NOW };
    cross!(crossing.create_partner(&row)).unwrap();
    let key = CustomerKey { tenant: me, who: Who::Customer("ann".into()), candidate: CustomerRef([77; 16]) };
    let found = cross!(crossing.resolve_customers(&[key])).unwrap();
    assert_eq!(found, [((me, Who::Customer("ann".into())), CustomerRef([77; 16]))].into());
    let close = control_plane_domain::intake::Input::ClosePeriod { through: NOW };
    let again = cross!(crossing.append_intake_once(mine.world.settlement(), &close, "close", [1; 32], NOW));
    assert!(again.is_ok(), "the same key in two tenants is two keys: {again:?}");
}

async fn rows_do_not_point_across(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let (mine, theirs) = (&mine.world, &theirs.world);
    let row = Program {
        tenant: mine.tenant,
        id: ProgramId::from_random(7),
        advertiser: theirs.advertiser,
        name: String::new(),
        created_at: NOW,
    };
    refused(cross!(crossing.create_program(&row)));
    let (id, program) = (OfferId::from_random(7), theirs.program);
    let row = Offer { id, program, ..mine.offer_row() };
    let terms = OfferTerms { offer: id, program, ..mine.terms(1) };
    refused(cross!(crossing.create_offer(&row, &terms)));
    let named = LinkChange { vanity: Some(Some(theirs.vanity())), ..LinkChange::default() };
    refused(cross!(crossing.update_link(mine.tenant, mine.link, &named)));
    let row = Link { id: LinkId::from_random(7), partner: theirs.partner, ..mine.link_row() };
    // Their partner's id is by now also that of a namesake of ours; its offer is not.
    refused(cross!(crossing.create_link(&Link { offer: theirs.offer, partner: mine.partner, ..row })));
}

/// An edge that says a tenant's event names another one's things.
async fn projections_stay_inside(crossing: &mut Crossing, mine: &Owned, theirs: &Owned) {
    let me = mine.world.tenant;
    let confused = World { tenant: me, ..theirs.world.clone() };
    let key = CustomerKey { tenant: me, who: Who::Customer("eve".into()), candidate: CustomerRef([78; 16]) };
    let customer = cross!(crossing.resolve_customers(&[key])).unwrap()[&(me, Who::Customer("eve".into()))];
    let values = [(theirs.address, Some(customer)), (theirs.packed, None)].map(|(address, customer)| {
        SidecarRow { address, ..value(&confused, 1, PersonalClass::Tags, customer) }
    });
    let projection = Projection {
        rollups: [(clicks(&confused, VerdictKind::Block), 1)].into(),
        intake: vec![(confused.shard(), confused.sale("A-1", 1))],
        sidecar: values.into(),
        ..Projection::default()
    };
    let seq = crossing.store.projected_through().await.unwrap() + 1;
    let lease = lease(&crossing.store).await;
    assert!(cross!(crossing.commit_projection(&lease, seq, &projection, NOW)).unwrap());
    // And erasing the one does not touch the other at the same address.
    assert_eq!(cross!(crossing.erase_customer(me, &Who::Customer("eve".into()))).unwrap().values, 1);
}
