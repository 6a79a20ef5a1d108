//! Signed postbacks: what an advertiser's server signs.
//!
//! The text is one line `name=value` for each field that is sent, in the order of
//! [`PostbackField::ALL`], under our names whatever the advertiser calls its parameters, with values as they are
//! before they go into a URL; `token` and `signature` are left out. Each line ends with a line feed. The
//! signature is HMAC-SHA256 of the text in lower-case hex. A timestamp and a nonce are part of it, so that what
//! was overheard can be told from what is new.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use proto_model::PostbackField;
use std::fmt;

/// How far the timestamp of a signed postback may lie from now.
pub const MAX_AGE_SECS: i64 = 300;

/// One key of an advertiser.
#[derive(Clone)]
pub struct PostbackKey {
    pub key_id: u8,
    key: hmac::Key,
}

impl PostbackKey {
    pub fn new(key_id: u8, key: &[u8; 32]) -> Self {
        Self { key_id, key: hmac::Key::new(HMAC_SHA256, key) }
    }

    pub fn sign(&self, text: &str) -> String {
        hmac::sign(&self.key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes either case of hex.
    pub fn verify(&self, text: &str, signature: &str) -> bool {
        let Some(tag) = unhex(signature) else { return false };
        hmac::verify(&self.key, text.as_bytes(), &tag).is_ok()
    }
}

/// Shows the id only: whoever knows the key can report sales.
impl fmt::Debug for PostbackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostbackKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// What is signed. `None` when a value holds a control character, which could pass for another line, or a field
/// stands twice.
pub fn signed_text<'a>(fields: impl Fn(PostbackField) -> Option<&'a str>) -> Option<String> {
    let mut text = String::new();
    for field in PostbackField::ALL {
        if matches!(field, PostbackField::Token | PostbackField::Signature) {
            continue;
        }
        let Some(value) = fields(*field) else { continue };
        if value.chars().any(char::is_control) {
            return None;
        }
        text.extend([field.as_str(), "=", value, "\n"]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &[(PostbackField, &str)]) -> Option<String> {
        signed_text(|field| fields.iter().find(|(named, _)| *named == field).map(|(_, value)| *value))
    }

    #[test]
    fn the_text_is_the_fields_in_our_order() {
        use PostbackField as F;
        let fields = [
            (F::Nonce, "n1"),
            (F::Signature, "x"),
            (F::Amount, "19.90"),
            (F::OrderId, "A 1"),
            (F::Token, "t"),
            (F::Timestamp, "1700000000"),
        ];
        let expected = "order_id=A 1\namount=19.90\ntimestamp=1700000000\nnonce=n1\n";
        assert_eq!(text(&fields).as_deref(), Some(expected));
        assert_eq!(text(&[(F::OrderId, "1\ngoal=sale")]), None);
        assert_eq!(text(&[]).as_deref(), Some(""));
    }

    #[test]
    fn a_signature_is_of_one_key_and_text() {
        let key = PostbackKey::new(1, &[7; 32]);
        let signature = key.sign("order_id=1\n");
        // printf 'order_id=1\n' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707... says the same.
        assert_eq!(signature, "fef3c4be45d6199259e9eca6dec12dedf0dc43007e2afe689bc28e9919d1518b");
        assert!(
            key.verify("order_id=1\n", &signature) && key.verify("order_id=1\n", &signature.to_uppercase())
        );
        assert!(!key.verify("order_id=2\n", &signature));
        assert!(!PostbackKey::new(1, &[8; 32]).verify("order_id=1\n", &signature));
        for bad in ["", "00", &signature[1..], &format!("+{}", &signature[1..])] {
            assert!(!key.verify("order_id=1\n", bad), "{bad}");
        }
        assert!(!format!("{key:?}").contains('7'));
    }
}
