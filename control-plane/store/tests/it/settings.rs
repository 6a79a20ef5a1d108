//! Routing, names of links, and how advertisers report.

use crate::raw::{Place, Raw};
use crate::world::{NOW, World, store};
use control_plane_store::StoreError;
use control_plane_store::catalog::{Domain, Link, LinkChange, OfferChange, Vanity};
use proto_model::{LinkId, PauseReason, UnixMicros};

#[tokio::test]
async fn an_offer_says_why_it_is_paused_and_forgets_it() {
    let place = Place::new().await;
    let store = place.open().await;
    let World { tenant, offer, .. } = World::create(&store, 1).await;
    let change = async |active: Option<bool>, routing: Option<&str>| {
        let change =
            OfferChange { active, routing_json: routing.map(str::to_owned), ..OfferChange::default() };
        store.update_offer(tenant, offer, &change).await.unwrap()
    };
    let paused = change(Some(false), None).await;
    assert_eq!((paused.active, paused.pause_reason), (false, Some(PauseReason::ByHand)));
    let routed = change(None, Some(r#"{"strict":true}"#)).await;
    assert_eq!(
        (routed.routing_json.as_str(), routed.pause_reason),
        (r#"{"strict":true}"#, Some(PauseReason::ByHand))
    );
    let active = change(Some(true), None).await;
    assert_eq!((active.active, active.pause_reason), (true, None));
    assert_eq!(active.routing_json, r#"{"strict":true}"#, "stays");
    // A version that does not know the column pauses without a reason.
    let mut raw = Raw::open(&place.url).await;
    raw.script("UPDATE offers SET active = false, pause_reason = NULL").await;
    assert_eq!(store.get_offer(tenant, offer).await.unwrap().pause_reason, None);
    store.close().await;
}

#[tokio::test]
async fn a_name_is_one_links_and_a_link_has_one_name() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let World { tenant, link, .. } = world;
    let name = |host: &str, slug: &str| Some(Some(Vanity { host: host.into(), slug: slug.into() }));
    let rename = async |link: LinkId, vanity| {
        let change = LinkChange { vanity, ..LinkChange::default() };
        store.update_link(tenant, link, &change).await
    };
    let refused = rename(link, name("go.example", "a")).await;
    assert!(matches!(refused, Err(StoreError::MissingReference)), "the host comes first: {refused:?}");
    let domain = Domain { host: "go.example".into(), ..world.domain() };
    store.create_domain(&domain).await.unwrap();
    let named = rename(link, name("go.example", "a")).await.unwrap();
    assert_eq!(named.vanity, Some(Vanity { host: "go.example".into(), slug: "a".into() }));
    assert_eq!(store.get_link(tenant, link).await.unwrap(), named);
    assert_eq!(rename(link, name("go.example", "a")).await.unwrap(), named, "again");

    let second = Link { id: LinkId::from_random(9), vanity: named.vanity.clone(), ..world.link_row() };
    let taken = store.create_link(&second).await;
    assert!(matches!(taken, Err(StoreError::Conflict("slug_taken"))), "{taken:?}");
    assert!(
        matches!(store.get_link(tenant, second.id).await, Err(StoreError::NotFound)),
        "nothing of it stays"
    );
    let in_use = store.delete_domain(tenant, "go.example").await;
    assert!(matches!(in_use, Err(StoreError::Conflict("domain_in_use"))), "{in_use:?}");

    assert_eq!(rename(link, name("go.example", "b")).await.unwrap().vanity.unwrap().slug, "b");
    store.create_link(&second).await.unwrap();
    assert_eq!(store.list_links(tenant, &Default::default(), None, 10).await.unwrap().items[0], second);
    for link in [link, second.id] {
        assert_eq!(rename(link, Some(None)).await.unwrap().vanity, None);
    }
    store.delete_domain(tenant, "go.example").await.unwrap();
    assert!(matches!(store.delete_domain(tenant, "go.example").await, Err(StoreError::NotFound)));
    let settings = LinkChange { settings_json: Some("{\"test\":true}".into()), ..LinkChange::default() };
    assert_eq!(store.update_link(tenant, link, &settings).await.unwrap().settings_json, "{\"test\":true}");
}

#[tokio::test]
async fn domains_are_made_changed_and_listed() {
    let store = store().await;
    let world = World::create(&store, 1).await;
    let domain = world.domain();
    store.create_domain(&domain).await.unwrap();
    assert!(matches!(store.create_domain(&domain).await, Err(StoreError::Conflict("already_exists"))));
    let changed = Domain { home_url: None, expired_url: Some("https://x.example/".into()), ..domain };
    store.update_domain(&changed).await.unwrap();
    assert_eq!(store.get_domain(world.tenant, &changed.host).await.unwrap(), changed);
    assert_eq!(
        store.list_domains(world.tenant, None, 10).await.unwrap().items,
        std::slice::from_ref(&changed)
    );
    assert_eq!(store.catalog_snapshot().await.unwrap().domains, [changed]);
}

#[tokio::test]
async fn the_key_before_the_newest_stays_good() {
    let store = store().await;
    let World { tenant, advertiser, .. } = World::create(&store, 1).await;
    for n in 1..=4u8 {
        let record = store.rotate_postback_key(tenant, advertiser, [n; 32], NOW).await.unwrap();
        assert_eq!((record.key_id, record.key), (n, [n; 32]));
    }
    let ids = |keys: Vec<control_plane_store::catalog::PostbackKeyRecord>| -> Vec<u8> {
        keys.iter().map(|key| key.key_id).collect()
    };
    assert_eq!(ids(store.postback_keys(tenant, advertiser).await.unwrap()), [4, 3]);
    assert_eq!(ids(store.catalog_snapshot().await.unwrap().postback_keys), [3, 4]);
    // A clock that has gone back does not make the newest the oldest.
    store.rotate_postback_key(tenant, advertiser, [5; 32], UnixMicros(1)).await.unwrap();
    assert_eq!(ids(store.postback_keys(tenant, advertiser).await.unwrap()), [5, 4]);
    let shown = format!("{:?}", store.postback_keys(tenant, advertiser).await.unwrap());
    assert!(!shown.contains("[5, 5"), "{shown}");
    let set = store.set_postback(tenant, advertiser, r#"{"profile":"tune"}"#).await.unwrap();
    assert_eq!(set.postback_json, r#"{"profile":"tune"}"#);
    assert_eq!(
        store.set_test_token(tenant, advertiser, Some([3; 32])).await.unwrap().test_token_sha256,
        Some([3; 32])
    );
}
