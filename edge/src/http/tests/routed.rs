//! How clicks go on: macros, deep links, routes, names on a tenant's own hosts, previews, tests.

use super::{Node, Setup, eventually};
use crate::decide::testing::*;
use crate::snapshot::Snapshot;
use proto_model::event::Body;
use proto_model::{Lane, LinkId, RedirectKind, UnixMicros};
use proto_rules::{Field, Operator};
use proto_wire::click_id::ClickKey;
use proto_wire::deep_link::DeepLinkKeys;
use proto_wire::edge_v1::{
    self, Chunk, Compare, Domain, Link, LinkChunk, LinkSettings, Offer, OfferRouting, Preview, Route,
    RouteTable, RuleNode, TenantChunk, Vanity, chunk::Content, route::To, rule_node,
};

const KEY: [u8; 32] = [7; 32];
const PLAIN: u64 = 41;
const TEST: u64 = 42;
const OVER: u64 = 43;
const ELSEWHERE: u64 = 44;
const STRICT: u64 = 45;
const LONG: u64 = 46;
const STRICT_ELSEWHERE: u64 = 47;

fn route(id: &str, device: Option<&str>, to: To) -> Route {
    let compare = |device: &str| {
        let (field, operator) = (Field::Device.code().into(), Operator::Eq.code().into());
        let compare = Compare { field, operator, text: device.into(), number: 0 };
        RuleNode { node: Some(rule_node::Node::Compare(compare)) }
    };
    Route {
        id: id.into(),
        priority: 1,
        weight: 1,
        nodes: device.map(compare).into_iter().collect(),
        to: Some(to),
    }
}

fn offer_of(id: u64, destination: &str, routing: OfferRouting) -> Offer {
    let (destination, routing) = (destination.into(), Some(routing));
    Offer { id, advertiser: 1, program: 5, destination, active: true, routing, ..Offer::default() }
}

fn snapshot() -> Snapshot {
    let preview = Preview {
        title: "<Robots>".into(),
        description: "new".into(),
        image: "https://i.example/r.png".into(),
    };
    let open = OfferRouting {
        deep_link_hosts: vec!["shop.example".into()],
        pass_through: true,
        preview: Some(preview),
        pages: vec!["https://m.example/{country}".into()],
        table: Some(RouteTable {
            routes: vec![route("phones", Some("mobile"), To::Page(0))],
            ..RouteTable::default()
        }),
        ..OfferRouting::default()
    };
    let silent = OfferRouting { redirect: RedirectKind::NoReferrer.code().into(), ..OfferRouting::default() };
    let strict = RouteTable {
        strict: true,
        routes: vec![route("tablets", Some("tablet"), To::Offer(2))],
        fallbacks: vec![route("phones-elsewhere", Some("mobile"), To::Offer(2))],
        ..RouteTable::default()
    };
    let deep_link_hosts = vec!["tablets.example".into()];
    let strict = OfferRouting { table: Some(strict), deep_link_hosts, ..OfferRouting::default() };
    let settings = TenantChunk {
        fallback_url: FALLBACK.into(),
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: KEY.to_vec(), active: true }],
        advertisers: vec![edge_v1::Advertiser { id: 1, ..edge_v1::Advertiser::default() }],
        offers: vec![
            offer_of(1, "https://shop.example/l?p={aff_id}&s={sub1}&x={nobody}", open),
            offer_of(2, "https://quiet.example/", silent),
            offer_of(3, "https://tablets.example/", strict),
            offer_of(
                4,
                "https://long.example/?a={referrer}&b={referrer}&c={referrer}",
                OfferRouting::default(),
            ),
        ],
        domains: vec![Domain {
            host: "go.example".into(),
            home_url: "https://home.example/".into(),
            expired_url: "https://over.example/".into(),
            ..Domain::default()
        }],
        ..TenantChunk::default()
    };
    let named = |slug: &str| vec![Vanity { host: "go.example".into(), slug: slug.into() }];
    let link = |id, offer, settings| Link { id, offer, partner: 9, active: true, settings: Some(settings) };
    let links = vec![
        link(PLAIN, 1, LinkSettings { vanity: named("robots"), ..LinkSettings::default() }),
        link(TEST, 1, LinkSettings { test: true, ..LinkSettings::default() }),
        link(OVER, 1, LinkSettings { expires_at_secs: 1, vanity: named("old"), ..LinkSettings::default() }),
        link(
            ELSEWHERE,
            1,
            LinkSettings {
                destination: "https://shop.example/own?c={click_id}".into(),
                ..LinkSettings::default()
            },
        ),
        link(STRICT, 3, LinkSettings::default()),
        link(LONG, 4, LinkSettings::default()),
        link(
            STRICT_ELSEWHERE,
            3,
            LinkSettings { destination: "https://tablets.example/own".into(), ..LinkSettings::default() },
        ),
    ];
    let chunks = [
        Chunk { tenant: 1, content: Some(Content::Settings(settings)) },
        Chunk { tenant: 1, content: Some(Content::Links(LinkChunk { links })) },
    ];
    let snapshot = Snapshot::from_chunks(3, &chunks).unwrap();
    assert_eq!(snapshot.left_out, 0);
    snapshot
}

