//! Forged addresses, forged clicks, forged sales.

use super::field::{Field, IN_CHINA, PROXY, STRANGER, text};
use super::wire::{Reply, connect_from, encoded, eventually, exchange, exchange_and_end, read_to_end};
use super::{Attack, attack};
use aws_lc_rs::hmac;
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::time::SystemTime;

pub const ATTACKS: &[Attack] = &[
    attack("41, 44 forged addresses", forged_addresses),
    attack("42 PROXY headers", proxy_headers),
    attack("43 many IPv6 addresses", many_addresses),
    attack("45-46 forged click ids", forged_clicks),
    attack("47 a pixel 1000 times", pixel_again),
    attack("48 forged postbacks", forged_postbacks),
    attack("49 an order with another amount", another_amount),
    attack("50 amounts that are none", odd_amounts),
    attack("51-53 large and odd headers", odd_headers),
];

/// Where a click is from, according to the macro in its Location.
fn country(reply: &Reply) -> String {
    let location = reply.location().unwrap_or_else(|| panic!("no redirect: {reply:?}"));
    let url = url::Url::parse(location).expect("a URL");
    url.query_pairs()
        .find(|(name, _)| name == "c")
        .map(|(_, country)| country.into_owned())
        .unwrap_or_default()
}

fn forged_addresses(field: &Field) {
    let honest = format!("x-forwarded-for: {IN_CHINA}\r\n");
    assert_eq!(country(&field.get_from(PROXY, &field.click(), &honest)), "CN", "a proxy is believed");
    let forged = [
        honest.clone(),
        format!("forwarded: for={IN_CHINA}\r\n"),
        format!("x-real-ip: {IN_CHINA}\r\n"),
        format!("true-client-ip: {IN_CHINA}\r\ncf-connecting-ip: {IN_CHINA}\r\n"),
    ];
    for headers in &forged {
        assert_ne!(country(&field.get(&field.click(), headers)), "CN", "{headers}");
    }
    // What comes before the last address that no proxy of ours wrote is the client's invention.
    for list in [
        format!("{IN_CHINA}, 198.51.100.7"),
        "::ffff:127.0.0.1".to_owned(),
        format!("::ffff:{IN_CHINA}, 198.51.100.7"),
        "unknown".to_owned(),
        ",,,,".to_owned(),
        "1.1.1.1,".repeat(1500),
        "999.0.113.9".to_owned(),
    ] {
        let headers = format!("x-forwarded-for: {list}\r\n");
        let reply = field.get_from(PROXY, &field.click(), &headers);
        assert_ne!(country(&reply), "CN", "{headers}");
        // Nor does it make anybody one of this machine.
        let livez = field.get_from(PROXY, "/livez", &headers);
        assert_eq!(livez.status(), 404, "{headers}: {livez:?}");
    }
    let mapped = format!("x-forwarded-for: ::ffff:{IN_CHINA}\r\n");
    assert_eq!(country(&field.get_from(PROXY, &field.click(), &mapped)), "CN", "it is the same address");
}

fn proxy_header(kind: u8, length: u16) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([kind, 0x11]);
    bytes.extend(length.to_be_bytes());
    bytes.extend([203, 0, 113, 9, 10, 0, 0, 1, 0x30, 0x39, 1, 0xbb]);
    bytes
}

