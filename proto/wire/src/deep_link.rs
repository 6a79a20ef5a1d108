//! Deep links that the control plane vouches for: a page on any host, good for one link until it expires.
//!
//! `/c/{link}?url={page}&exp={Unix seconds}&sig={23 characters}`. The signature is the key id and 16 bytes of
//! HMAC-SHA256 over `"tributary-deep-link-v1\0" || tenant (be32) || link (be64) || exp (be64) || page`, in
//! unpadded base64url. Its keys derive from the tenant's click keys, so that they rotate with them and nothing
//! more has to be kept secret: HMAC-SHA256(click key, `"tributary-deep-link-key-v1\0"`). An edge can therefore
//! sign as well as check; it is trusted with where its tenants' shoppers go as it is.

use crate::click_id::ClickKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto_model::{LinkId, TenantId, UnixMicros};
use std::fmt;

const KEY_DOMAIN: &[u8] = b"tributary-deep-link-key-v1\0";
const DOMAIN: &[u8] = b"tributary-deep-link-v1\0";
const TAG_LEN: usize = 16;
const SIGNED_LEN: usize = 1 + TAG_LEN;
/// Characters of a signature.
pub const SIGNATURE_TEXT_LEN: usize = 23;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeepLinkError {
    #[error("not the signature of a deep link (expected 23 characters of A-Z a-z 0-9 - _)")]
    Malformed,
    #[error("the deep link has expired; have it signed again")]
    Expired,
    #[error("the signature does not fit the link, the page and the expiry")]
    Forged,
}

/// The deep-link keys of one tenant: the newest signs, all verify.
#[derive(Clone)]
pub struct DeepLinkKeys {
    tenant: TenantId,
    keys: Vec<(u8, hmac::Key)>,
    active: usize,
}

impl DeepLinkKeys {
    /// From the tenant's click keys. Without an active one the first signs.
    pub fn new(tenant: TenantId, keys: &[(ClickKey, bool)]) -> Self {
        let derived = keys.iter().map(|(ClickKey { key_id, key }, _)| {
            let derived = hmac::sign(&hmac::Key::new(HMAC_SHA256, key), KEY_DOMAIN);
            (*key_id, hmac::Key::new(HMAC_SHA256, derived.as_ref()))
        });
        let active = keys.iter().position(|(_, active)| *active).unwrap_or_default();
        Self { tenant, keys: derived.collect(), active }
    }

    /// `None` when the tenant has no key.
    pub fn sign(&self, link: LinkId, page: &str, expires_at_secs: i64) -> Option<String> {
        let (key_id, key) = self.keys.get(self.active)?;
        let mut signed = [*key_id; SIGNED_LEN];
        signed[1..].copy_from_slice(&self.tag(key, link, page, expires_at_secs));
        Some(URL_SAFE_NO_PAD.encode(signed))
    }

    /// `page` as the request has it after decoding. Allocates nothing.
    pub fn verify(
        &self,
        link: LinkId,
        page: &str,
        expires_at_secs: i64,
        signature: &str,
        now: UnixMicros,
    ) -> Result<(), DeepLinkError> {
        if signature.len() != SIGNATURE_TEXT_LEN {
            return Err(DeepLinkError::Malformed);
        }
        let mut signed = [0; SIGNED_LEN];
        match URL_SAFE_NO_PAD.decode_slice(signature, &mut signed) {
            Ok(SIGNED_LEN) => {}
            _ => return Err(DeepLinkError::Malformed),
        }
        let [key_id, tag @ ..] = signed;
        let (_, key) = self.keys.iter().find(|(id, _)| *id == key_id).ok_or(DeepLinkError::Forged)?;
        verify_slices_are_equal(&tag, &self.tag(key, link, page, expires_at_secs))
            .map_err(|_| DeepLinkError::Forged)?;
        // Only now: whoever cannot sign learns nothing about when.
        if now.secs() < expires_at_secs { Ok(()) } else { Err(DeepLinkError::Expired) }
    }

    fn tag(&self, key: &hmac::Key, link: LinkId, page: &str, expires_at_secs: i64) -> [u8; TAG_LEN] {
        let mut context = hmac::Context::with_key(key);
        context.update(DOMAIN);
        context.update(&self.tenant.get().to_be_bytes());
        context.update(&link.get().to_be_bytes());
        context.update(&expires_at_secs.to_be_bytes());
        context.update(page.as_bytes());
        let mut tag = [0; TAG_LEN];
        for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }
}

/// Shows ids only: whoever knows a key can send shoppers anywhere.
impl fmt::Debug for DeepLinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.keys.iter().map(|(id, _)| *id).collect();
        f.debug_struct("DeepLinkKeys").field("tenant", &self.tenant).field("key_ids", &ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://anywhere.example/a?b=c";

    fn keys(tenant: u32, keys: &[(u8, u8, bool)]) -> DeepLinkKeys {
        let keys: Vec<_> = keys
            .iter()
            .map(|(id, byte, active)| (ClickKey { key_id: *id, key: [*byte; 32] }, *active))
            .collect();
        DeepLinkKeys::new(TenantId::new(tenant).unwrap(), &keys)
    }

    #[test]
    fn a_deep_link_holds_for_its_link_page_and_time() {
        let mine = keys(1, &[(1, 7, false), (2, 8, true)]);
        let link = LinkId::new(5).unwrap();
        let signature = mine.sign(link, PAGE, 1_000).unwrap();
        assert_eq!(signature.len(), SIGNATURE_TEXT_LEN);
        let at = UnixMicros::from_secs;
        assert_eq!(mine.verify(link, PAGE, 1_000, &signature, at(999)), Ok(()));
        assert_eq!(mine.verify(link, PAGE, 1_000, &signature, at(1_000)), Err(DeepLinkError::Expired));
        let forged = Err(DeepLinkError::Forged);
        assert_eq!(mine.verify(LinkId::new(6).unwrap(), PAGE, 1_000, &signature, at(0)), forged);
        assert_eq!(mine.verify(link, "https://evil.example/", 1_000, &signature, at(0)), forged);
        assert_eq!(mine.verify(link, PAGE, 1_001, &signature, at(0)), forged);
        assert_eq!(keys(2, &[(2, 8, true)]).verify(link, PAGE, 1_000, &signature, at(0)), forged);
        assert_eq!(keys(1, &[(2, 9, true)]).verify(link, PAGE, 1_000, &signature, at(0)), forged);
        assert_eq!(keys(1, &[(3, 8, true)]).verify(link, PAGE, 1_000, &signature, at(0)), forged);
        let rotated = keys(1, &[(2, 8, false), (3, 9, true)]);
        assert_eq!(
            rotated.verify(link, PAGE, 1_000, &signature, at(0)),
            Ok(()),
            "an older key still verifies"
        );
        for text in ["", "a", &signature[1..], &format!("{}=", &signature[1..])] {
            assert_eq!(mine.verify(link, PAGE, 1_000, text, at(0)), Err(DeepLinkError::Malformed), "{text}");
        }
    }

    #[test]
    fn the_bytes_are_frozen() {
        let signature = keys(1, &[(2, 8, true)]).sign(LinkId::new(5).unwrap(), PAGE, 1_000).unwrap();
        assert_eq!(signature, "AtJE-OnwIaHhw4jol1I75vQ");
        assert!(!format!("{:?}", keys(1, &[(2, 8, true)])).contains("8, 8"));
    }
}
