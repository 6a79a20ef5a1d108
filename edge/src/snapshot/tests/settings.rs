//! How clicks go on, hosts, and how advertisers report: read once, when the snapshot is built.

use super::*;
use proto_model::{
    CapWindow, ClickCap, LinkId, OfferId, PauseReason, PostbackAuth, PostbackField, RedirectKind, UnixMicros,
    postback::ConversionStatus,
};
use proto_rules::{Facts, HitKind};
use proto_wire::edge_v1::{
    self, Domain, LinkSettings, OfferRouting, ParameterName, PostbackKey, PostbackSettings, Preview, Route,
    RouteTable, StatusWord, TimeZone, UtcOffset, Vanity, route::To,
};

const NOW: UnixMicros = UnixMicros::from_secs(1_000_000);

fn route(id: &str, to: To) -> Route {
    Route { id: id.into(), priority: 1, weight: 1, nodes: vec![], to: Some(to) }
}

fn routing() -> OfferRouting {
    OfferRouting {
        redirect: RedirectKind::Temporary.code().into(),
        deep_link_hosts: ["shop.example", "*.cdn.example"].map(String::from).to_vec(),
        pass_through: true,
        time_zone: "Asia/Shanghai".into(),
        unique_window_secs: 3_600,
        cookie_days: 30,
        expires_at_secs: NOW.secs() + 10,
        click_cap: Some(edge_v1::ClickCap { limit: 5, window: CapWindow::Day.code().into() }),
        preview: Some(Preview {
            title: "Robots".into(),
            description: String::new(),
            image: "https://a.example/x".into(),
        }),
        pages: vec!["https://b.example/?c={click_id}".into()],
        table: Some(RouteTable { routes: vec![route("b", To::Page(0))], ..RouteTable::default() }),
    }
}

/// The tenant's settings with this routing, a second offer that is plain, and two links of the first.
fn built(routing: OfferRouting, link: LinkSettings) -> Snapshot {
    let mut tenant = settings();
    tenant.offers[0].routing = Some(routing);
    tenant.offers.push(Offer { id: 21, routing: None, ..tenant.offers[0].clone() });
    let offset = UtcOffset { from_secs: 0, offset_secs: 28_800 };
    tenant.time_zones = vec![TimeZone { name: "Asia/Shanghai".into(), offsets: vec![offset] }];
    tenant.domains = vec![Domain {
        host: "go.example".into(),
        home_url: "https://home.example".into(),
        ..Domain::default()
    }];
    let links = vec![Link { settings: Some(link), ..super::link(40) }, super::link(41)];
    let links = Chunk { tenant: TENANT, content: Some(Content::Links(LinkChunk { links })) };
    Snapshot::from_chunks(1, &[links, settings_chunk(TENANT, tenant)]).ok().unwrap()
}

fn offer(snapshot: &Snapshot, id: u64) -> &OfferEntry {
    snapshot.offer(TenantId::new(TENANT).unwrap(), OfferId::new(id).unwrap()).unwrap()
}

fn link_of(snapshot: &Snapshot, id: u64) -> &LinkEntry {
    snapshot.link(LinkId::new(id).unwrap()).unwrap()
}

#[test]
fn routing_is_read_and_plain_offers_have_none() {
    let snapshot = built(routing(), LinkSettings::default());
    assert_eq!(snapshot.left_out, 0);
    let entry = offer(&snapshot, 20);
    let read = &entry.routing;
    assert_eq!((read.redirect, read.pass_through), (RedirectKind::Temporary, true));
    assert_eq!((read.unique_window_secs, read.time_zone.offset_secs(NOW)), (3_600, 28_800));
    assert_eq!(read.cookie_days, 30);
    assert_eq!(read.click_cap, Some(ClickCap { limit: 5, window: CapWindow::Day }));
    assert_eq!(read.preview.as_ref().unwrap().title, "Robots");
    assert!(entry.is_open(NOW) && !entry.is_open(NOW.plus_secs(10)));
    assert_eq!(offer(&snapshot, 21).routing, Routing::default());
    assert_eq!(offer(&snapshot, 21).pause_reason, None);
    assert_eq!(link_of(&snapshot, 40).settings, None, "nothing in it");
}

