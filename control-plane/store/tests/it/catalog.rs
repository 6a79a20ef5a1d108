//! What operators and tenants set up.

use crate::world::{NOW, World, store};
use control_plane_store::catalog::{ApiKey, Link, LinkChange, LinkFilter, NewApiKey, OfferChange, Partner};
use control_plane_store::{Page, Store, StoreError};
use proto_model::{LinkId, OfferId, PartnerId};

async fn partners(store: &Store, world: &World, after: Option<i64>) -> Page<Partner> {
    store.list_partners(world.tenant, after, 2).await.unwrap()
}

#[tokio::test]
async fn what_was_created_is_read_back() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let World { tenant, advertiser, program, offer, partner, link } = world;
    assert_eq!(store.get_tenant(tenant).await.unwrap(), world.tenant_row());
    assert_eq!(store.get_offer(tenant, offer).await.unwrap(), world.offer_row());
    assert_eq!(store.get_advertiser(tenant, advertiser).await.unwrap().postback_token_sha256, Some([7; 32]));
    assert_eq!(store.get_program(tenant, program).await.unwrap().advertiser, advertiser);
    assert_eq!(store.get_partner(tenant, partner).await.unwrap().name, "Blog");
    assert_eq!(store.get_link(tenant, link).await.unwrap(), world.link_row());
    assert_eq!(store.offer_terms(tenant, advertiser, offer).await.unwrap(), [world.terms(1)]);
    assert_eq!(store.click_keys(tenant).await.unwrap(), [world.click_key(1)]);
}