fn proxy_headers(field: &Field) {
    let turned = |why: &str| field.metric(&format!("connections_turned_away_total{{reason=\"{why}\"}}"));
    let click = format!("GET {} HTTP/1.1\r\nhost: a\r\n\r\n", field.click()).into_bytes();
    let untrusted = turned("untrusted_proxy");
    let reply = exchange(STRANGER, field.tls, &[&proxy_header(0x21, 12), &click[..]].concat());
    assert_eq!(reply.0, "", "a stranger announces nobody");
    assert!(eventually(|| turned("untrusted_proxy") == untrusted + 1));
    let odd = [
        ("65535 bytes", [proxy_header(0x21, 65_535), vec![0; 65_523]].concat()),
        ("too short for its addresses", proxy_header(0x21, 4)),
        ("version 3", proxy_header(0x31, 12)),
        ("an unknown command", proxy_header(0x2f, 12)),
        ("version 1", b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n".to_vec()),
        ("none", click.clone()),
        ("half", proxy_header(0x21, 12)[..20].to_vec()),
    ];
    for (name, bytes) in odd {
        let reply = exchange_and_end(PROXY, field.tls, &bytes);
        assert!(reply.0.is_empty() || reply.0.as_bytes()[0] == 21, "{name}: an alert at most: {reply:?}");
    }
    // Where no header is expected it is no request.
    let reply = exchange(PROXY, field.http, &[&proxy_header(0x21, 12), &click[..]].concat());
    assert!(matches!(reply.status(), 0 | 400) && reply.location().is_none(), "{reply:?}");
}

/// Each a /64 of its own, which is what limits are kept by: their memory is of a fixed size.
fn many_addresses(field: &Field) {
    const MANY: usize = 200_000;
    const PIPELINED: usize = 500;
    let mut threads = Vec::new();
    for thread in 0..2 {
        let (http, path) = (field.http, field.click());
        threads.push(std::thread::spawn(move || {
            let mut stream = connect_from(PROXY, http);
            let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
            for round in 0..MANY / 2 / PIPELINED {
                let head = |n: usize| {
                    let n = (thread * MANY + round * PIPELINED + n) as u128;
                    let client = std::net::Ipv6Addr::from((0x2001_0db8 << 96) | (n << 64) | 1);
                    format!("HEAD {path} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n")
                };
                let heads: String = (0..PIPELINED).map(head).collect();
                stream.write_all(heads.as_bytes()).expect("sent");
                (0..PIPELINED).for_each(|_| assert_eq!(Reply::read(&mut replies).status(), 302));
            }
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().expect("every one is answered"));
}

fn postback(field: &Field, query: &str) -> Reply {
    let (advertiser, token) = (&field.ours.advertiser, &field.ours.token);
    field.get(&format!("/postback/{advertiser}?token={token}&{query}"), "")
}

fn refused(field: &Field, query: &str, reason: &str) {
    let reply = postback(field, query);
    assert_eq!((reply.status(), reply.reason()), (422, Some(reason)), "{query}: {reply:?}");
}

fn forged_clicks(field: &Field) {
    let own = field.get(&field.click(), "").click_id().expect("a click").to_owned();
    for (at, byte) in own.bytes().enumerate() {
        let other = if byte == b'A' { 'B' } else { 'A' };
        let forged = format!("{}{other}{}", &own[..at], &own[at + 1..]);
        refused(field, &format!("order_id=forged-{at}&click_id={forged}"), "invalid_click_id");
    }
    for forged in
        ["A".repeat(80), "_".repeat(80), own[..79].to_owned(), format!("{own}A"), own.to_lowercase()]
    {
        let reply = postback(field, &format!("order_id=forged&click_id={forged}"));
        assert_eq!(reply.status(), 422, "{forged}: {reply:?}");
    }
    let theirs = field.get(&format!("/c/{}", field.theirs.link), "");
    let theirs = theirs.click_id().expect("a click");
    refused(field, &format!("order_id=theirs&click_id={theirs}"), "invalid_click_id");
}

fn pixel_again(field: &Field) {
    let path = format!("/p/{}.gif?order_id=again&amount=5&currency=USD", field.ours.advertiser);
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut stream = connect_from(STRANGER, field.http);
    let mut counted = 0;
    for _ in 0..1000 {
        stream.write_all(request.as_bytes()).expect("sent");
        let reply = Reply::read(&mut stream);
        assert_eq!((reply.status(), reply.header("content-type")), (200, Some("image/gif")));
        counted += usize::from(reply.reason() != Some("duplicate"));
    }
    assert_eq!(counted, 1, "it counts once");
}

/// An advertiser that is to sign, or to come from one network.
fn advertiser(field: &Field, settings: Value) -> (String, Option<hmac::Key>) {
    let api = &field.ours.api;
    let made = field.runtime.block_on(api.post("/v1/advertisers", json!({ "name": "Signs" })));
    let id = text(&made["id"]);
    let key = field.runtime.block_on(api.post(&format!("/v1/advertisers/{id}/postback/keys"), json!({})));
    let secret =
        key.as_object().expect("an object").values().find_map(|value| value.as_str()?.strip_prefix("tbh_"));
    let secret = secret.unwrap_or_else(|| panic!("no key in {key}"));
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret).expect("base64url");
    field.runtime.block_on(api.put(&format!("/v1/advertisers/{id}/postback"), settings));
    (id, Some(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
}

fn signed(key: &hmac::Key, order: &str, at: u64, nonce: &str) -> String {
    let text = format!("order_id={order}\ntimestamp={at}\nnonce={nonce}\n");
    let tag = hmac::sign(key, text.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("order_id={order}&timestamp={at}&nonce={nonce}&signature={hex}")
}

fn forged_postbacks(field: &Field) {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs();
    let (signs, key) = advertiser(field, json!({ "auth": "hmac" }));
    let key = key.expect("a key");
    let send = |query: &str| field.get(&format!("/postback/{signs}?{query}"), "");
    let good = signed(&key, "signed", now, "nonce-0001");
    assert!(eventually(|| send(&good).status() == 202), "{:?}", send(&good));
    let stranger = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let cases = [
        (signed(&stranger, "forged", now, "nonce-0002"), "bad_signature"),
        (
            signed(&key, "forged", now, "nonce-0003").replace("order_id=forged", "order_id=other"),
            "bad_signature",
        ),
        (signed(&key, "old", now - 3600, "nonce-0004"), "stale_timestamp"),
        (signed(&key, "early", now + 3600, "nonce-0005"), "stale_timestamp"),
        (signed(&key, "again", now, "nonce-0001"), "replayed_nonce"),
    ];
    for (query, reason) in &cases {
        let reply = send(query);
        assert_eq!((reply.status(), reply.reason()), (403, Some(*reason)), "{query}: {reply:?}");
    }
    let (listed, _) = advertiser(field, json!({ "auth": "ip_list", "networks": ["192.0.2.0/24"] }));
    let forged = format!("/postback/{listed}?order_id=a");
    let elsewhere = || field.get(&forged, "x-forwarded-for: 192.0.2.7\r\n");
    assert!(eventually(|| elsewhere().reason() == Some("forbidden_address")), "{:?}", elsewhere());
    assert_eq!(elsewhere().status(), 403);
}

/// What disagrees is for the control plane to judge, once.
fn another_amount(field: &Field) {
    let report =
        |amount: &str| postback(field, &format!("order_id=one&amount={amount}&currency=USD")).status();
    assert_eq!((report("19.90"), report("19.90")), (202, 409), "the same");
    assert_eq!((report("29.90"), report("29.90")), (202, 409), "another amount");
}

fn odd_amounts(field: &Field) {
    let long = "9".repeat(40);
    let amounts =
        ["-1", "NaN", "inf", "1e309", "1e3", "0x10", "1,5", " 1", "+1", "1.999", "", &long, "\u{661}"];
    for amount in amounts {
        let reply = postback(field, &format!("order_id=odd&amount={}&currency=USD", encoded(amount)));
        let refused = reply.status() == 422 && reply.reason() == Some("invalid_amount");
        assert!(refused || amount.is_empty(), "{amount}: {reply:?}");
    }
    refused(field, "order_id=odd&amount=1.5&currency=JPY", "invalid_amount");
    refused(field, "order_id=odd&amount=1&currency=ABC", "invalid_currency");
}

fn odd_headers(field: &Field) {
    let cases = [
        ("a user agent of 64 KiB", format!("user-agent: {}\r\n", "x".repeat(65_536)), 431),
        ("50 cookies of 4 KiB", format!("cookie: {}\r\n", "c".repeat(4096)).repeat(50), 431),
        ("an escape in the user agent", "user-agent: \x1b[2Jforged-line\r\n".to_owned(), 400),
        ("a bare CR in the user agent", "user-agent: a\rforged-line\r\n".to_owned(), 400),
    ];
    for (name, headers, status) in cases {
        let reply = field.get(&field.click(), &headers);
        assert_eq!((reply.status(), reply.location()), (status, None), "{name}: {reply:?}");
    }
    // These get as far as what is kept of a click; none of them gets into the log.
    for tag in ["%1b%5b2Jforged-line", "%0aforged-line", "%0d%0aforged-line", "%e2%80%aeforged-line"] {
        let reply =
            field.get(&format!("{}?sub1={tag}", field.click()), "referer: https://b.example/forged-line\r\n");
        assert_eq!(reply.status(), 302, "{tag}");
    }
    let mut stream = connect_from(STRANGER, field.http);
    stream
        .write_all(b"GET /\x1b[2Jforged-line HTTP/1.1\r\nhost: \x1b]0;forged-line\x07\r\n\r\n")
        .expect("sent");
    let reply = Reply(String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned());
    assert_eq!(reply.status(), 400, "{reply:?}");
}
