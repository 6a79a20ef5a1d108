//! What an edge signs when it has lost sealed batches: which ordinals will never come, and where its chain goes on.
//! It takes the place of those batches in the stream, so that a loss is counted and not passed over.
//!
//! | offset | bytes | content |
//! |-------:|------:|---------|
//! | 0      | 1     | version, 1 |
//! | 1      | 1     | lane |
//! | 2      | 8     | edge id |
//! | 10     | 4     | epoch |
//! | 14     | 4     | stream number of (edge, epoch, lane) |
//! | 18     | 8     | first lost ordinal |
//! | 26     | 8     | last lost ordinal |
//! | 34     | 1     | reason |
//! | 35     | 32    | head hash before the gap; zeros at the start of a stream |
//! | 67     | 32    | head hash after it: what the next batch continues |

use super::at;
use crate::edge_v1;
use crate::keys::{self, PublicKey, SIGNATURE_LEN, SignatureError, SigningKey};
use proto_model::event::ORDINAL_MAX;
use proto_model::{EdgeId, Lane, StreamNo};

pub const GAP_LEN: usize = 99;
const VERSION: u8 = 1;

/// Why the batches are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// They are there and cannot be read, or are not what was signed.
    Damaged,
    /// Their files are gone.
    Missing,
    /// They had been acknowledged and deleted long before the control plane was put back to an earlier state.
    NotRetained,
}

impl GapReason {
    pub const ALL: [Self; 3] = [Self::Damaged, Self::Missing, Self::NotRetained];

    pub fn code(self) -> u8 {
        match self {
            Self::Damaged => 1,
            Self::Missing => 2,
            Self::NotRetained => 3,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::NotRetained => "not_retained",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GapError {
    #[error("a gap declaration has {GAP_LEN} bytes, this one has {0}")]
    Length(usize),
    #[error("the gap declaration has version {0}, which this software does not know (upgrade it)")]
    Version(u8),
    #[error("the gap declaration holds an impossible {0}")]
    Field(&'static str),
    #[error("the gap declaration is not signed by this edge")]
    Signature(#[from] SignatureError),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapDeclaration {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub stream: StreamNo,
    pub first_ordinal: u64,
    /// Inclusive.
    pub last_ordinal: u64,
    pub reason: GapReason,
    /// Where the stream stands before it.
    pub prev_hash: [u8; 32],
    /// Where it stands after it: the `prev_hash` of the batch that follows.
    pub resume_hash: [u8; 32],
}

impl GapDeclaration {
    pub fn to_bytes(&self) -> [u8; GAP_LEN] {
        let mut out = [0; GAP_LEN];
        out[0] = VERSION;
        out[1] = self.lane.code();
        out[2..10].copy_from_slice(&self.edge.get().to_be_bytes());
        out[10..14].copy_from_slice(&self.epoch.to_be_bytes());
        out[14..18].copy_from_slice(&self.stream.0.to_be_bytes());
        out[18..26].copy_from_slice(&self.first_ordinal.to_be_bytes());
        out[26..34].copy_from_slice(&self.last_ordinal.to_be_bytes());
        out[34] = self.reason.code();
        out[35..67].copy_from_slice(&self.prev_hash);
        out[67..99].copy_from_slice(&self.resume_hash);
        out
    }

    /// Reads a declaration and checks that its numbers can belong together. It is only a claim until
    /// [`GapDeclaration::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GapError> {
        let bytes: &[u8; GAP_LEN] = bytes.try_into().map_err(|_| GapError::Length(bytes.len()))?;
        if bytes[0] != VERSION {
            return Err(GapError::Version(bytes[0]));
        }
        let gap = Self {
            lane: Lane::from_code(bytes[1]).ok_or(GapError::Field("lane"))?,
            edge: EdgeId::new(u64::from_be_bytes(at(bytes, 2))).ok_or(GapError::Field("edge id"))?,
            epoch: u32::from_be_bytes(at(bytes, 10)),
            stream: StreamNo(u32::from_be_bytes(at(bytes, 14))),
            first_ordinal: u64::from_be_bytes(at(bytes, 18)),
            last_ordinal: u64::from_be_bytes(at(bytes, 26)),
            reason: GapReason::from_code(bytes[34]).ok_or(GapError::Field("reason"))?,
            prev_hash: at(bytes, 35),
            resume_hash: at(bytes, 67),
        };
        let ordinals = 1 <= gap.first_ordinal
            && gap.first_ordinal <= gap.last_ordinal
            && gap.last_ordinal <= ORDINAL_MAX;
        if ordinals { Ok(gap) } else { Err(GapError::Field("ordinal range")) }
    }

    /// The declaration in `bytes`, if `key` has signed it.
    pub fn verify(key: &PublicKey, bytes: &[u8], signature: &[u8]) -> Result<Self, GapError> {
        key.verify(keys::GAP, bytes, signature)?;
        Self::parse(bytes)
    }

    pub fn sign(&self, key: &SigningKey) -> [u8; SIGNATURE_LEN] {
        key.sign(keys::GAP, &self.to_bytes())
    }

    /// The message that says this, signed by the edge.
    pub fn to_message(&self, key: &SigningKey, session: u64) -> edge_v1::Gap {
        edge_v1::Gap { session, declaration: self.to_bytes().to_vec(), signature: self.sign(key).to_vec() }
    }

    /// Ordinals that are lost; each may have been a hit, or one of many that were skipped.
    pub fn ordinals(&self) -> u64 {
        self.last_ordinal.saturating_sub(self.first_ordinal).saturating_add(1)
    }
}