#[test]
fn what_cannot_be_read_of_routing_falls_back_and_is_counted() {
    type Change = fn(&mut OfferRouting);
    type Expected = fn(&Routing) -> bool;
    let cases: [(&str, Change, Expected); 6] = [
        ("a redirect of the future", |r| r.redirect = 99, |r| r.redirect == RedirectKind::Found),
        (
            "a zone that was not sent",
            |r| r.time_zone = "Mars/X".into(),
            |r| *r.time_zone == crate::snapshot::TimeZone::default(),
        ),
        ("a host that is none", |r| r.deep_link_hosts[1] = "10.0.0.1".into(), |r| r.pass_through),
        (
            "a window of the future",
            |r| r.click_cap = Some(edge_v1::ClickCap { limit: 5, window: 99 }),
            |r| r.click_cap.is_some_and(|cap| cap.limit == 0),
        ),
        (
            "a picture that is no page",
            |r| r.preview = Some(Preview { image: "javascript:x".into(), ..Preview::default() }),
            |r| r.preview.as_ref().is_some_and(|preview| preview.image.is_empty()),
        ),
        (
            "a route to nowhere",
            |r| r.table = Some(RouteTable { routes: vec![route("x", To::Page(7))], ..RouteTable::default() }),
            |_| true,
        ),
    ];
    for (case, change, expected) in cases {
        let mut routing = routing();
        change(&mut routing);
        let snapshot = built(routing, LinkSettings::default());
        assert_eq!(snapshot.left_out, 1, "{case}");
        assert!(expected(&offer(&snapshot, 20).routing), "{case}");
    }
    let bad_page = OfferRouting { pages: vec!["https://{x}/".into()], ..routing() };
    let snapshot = built(bad_page, LinkSettings::default());
    assert!(snapshot.offer(TenantId::new(TENANT).unwrap(), OfferId::new(20).unwrap()).is_none());
    assert_eq!(snapshot.left_out, 1);
}

#[test]
fn deep_links_stay_on_the_offers_hosts() {
    let hosts = |hosts: &[&str]| OfferRouting {
        deep_link_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..OfferRouting::default()
    };
    let snapshot = built(hosts(&["shop.example", "*.cdn.example"]), LinkSettings::default());
    let cases = [
        ("https://shop.example/a?b=1", false, Some("https://shop.example/a?b=1&click_id=X")),
        ("https://SHOP.example:444/a", false, Some("https://shop.example:444/a?click_id=X")),
        ("http://shop.example/", false, None),
        ("https://x.cdn.example/", false, Some("https://x.cdn.example/?click_id=X")),
        ("https://evil.example/", false, None),
        ("https://evil.example/", true, Some("https://evil.example/?click_id=X")),
        ("http://evil.example/", true, None),
        ("https://shop.example.evil.example/", false, None),
        ("https://shop.example@evil.example/", false, None),
        ("https://evil.example\\.shop.example/", false, None),
        ("//shop.example/", false, None),
        ("/a", true, None),
        ("javascript:alert(1)", true, None),
        ("https://{sub1}.cdn.example/", false, None),
    ];
    for (page, signed, expected) in cases {
        let destination = offer(&snapshot, 20).deep_link(page, signed);
        assert_eq!(destination.map(|page| page.with_click_id("X")).as_deref(), expected, "{page} {signed}");
    }
    assert_eq!(offer(&snapshot, 21).deep_link("https://shop.example/", false), None, "hosts are to be named");
}

