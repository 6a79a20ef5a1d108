//! Signed postbacks: whoever sees one can neither alter it nor send it again.
//!
//! The signature is HMAC-SHA256, in hex, over
//! `"tributary-postback-v1\n" method "\n" path "\n" query "\n" sha256(body) "\n" timestamp "\n" nonce`, all as sent: the
//! query without its `signature` parameter, the hash in hex, the timestamp in Unix seconds. Timestamp, nonce and
//! signature stand in the query, or in headers of our own, which a form can keep its hands off.

use aws_lc_rs::hmac;
use proto_model::{Reason, UnixMicros};

/// How far a sender's clock may be off, and for how long a nonce is remembered on either side.
pub const TOLERANCE_SECS: i64 = 300;
const DOMAIN: &str = "tributary-postback-v1";
const NONCE_MIN: usize = 8;
const NONCE_MAX: usize = 64;

/// A postback as it arrived, with what its sender says of it.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'r> {
    pub method: &'r str,
    pub path: &'r str,
    /// The raw query; a parameter named `signature_parameter` is left out of what is signed.
    pub query: &'r str,
    pub signature_parameter: &'r str,
    pub body: &'r [u8],
    pub timestamp: &'r str,
    pub nonce: &'r str,
    pub signature: &'r str,
}

impl Signed<'_> {
    /// Checked under each key, so that one can be replaced by another. The nonce must be looked up by the caller, and
    /// only after this: a forged postback must not use one up.
    pub fn verify(&self, keys: &[hmac::Key], now: UnixMicros) -> Result<(), Reason> {
        let at: i64 = self.timestamp.parse().map_err(|_| Reason::BadSignature)?;
        if !(NONCE_MIN..=NONCE_MAX).contains(&self.nonce.len()) {
            return Err(Reason::BadSignature);
        }
        let signature = unhex(self.signature).ok_or(Reason::BadSignature)?;
        let message = self.message();
        if !keys.iter().any(|key| hmac::verify(key, message.as_bytes(), &signature).is_ok()) {
            return Err(Reason::BadSignature);
        }
        // Said only to whoever knows the key: it may be the clock.
        let age = now.secs().saturating_sub(at);
        if (-TOLERANCE_SECS..=TOLERANCE_SECS).contains(&age) { Ok(()) } else { Err(Reason::StaleTimestamp) }
    }

    fn message(&self) -> String {
        let named = |pair: &&str| pair.split('=').next() == Some(self.signature_parameter);
        let kept: Vec<&str> = self.query.split('&').filter(|pair| !named(pair)).collect();
        let body = hex(&proto_wire::keys::sha256(self.body));
        [DOMAIN, self.method, self.path, &kept.join("&"), &body, self.timestamp, self.nonce].join("\n")
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let digit =
            |at: usize| char::from(*pair.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros::from_secs(1_764_000_000);

    fn key(text: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())
    }

    fn signed<'r>(query: &'r str, signature: &'r str) -> Signed<'r> {
        Signed {
            method: "POST",
            path: "/postback/adv_1",
            query,
            signature_parameter: "signature",
            body: b"amount=19.90",
            timestamp: "1764000000",
            nonce: "0123456789",
            signature,
        }
    }

    fn sign(signed: Signed<'_>, secret: &str) -> String {
        hex(hmac::sign(&key(secret), signed.message().as_bytes()).as_ref())
    }

    /// Made by another program: Python's `hmac` over the message as documented.
    #[test]
    fn the_message_is_as_documented() {
        let signature = "081f4e830d5a6a12db79d4c8dc7473ae4248dd89f0a1a07a48e25be7aae322ff";
        let signed = signed("order_id=1&signature=x&goal=sale", signature);
        assert_eq!(signed.verify(&[key("secret")], NOW), Ok(()));
    }

    #[test]
    fn only_what_was_signed_passes() {
        let good = signed("order_id=1", "");
        let signature = sign(good, "secret");
        let good = Signed { signature: &signature, ..good };
        let keys = [key("older"), key("secret")];
        let later = |secs| UnixMicros::from_secs(NOW.secs() + secs);
        let forged = "0".repeat(64);
        let upper = signature.to_ascii_uppercase();
        let cases = [
            (good, NOW, Ok(())),
            (good, later(300), Ok(())),
            (good, later(-300), Ok(())),
            (Signed { signature: &upper, ..good }, NOW, Ok(())),
            (good, later(301), Err(Reason::StaleTimestamp)),
            (good, later(-301), Err(Reason::StaleTimestamp)),
            (Signed { query: "order_id=2", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { query: "order_id=1&x=1", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { body: b"amount=29.90", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { method: "GET", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { path: "/postback/adv_2", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { timestamp: "1764000001", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { timestamp: "soon", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { nonce: "0123456780", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { nonce: "short", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { signature: &forged, ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { signature: "", ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { signature: &signature[..63], ..good }, NOW, Err(Reason::BadSignature)),
            (Signed { signature: "é".repeat(32).leak(), ..good }, NOW, Err(Reason::BadSignature)),
        ];
        for (signed, now, expected) in cases {
            assert_eq!(signed.verify(&keys, now), expected, "{signed:?}");
        }
        assert_eq!(good.verify(&[key("older")], NOW), Err(Reason::BadSignature));
        assert_eq!(good.verify(&[], NOW), Err(Reason::BadSignature));
    }
}
