//! Ed25519 signatures, SHA-256 and randomness.
//!
//! Every signature is made over `domain || 0x00 || message`, so that a signature on one kind of message
//! can never be passed off as one on another kind.

use aws_lc_rs::digest;
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

pub const BATCH: &str = "tributary-batch-v1";
pub const ACK: &str = "tributary-ack-v1";
pub const GAP: &str = "tributary-gap-v1";
pub const MANIFEST: &str = "tributary-manifest-v1";
pub const ENROLL: &str = "tributary-enroll-v1";
pub const RENEW: &str = "tributary-renew-v1";

pub const SIGNATURE_LEN: usize = 64;
pub const PUBLIC_KEY_LEN: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the system gave no randomness for a new key")]
    NoRandomness,
    #[error("not an Ed25519 private key in PKCS#8 form (restore the key file from a backup)")]
    NotPkcs8,
    #[error("an Ed25519 public key has 32 bytes, this one has {0}")]
    PublicKeyLength(usize),
}

/// The signature does not fit the key, the domain and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify under this key")]
pub struct SignatureError;

/// An Ed25519 private key together with the PKCS#8 bytes it is stored as.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Vec<u8>,
}

impl SigningKey {
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::NoRandomness)?;
        let document = pair.to_pkcs8().map_err(|_| KeyError::NoRandomness)?;
        Ok(Self { pair, pkcs8: document.as_ref().to_vec() })
    }

    /// Reads PKCS#8 version 1 (the seed alone) or 2 (with its public key, which must fit).
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::NotPkcs8)?;
        Ok(Self { pair, pkcs8: pkcs8.to_vec() })
    }

    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub fn public(&self) -> [u8; PUBLIC_KEY_LEN] {
        copied(self.pair.public_key().as_ref())
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.public())
    }

    pub fn sign(&self, domain: &str, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        copied(self.pair.sign(&separated(domain, message)).as_ref())
    }
}

/// Shows the public half only: a private key must never reach a log.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public_key()).finish()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; PUBLIC_KEY_LEN]);

impl PublicKey {
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::PublicKeyLength(bytes.len()))
    }

    pub fn verify(&self, domain: &str, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, &self.0[..])
            .verify(&separated(domain, message), signature)
            .map_err(|_| SignatureError)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    copied(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-256 over the parts as if they stood in one slice.
pub(crate) fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    copied(context.finish().as_ref())
}

/// `N` random bytes from the system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rand::fill(&mut bytes).is_err() {
        // Every caller makes a key, a token, a nonce or a salt of these bytes: going on without
        // randomness would hand out guessable ones, and no caller could do anything better than stop.
        std::process::abort();
    }
    bytes
}

fn separated(domain: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(domain.len() + 1 + message.len());
    bytes.extend_from_slice(domain.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(message);
    bytes
}

/// Copies a slice whose length the algorithm fixes.
fn copied<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_message_and_key_only() {
        let key = SigningKey::generate().unwrap();
        let public = key.public_key();
        let mut signature = key.sign(BATCH, b"message");
        assert_eq!(public.verify(BATCH, b"message", &signature), Ok(()));
        assert_eq!(public.verify(ACK, b"message", &signature), Err(SignatureError));
        assert_eq!(public.verify(BATCH, b"messagf", &signature), Err(SignatureError));
        assert_eq!(public.verify(BATCH, b"message", &signature[..63]), Err(SignatureError));
        let other = SigningKey::generate().unwrap().public_key();
        assert_eq!(other.verify(BATCH, b"message", &signature), Err(SignatureError));
        signature[0] ^= 1;
        assert_eq!(public.verify(BATCH, b"message", &signature), Err(SignatureError));
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(again.sign(ACK, b"x"), key.sign(ACK, b"x"));
        for bad in [&b""[..], b"garbage", &key.pkcs8()[..key.pkcs8().len() - 1]] {
            assert_eq!(SigningKey::from_pkcs8(bad).unwrap_err(), KeyError::NotPkcs8);
        }
        assert_eq!(PublicKey::from_slice(&[0; 31]), Err(KeyError::PublicKeyLength(31)));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = SigningKey::generate().unwrap();
        let text = format!("{key:?}");
        let seed: String = key.pkcs8()[16..48].iter().map(|b| format!("{b:02x}")).collect();
        assert!(!text.contains(&seed));
    }

    #[test]
    fn parts_hash_like_their_sum() {
        assert_eq!(sha256_of(&[b"ab", b"", b"c"]), sha256(b"abc"));
        assert_ne!(random::<16>(), random::<16>());
    }
}