fn node() -> Node {
    Setup { snapshot: Some(snapshot()), ..Setup::default() }.start()
}

fn path(id: u64) -> String {
    format!("/c/{}", link(id))
}

const PHONE: &str = "user-agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
    (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1\r\n";

/// The Location with `ID` in the place of the click id.
fn location(node: &Node, path: &str, headers: &str) -> (Option<String>, Option<String>) {
    let reply = node.send("GET", path, headers, "");
    let location = reply.location().map(|url| {
        url.split(['=', '&', '#'])
            .filter(|part| part.len() == 80)
            .fold(url.to_owned(), |url, id| url.replace(id, "ID"))
    });
    (location, reply.reason().map(str::to_owned))
}

#[test]
fn a_click_goes_where_offer_link_and_partner_say() {
    let node = node();
    let shop = |rest: &str| Some(format!("https://shop.example/{rest}"));
    let partner = proto_model::PartnerId::new(9).unwrap();
    let own = |rest: &str| shop(&format!("l?p={partner}&s={rest}"));
    let cases = [
        (format!("{}?sub1=a%26b", path(PLAIN)), "", own("a%26b&x=&click_id=ID"), None),
        (format!("{}?utm=x&p=other", path(PLAIN)), "", own("&x=&click_id=ID&utm=x"), None),
        (
            format!("{}?url=https%3A%2F%2Fshop.example%2Fm%3Fa%3D%7Bsub1%7D&sub1=s", path(PLAIN)),
            "",
            shop("m?a={sub1}&click_id=ID"),
            None,
        ),
        (
            format!("{}?url=https://evil.example/", path(PLAIN)),
            "",
            own("&x=&click_id=ID"),
            Some("deep_link_not_allowed"),
        ),
        (
            format!("{}?url=https://shop.example.evil.example/", path(PLAIN)),
            "",
            own("&x=&click_id=ID"),
            Some("deep_link_not_allowed"),
        ),
        (
            format!("{}?url=https://shop.example@evil.example/", path(PLAIN)),
            "",
            own("&x=&click_id=ID"),
            Some("deep_link_not_allowed"),
        ),
        (path(PLAIN), PHONE, Some("https://m.example/ZZ?click_id=ID".into()), None),
        (
            format!("{}?url=https://shop.example/m", path(PLAIN)),
            PHONE,
            Some("https://m.example/ZZ?click_id=ID".into()),
            None,
        ),
        (path(ELSEWHERE), "", shop("own?c=ID"), None),
        (path(OVER), "", Some(FALLBACK.into()), Some("expired")),
        (path(STRICT), "", Some(FALLBACK.into()), Some("not_targeted")),
    ];
    for (path, headers, expected, reason) in cases {
        assert_eq!(location(&node, &path, headers), (expected, reason.map(str::to_owned)), "{path}");
    }
    // A page that tells the shop nothing, of an offer that another one falls back on.
    let silent = node.send("GET", &path(STRICT), PHONE, "");
    assert_eq!((silent.status(), silent.header("referrer-policy")), (200, Some("no-referrer")));
    assert!(silent.body().contains("0;url=https://quiet.example/?click_id="), "{}", silent.body());
    let other = node.send("GET", &path(STRICT_ELSEWHERE), PHONE, "");
    assert!(
        other.body().contains("0;url=https://quiet.example/?click_id="),
        "not the page of the offer that is closed"
    );
    let clicks = node.on_disk(Lane::Traffic);
    let Body::Click(last) = &clicks.last().unwrap().event.body else { panic!("a click") };
    assert_eq!(last.offer, offer(2), "it counts for the offer that took it");
}

#[test]
fn a_signed_deep_link_leads_anywhere_until_it_is_over() {
    let node = node();
    let key = ClickKey { key_id: 1, key: KEY };
    let keys = DeepLinkKeys::new(tenant(1), &[(key, true)]);
    let page = "https://anywhere.example/a?b=1";
    let signed = |link: u64, expires: i64| {
        let signature = keys.sign(LinkId::new(link).unwrap(), page, expires).unwrap();
        let url: String = form_urlencoded::byte_serialize(page.as_bytes()).collect();
        format!("{}?url={url}&exp={expires}&sig={signature}", path(PLAIN))
    };
    let later = 4_000_000_000;
    let good = signed(PLAIN, later);
    assert_eq!(location(&node, &good, ""), (Some(format!("{page}&click_id=ID")), None));
    let cases = [
        (signed(PLAIN, 1_000), "stale_timestamp"),
        (signed(TEST, later), "bad_signature"),
        (good.replace("b%3D1", "b%3D2"), "bad_signature"),
        (good.replace("&sig=", "&sig=A"), "bad_signature"),
        (format!("{good}&exp={later}"), "parameter_repeated"),
    ];
    for (path, reason) in cases {
        let (url, named) = location(&node, &path, "");
        assert!(url.unwrap().starts_with("https://shop.example/l?"), "{path}");
        assert_eq!(named.as_deref(), Some(reason), "{path}");
    }
}

#[test]
fn links_have_names_on_their_tenants_hosts() {
    let node = node();
    let at = |host: &str, path: &str| {
        let reply =
            node.raw(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes());
        (reply.status(), reply.location().unwrap_or_default().to_owned(), reply.reason().map(str::to_owned))
    };
    let (status, location, _) = at("GO.example:8080", "/robots?sub1=x");
    assert!(status == 302 && location.starts_with("https://shop.example/l?p=ptn_"), "{location}");
    assert_eq!(at("go.example", "/"), (302, "https://home.example/".into(), None));
    assert_eq!(at("go.example", "/old"), (302, "https://over.example/".into(), Some("expired".into())));
    assert_eq!(at("go.example", "/nobody"), (302, FALLBACK.into(), Some("unknown_link".into())));
    assert_eq!(at("other.example", "/robots"), (404, String::new(), Some("not_found".into())));
    assert!(eventually(|| node.on_disk(Lane::Traffic).len() == 2));
    let on_disk = node.on_disk(Lane::Traffic);
    assert!(matches!(&on_disk[1].event.body, Body::Refused(hit) if hit.reason.as_str() == "expired"));
}

#[test]
fn who_shows_a_link_in_a_chat_gets_a_page_and_is_no_click() {
    let node = node();
    let reply = node.send("GET", &path(PLAIN), "user-agent: facebookexternalhit/1.1\r\n", "");
    assert_eq!((reply.status(), reply.reason(), reply.location()), (200, Some("preview"), None));
    assert!(reply.body().contains("og:title\" content=\"&lt;Robots&gt;\""), "{}", reply.body());
    let plain = node.send("GET", &path(STRICT), "user-agent: WhatsApp/2.23\r\n", "");
    assert!(plain.body().contains("<title>tablets.example</title>"), "{}", plain.body());
    assert!(node.on_disk(Lane::Traffic).is_empty());
}

#[test]
fn a_test_click_is_marked() {
    let node = node();
    let now = UnixMicros(0);
    let reply = node.get(&path(TEST));
    let keys =
        proto_wire::click_id::ClickKeys::try_new(tenant(1), &[(ClickKey { key_id: 1, key: KEY }, true)])
            .unwrap();
    let facts = keys.open(reply.click_id().unwrap()).unwrap();
    assert!(facts.flags.test() && facts.at() > now);
    let clicks = node.on_disk(Lane::Traffic);
    let Body::Click(click) = &clicks[0].event.body else { panic!("a click") };
    assert!(click.flags.test());
}

#[test]
fn a_url_that_grows_too_long_goes_without_what_others_chose() {
    let node = node();
    let referrer = format!("referer: https://b.example/{}\r\n", "\"".repeat(980));
    let reply = node.send("GET", &path(LONG), &referrer, "");
    assert_eq!(reply.reason(), Some("field_too_long"));
    assert!(reply.location().unwrap().starts_with("https://long.example/?a=&b=&c=&click_id="));
    let short = node.send("GET", &path(LONG), "referer: https://b.example/\r\n", "");
    assert!(
        short.reason().is_none() && short.location().unwrap().contains("a=https%3A%2F%2Fb.example%2F&b=")
    );
}

#[test]
fn who_only_looks_is_not_led_astray() {
    let node = node();
    for page in
        ["https://shop.example/q%090q0z", "https://shop.example/xx%0aq0q0z", "https://shop.example/q0q0z"]
    {
        let reply = node.send("HEAD", &format!("{}?url={page}", path(PLAIN)), "", "");
        let url = url::Url::parse(reply.location().unwrap()).unwrap();
        assert_eq!(url.host_str(), Some("shop.example"), "{page}: {url}");
    }
}

#[test]
fn nothing_is_kept_of_who_asks_for_that() {
    let node = node();
    for (query, headers) in [("", "sec-gpc: 1\r\n"), ("?gdpr=1", ""), ("?consent=denied&sub1=x", "")] {
        let reply = node.send("GET", &format!("{}{query}", path(PLAIN)), headers, "");
        assert!(reply.status() == 302 && reply.click_id().is_some(), "it counts all the same");
    }
    let clicks = node.on_disk(Lane::Traffic);
    assert_eq!(clicks.len(), 3);
    assert!(clicks.iter().all(|click| click.personal.network.is_none()));
    assert_eq!(clicks[2].personal.sub_ids, ["x"], "the partner's own tags are not about a person");
}
