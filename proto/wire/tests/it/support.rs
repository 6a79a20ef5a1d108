//! Fixtures and strategies.

use proptest::prelude::*;
use proto_model::event::{
    Authority, Body, Click, ConversionHit, FineFacts, Impression, Network, ORDINAL_MAX, Personal, Privacy,
    RecordedFacts, RecordedVerdict, RefusedHit, TouchHit, TrackingEvent, Uniqueness,
};
use proto_model::{
    Address, AdvertiserId, Amount, ClickFacts, ClickFlags, Country, Currency, DeviceClass, EdgeId, Lane,
    LinkId, OfferId, PartnerId, ProgramId, Reason, StreamNo, TenantId, UnixMicros, VerdictKind,
};
use proto_wire::click_id::{ClickKey, ClickKeys};
use proto_wire::convert::event_to_wire;
use proto_wire::edge_v1::{EventBatch, Sidecar};
use proto_wire::envelope::{GENESIS_HEAD, HeaderFields};
use proto_wire::keys::SigningKey;
use std::collections::BTreeMap;

/// `name = value` lines; `#` starts a comment.
pub fn golden(text: &'static str) -> BTreeMap<&'static str, &'static str> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" = ").unwrap()).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// PKCS#8 version 1 around a seed (RFC 8410, section 7).
pub fn key_of_seed(seed: &[u8]) -> SigningKey {
    let mut pkcs8 = unhex("302e020100300506032b657004220420");
    pkcs8.extend_from_slice(seed);
    SigningKey::from_pkcs8(&pkcs8).unwrap()
}

pub fn signing_key() -> SigningKey {
    key_of_seed(&(0x40..0x60).collect::<Vec<u8>>())
}

pub const STREAM: StreamNo = StreamNo(9);

pub fn tenant() -> TenantId {
    TenantId::new(0x1234_5678).unwrap()
}

pub fn click_key(key_id: u8) -> ClickKey {
    let mut key = [0; 32];
    for (at, byte) in (0u8..).zip(&mut key) {
        *byte = at ^ (key_id ^ 7);
    }
    ClickKey { key_id, key }
}

/// Key 7, which is 000102..1f, active.
pub fn click_keys() -> ClickKeys {
    ClickKeys::try_new(tenant(), &[(click_key(6), false), (click_key(7), true)]).unwrap()
}

pub fn header_fields() -> HeaderFields {
    HeaderFields {
        edge: EdgeId::new(0x01_0203_0405).unwrap(),
        epoch: 3,
        lane: Lane::Money,
        stream: STREAM,
        prev_hash: GENESIS_HEAD,
    }
}

/// Salts that differ from one another and are the same in each run.
pub fn counted_salts() -> impl FnMut() -> [u8; 16] {
    let mut count = 0u128;
    move || {
        count += 1;
        count.to_be_bytes()
    }
}

/// Converts events to dense ones from `first`.
pub fn batch_of(first: u64, events: &[(TrackingEvent, Personal)]) -> (EventBatch, Sidecar) {
    let (mut batch, mut sidecar) = (EventBatch::default(), Sidecar::default());
    let mut salts = counted_salts();
    for (ordinal, (event, personal)) in (first..).zip(events) {
        let (event, entries) = event_to_wire(event, STREAM, ordinal, personal, &mut salts);
        batch.events.push(event);
        sidecar.entries.extend(entries);
    }
    (batch, sidecar)
}

pub fn a_click() -> TrackingEvent {
    TrackingEvent {
        tenant: tenant(),
        occurred_at: UnixMicros(1_767_225_600_123_456),
        facts: RecordedFacts {
            country: Country::parse("CN"),
            device: DeviceClass::Mobile,
            os: "Android".into(),
            browser: "Chrome".into(),
            geo_version: 1_767_000_000,
            fine: FineFacts {
                region: "Guangdong".into(),
                city: "深圳".into(),
                asn: Some(4134),
                language: "zh".into(),
                connection: "4g".into(),
            },
            privacy: Privacy::Full,
            privacy_policy: 1,
        },
        verdict: RecordedVerdict {
            kind: VerdictKind::Flag,
            rule_id: Some("new-device".into()),
            rule_set_version: 17,
        },
        body: Body::Click(Click {
            link: LinkId::new(0x01_2345_6789).unwrap(),
            offer: OfferId::new(0x98_7654_3210).unwrap(),
            partner: PartnerId::new(3).unwrap(),
            program: ProgramId::new(4).unwrap(),
            advertiser: AdvertiserId::new(5).unwrap(),
            flags: ClickFlags(0),
            uniqueness: Uniqueness::Unique,
        }),
    }
}

pub fn an_impression() -> TrackingEvent {
    let body = Body::Impression(Impression {
        link: LinkId::new(0x01_2345_6789).unwrap(),
        offer: OfferId::new(0x98_7654_3210).unwrap(),
        partner: PartnerId::new(3).unwrap(),
        program: ProgramId::new(4).unwrap(),
        advertiser: AdvertiserId::new(5).unwrap(),
        flags: ClickFlags(ClickFlags::TEST),
    });
    TrackingEvent { body, ..a_click() }
}

pub fn a_touch() -> TrackingEvent {
    let advertiser = AdvertiserId::new(5).unwrap();
    let body = Body::Touch(TouchHit { advertiser, click: click_facts_of_a_click() });
    TrackingEvent { body, ..a_click() }
}

pub fn click_facts_of_a_click() -> ClickFacts {
    ClickFacts {
        tenant: tenant(),
        link: LinkId::new(0x01_2345_6789).unwrap(),
        offer: OfferId::new(0x98_7654_3210).unwrap(),
        at_secs: 1_767_225_600,
        address: Address { stream: StreamNo(42), ordinal: 1_000_001 },
        country: Country::parse("CN"),
        device: DeviceClass::Mobile,
        verdict: VerdictKind::Flag,
        rule_set_version: 17,
        flags: ClickFlags(0),
    }
}

pub fn a_conversion() -> TrackingEvent {
    TrackingEvent {
        verdict: RecordedVerdict { kind: VerdictKind::Allow, rule_id: None, rule_set_version: 0 },
        body: Body::Conversion(ConversionHit {
            advertiser: AdvertiserId::new(5).unwrap(),
            authority: Authority::TokenPostback,
            click: Some(click_facts_of_a_click()),
            order_id: "订单-1001".into(),
            goal: "sale".into(),
            event_id: None,
            amount: Some(Amount::new(129_900, Currency::parse("CNY").unwrap())),
            coupon: Some("SPRING".into()),
        }),
        ..a_click()
    }
}

pub fn a_refusal() -> TrackingEvent {
    let body = Body::Refused(RefusedHit {
        advertiser: AdvertiserId::new(5).unwrap(),
        authority: Authority::Pixel,
        reason: Reason::InvalidClickId,
        order_id: Some("1002".into()),
        link: LinkId::new(7),
    });
    TrackingEvent { body, ..a_click() }
}

pub fn a_person() -> Personal {
    Personal {
        network: Some(Network {
            ip_prefix: "203.0.113.0/24".into(),
            ip_hash: *b"0123456789abcdef",
            user_agent: "Mozilla/5.0".into(),
            referrer: "https://publisher.example/".into(),
        }),
        customer_id: Some("customer-7".into()),
        visitor_id: Some("visitor-9b2c".into()),
        sub_ids: vec!["spring".into(), String::new(), "banner".into()],
    }
}

fn text(max: usize) -> impl Strategy<Value = String> {
    // At most three bytes each in UTF-8, no control characters.
    prop::collection::vec(prop::sample::select(vec!['a', 'Z', '0', ' ', '-', '%', 'é', '中']), 1..=max / 3)
        .prop_map(String::from_iter)
}

fn coded<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn country() -> impl Strategy<Value = Country> {
    "[A-Z]{2}".prop_map(|code| Country::parse(&code))
}

pub fn click_facts() -> impl Strategy<Value = ClickFacts> {
    let ids = (any::<u64>(), any::<u64>());
    let address = (any::<u32>(), 0..=ORDINAL_MAX);
    let codes = (country(), coded(DeviceClass::ALL), coded(VerdictKind::ALL));
    (ids, any::<u32>(), address, codes, any::<u32>(), any::<u8>()).prop_map(
        |((link, offer), at_secs, (stream, ordinal), (country, device, verdict), rules, flags)| ClickFacts {
            tenant: tenant(),
            link: LinkId::from_random(link),
            offer: OfferId::from_random(offer),
            at_secs,
            address: Address { stream: StreamNo(stream), ordinal },
            country,
            device,
            verdict,
            rule_set_version: rules,
            flags: ClickFlags(flags),
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let click =
        (any::<[u64; 5]>(), any::<u8>(), coded(Uniqueness::ALL)).prop_map(|(id, flags, uniqueness)| {
            Body::Click(Click {
                link: LinkId::from_random(id[0]),
                offer: OfferId::from_random(id[1]),
                partner: PartnerId::from_random(id[2]),
                program: ProgramId::from_random(id[3]),
                advertiser: AdvertiserId::from_random(id[4]),
                flags: ClickFlags(flags),
                uniqueness,
            })
        });
    let impression = (any::<[u64; 5]>(), any::<u8>()).prop_map(|(id, flags)| {
        Body::Impression(Impression {
            link: LinkId::from_random(id[0]),
            offer: OfferId::from_random(id[1]),
            partner: PartnerId::from_random(id[2]),
            program: ProgramId::from_random(id[3]),
            advertiser: AdvertiserId::from_random(id[4]),
            flags: ClickFlags(flags),
        })
    });
    let touch = (any::<u64>(), click_facts()).prop_map(|(advertiser, click)| {
        Body::Touch(TouchHit { advertiser: AdvertiserId::from_random(advertiser), click })
    });
    let amount = (0..=proto_model::money::MAX_MINOR, prop::sample::select(vec!["CNY", "USD", "JPY", "KWD"]))
        .prop_map(|(minor, code)| Amount::new(minor, Currency::parse(code).unwrap()));
    let optional = (prop::option::of(text(128)), prop::option::of(amount), prop::option::of(text(64)));
    let click_or_none = prop::option::of(click_facts());
    let conversion = (any::<u64>(), coded(Authority::ALL), click_or_none, text(128), text(64), optional)
        .prop_map(|(advertiser, authority, click, order_id, goal, (event_id, amount, coupon))| {
            let advertiser = AdvertiserId::from_random(advertiser);
            let hit =
                ConversionHit { advertiser, authority, click, order_id, goal, event_id, amount, coupon };
            Body::Conversion(hit)
        });
    let named = (prop::option::of(text(128)), prop::option::of(any::<u64>()));
    let refused = (any::<u64>(), coded(Authority::ALL), coded(Reason::ALL), named).prop_map(
        |(advertiser, authority, reason, (order_id, link))| {
            let advertiser = AdvertiserId::from_random(advertiser);
            let link = link.map(LinkId::from_random);
            Body::Refused(RefusedHit { advertiser, authority, reason, order_id, link })
        },
    );
    prop_oneof![click, conversion, refused, impression, touch]
}

pub fn tracking_event() -> impl Strategy<Value = TrackingEvent> {
    let place = (text(64), text(64), prop::option::of(1..=u32::MAX));
    let fine =
        (place, "[a-z]{0,8}", "[a-z0-9-]{0,8}").prop_map(|((region, city, asn), language, connection)| {
            FineFacts { region, city, asn, language, connection }
        });
    let privacy = (coded(Privacy::ALL), any::<u32>());
    let facts = (country(), coded(DeviceClass::ALL), text(64), text(64), any::<u64>(), fine, privacy)
        .prop_map(|(country, device, os, browser, geo_version, fine, (privacy, privacy_policy))| {
            RecordedFacts { country, device, os, browser, geo_version, fine, privacy, privacy_policy }
        });
    let verdict = (coded(VerdictKind::ALL), prop::option::of("[a-z0-9_-]{1,64}"), any::<u32>())
        .prop_map(|(kind, rule_id, rule_set_version)| RecordedVerdict { kind, rule_id, rule_set_version });
    let at = (1..=i64::from(u32::MAX) * 1_000_000).prop_map(UnixMicros);
    (at, facts, verdict, body()).prop_map(|(occurred_at, facts, verdict, body)| TrackingEvent {
        tenant: tenant(),
        occurred_at,
        facts,
        verdict,
        body,
    })
}

pub fn personal() -> impl Strategy<Value = Personal> {
    let network = (text(64), any::<[u8; 16]>(), text(512), text(1024)).prop_map(
        |(ip_prefix, ip_hash, user_agent, referrer)| Network { ip_prefix, ip_hash, user_agent, referrer },
    );
    let tags =
        prop::collection::vec(prop_oneof![Just(String::new()), text(256)], 0..=8).prop_map(|mut tags| {
            while tags.last().is_some_and(String::is_empty) {
                tags.pop();
            }
            tags
        });
    let ids = (prop::option::of(text(128)), prop::option::of(text(64)));
    (prop::option::of(network), ids, tags).prop_map(|(network, (customer_id, visitor_id), sub_ids)| {
        Personal { network, customer_id, visitor_id, sub_ids }
    })
}
