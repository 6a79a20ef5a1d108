use super::*;
use VerdictKind::{Allow, Block, Flag};

fn holds(expression: &str, facts: &Facts<'_>) -> bool {
    let rules = RuleSet::try_new(parts(vec![rule("r", Block, expression)]));
    evaluate(&rules.unwrap_or_else(|e| panic!("{expression}: {}", e.full_message())), facts).kind == Block
}

#[test]
fn conditions_over_a_click() {
    let cases = [
        ("true", true),
        ("false", false),
        ("country eq CN", true),
        ("country eq US", false),
        ("country ne US", true),
        ("device eq mobile", true),
        ("device ne mobile", false),
        ("os eq Android", true),
        ("os eq android", false),
        ("os starts_with And", true),
        ("os starts_with ndroid", false),
        ("browser ne Chrome", false),
        ("user_agent contains Android 15) Chrome", true),
        ("user_agent contains bot", false),
        ("referrer_host contains .example.", true),
        ("referrer_host starts_with blog.", true),
        ("link eq lnk_00000001", true),
        ("offer eq off_00000002", true),
        ("offer ne off_00000001", true),
        ("partner eq ptn_00000003", true),
        ("advertiser eq adv_00000004", true),
        ("hit eq click", true),
        ("hit eq conversion", false),
        ("hour eq 22", true),
        ("hour lt 22", false),
        ("hour le 22", true),
        ("hour gt 21", true),
        ("hour ge 23", false),
        ("hour ne 0", true),
        ("region eq Guangdong", true),
        ("region starts_with guang", false),
        ("city contains zhen", true),
        ("asn eq 4134", true),
        ("asn gt 4134", false),
        ("language eq zh", true),
        ("language ne en", true),
        ("connection eq 4g", true),
        ("weekday eq 6", false),
        ("weekday eq 5", true),
        ("local_hour eq 6", true),
        ("local_weekday eq 6", true),
        ("local_weekday ge 6", true),
        ("partner in 0", true),
        ("country in 1", true),
        ("browser in 2", true),
        ("os in 2", false),
        ("hour in 3", true),
        ("ip in 0", true),
        ("ip in 1", true),
        ("true; not", false),
        ("true; true; and 2", true),
        ("true; false; and 2", false),
        ("false; true; or 2", true),
        ("false; false; or 2", false),
        ("true; and 1", true),
        ("false; true; true; and 2; or 2", true),
        ("country eq CN; device eq mobile; hour lt 6; hour ge 22; or 2; and 3", true),
        ("country eq US; device eq mobile; hour lt 6; hour ge 22; or 2; and 3", false),
        ("country eq CN; country eq US; or 2; not; not", true),
    ];
    for (expression, expected) in cases {
        assert_eq!(holds(expression, &click()), expected, "{expression}");
    }
}

#[test]
fn what_a_hit_lacks_equals_nothing() {
    let bare = Facts { link: None, partner: None, referrer_host: "", country: Country::UNKNOWN, ..click() };
    let cases = [
        ("link eq lnk_00000001", false),
        ("link ne lnk_00000001", true),
        ("partner in 0", false),
        ("country eq ZZ", true),
        ("country in 1", true),
        ("referrer_host ne x", true),
    ];
    for (expression, expected) in cases {
        assert_eq!(holds(expression, &bare), expected, "{expression}");
    }
    let nowhere = Facts { asn: None, language: "", ..click() };
    for (expression, expected) in [
        ("asn eq 1", false),
        ("asn ne 1", true),
        ("asn lt 5", false),
        ("asn gt 5", false),
        ("asn ge 5", false),
        ("language eq zh", false),
        ("language ne zh", true),
    ] {
        assert_eq!(holds(expression, &nowhere), expected, "{expression}");
    }
    let no_browser = Facts { browser: "", ..click() };
    assert!(holds("browser in 2", &no_browser));
}

#[test]
fn hours_before_1970_are_hours_of_the_day() {
    let before = Facts { at: UnixMicros(-1), ..click() };
    assert!(holds("hour eq 23", &before));
}

#[test]
fn local_time_is_the_offset_s() {
    let monday = UnixMicros::from_secs(4 * 86_400);
    let cases = [
        (0, "local_hour eq 0; local_weekday eq 1; and 2"),
        (-1, "local_hour eq 23; local_weekday eq 7; and 2"),
        (8 * 3_600, "local_hour eq 8; local_weekday eq 1; and 2"),
        (i32::MIN, "local_hour eq 20; local_weekday eq 2; and 2"),
    ];
    for (utc_offset_secs, expression) in cases {
        let facts = Facts { utc_offset_secs, at: monday, ..click() };
        assert!(holds(expression, &facts), "{expression} at {utc_offset_secs}");
        assert!(holds("hour eq 0; weekday eq 1; and 2", &facts), "UTC stays what it is");
    }
}

#[test]
fn the_first_decision_stands() {
    type Rules = [(&'static str, VerdictKind, &'static str)];
    let cases: &[(&Rules, VerdictKind, Option<&str>)] = &[
        (&[], Allow, None),
        (&[("a", Block, "false")], Allow, None),
        (&[("a", Allow, "true"), ("b", Block, "true")], Allow, Some("a")),
        (&[("a", Block, "true"), ("b", Allow, "true")], Block, Some("a")),
        (&[("a", Flag, "true"), ("b", Flag, "true")], Flag, Some("a")),
        (&[("a", Flag, "true"), ("b", Block, "true")], Block, Some("b")),
        (&[("a", Flag, "true"), ("b", Allow, "true"), ("c", Block, "true")], Flag, Some("a")),
        (&[("a", Flag, "false"), ("b", Flag, "true")], Flag, Some("b")),
        (&[("a", Flag, "false"), ("b", Allow, "true")], Allow, Some("b")),
    ];
    for (rules, kind, rule_id) in cases {
        let list = rules.iter().map(|(id, action, text)| rule(id, *action, text)).collect();
        let set = RuleSet::try_new(parts(list)).unwrap();
        let expected = Verdict { kind: *kind, rule_id: *rule_id, rule_set_version: 7 };
        assert_eq!(evaluate(&set, &click()), expected, "{rules:?}");
    }
}

#[test]
fn the_widest_and_deepest_rule_fits() {
    let depth = usize::try_from(MAX_DEPTH).unwrap();
    let wide = format!("{}and {MAX_DEPTH}", "true; ".repeat(depth));
    assert!(holds(&wide, &click()));
    assert!(!holds(&wide.replacen("true", "false", 1), &click()));
    let nested = format!("{}{}", "false; ".repeat(depth - 1), "true") + &"; or 2".repeat(depth - 1);
    assert_eq!(nodes(&nested).len(), MAX_NODES - 1);
    assert!(holds(&nested, &click()));
}

#[test]
fn names_and_numbers_read_back() {
    for field in Field::ALL {
        assert_eq!(Field::from_code(field.code()), Some(*field));
        assert_eq!(Field::parse(field.as_str()), Some(*field));
    }
    for operator in Operator::ALL {
        assert_eq!(Operator::from_code(operator.code()), Some(*operator));
        assert_eq!(Operator::parse(operator.as_str()), Some(*operator));
    }
    for hit in HitKind::ALL {
        assert_eq!(HitKind::from_code(hit.code()), Some(*hit));
        assert_eq!(HitKind::parse(hit.as_str()), Some(*hit));
    }
    assert_eq!((Field::from_code(0), Operator::from_code(0), HitKind::from_code(0)), (None, None, None));
}
