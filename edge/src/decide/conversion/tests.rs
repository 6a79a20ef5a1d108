use super::*;
use crate::decide::testing::*;
use crate::snapshot::Snapshot;
use proptest::prelude::*;
use proto_model::{ClickFlags, DeviceClass, ParameterProfile, VerdictKind};
use proto_wire::edge_v1::{self, Chunk, PostbackSettings, TenantChunk, chunk};
use std::collections::HashSet;

/// What comes out of it borrows from the query, which lives as long as the tests.
fn checked(channel: Channel, to: u64, query: &str) -> Result<Accepted<'static>, RefusedRef<'static>> {
    let snapshot = snapshot(None);
    let query: &'static str = query.to_owned().leak();
    let params = Box::leak(Box::new(ConversionParams::read(query, b"")));
    check(resolve(&snapshot, advertiser(to)).unwrap(), sender(channel), params)
}

fn sender(channel: Channel) -> Sender {
    Sender { channel, ip: "203.0.113.9".parse().unwrap(), at: NOW }
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
    assert_eq!(accepted, Accepted { hit, customer_id: Some("c1"), visitor_id: None });
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

const KEY: [u8; 32] = [9; 32];

/// An advertiser that reports in its own way.
fn with_postback(postback: PostbackSettings) -> Snapshot {
    let advertiser = edge_v1::Advertiser {
        id: 1,
        postback_token_sha256: sha256(TOKEN.as_bytes()).to_vec(),
        test_token_sha256: sha256(b"trial").to_vec(),
        postback: Some(postback),
    };
    let settings = TenantChunk {
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: vec![1; 32], active: true }],
        advertisers: vec![advertiser],
        ..TenantChunk::default()
    };
    let chunk = Chunk { tenant: 1, content: Some(chunk::Content::Settings(settings)) };
    let snapshot = Snapshot::from_chunks(1, &[chunk]).unwrap();
    assert_eq!(snapshot.left_out, 0);
    snapshot
}

/// The reason, or how far it is believed.
fn told(snapshot: &Snapshot, query: &str) -> Result<Authority, Reason> {
    let to = resolve(snapshot, advertiser(1)).unwrap();
    let names = &to.advertiser.postback.parameters;
    let params = ConversionParams::read_as(|name| names.field(name), query, b"");
    check(to, sender(Channel::Postback), &params)
        .map(|accepted| accepted.hit.authority)
        .map_err(|refused| refused.reason)
}

fn settings(auth: PostbackAuth) -> PostbackSettings {
    PostbackSettings { auth: auth.code().into(), ..PostbackSettings::default() }
}

#[test]
fn an_advertiser_is_believed_by_what_it_has_chosen_alone() {
    let networks =
        PostbackSettings { networks: vec!["203.0.113.0/24".into()], ..settings(PostbackAuth::IpList) };
    let elsewhere =
        PostbackSettings { networks: vec!["198.51.100.0/24".into()], ..settings(PostbackAuth::IpList) };
    let token = format!("order_id=A&token={TOKEN}");
    let cases = [
        (settings(PostbackAuth::Token), token.as_str(), Ok(Authority::TokenPostback)),
        (settings(PostbackAuth::Token), "order_id=A", Err(Reason::BadToken)),
        (settings(PostbackAuth::Token), "order_id=A&token=trial", Err(Reason::Test)),
        (settings(PostbackAuth::Token), "token=trial", Err(Reason::MissingOrderId)),
        (networks, "order_id=A", Ok(Authority::TokenPostback)),
        (elsewhere, token.as_str(), Err(Reason::ForbiddenAddress)),
        (settings(PostbackAuth::Hmac), token.as_str(), Err(Reason::BadSignature)),
        (settings(PostbackAuth::Hmac), "order_id=A&token=trial", Err(Reason::Test)),
    ];
    for (settings, query, expected) in cases {
        assert_eq!(told(&with_postback(settings), query), expected, "{query}");
    }
}

