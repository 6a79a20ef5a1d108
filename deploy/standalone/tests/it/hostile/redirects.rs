//! Whoever clicks lands on the page of the offer or nowhere, whatever else the URL says.

use super::field::{Field, text};
use super::wire::{Reply, encoded, eventually};
use super::{Attack, attack};
use serde_json::json;
use std::time::{Duration, SystemTime};

pub const ATTACKS: &[Attack] = &[
    attack("1-6 pages elsewhere", pages_elsewhere),
    attack("7-8 header lines and macros in values", values_stay_values),
    attack("9 a page of another tenant", pages_of_others),
    attack("10 a changed signature", changed_signatures),
    attack("11 a signature of another time", signatures_of_another_time),
    attack("12 doubled parameters", doubled),
    attack("13 a URL that grows", growing),
    attack("14 a loop", loops),
];

/// On its way to the shop, over https, with nobody's name before the host.
fn leads_to_the_shop(reply: &Reply, what: &str) {
    assert_eq!(reply.status(), 302, "{what}: {reply:?}");
    let url = url::Url::parse(reply.location().expect("a Location")).expect("a URL");
    assert_eq!((url.scheme(), url.host_str()), ("https", Some("shop.example")), "{what}: {url}");
    assert!(url.username().is_empty() && url.password().is_none(), "{what}: {url}");
    assert_eq!(reply.header("set-cookie"), None, "{what}");
}

fn stays(field: &Field, query: &str, reason: &str) {
    let reply = field.get(&format!("{}?{query}", field.click()), "");
    leads_to_the_shop(&reply, query);
    assert_eq!(reply.reason(), Some(reason), "{query}");
}

fn pages_elsewhere(field: &Field) {
    let pages = [
        "//evil.example/",
        "///evil.example/",
        "\\\\evil.example/",
        "https:/\\evil.example/",
        "https:evil.example/",
        "https://shop.example@evil.example/",
        "https://shop.example:x@evil.example/",
        "https://evil.example\\@shop.example/",
        "https://evil.example#@shop.example/",
        "https://shop.example.evil.example/",
        "https://evilshop.example/",
        "javascript:alert(1)//shop.example/",
        "java\tscript:alert(1)",
        "data:text/html,<script>x</script>",
        "http://shop.example/",
        "https://sh\u{43e}p.example/",
        "https://shop.example./",
        "https://shop.example\u{3002}evil.example/",
        "https://shop.example:443@evil.example:443/",
        "https://\u{0}shop.example/",
        "\u{1}https://evil.example/",
    ];
    for page in pages {
        let reply = field.get(&format!("{}?url={}", field.click(), encoded(page)), "");
        leads_to_the_shop(&reply, page);
    }
    stays(field, "url=https%3A%2F%2Fevil.example%2F", "deep_link_not_allowed");
}

fn values_stay_values(field: &Field) {
    let values = [
        "%0d%0aSet-Cookie:%20a=b",
        "%0aLocation:%20https://evil.example/",
        "%E5%98%8A%E5%98%8DSet-Cookie:%20a=b",
        "%7Bclick_id%7D",
        "%7Bsub1%7D%7Bcountry%7D",
        "x%26click_id%3Dforged%23",
        "%00%ff",
    ];
    for value in values {
        let reply = field.get(&format!("{}?sub1={value}", field.click()), "");
        leads_to_the_shop(&reply, value);
        let location = url::Url::parse(reply.location().expect("a Location")).expect("a URL");
        let ids = location.query_pairs().filter(|(name, _)| name == "click_id");
        let ids: Vec<String> = ids.map(|(_, id)| id.into_owned()).collect();
        assert!(ids.len() == 1 && ids[0].len() == 80, "{value}: {location}");
        let sub = location.query_pairs().find(|(name, _)| name == "s").map(|(_, sub)| sub.into_owned());
        assert!(
            !sub.unwrap_or_default().contains(&ids[0]),
            "{value}: a macro in a value is text: {location}"
        );
    }
}

