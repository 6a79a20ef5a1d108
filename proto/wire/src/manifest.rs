//! Snapshots: content-addressed chunks under a manifest that the control plane signs.
//!
//! The signature is Ed25519 over `"tributary-manifest-v1\0" || manifest`, the manifest's encoded bytes as
//! they were sent: they are kept and verified as bytes, never encoded again.

use crate::edge_v1::{Chunk, ChunkRef, Manifest, WatchResponse};
use crate::keys::{self, PublicKey, SignatureError, SigningKey, sha256};
use prost::Message;
use std::collections::BTreeSet;

/// Bytes of an encoded manifest: some 90,000 chunks.
pub const MAX_MANIFEST: usize = 4 * 1024 * 1024;
/// Bytes of an encoded chunk; a tenant's settings with the largest rule sets fit.
pub const MAX_CHUNK: usize = 16 * 1024 * 1024;
/// Hashes in one `FetchChunks`.
pub const MAX_FETCH: usize = 1024;
/// The largest message of `Watch` and `FetchChunks`: the gRPC decoding limit of an edge.
pub const MAX_MESSAGE: usize = MAX_CHUNK + 1024;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest is not signed by the control plane this edge was enrolled with")]
    Signature(#[from] SignatureError),
    #[error("the {what} has {found} bytes, at most {limit} are allowed")]
    TooLarge { what: &'static str, found: usize, limit: usize },
    #[error("the {what} is not the expected protobuf message")]
    Decode {
        what: &'static str,
        #[source]
        source: prost::DecodeError,
    },
    #[error("the manifest has no version")]
    NoVersion,
    #[error("chunk reference {0} of the manifest is malformed or repeats another")]
    ChunkRef(usize),
    #[error("the chunk is not the one its reference names (damaged or exchanged)")]
    ChunkMismatch,
}

/// Encodes and signs a manifest.
pub fn sign(key: &SigningKey, manifest: &Manifest) -> WatchResponse {
    let manifest = manifest.encode_to_vec();
    let signature = key.sign(keys::MANIFEST, &manifest).to_vec();
    WatchResponse { manifest, signature }
}

/// Verifies before decoding. That versions only rise is for the edge to check: it knows what it runs.
pub fn verify(key: &PublicKey, signed: &WatchResponse) -> Result<Manifest, ManifestError> {
    at_most("manifest", signed.manifest.len(), MAX_MANIFEST)?;
    key.verify(keys::MANIFEST, &signed.manifest, &signed.signature)?;
    let manifest = Manifest::decode(signed.manifest.as_slice())
        .map_err(|source| ManifestError::Decode { what: "manifest", source })?;
    if manifest.version == 0 {
        return Err(ManifestError::NoVersion);
    }
    let mut seen = BTreeSet::new();
    for (index, chunk) in manifest.chunks.iter().enumerate() {
        let usable = chunk.sha256.len() == 32
            && chunk.tenant != 0
            && usize::try_from(chunk.length).is_ok_and(|length| length <= MAX_CHUNK);
        if !usable || !seen.insert(chunk.sha256.as_slice()) {
            return Err(ManifestError::ChunkRef(index));
        }
    }
    Ok(manifest)
}

/// Encodes a chunk and names it.
pub fn encode_chunk(chunk: &Chunk) -> Result<(ChunkRef, Vec<u8>), ManifestError> {
    let bytes = chunk.encode_to_vec();
    at_most("chunk", bytes.len(), MAX_CHUNK)?;
    let too_large = |_| ManifestError::TooLarge { what: "chunk", found: bytes.len(), limit: MAX_CHUNK };
    let length = u32::try_from(bytes.len()).map_err(too_large)?;
    Ok((ChunkRef { sha256: sha256(&bytes).to_vec(), length, tenant: chunk.tenant }, bytes))
}

/// Decodes `bytes` if they are the chunk that a verified manifest names.
pub fn decode_chunk(reference: &ChunkRef, bytes: &[u8]) -> Result<Chunk, ManifestError> {
    at_most("chunk", bytes.len(), MAX_CHUNK)?;
    let same_len = u64::try_from(bytes.len()) == Ok(u64::from(reference.length));
    if !same_len || sha256(bytes)[..] != reference.sha256[..] {
        return Err(ManifestError::ChunkMismatch);
    }
    let chunk = Chunk::decode(bytes).map_err(|source| ManifestError::Decode { what: "chunk", source })?;
    if chunk.tenant == reference.tenant { Ok(chunk) } else { Err(ManifestError::ChunkMismatch) }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), ManifestError> {
    if found > limit { Err(ManifestError::TooLarge { what, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge_v1::{LinkChunk, chunk};
    use proptest::prelude::*;

    fn a_chunk(tenant: u32) -> Chunk {
        Chunk { tenant, content: Some(chunk::Content::Links(LinkChunk::default())) }
    }

    fn a_manifest() -> Manifest {
        let chunks = [1, 2].map(|tenant| encode_chunk(&a_chunk(tenant)).unwrap().0);
        Manifest { version: 3, issued_at_micros: 1, chunks: chunks.to_vec() }
    }

    #[test]
    fn a_signed_manifest_reads_back() {
        let key = SigningKey::generate().unwrap();
        let signed = sign(&key, &a_manifest());
        assert_eq!(verify(&key.public_key(), &signed), Ok(a_manifest()));
        let other = SigningKey::generate().unwrap().public_key();
        assert_eq!(verify(&other, &signed), Err(ManifestError::Signature(SignatureError)));
    }

    #[test]
    fn malformed_manifests_are_refused_even_signed() {
        let key = SigningKey::generate().unwrap();
        let mut repeated = a_manifest();
        repeated.chunks[1] = repeated.chunks[0].clone();
        let mut short = a_manifest();
        short.chunks[0].sha256.pop();
        let mut huge = a_manifest();
        huge.chunks[1].length = u32::MAX;
        let unversioned = Manifest { version: 0, ..a_manifest() };
        let cases = [
            (repeated, ManifestError::ChunkRef(1)),
            (short, ManifestError::ChunkRef(0)),
            (huge, ManifestError::ChunkRef(1)),
            (unversioned, ManifestError::NoVersion),
        ];
        for (manifest, error) in cases {
            assert_eq!(verify(&key.public_key(), &sign(&key, &manifest)), Err(error));
        }
    }

    #[test]
    fn a_chunk_must_be_the_one_that_was_named() {
        let (reference, bytes) = encode_chunk(&a_chunk(7)).unwrap();
        assert_eq!(decode_chunk(&reference, &bytes), Ok(a_chunk(7)));
        let mut damaged = bytes.clone();
        damaged[0] ^= 1;
        assert_eq!(decode_chunk(&reference, &damaged), Err(ManifestError::ChunkMismatch));
        assert_eq!(decode_chunk(&reference, &bytes[1..]), Err(ManifestError::ChunkMismatch));
        let of_another = ChunkRef { tenant: 8, ..reference };
        assert_eq!(decode_chunk(&of_another, &bytes), Err(ManifestError::ChunkMismatch));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let key = SigningKey::generate().unwrap();
            let signature = key.sign(keys::MANIFEST, &bytes).to_vec();
            let _ = verify(&key.public_key(), &WatchResponse { manifest: bytes.clone(), signature });
            let length = u32::try_from(bytes.len()).unwrap();
            let _ = decode_chunk(&ChunkRef { sha256: sha256(&bytes).to_vec(), length, tenant: 1 }, &bytes);
        }
    }
}
