use super::*;

pub fn values<'a>(click_id: &'a str, sub_ids: &'a [&'a str]) -> Values<'a> {
    Values {
        click_id,
        offer: OfferId::new(5).unwrap(),
        partner: PartnerId::new(7).unwrap(),
        advertiser: AdvertiserId::new(9).unwrap(),
        link: LinkId::new(3).unwrap(),
        sub_ids,
        source: "news letter",
        country: Country::parse("CN"),
        region: "SH",
        city: "上海",
        asn: Some(4134),
        ip: Some("::ffff:203.0.113.9".parse().unwrap()),
        device: DeviceClass::Mobile,
        os: "iPhone",
        browser: "Safari",
        language: "zh",
        referrer: "https://blog.example/?a=1&b=2",
        user_agent: "Mozilla/5.0 (x)",
        at: UnixMicros::from_secs(1_764_000_000),
        random: 42,
    }
}

fn written(name: Macro, raw: bool) -> String {
    let subs = ["a&b", "", "c/d?e#f"];
    let mut out = String::new();
    values("ID", &subs).write(name, raw, &mut out);
    out
}

#[test]
fn names_of_all_trackers() {
    let cases = [
        ("click_id", Some(Macro::ClickId)),
        ("CLICKID", Some(Macro::ClickId)),
        ("transaction_id", Some(Macro::ClickId)),
        ("aff_id", Some(Macro::PartnerId)),
        ("pid", Some(Macro::PartnerId)),
        ("sub1", Some(Macro::SubId(1))),
        ("sub_id8", Some(Macro::SubId(8))),
        ("aff_sub", Some(Macro::SubId(1))),
        ("aff_sub5", Some(Macro::SubId(5))),
        ("s2", Some(Macro::SubId(2))),
        ("sub9", None),
        ("sub0", None),
        ("x1", None),
        ("1", None),
        ("", None),
        ("payout", None),
    ];
    for (name, expected) in cases {
        assert_eq!(Macro::parse(name), expected, "{name}");
    }
    for (name, known) in NAMES {
        assert_eq!(Macro::parse(name), Some(*known), "each name is found, and only once: {name}");
    }
}

#[test]
fn spellings() {
    let found = |text: &str| find(text).map(|f| (text[f.start..f.end].to_owned(), f.name, f.raw));
    let some = |text: &str, name, raw| Some((text.to_owned(), name, raw));
    let click = Some(Macro::ClickId);
    let cases = [
        ("a={click_id}&b", some("{click_id}", click, false)),
        ("a={_sub1}", some("{_sub1}", Some(Macro::SubId(1)), true)),
        ("a={_ef_transaction_id}", some("{_ef_transaction_id}", click, false)),
        ("a=[[subid]]", some("[[subid]]", click, false)),
        ("a=#s1#", some("#s1#", Some(Macro::SubId(1)), false)),
        ("a=!!!click_id!!!", some("!!!click_id!!!", click, false)),
        ("a=${CLICKID}x", some("${CLICKID}", click, false)),
        ("a={nobody}", some("{nobody}", None, false)),
        ("#part#of#page", None),
        ("{\"json\": 1}", None),
        ("{}", None),
        ("{click_id", None),
        ("[x]{{click_id}}", some("{click_id}", click, false)),
        ("上{click_id}", some("{click_id}", click, false)),
    ];
    for (text, expected) in cases {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn values_stay_in_their_place() {
    let cases = [
        (Macro::ClickId, false, "ID"),
        (Macro::PartnerId, false, "ptn_"),
        (Macro::SubId(1), false, "a%26b"),
        (Macro::SubId(1), true, "a%26b"),
        (Macro::SubId(2), false, ""),
        (Macro::SubId(3), false, "c%2Fd%3Fe%23f"),
        (Macro::SubId(3), true, "c/d%3Fe%23f"),
        (Macro::SubId(8), false, ""),
        (Macro::Source, false, "news%20letter"),
        (Macro::City, true, "%E4%B8%8A%E6%B5%B7"),
        (Macro::Asn, false, "4134"),
        (Macro::Ip, false, "203.0.113.9"),
        (Macro::Timestamp, false, "1764000000"),
        (Macro::Date, false, "2025-11-24"),
        (Macro::Referrer, true, "https://blog.example/%3Fa=1%26b=2"),
    ];
    for (name, raw, expected) in cases {
        let text = written(name, raw);
        let as_expected = if expected == "ptn_" { text.starts_with(expected) } else { text == expected };
        assert!(as_expected, "{name:?}: {text}");
    }
}
