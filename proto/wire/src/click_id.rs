//! Click ids: everything needed to attribute a conversion, sealed into 80 characters.
//!
//! A click id is 60 bytes in unpadded base64url; 60 divides by 3, so each id has exactly one spelling.
//!
//! | offset | bytes | content |
//! |-------:|------:|---------|
//! | 0      | 1     | version, 1 |
//! | 1      | 1     | key id |
//! | 2      | 6     | nonce; the AEAD nonce is these 6 bytes and 6 zero bytes |
//! | 8      | 36    | ciphertext, AES-256-GCM-SIV |
//! | 44     | 16    | tag |
//!
//! Associated data: `"tributary-click-v1\0" || version || key id || tenant (be32)`. The plaintext, all
//! numbers big-endian:
//!
//! | offset | bytes | content |
//! |-------:|------:|---------|
//! | 0      | 4     | tenant |
//! | 4      | 5     | link |
//! | 9      | 5     | offer |
//! | 14     | 4     | Unix seconds |
//! | 18     | 4     | stream |
//! | 22     | 6     | ordinal |
//! | 28     | 2     | country, two ASCII letters |
//! | 30     | 1     | device class in bits 0-2, verdict in bits 3-4, bits 5-7 zero |
//! | 31     | 4     | rule-set version |
//! | 35     | 1     | flags |
//!
//! A nonce of 48 bits repeats now and then. With GCM-SIV that reveals only that two plaintexts are equal,
//! and they never are: the address in them is used once (an unspooled click has a random ordinal).

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto_model::event::ORDINAL_MAX;
use proto_model::{
    Address, ClickFacts, ClickFlags, Country, DeviceClass, LinkId, OfferId, StreamNo, TenantId, VerdictKind,
};
use std::fmt;
use std::ops::Deref;

pub const VERSION: u8 = 1;
/// Characters of a click id.
pub const TEXT_LEN: usize = 80;

const SEALED_LEN: usize = 60;
const NONCE_AT: usize = 2;
const NONCE_LEN: usize = 6;
const CIPHERTEXT_AT: usize = 8;
const PLAINTEXT_LEN: usize = 36;
const TAG_AT: usize = CIPHERTEXT_AT + PLAINTEXT_LEN;
const AAD_PREFIX: &[u8; 19] = b"tributary-click-v1\0";
const AAD_LEN: usize = AAD_PREFIX.len() + 6;

/// One key of a tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct ClickKey {
    pub key_id: u8,
    pub key: [u8; 32],
}

/// Shows the id only: whoever knows the key can forge clicks.
impl fmt::Debug for ClickKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClickKeysError {
    #[error("{tenant} has no active click key (one must be active to seal new ids)")]
    NoActiveKey { tenant: TenantId },
    #[error("{tenant} has more than one active click key (only one may seal new ids)")]
    SeveralActiveKeys { tenant: TenantId },
    #[error("{tenant} has two click keys with id {key_id} (an id names one key for ever)")]
    RepeatedKeyId { tenant: TenantId, key_id: u8 },
    #[error("click key {key_id} of {tenant} was refused by the cipher")]
    Unusable { tenant: TenantId, key_id: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClickIdError {
    #[error("not a click id (expected 80 characters of A-Z a-z 0-9 - _)")]
    Malformed,
    #[error("click id of version {0}, which this software does not know (is it older than the edge?)")]
    UnknownVersion(u8),
    #[error("click id sealed with key {0}, which this tenant does not have (forged, or of another tenant)")]
    UnknownKey(u8),
    #[error("click id that was altered, forged, or made for another tenant")]
    Forged,
}

/// The click keys of one tenant: one seals, all open.
pub struct ClickKeys {
    tenant: TenantId,
    keys: Vec<(u8, LessSafeKey)>,
    active: usize,
}

impl ClickKeys {
    /// Exactly one of `keys` must be active.
    pub fn try_new(tenant: TenantId, keys: &[(ClickKey, bool)]) -> Result<Self, ClickKeysError> {
        let mut ready = Vec::with_capacity(keys.len());
        let mut active = None;
        for (ClickKey { key_id, key }, is_active) in keys {
            if ready.iter().any(|(known, _)| known == key_id) {
                return Err(ClickKeysError::RepeatedKeyId { tenant, key_id: *key_id });
            }
            if *is_active && active.replace(ready.len()).is_some() {
                return Err(ClickKeysError::SeveralActiveKeys { tenant });
            }
            let unbound = UnboundKey::new(&AES_256_GCM_SIV, key)
                .map_err(|_| ClickKeysError::Unusable { tenant, key_id: *key_id })?;
            ready.push((*key_id, LessSafeKey::new(unbound)));
        }
        let active = active.ok_or(ClickKeysError::NoActiveKey { tenant })?;
        Ok(Self { tenant, keys: ready, active })
    }

    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Seals `facts` under the active key; allocates nothing. `facts.tenant` is taken to be this tenant,
    /// and of the ordinal the lower 48 bits are carried.
    pub fn seal(&self, facts: &ClickFacts, nonce: [u8; 6]) -> ClickIdText {
        let (key_id, key) = &self.keys[self.active];
        let mut sealed = [0; SEALED_LEN];
        sealed[0] = VERSION;
        sealed[1] = *key_id;
        sealed[NONCE_AT..CIPHERTEXT_AT].copy_from_slice(&nonce);
        sealed[CIPHERTEXT_AT..TAG_AT].copy_from_slice(&plaintext(self.tenant, facts));
        let tag = key.seal_in_place_separate_tag(
            full_nonce(nonce),
            Aad::from(aad(*key_id, self.tenant)),
            &mut sealed[CIPHERTEXT_AT..TAG_AT],
        );
        match tag {
            Ok(tag) => sealed[TAG_AT..].copy_from_slice(tag.as_ref()),
            // The cipher refuses only wrong lengths, and ours are fixed. Should it ever fail, the facts
            // must not leave in clear: the id becomes one that nobody can open, and the redirect goes on.
            Err(_) => sealed[CIPHERTEXT_AT..].fill(0),
        }
        let mut text = [b'A'; TEXT_LEN];
        // Cannot fail: 60 bytes are 80 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(sealed, &mut text);
        ClickIdText(text)
    }

    /// Opens an id sealed by any key of this tenant; allocates nothing.
    pub fn open(&self, text: &str) -> Result<ClickFacts, ClickIdError> {
        if text.len() != TEXT_LEN {
            return Err(ClickIdError::Malformed);
        }
        let mut sealed = [0; SEALED_LEN];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut sealed) {
            Ok(SEALED_LEN) => {}
            _ => return Err(ClickIdError::Malformed),
        }
        let [version, key_id, ..] = sealed;
        if version != VERSION {
            return Err(ClickIdError::UnknownVersion(version));
        }
        let key = self.keys.iter().find(|(id, _)| *id == key_id).map(|(_, key)| key);
        let key = key.ok_or(ClickIdError::UnknownKey(key_id))?;
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&sealed[NONCE_AT..CIPHERTEXT_AT]);
        let aad = Aad::from(aad(key_id, self.tenant));
        let opened = key
            .open_in_place(full_nonce(nonce), aad, &mut sealed[CIPHERTEXT_AT..])
            .map_err(|_| ClickIdError::Forged)?;
        // A stolen or faulty key can seal nonsense; that is no click of ours either.
        parse_plaintext(opened).filter(|facts| facts.tenant == self.tenant).ok_or(ClickIdError::Forged)
    }
}