#[tokio::test]
async fn lists_come_newest_first_and_page_without_gaps() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    for n in 10..14 {
        let row = Partner {
            tenant: world.tenant,
            id: PartnerId::from_random(n),
            name: format!("partner {n}"),
            created_at: NOW,
        };
        store.create_partner(&row).await.unwrap();
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = partners(&store, &world, after).await;
        names.extend(page.items.into_iter().map(|partner| partner.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["partner 13", "partner 12", "partner 11", "partner 10", "Blog"]);
    let all = store.list_partners(world.tenant, None, 5).await.unwrap();
    assert_eq!((all.items.len(), all.next), (5, None), "a full last page knows that it is the last");
}

#[tokio::test]
async fn filters_of_lists() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let World { tenant, advertiser, program, offer, partner, link } = world;
    let other = OfferId::from_random(99);
    for (filter, expected) in [
        (LinkFilter::default(), 1),
        (LinkFilter { offer: Some(offer), partner: Some(partner) }, 1),
        (LinkFilter { offer: Some(other), partner: None }, 0),
    ] {
        let page = store.list_links(tenant, &filter, None, 10).await.unwrap();
        assert_eq!(page.items.len(), expected, "{filter:?}");
        assert!(page.items.iter().all(|row| row.id == link));
    }
    assert_eq!(store.list_offers(tenant, Some(program), None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.list_programs(tenant, Some(advertiser), None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.list_advertisers(tenant, None, 10).await.unwrap().items.len(), 1);
    assert_eq!(store.list_tenants(None, 10).await.unwrap().items, [world.tenant_row()]);
}

#[tokio::test]
async fn every_write_raises_the_version_once_and_signals() {
    let store = store().await;
    let mut signal = store.signals().catalog.subscribe();
    let world = World::create(&store, 1).await;
    let World { tenant, advertiser, offer, link, .. } = world;
    let mut version = store.catalog_version().await.unwrap();
    assert_eq!(version, 7, "six writes after the first version");
    let mut expect = async |what: &str| {
        version += 1;
        assert_eq!(store.catalog_version().await.unwrap(), version, "{what}");
        assert!(signal.has_changed().unwrap(), "{what}");
        signal.mark_unchanged();
    };
    let url = Some("https://network.example/");
    assert_eq!(store.set_fallback_url(tenant, url).await.unwrap().fallback_url.as_deref(), url);
    expect("fallback").await;
    let change =
        OfferChange { destination: Some("https://shop.example/new".into()), ..OfferChange::default() };
    let changed = store.update_offer(tenant, offer, &change).await.unwrap();
    assert_eq!((changed.destination.as_str(), changed.active), ("https://shop.example/new", true));
    expect("offer").await;
    let change = LinkChange { active: Some(false), ..LinkChange::default() };
    assert!(!store.update_link(tenant, link, &change).await.unwrap().active);
    expect("link").await;
    store.create_domain(&world.domain()).await.unwrap();
    expect("domain").await;
    store.rotate_postback_key(tenant, advertiser, [1; 32], NOW).await.unwrap();
    expect("postback key").await;
    assert_eq!(store.set_postback_token(tenant, advertiser, None).await.unwrap().postback_token_sha256, None);
    expect("token").await;
    assert_eq!(store.publish_rule_set(tenant, "{}", Some(0), NOW).await.unwrap(), 1);
    expect("rules").await;
    store.rotate_click_key(&world.click_key(2)).await.unwrap();
    expect("key").await;
}

#[tokio::test]
async fn the_snapshot_holds_what_edges_need() {
    let store = store().await;
    let one = World::create(&store, 1).await;
    World::create(&store, 2).await;
    for body in ["first", "second"] {
        store.publish_rule_set(one.tenant, body, None, NOW).await.unwrap();
    }
    store.rotate_click_key(&one.click_key(2)).await.unwrap();
    let snapshot = store.catalog_snapshot().await.unwrap();
    assert_eq!(snapshot.version, store.catalog_version().await.unwrap());
    let counts =
        [snapshot.tenants.len(), snapshot.advertisers.len(), snapshot.offers.len(), snapshot.links.len()];
    assert_eq!(counts, [2, 2, 2, 2]);
    let rules: Vec<_> =
        snapshot.rule_sets.iter().map(|set| (set.tenant, set.version, &set.body_json[..])).collect();
    assert_eq!(rules, [(one.tenant, 2, "second")]);
    let keys: Vec<_> = snapshot.click_keys.iter().map(|key| (key.tenant, key.key_id, key.active)).collect();
    assert_eq!(keys[..2], [(one.tenant, 1, false), (one.tenant, 2, true)]);
}

#[tokio::test]
async fn rule_sets_rise_and_are_kept() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    assert_eq!(store.current_rule_set(world.tenant).await.unwrap(), None);
    assert_eq!(store.publish_rule_set(world.tenant, "a", None, NOW).await.unwrap(), 1);
    assert_eq!(store.publish_rule_set(world.tenant, "b", Some(1), NOW).await.unwrap(), 2);
    let stale = store.publish_rule_set(world.tenant, "c", Some(1), NOW).await;
    assert!(matches!(stale, Err(StoreError::Conflict("rule_set_version"))));
    assert_eq!(store.current_rule_set(world.tenant).await.unwrap().unwrap().body_json, "b");
    assert_eq!(store.get_rule_set(world.tenant, 1).await.unwrap().body_json, "a");
    let page = store.list_rule_sets(world.tenant, None, 10).await.unwrap();
    assert_eq!(page.items.iter().map(|set| set.version).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn terms_rise_by_one_and_reach_the_intake() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let World { tenant, advertiser, offer, .. } = world;
    for wrong in [1, 3] {
        let refused = store.put_terms(tenant, advertiser, &world.terms(wrong), NOW).await;
        assert!(matches!(refused, Err(StoreError::Conflict("terms_version"))), "{wrong}");
    }
    store.put_terms(tenant, advertiser, &world.terms(2), NOW).await.unwrap();
    assert_eq!(store.get_offer(tenant, offer).await.unwrap().terms_version, 2);
    assert_eq!(store.offer_terms(tenant, advertiser, offer).await.unwrap(), [world.terms(1), world.terms(2)]);
    assert_eq!(store.intake_items(world.shard(), 0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_contradicts_is_refused_and_leaves_nothing() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let twice = store.create_tenant(&world.tenant_row(), &world.click_key(1)).await;
    assert!(matches!(twice, Err(StoreError::Conflict("already_exists"))));
    let link = Link { id: LinkId::from_random(7), offer: OfferId::from_random(7), ..world.link_row() };
    assert!(matches!(store.create_link(&link).await, Err(StoreError::MissingReference)));
    let stranger = World::new(5);
    assert!(matches!(store.get_tenant(stranger.tenant).await, Err(StoreError::NotFound)));
    let rotated = store.rotate_click_key(&stranger.click_key(1)).await;
    assert!(matches!(rotated, Err(StoreError::NotFound)));
    let published = store.publish_rule_set(stranger.tenant, "{}", None, NOW).await;
    assert!(matches!(published, Err(StoreError::MissingReference)));
    let before = store.intake_items(world.shard(), 0, 10).await.unwrap().len();
    let terms = control_plane_domain::terms::OfferTerms { offer: OfferId::from_random(8), ..world.terms(1) };
    let offer = control_plane_store::catalog::Offer { id: OfferId::from_random(8), ..world.offer_row() };
    let offer = control_plane_store::catalog::Offer { program: stranger.program, ..offer };
    let terms = control_plane_domain::terms::OfferTerms { program: stranger.program, ..terms };
    assert!(matches!(store.create_offer(&offer, &terms).await, Err(StoreError::MissingReference)));
    assert_eq!(store.intake_items(world.shard(), 0, 10).await.unwrap().len(), before);
}

#[tokio::test]
async fn api_keys_are_found_by_secret_until_revoked() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let create = async |tenant, secret: u8| -> ApiKey {
        let key = NewApiKey { tenant, name: "key".into(), secret_sha256: [secret; 32], created_at: NOW };
        store.create_api_key(&key).await.unwrap()
    };
    let operator = create(None, 1).await;
    let tenant = create(Some(world.tenant), 2).await;
    assert_eq!(store.find_api_key(&[1; 32]).await.unwrap(), Some(operator.clone()));
    assert_eq!(store.find_api_key(&[2; 32]).await.unwrap(), Some(tenant.clone()));
    assert_eq!(store.find_api_key(&[3; 32]).await.unwrap(), None);
    assert_eq!(store.list_api_keys(None, None, 10).await.unwrap().items, std::slice::from_ref(&operator));
    assert_eq!(
        store.list_api_keys(Some(world.tenant), None, 10).await.unwrap().items,
        std::slice::from_ref(&tenant)
    );
    let of_operator = store.revoke_api_key(Some(world.tenant), operator.id).await;
    assert!(matches!(of_operator, Err(StoreError::NotFound)));
    store.revoke_api_key(Some(world.tenant), tenant.id).await.unwrap();
    assert_eq!(store.find_api_key(&[2; 32]).await.unwrap(), None);
    assert!(store.list_api_keys(Some(world.tenant), None, 10).await.unwrap().items[0].revoked);
    let again = NewApiKey { tenant: None, name: "again".into(), secret_sha256: [1; 32], created_at: NOW };
    assert!(matches!(store.create_api_key(&again).await, Err(StoreError::Conflict("already_exists"))));
}
