use super::*;
use crate::decide::testing::*;
use proptest::prelude::*;
use proto_model::{DeviceClass, VerdictKind};
use std::collections::HashSet;

/// What comes out of it borrows from the query, which lives as long as the tests.
fn checked(channel: Channel, to: u64, query: &str) -> Result<Accepted<'static>, RefusedRef<'static>> {
    let snapshot = snapshot(None);
    let query: &'static str = query.to_owned().leak();
    let params = Box::leak(Box::new(ConversionParams::read(query, b"")));
    check(resolve(&snapshot, advertiser(to)).unwrap(), channel, params)
}

fn fingerprint(n: u32, accepted: &Accepted<'_>) -> Fingerprint {
    Fingerprint::of(conversion_id(tenant(n), &accepted.hit), accepted)
}

fn click_id(n: u32) -> String {
    keys(n).seal(&click_facts(), [7; 6]).to_string()
}

#[test]
fn a_full_report_is_read() {
    let query = format!(
        "click_id={}&order_id=A-1&amount=19.90&currency=USD&goal=lead&event_id=e&coupon=SAVE&customer_id=c1&token={TOKEN}",
        click_id(1)
    );
    let accepted = checked(Channel::Postback, 1, &query).unwrap();
    let hit = ConversionRef {
        advertiser: advertiser(1),
        authority: Authority::TokenPostback,
        click: Some(click_facts()),
        order_id: "A-1",
        goal: "lead",
        event_id: Some("e"),
        amount: Some(Amount::new(1990, Currency::parse("USD").unwrap())),
        coupon: Some("SAVE"),
    };
    assert_eq!(accepted, Accepted { hit, customer_id: Some("c1") });
    let least = checked(Channel::Pixel, 1, "order_id=A-1&amount=&click_id=&currency=").unwrap();
    assert_eq!((least.hit.goal, least.hit.authority), ("sale", Authority::Pixel));
    assert_eq!((least.hit.click, least.hit.amount), (None, None));
}

#[test]
fn refusals_have_reasons() {
    let mut altered = click_id(1);
    let last = if altered.pop() == Some('A') { 'B' } else { 'A' };
    altered.push(last);
    let cases: &[(&str, Reason)] = &[
        ("", Reason::MissingOrderId),
        ("order_id=", Reason::MissingOrderId),
        ("order_id=A&amount=1&currency=usd", Reason::InvalidCurrency),
        ("order_id=A&amount=1", Reason::InvalidCurrency),
        ("order_id=A&currency=XXX", Reason::InvalidCurrency),
        ("order_id=A&currency=USD&amount=-1", Reason::InvalidAmount),
        ("order_id=A&currency=USD&amount=NaN", Reason::InvalidAmount),
        ("order_id=A&currency=USD&amount=1e309", Reason::InvalidAmount),
        ("order_id=A&currency=JPY&amount=1.5", Reason::InvalidAmount),
        ("order_id=A&currency=USD&amount=99999999999999999999", Reason::InvalidAmount),
        ("order_id=A&click_id=short", Reason::InvalidClickId),
        (&format!("order_id=A&click_id={altered}"), Reason::InvalidClickId),
        (&format!("order_id=A&click_id={}", click_id(2)), Reason::InvalidClickId),
        (&format!("order_id=A&click_id={}", "x".repeat(2000)), Reason::InvalidClickId),
        ("order_id=A&order_id=A", Reason::ParameterRepeated),
        ("order_id=%00", Reason::MalformedQuery),
        (&format!("order_id={}", "x".repeat(129)), Reason::FieldTooLong),
    ];
    for (query, reason) in cases {
        let refused = checked(Channel::Pixel, 1, query).unwrap_err();
        assert_eq!(refused.reason, *reason, "{query}");
        assert_eq!((refused.advertiser, refused.authority), (advertiser(1), Authority::Pixel));
    }
    let refused = checked(Channel::Pixel, 1, "order_id=A&amount=x&currency=USD").unwrap_err();
    assert_eq!(refused.order_id, Some("A"), "what is known stays known");
}

#[test]
fn a_postback_needs_the_token() {
    let cases = [
        (1, format!("order_id=A&token={TOKEN}"), None),
        (1, "order_id=A".into(), Some(Reason::BadToken)),
        (1, "order_id=A&token=".into(), Some(Reason::BadToken)),
        (1, "order_id=A&token=S3cret".into(), Some(Reason::BadToken)),
        (1, "token=wrong".into(), Some(Reason::BadToken)),
        (101, format!("order_id=A&token={TOKEN}"), Some(Reason::BadToken)),
        (101, "order_id=A".into(), Some(Reason::BadToken)),
    ];
    for (to, query, reason) in cases {
        let found = checked(Channel::Postback, to, &query).err().map(|refused| refused.reason);
        assert_eq!(found, reason, "{to} {query}");
    }
    assert!(checked(Channel::Pixel, 101, "order_id=A").is_ok(), "a pixel has no token to show");
}