impl fmt::Debug for ClickKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.keys.iter().map(|(id, _)| *id).collect();
        f.debug_struct("ClickKeys").field("tenant", &self.tenant).field("key_ids", &ids).finish()
    }
}

/// The 80 characters of a click id, on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClickIdText([u8; TEXT_LEN]);

impl Deref for ClickIdText {
    type Target = str;
    fn deref(&self) -> &str {
        // Always ASCII: only the base64 alphabet is written into it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl AsRef<str> for ClickIdText {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Display for ClickIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for ClickIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

fn full_nonce(carried: [u8; NONCE_LEN]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..NONCE_LEN].copy_from_slice(&carried);
    Nonce::assume_unique_for_key(nonce)
}

fn aad(key_id: u8, tenant: TenantId) -> [u8; AAD_LEN] {
    let mut out = [0; AAD_LEN];
    out[..AAD_PREFIX.len()].copy_from_slice(AAD_PREFIX);
    out[19] = VERSION;
    out[20] = key_id;
    out[21..].copy_from_slice(&tenant.get().to_be_bytes());
    out
}

fn plaintext(tenant: TenantId, facts: &ClickFacts) -> [u8; PLAINTEXT_LEN] {
    let mut out = [0; PLAINTEXT_LEN];
    out[0..4].copy_from_slice(&tenant.get().to_be_bytes());
    out[4..9].copy_from_slice(&facts.link.get().to_be_bytes()[3..]);
    out[9..14].copy_from_slice(&facts.offer.get().to_be_bytes()[3..]);
    out[14..18].copy_from_slice(&facts.at_secs.to_be_bytes());
    out[18..22].copy_from_slice(&facts.address.stream.0.to_be_bytes());
    out[22..28].copy_from_slice(&(facts.address.ordinal & ORDINAL_MAX).to_be_bytes()[2..]);
    out[28..30].copy_from_slice(&facts.country.bytes());
    out[30] = facts.device.code() | (facts.verdict.code() << 3);
    out[31..35].copy_from_slice(&facts.rule_set_version.to_be_bytes());
    out[35] = facts.flags.0;
    out
}

/// `None` when a field holds what no edge would seal.
fn parse_plaintext(bytes: &[u8]) -> Option<ClickFacts> {
    let bytes: &[u8; PLAINTEXT_LEN] = bytes.try_into().ok()?;
    let country = std::str::from_utf8(&bytes[28..30]).ok()?;
    if !country.bytes().all(|b| b.is_ascii_uppercase()) || bytes[30] >> 5 != 0 {
        return None;
    }
    Some(ClickFacts {
        tenant: TenantId::new(be(&bytes[0..4]).try_into().ok()?)?,
        link: LinkId::new(be(&bytes[4..9]))?,
        offer: OfferId::new(be(&bytes[9..14]))?,
        at_secs: be(&bytes[14..18]).try_into().ok()?,
        address: Address {
            stream: StreamNo(be(&bytes[18..22]).try_into().ok()?),
            ordinal: be(&bytes[22..28]),
        },
        country: Country::parse(country),
        device: DeviceClass::from_code(bytes[30] & 0b111)?,
        verdict: VerdictKind::from_code(bytes[30] >> 3)?,
        rule_set_version: be(&bytes[31..35]).try_into().ok()?,
        flags: ClickFlags(bytes[35]),
    })
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}
