//! Enrolment: the bundle an operator carries from the control plane to a new edge, and the messages by
//! which an edge proves that it holds its batch key.
//!
//! A bundle is `tbj1.` and the base64url of `JoinBundle || sha256(JoinBundle)[..4]`. The checksum is no
//! protection: it tells a bundle that lost characters on its way from one that is spent.

use crate::edge_v1;
use crate::keys::{random, sha256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use proto_model::EdgeId;
use std::fmt;

const PREFIX: &str = "tbj1.";
const CHECKSUM_LEN: usize = 4;
/// Characters of a token: 32 bytes in unpadded base64url.
pub const TOKEN_LEN: usize = 43;
const URL_MAX: usize = 512;
const CA_MAX: usize = 8 * 1024;
const TEXT_MAX: usize = 16 * 1024;

/// What a new edge needs to find and believe the control plane.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinBundle {
    /// Where the gRPC listener stands: `https://control.example:8443`.
    pub url: String,
    /// One-time token; the control plane keeps its SHA-256 only.
    pub token: String,
    /// The certificate authority of the control plane, DER.
    pub ca_der: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("not a join bundle (it starts with `{PREFIX}`; copy the whole line)")]
    NotABundle,
    #[error("the join bundle is damaged or cut short (copy the whole line again)")]
    Damaged,
    #[error("the join bundle holds an unusable {0} (make a new bundle on the control plane)")]
    Unusable(&'static str),
}

impl JoinBundle {
    pub fn to_text(&self) -> String {
        let mut bytes = edge_v1::JoinBundle {
            url: self.url.clone(),
            token: self.token.clone(),
            ca_der: self.ca_der.clone(),
        }
        .encode_to_vec();
        let checksum = sha256(&bytes);
        bytes.extend_from_slice(&checksum[..CHECKSUM_LEN]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads what [`JoinBundle::to_text`] wrote; white space around and inside it is ignored, since
    /// terminals and mails wrap long lines.
    pub fn parse(text: &str) -> Result<Self, JoinError> {
        if text.len() > TEXT_MAX {
            return Err(JoinError::NotABundle);
        }
        let text: String = text.split_whitespace().collect();
        let body = text.strip_prefix(PREFIX).ok_or(JoinError::NotABundle)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| JoinError::Damaged)?;
        let at = bytes.len().checked_sub(CHECKSUM_LEN).ok_or(JoinError::Damaged)?;
        let (bytes, checksum) = bytes.split_at(at);
        if sha256(bytes)[..CHECKSUM_LEN] != *checksum {
            return Err(JoinError::Damaged);
        }
        let edge_v1::JoinBundle { url, token, ca_der } =
            edge_v1::JoinBundle::decode(bytes).map_err(|_| JoinError::Damaged)?;
        if !url.starts_with("https://") || url.len() > URL_MAX || url.chars().any(char::is_control) {
            return Err(JoinError::Unusable("URL"));
        }
        if !is_token(&token) {
            return Err(JoinError::Unusable("token"));
        }
        if ca_der.is_empty() || ca_der.len() > CA_MAX {
            return Err(JoinError::Unusable("certificate"));
        }
        Ok(Self { url, token, ca_der })
    }
}

/// Leaves the token out: it is good for one enrolment.
impl fmt::Debug for JoinBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinBundle").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A fresh one-time token.
pub fn new_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

/// True for what [`new_token`] may have made.
pub fn is_token(text: &str) -> bool {
    text.len() == TOKEN_LEN && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What an edge signs under [`crate::keys::ENROLL`]: `sha256(join token) || sha256(csr)`.
pub fn enroll_message(join_token: &str, csr_der: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    out[..32].copy_from_slice(&sha256(join_token.as_bytes()));
    out[32..].copy_from_slice(&sha256(csr_der));
    out
}

/// What an edge signs under [`crate::keys::RENEW`]: `edge id (be64) || seconds (be64) || sha256(csr)`.
pub fn renew_message(edge: EdgeId, signed_at_secs: i64, csr_der: &[u8]) -> [u8; 48] {
    let mut out = [0; 48];
    out[..8].copy_from_slice(&edge.get().to_be_bytes());
    out[8..16].copy_from_slice(&signed_at_secs.to_be_bytes());
    out[16..].copy_from_slice(&sha256(csr_der));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bundle() -> JoinBundle {
        JoinBundle { url: "https://control.example:8443".into(), token: new_token(), ca_der: vec![48; 400] }
    }

    #[test]
    fn reads_what_it_wrote_even_wrapped() {
        let text = bundle().to_text();
        assert!(JoinBundle::parse(&text).is_ok());
        let wrapped = format!("  {}\n  {}\r\n", &text[..60], &text[60..]);
        assert_eq!(JoinBundle::parse(&wrapped).map(|b| b.to_text()), Ok(text));
    }

    #[test]
    fn refuses_damaged_and_unusable_bundles() {
        let text = bundle().to_text();
        let other = if &text[40..41] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &text[..40], &text[41..]);
        let cases = [
            ("", JoinError::NotABundle),
            ("tbj2.AAAA", JoinError::NotABundle),
            (&"tbj1.".repeat(9999), JoinError::NotABundle),
            ("tbj1.", JoinError::Damaged),
            ("tbj1.é", JoinError::Damaged),
            (&text[..text.len() - 4], JoinError::Damaged),
            (&changed, JoinError::Damaged),
            (&JoinBundle { url: "http://x".into(), ..bundle() }.to_text(), JoinError::Unusable("URL")),
            (&JoinBundle { token: "x".into(), ..bundle() }.to_text(), JoinError::Unusable("token")),
            (&JoinBundle { ca_der: vec![], ..bundle() }.to_text(), JoinError::Unusable("certificate")),
        ];
        for (text, error) in cases {
            assert_eq!(JoinBundle::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = JoinBundle::parse(&text);
            let _ = JoinBundle::parse(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
        }
    }
}