#[test]
fn an_address_is_a_host_of_deep_links_when_the_offer_lives_there() {
    let mut tenant = settings();
    let hosts = vec!["127.0.0.1".to_owned(), "10.0.0.1".to_owned()];
    tenant.offers[0].destination = "http://127.0.0.1:8080/shop".into();
    tenant.offers[0].routing = Some(OfferRouting { deep_link_hosts: hosts, ..OfferRouting::default() });
    let snapshot = Snapshot::from_chunks(1, &[settings_chunk(TENANT, tenant)]).ok().unwrap();
    assert_eq!(snapshot.left_out, 1);
    let allowed = |page: &str| offer(&snapshot, 20).deep_link(page, false).is_some();
    assert!(
        allowed("http://127.0.0.1:8080/a") && allowed("https://127.0.0.1/a") && !allowed("https://10.0.0.1/")
    );
}

#[test]
fn links_have_ends_names_and_pages_of_their_own() {
    let own = LinkSettings {
        test: true,
        expires_at_secs: NOW.secs(),
        max_clicks: 3,
        destination: "https://a.cdn.example/{sub1}".into(),
        vanity: [("go.example", "robots"), ("go.example", "Robots"), ("no.example", "a")]
            .map(|(host, slug)| Vanity { host: host.into(), slug: slug.into() })
            .to_vec(),
    };
    let snapshot = built(routing(), own.clone());
    assert_eq!(snapshot.left_out, 2, "two of the names");
    let link = link_of(&snapshot, 40);
    assert!(link.is_test() && link.is_expired(NOW) && !link.is_expired(UnixMicros(NOW.0 - 1)));
    let settings = link.settings.as_ref().unwrap();
    assert_eq!(settings.max_clicks, Some(3));
    assert_eq!(settings.destination.as_ref().unwrap().text(), "https://a.cdn.example/{sub1}");
    assert!(!link_of(&snapshot, 41).is_test() && !link_of(&snapshot, 41).is_expired(NOW));

    let domain = snapshot.domain("GO.example").unwrap();
    assert_eq!(domain.tenant, TenantId::new(TENANT).unwrap());
    assert_eq!(domain.home_url.as_deref(), Some("https://home.example/"));
    assert_eq!((domain.link("robots"), domain.link("Robots")), (LinkId::new(40), None));
    assert!(snapshot.domain("no.example").is_none());

    let elsewhere = LinkSettings { destination: "https://evil.example/".into(), ..own };
    let snapshot = built(routing(), elsewhere);
    assert_eq!(snapshot.left_out, 3);
    assert_eq!(link_of(&snapshot, 40).settings.as_ref().unwrap().destination, None);
}

#[test]
fn a_host_belongs_to_the_first_tenant_that_has_it() {
    let with_host = |tenant: u32| {
        let mut settings = settings();
        settings.domains = vec![Domain { host: "go.example".into(), ..Domain::default() }];
        settings.advertisers.clear();
        settings_chunk(tenant, settings)
    };
    let vanity = vec![Vanity { host: "go.example".into(), slug: "a".into() }];
    let link = Link { settings: Some(LinkSettings { vanity, ..LinkSettings::default() }), ..super::link(40) };
    let links = Chunk { tenant: TENANT + 1, content: Some(Content::Links(LinkChunk { links: vec![link] })) };
    let snapshot = Snapshot::from_chunks(1, &[with_host(TENANT), with_host(TENANT + 1), links]).ok().unwrap();
    assert_eq!(snapshot.left_out, 2, "the second host, and a name on somebody else's");
    assert_eq!(snapshot.domain("go.example").unwrap().tenant, TenantId::new(TENANT).unwrap());
    assert_eq!(snapshot.domain("go.example").unwrap().link("a"), None);
}