#[test]
fn a_signed_postback_can_be_neither_altered_nor_kept() {
    let key = edge_v1::PostbackKey { key_id: 1, key: KEY.to_vec() };
    let snapshot = with_postback(PostbackSettings { keys: vec![key], ..settings(PostbackAuth::Hmac) });
    let sign = |text: &str| proto_wire::postback::PostbackKey::new(1, &KEY).sign(text);
    let now = NOW.secs();
    let signed = |order: &str, at: i64, nonce: &str| {
        let signature = sign(&format!("order_id={order}\ntimestamp={at}\nnonce={nonce}\n"));
        format!("order_id={order}&timestamp={at}&nonce={nonce}&signature={signature}")
    };
    let good = signed("A-1", now, "12345678");
    assert_eq!(told(&snapshot, &good), Ok(Authority::Signed));
    let cases = [
        (signed("A-1", now - 300, "12345678"), Ok(Authority::Signed)),
        (signed("A-1", now - 301, "12345678"), Err(Reason::StaleTimestamp)),
        (signed("A-1", now + 301, "12345678"), Err(Reason::StaleTimestamp)),
        (signed("A-1", i64::MIN, "12345678"), Err(Reason::StaleTimestamp)),
        (signed("A-1", now, "short"), Err(Reason::BadSignature)),
        (good.replace("A-1", "A-2"), Err(Reason::BadSignature)),
        (good.replace("nonce=1", "nonce=2"), Err(Reason::BadSignature)),
        (format!("{good}&amount=5&currency=USD"), Err(Reason::BadSignature)),
        (good.replace("&signature=", "&x="), Err(Reason::BadSignature)),
        (format!("{good}&token={TOKEN}"), Ok(Authority::Signed)),
    ];
    for (query, expected) in cases {
        assert_eq!(told(&snapshot, &query), expected, "{query}");
    }
    let to = resolve(&snapshot, advertiser(1)).unwrap();
    let nonce = |query| nonce_key(to, Channel::Postback, &ConversionParams::read(query, b""));
    assert_ne!(nonce("nonce=12345678"), nonce("nonce=12345679"));
    assert_eq!(nonce("order_id=A"), None);
}

#[test]
fn advertisers_use_their_own_names_and_words() {
    let tune =
        PostbackSettings { profile: ParameterProfile::Tune.code().into(), ..settings(PostbackAuth::Token) };
    let affise =
        PostbackSettings { profile: ParameterProfile::Affise.code().into(), ..settings(PostbackAuth::Token) };
    let believed = Ok(Authority::TokenPostback);
    let cases = [
        (&tune, format!("adv_sub=A&security_token={TOKEN}&amount=1.50&currency=USD"), believed),
        (&tune, format!("order_id=A&security_token={TOKEN}"), Err(Reason::MissingOrderId)),
        (
            &tune,
            format!("adv_sub=A&security_token={TOKEN}&transaction_id=forged"),
            Err(Reason::InvalidClickId),
        ),
        (&affise, format!("action_id=A&secure={TOKEN}&status=1&sum=2&currency=EUR"), believed),
        (&affise, format!("action_id=A&secure={TOKEN}&status=2"), believed),
        (&affise, format!("action_id=A&secure={TOKEN}&status=declined"), Err(Reason::RejectedByAdvertiser)),
        (&affise, format!("action_id=A&secure={TOKEN}&status=who knows"), Err(Reason::UnknownStatus)),
        (&affise, "action_id=A&secure=wrong&status=1".to_owned(), Err(Reason::BadToken)),
    ];
    for (settings, query, expected) in cases {
        assert_eq!(told(&with_postback(settings.clone()), &query), expected, "{query}");
    }
}

#[test]
fn a_sale_of_a_test_click_is_a_test() {
    let snapshot = with_postback(settings(PostbackAuth::Token));
    let to = resolve(&snapshot, advertiser(1)).unwrap();
    let facts = ClickFacts { flags: ClickFlags(ClickFlags::TEST), ..click_facts() };
    let id = to.tenant.keys.seal(&facts, [7; 6]);
    let query = format!("order_id=A&token={TOKEN}&click_id={}", &*id);
    assert_eq!(told(&snapshot, &query), Err(Reason::Test));
    let params = ConversionParams::read(&query, b"");
    let sender = Sender { channel: Channel::Postback, ip: "203.0.113.7".parse().unwrap(), at: NOW };
    let refused = check(to, sender, &params).unwrap_err();
    assert_eq!(refused.link, Some(facts.link), "whoever tests the link is told");
}
