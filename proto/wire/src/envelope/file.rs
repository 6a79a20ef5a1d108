//! A sealed batch as one file, for the time between sealing and acknowledgement. Numbers big-endian.
//!
//! | bytes | content |
//! |------:|---------|
//! | 8     | magic, `TRIBBAT1` |
//! | 4     | length of the header |
//! | 4     | length of the payload |
//! | 4     | length of the sidecar |
//! | 64    | signature |
//! | ...   | header, payload, sidecar |
//! | 32    | SHA-256 of everything before |

use super::{EnvelopeError, HEADER_LEN, MAX_COMPRESSED, SealedBatch};
use crate::keys::{SIGNATURE_LEN, sha256};

const MAGIC: &[u8; 8] = b"TRIBBAT1";
const FIXED_LEN: usize = MAGIC.len() + 3 * 4 + SIGNATURE_LEN;
const HASH_LEN: usize = 32;

impl SealedBatch {
    pub fn to_file_bytes(&self) -> Vec<u8> {
        let parts = [&self.header_bytes, &self.payload, &self.sidecar];
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(FIXED_LEN + len + HASH_LEN);
        out.extend_from_slice(MAGIC);
        for part in parts {
            // A part over 4 GiB cannot be sealed; were there one, the reader would refuse the file.
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        out.extend_from_slice(&self.signature);
        for part in parts {
            out.extend_from_slice(part);
        }
        let hash = sha256(&out);
        out.extend_from_slice(&hash);
        out
    }

    /// Reads a whole file. This finds damage; whether the batch is genuine is [`SealedBatch::verify`]'s.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut rest = bytes;
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err(EnvelopeError::File("wrong magic"));
        }
        let header_len = take_len(&mut rest, HEADER_LEN)?;
        let payload_len = take_len(&mut rest, MAX_COMPRESSED)?;
        let sidecar_len = take_len(&mut rest, MAX_COMPRESSED)?;
        let signature = take(&mut rest, SIGNATURE_LEN)?;
        let header = take(&mut rest, header_len)?;
        let payload = take(&mut rest, payload_len)?;
        let sidecar = take(&mut rest, sidecar_len)?;
        if rest.len() != HASH_LEN {
            return Err(EnvelopeError::File("wrong length"));
        }
        if sha256(&bytes[..bytes.len() - HASH_LEN]) != rest {
            return Err(EnvelopeError::File("wrong checksum"));
        }
        Ok(Self {
            header_bytes: header.to_vec(),
            signature: signature.try_into().map_err(|_| EnvelopeError::SignatureLength(signature.len()))?,
            payload: payload.to_vec(),
            sidecar: sidecar.to_vec(),
        })
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], EnvelopeError> {
    let (taken, left) = rest.split_at_checked(len).ok_or(EnvelopeError::File("too short"))?;
    *rest = left;
    Ok(taken)
}

fn take_len(rest: &mut &[u8], most: usize) -> Result<usize, EnvelopeError> {
    let bytes = take(rest, 4)?;
    let len = bytes.iter().fold(0u32, |len, byte| (len << 8) | u32::from(*byte));
    usize::try_from(len).ok().filter(|len| *len <= most).ok_or(EnvelopeError::File("impossible length"))
}