#[test]
fn clicks_land_where_routes_and_fallbacks_say() {
    let land = |routing: OfferRouting, full: &[u64]| {
        let snapshot = built(routing, LinkSettings::default());
        let (tenant, start) = (TenantId::new(TENANT).unwrap(), OfferId::new(20).unwrap());
        let facts = Facts::unknown(HitKind::Click, "203.0.113.7".parse().unwrap(), NOW);
        let landing = snapshot.land(tenant, start, &facts, 0, |id, _| !full.contains(&id.get()));
        landing.map(|landing| (landing.offer.get(), landing.page.with_click_id("X"), landing.own_page))
    };
    let own = |id: u64| Some((id, "https://shop.example/robots?a=1&click_id=X#top".to_owned(), true));
    assert_eq!(land(OfferRouting::default(), &[]), own(20));
    assert_eq!(land(OfferRouting::default(), &[20]), None, "over its cap, and nowhere to go");
    let page = Some((20, "https://b.example/?c=X".to_owned(), false));
    assert_eq!(land(routing(), &[]), page);
    let fallbacks = |routing: OfferRouting| OfferRouting {
        table: Some(RouteTable { fallbacks: vec![route("f", To::Offer(21))], ..RouteTable::default() }),
        ..routing
    };
    assert_eq!(land(fallbacks(OfferRouting::default()), &[]), own(20));
    assert_eq!(land(fallbacks(OfferRouting::default()), &[20]), own(21));
    let expired = OfferRouting { expires_at_secs: NOW.secs(), ..OfferRouting::default() };
    assert_eq!(land(fallbacks(expired), &[]), own(21));
}

#[test]
fn advertisers_report_in_their_own_words() {
    let postback = PostbackSettings {
        profile: 4,
        parameters: vec![ParameterName { field: PostbackField::OrderId.code().into(), name: "ref".into() }],
        statuses: vec![StatusWord { word: "ok".into(), status: ConversionStatus::Approved.code().into() }],
        auth: PostbackAuth::Hmac.code().into(),
        keys: vec![PostbackKey { key_id: 2, key: vec![7; 32] }, PostbackKey { key_id: 3, key: vec![7; 31] }],
        networks: vec!["203.0.113.0/24".into(), "x".into()],
        legacy_always_200: true,
        consent_parameters: vec!["gdpr".into()],
    };
    let read = |change: fn(&mut PostbackSettings)| {
        let mut postback = postback.clone();
        change(&mut postback);
        let mut tenant = settings();
        tenant.advertisers[0].postback = Some(postback);
        tenant.advertisers[0].test_token_sha256 = vec![5; 32];
        Snapshot::from_chunks(1, &[settings_chunk(TENANT, tenant)]).ok().unwrap()
    };
    let snapshot = read(|_| {});
    assert_eq!(snapshot.left_out, 2, "a key and a network");
    let advertiser = snapshot.advertiser(AdvertiserId::new(10).unwrap()).unwrap();
    assert_eq!(advertiser.test_token_sha256, Some([5; 32]));
    let Postback { parameters, statuses, auth, keys, networks, .. } = &advertiser.postback;
    assert_eq!(parameters.field("ref"), Some(PostbackField::OrderId));
    assert_eq!(parameters.field("clickid"), Some(PostbackField::ClickId));
    assert_eq!(statuses.status("OK"), Some(ConversionStatus::Approved));
    assert_eq!((*auth, keys.len()), (PostbackAuth::Hmac, 1));
    assert!(networks.contains("203.0.113.9".parse().unwrap()));
    // Words whose meaning is unknown are not guessed at.
    type Change = fn(&mut PostbackSettings);
    let unknown: [Change; 4] =
        [|p| p.profile = 99, |p| p.auth = 99, |p| p.parameters[0].field = 99, |p| p.statuses[0].status = 99];
    for change in unknown {
        assert!(read(change).advertiser(AdvertiserId::new(10).unwrap()).is_none());
    }
}

#[test]
fn a_paused_offer_may_say_why() {
    let mut tenant = settings();
    tenant.offers[0].active = false;
    tenant.offers[0].pause_reason = PauseReason::ConversionCap.code().into();
    let snapshot = Snapshot::from_chunks(1, &[settings_chunk(TENANT, tenant)]).ok().unwrap();
    assert_eq!(offer(&snapshot, 20).pause_reason, Some(PauseReason::ConversionCap));
    assert!(!offer(&snapshot, 20).is_open(NOW));
}