/// A link leads to its own tenant's page; a page or a signature of somebody else's does not go with it.
fn pages_of_others(field: &Field) {
    let signed = sign(field, "https://anywhere.example/", Duration::from_secs(3600));
    let (_, query) = signed.split_once('?').expect("a query");
    let theirs = format!("/c/{}", field.theirs.link);
    for query in ["", "url=https%3A%2F%2Fshop.example%2F", query] {
        let reply = field.get(&format!("{theirs}?{query}"), "");
        let location = reply.location().expect("a Location");
        assert!(location.starts_with("https://theirs.example/l?"), "{query}: {location}");
    }
    for nobody in ["/c/lnk_", "/c/lnk_7zzzzzzzzzzzz", "/c/..%2f..%2fc", "/c/%00"] {
        let reply = field.get(nobody, "");
        assert!(reply.status() == 404 && reply.location().is_none(), "{nobody}: {reply:?}");
    }
}

/// The path of a deep link that the tenant signed.
fn sign(field: &Field, page: &str, lasts: Duration) -> String {
    let until = SystemTime::now() + lasts;
    let until = jiff::Timestamp::try_from(until).expect("a time").to_string();
    let path = format!("/v1/links/{}/deep-links", field.ours.link);
    let body = json!({ "url": page, "expires_at": until });
    let signed = field.runtime.block_on(field.ours.api.post(&path, body));
    text(&signed["path"])
}

fn changed_signatures(field: &Field) {
    let page = "https://anywhere.example/";
    let signed = sign(field, page, Duration::from_secs(3600));
    let good = field.get(&signed, "");
    assert!(good.location().is_some_and(|to| to.starts_with(page)), "{good:?}");
    let (_, query) = signed.split_once('?').expect("a query");
    let from = signed.len() - query.len();
    for at in (from..signed.len()).filter(|at| signed.as_bytes()[*at].is_ascii_alphanumeric()) {
        let other = if &signed[at..=at] == "0" { "1" } else { "0" };
        let changed = format!("{}{other}{}", &signed[..at], &signed[at + 1..]);
        let reply = field.get(&changed, "");
        leads_to_the_shop(&reply, &changed);
    }
}

fn signatures_of_another_time(field: &Field) {
    let page = "https://anywhere.example/";
    let short = sign(field, page, Duration::from_secs(2));
    let over = || field.get(&short, "").reason() == Some("stale_timestamp");
    assert!(eventually(over), "it is over at some time");
    leads_to_the_shop(&field.get(&short, ""), "over");
    let (before, rest) = short.split_once("exp=").expect("a time");
    let (_, rest) = rest.split_once('&').expect("a signature");
    for time in ["99999999999", "9223372036854775807", "18446744073709551616", "-1", "1e18", ""] {
        leads_to_the_shop(&field.get(&format!("{before}exp={time}&{rest}"), ""), time);
    }
}

fn doubled(field: &Field) {
    let signed = sign(field, "https://anywhere.example/", Duration::from_secs(3600));
    let (_, query) = signed.split_once('?').expect("a query");
    for name in ["url", "exp", "sig"] {
        let pair = query.split('&').find(|pair| pair.starts_with(name)).expect("a pair");
        stays(field, &format!("{query}&{pair}"), "parameter_repeated");
        stays(field, &format!("{name}=x&{query}"), "parameter_repeated");
    }
}

/// What others chose is left out before the URL is longer than browsers and shops take.
fn growing(field: &Field) {
    let referrer = format!("referer: https://b.example/{}\r\n", "\"".repeat(980));
    let reply = field.get(&field.click(), &referrer);
    leads_to_the_shop(&reply, "a long referrer");
    assert_eq!(reply.reason(), Some("field_too_long"));
    assert!(reply.location().expect("a Location").len() <= 8192);
}

fn loops(field: &Field) {
    let own = format!("http://{}{}", field.http, field.click());
    for page in [own.clone(), own.replace("http:", "https:"), field.click()] {
        stays(field, &format!("url={}", encoded(&page)), "deep_link_not_allowed");
    }
}