#[test]
fn a_click_counts_for_its_advertiser_only() {
    let query = |facts: &ClickFacts| format!("order_id=A&click_id={}", &*keys(1).seal(facts, [0; 6]));
    let own = click_facts();
    let gone = ClickFacts { offer: offer(77), ..own };
    assert!(checked(Channel::Pixel, 1, &query(&own)).is_ok());
    assert_eq!(checked(Channel::Pixel, 101, &query(&own)).unwrap_err().reason, Reason::InvalidClickId);
    assert!(checked(Channel::Pixel, 1, &query(&gone)).is_ok(), "an offer that is gone is known above");
}

#[test]
fn rules_judge_browsers_not_servers() {
    let snapshot = snapshot(Some(&block_device(DeviceClass::Unknown)));
    let to = resolve(&snapshot, advertiser(1)).unwrap();
    let accepted = checked(Channel::Pixel, 1, "order_id=A").unwrap();
    let kind = |channel, agent: &'static [u8]| judge_conversion(to, channel, &accepted, &client(agent), NOW);
    assert_eq!(kind(Channel::Pixel, b"").kind, VerdictKind::Block);
    assert_eq!(kind(Channel::Pixel, CHROME).kind, VerdictKind::Allow);
    let postback = kind(Channel::Postback, b"");
    assert_eq!((postback.kind, postback.rule_set_version), (VerdictKind::Allow, 7));
}

#[test]
fn repetitions_are_known_by_content_and_authority() {
    let token = format!("token={TOKEN}");
    type Report<'a> = (Channel, &'a str);
    let cases: &[(&str, &[Report], Channel, &str, bool)] = &[
        ("first", &[], Channel::Pixel, "order_id=A", false),
        ("again", &[(Channel::Pixel, "order_id=A")], Channel::Pixel, "order_id=A", true),
        ("other order", &[(Channel::Pixel, "order_id=A")], Channel::Pixel, "order_id=B", false),
        ("other goal", &[(Channel::Pixel, "order_id=A")], Channel::Pixel, "order_id=A&goal=lead", false),
        ("other event", &[(Channel::Pixel, "order_id=A")], Channel::Pixel, "order_id=A&event_id=2", false),
        ("other coupon", &[(Channel::Pixel, "order_id=A")], Channel::Pixel, "order_id=A&coupon=C", false),
        ("better authority", &[(Channel::Pixel, "order_id=A")], Channel::Postback, "order_id=A", false),
        ("lower authority", &[(Channel::Postback, "order_id=A")], Channel::Pixel, "order_id=A", true),
        (
            "other amount",
            &[(Channel::Postback, "order_id=A&amount=1&currency=USD")],
            Channel::Postback,
            "order_id=A&amount=2&currency=USD",
            false,
        ),
        (
            "the first of two, repeated",
            &[(Channel::Pixel, "order_id=A"), (Channel::Pixel, "order_id=A&coupon=C")],
            Channel::Pixel,
            "order_id=A",
            true,
        ),
        (
            "a disagreeing pixel, repeated",
            &[(Channel::Postback, "order_id=A"), (Channel::Pixel, "order_id=A&coupon=C")],
            Channel::Pixel,
            "order_id=A&coupon=C",
            true,
        ),
    ];
    for (name, before, channel, query, expected) in cases {
        let print = |channel: Channel, query: &str| {
            let accepted = checked(channel, 1, &format!("{query}&{token}")).unwrap();
            fingerprint(1, &accepted)
        };
        let seen: HashSet<SeenKey> =
            before.iter().map(|(channel, query)| print(*channel, query).key()).collect();
        assert_eq!(print(*channel, query).is_repetition(|key| seen.contains(&key)), *expected, "{name}");
    }
    let accepted = checked(Channel::Pixel, 1, "order_id=A").unwrap();
    assert_ne!(fingerprint(1, &accepted).key(), fingerprint(2, &accepted).key(), "tenants do not meet");
}

proptest! {
    #[test]
    fn any_query_is_accepted_or_refused(query in "(order_id|amount|currency|click_id|token|goal|x|=|&|%|[0-9]|é|-){0,20}") {
        for channel in [Channel::Pixel, Channel::Postback] {
            if let Ok(accepted) = checked(channel, 1, &query) {
                let _ = fingerprint(1, &accepted);
            }
        }
    }
}
