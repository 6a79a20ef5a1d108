//! Click ids open to what was sealed, or not at all.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proto_model::TenantId;
use proto_wire::click_id::{ClickIdError, ClickKeys, ClickKeysError, TEXT_LEN};

#[test]
fn a_rotated_key_still_opens() {
    let facts = click_facts_of_a_click();
    let old = ClickKeys::try_new(tenant(), &[(click_key(6), true)]).unwrap();
    let id = old.seal(&facts, [1; 6]);
    assert_eq!(click_keys().open(&id), Ok(facts));
    let without = ClickKeys::try_new(tenant(), &[(click_key(7), true)]).unwrap();
    assert_eq!(without.open(&id), Err(ClickIdError::UnknownKey(6)));
}

#[test]
fn another_tenant_with_the_same_key_opens_nothing() {
    let id = click_keys().seal(&click_facts_of_a_click(), [1; 6]);
    let other = TenantId::new(9).unwrap();
    let keys = ClickKeys::try_new(other, &[(click_key(7), true)]).unwrap();
    assert_eq!(keys.open(&id), Err(ClickIdError::Forged));
}

#[test]
fn key_rings_are_checked() {
    let tenant = tenant();
    let cases = [
        (vec![], ClickKeysError::NoActiveKey { tenant }),
        (vec![(click_key(1), false)], ClickKeysError::NoActiveKey { tenant }),
        (vec![(click_key(1), true), (click_key(2), true)], ClickKeysError::SeveralActiveKeys { tenant }),
        (
            vec![(click_key(1), true), (click_key(1), false)],
            ClickKeysError::RepeatedKeyId { tenant, key_id: 1 },
        ),
    ];
    for (keys, error) in cases {
        assert_eq!(ClickKeys::try_new(tenant, &keys).unwrap_err(), error);
    }
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let text = format!("{:?} {:?}", click_key(7), click_keys());
    assert!(!text.contains("1, 2, 3") && !text.to_lowercase().contains("010203"), "{text}");
}

#[test]
fn what_is_no_id_is_told_apart() {
    let keys = click_keys();
    let id = keys.seal(&click_facts_of_a_click(), [1; 6]).to_string();
    let mut other_version = URL_SAFE_NO_PAD.decode(&id).unwrap();
    other_version[0] = 2;
    let cases = [
        (String::new(), ClickIdError::Malformed),
        (id[1..].to_owned(), ClickIdError::Malformed),
        (format!("{id}A"), ClickIdError::Malformed),
        (format!("{}=", &id[..79]), ClickIdError::Malformed),
        (format!("{}+", &id[..79]), ClickIdError::Malformed),
        (format!("{}é", &id[..78]), ClickIdError::Malformed),
        (URL_SAFE_NO_PAD.encode(other_version), ClickIdError::UnknownVersion(2)),
    ];
    for (text, error) in cases {
        assert_eq!(keys.open(&text), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn what_was_sealed_opens(facts in click_facts(), nonce: [u8; 6]) {
        let keys = click_keys();
        let id = keys.seal(&facts, nonce);
        prop_assert_eq!(id.len(), TEXT_LEN);
        prop_assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(keys.open(&id), Ok(facts));
    }

    /// A key id of its own may be flipped into another's; whatever the flip, nothing opens.
    #[test]
    fn any_flipped_bit_is_refused(facts in click_facts(), nonce: [u8; 6], bit in 0usize..480) {
        let keys = click_keys();
        let mut sealed = URL_SAFE_NO_PAD.decode(keys.seal(&facts, nonce).as_ref()).unwrap();
        sealed[bit / 8] ^= 1 << (bit % 8);
        let opened = keys.open(&URL_SAFE_NO_PAD.encode(sealed));
        let refused = matches!(
            opened,
            Err(ClickIdError::Forged | ClickIdError::UnknownKey(_) | ClickIdError::UnknownVersion(_))
        );
        prop_assert!(refused, "{opened:?}");
    }

    #[test]
    fn forged_ids_are_refused(body: [u8; 58]) {
        let mut sealed = [1, 7].to_vec();
        sealed.extend_from_slice(&body);
        prop_assert_eq!(click_keys().open(&URL_SAFE_NO_PAD.encode(sealed)), Err(ClickIdError::Forged));
    }

    #[test]
    fn any_text_is_refused(text in any::<String>(), right_length in "[A-Za-z0-9_-]{80}") {
        prop_assert!(click_keys().open(&text).is_err());
        prop_assert!(click_keys().open(&right_length).is_err());
    }
}
