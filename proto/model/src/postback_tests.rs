use super::*;
use PostbackField as F;

fn names(profile: ParameterProfile, own: &[(F, &str)]) -> ParameterNames {
    ParameterNames::try_new(profile, own.iter().copied()).unwrap()
}

#[test]
fn a_profile_reads_its_systems_names() {
    let cases = [
        (ParameterProfile::Tributary, "order_id", Some(F::OrderId)),
        (ParameterProfile::Tributary, "transaction_id", None),
        (ParameterProfile::Everflow, "transaction_id", Some(F::ClickId)),
        (ParameterProfile::Everflow, "event_id", Some(F::Goal)),
        (ParameterProfile::Everflow, "goal", None),
        (ParameterProfile::Everflow, "currency", Some(F::Currency)),
        (ParameterProfile::Everflow, "click_id", None),
        (ParameterProfile::Tune, "adv_sub", Some(F::OrderId)),
        (ParameterProfile::Affise, "secure", Some(F::Token)),
        (ParameterProfile::Voluum, "txid", Some(F::OrderId)),
        (ParameterProfile::Keitaro, "tid", Some(F::OrderId)),
        (ParameterProfile::Cake, "r", Some(F::ClickId)),
        (ParameterProfile::Impact, "OrderId", Some(F::OrderId)),
        (ParameterProfile::Impact, "orderid", None),
        (ParameterProfile::Impact, "token", Some(F::Token)),
    ];
    for (profile, name, field) in cases {
        assert_eq!(names(profile, &[]).field(name), field, "{profile:?} {name}");
    }
}

#[test]
fn every_profile_can_say_everything_and_nothing_twice() {
    for profile in ParameterProfile::ALL {
        let names = names(*profile, &[]);
        for field in [F::ClickId, F::OrderId, F::Amount, F::Currency, F::Token, F::Signature] {
            assert!(names.all().any(|(_, named)| named == field), "{profile:?} cannot say {field:?}");
        }
        let mut all: Vec<_> = names.all().map(|(name, _)| name).collect();
        all.dedup();
        assert_eq!(all.len(), names.all().count());
        assert_eq!(ParameterProfile::from_code(profile.code()), Some(*profile));
    }
}

#[test]
fn own_names_take_the_place_of_others() {
    let own = names(ParameterProfile::Custom, &[(F::OrderId, "ref"), (F::Goal, "event_id")]);
    assert_eq!(own.field("ref"), Some(F::OrderId));
    assert_eq!(own.field("order_id"), None, "what has a new name has lost the old one");
    assert_eq!(own.field("event_id"), Some(F::Goal), "and a name that is taken is not ours any more");
    assert!(!own.all().any(|(_, field)| field == F::EventId));
    assert_eq!(own.field("amount"), Some(F::Amount));

    let twice = ParameterNames::try_new(ParameterProfile::Custom, [(F::OrderId, "id"), (F::ClickId, "id")]);
    assert!(matches!(twice, Err(ParameterError::Ambiguous { .. })));
    for bad in ["", "a b", "ä", &"x".repeat(65), "a[]"] {
        let refused = ParameterNames::try_new(ParameterProfile::Custom, [(F::OrderId, bad)]);
        assert_eq!(refused, Err(ParameterError::Name(bad.into())));
    }
}

#[test]
fn words_become_statuses() {
    use ConversionStatus::{Approved, Hold, Pending, Rejected};
    let own = [("Bezahlt", Approved), ("2", Hold)];
    let words = StatusWords::try_new(ParameterProfile::Affise, own).unwrap();
    let cases = [
        ("approved", Some(Approved)),
        ("APPROVED", Some(Approved)),
        ("bezahlt", Some(Approved)),
        ("1", Some(Approved)),
        ("2", Some(Hold)),
        ("3", Some(Rejected)),
        ("pending", Some(Pending)),
        ("lead", None),
        ("", None),
    ];
    for (word, status) in cases {
        assert_eq!(words.status(word), status, "{word}");
    }
    let refused = |own: &[(&str, ConversionStatus)]| {
        StatusWords::try_new(ParameterProfile::Tributary, own.iter().copied()).unwrap_err()
    };
    assert_eq!(refused(&[(" a", Hold)]), ParameterError::Word(" a".into()));
    assert_eq!(refused(&[("a", Hold), ("A", Hold)]), ParameterError::WordTwice("a".into()));
    let many: Vec<String> = (0..=STATUS_WORDS_MAX).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|word| (word.as_str(), Hold)).collect();
    assert_eq!(refused(&many), ParameterError::TooManyWords);
}
