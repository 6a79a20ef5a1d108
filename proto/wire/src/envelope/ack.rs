//! What the control plane signs when it has committed a batch: proof for the edge that it may forget, and
//! evidence of what was taken.
//!
//! | offset | bytes | content |
//! |-------:|------:|---------|
//! | 0      | 1     | version, 1 |
//! | 1      | 1     | lane |
//! | 2      | 8     | edge id |
//! | 10     | 4     | epoch |
//! | 14     | 8     | last ordinal, inclusive: everything up to it is committed |
//! | 22     | 32    | head hash after the batch that ends there |

use crate::convert;
use crate::edge_v1;
use crate::keys::{self, PublicKey, SignatureError, SigningKey};
use proto_model::{EdgeId, Lane};

pub const ACK_LEN: usize = 54;
const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckStatement {
    pub edge: EdgeId,
    pub epoch: u32,
    pub lane: Lane,
    pub last_ordinal: u64,
    pub head_hash: [u8; 32],
}

impl AckStatement {
    pub fn to_bytes(&self) -> [u8; ACK_LEN] {
        let mut out = [0; ACK_LEN];
        out[0] = VERSION;
        out[1] = self.lane.code();
        out[2..10].copy_from_slice(&self.edge.get().to_be_bytes());
        out[10..14].copy_from_slice(&self.epoch.to_be_bytes());
        out[14..22].copy_from_slice(&self.last_ordinal.to_be_bytes());
        out[22..54].copy_from_slice(&self.head_hash);
        out
    }

    /// The message that says this, signed by the control plane.
    pub fn sign(&self, key: &SigningKey) -> edge_v1::Ack {
        edge_v1::Ack {
            lane: convert::lane_to_wire(self.lane).into(),
            last_ordinal: self.last_ordinal,
            head_hash: self.head_hash.to_vec(),
            signature: key.sign(keys::ACK, &self.to_bytes()).to_vec(),
        }
    }

    /// Rebuilds the statement that `ack` makes to this edge about this epoch, and checks its signature.
    pub fn verify(
        key: &PublicKey,
        edge: EdgeId,
        epoch: u32,
        ack: &edge_v1::Ack,
    ) -> Result<Self, SignatureError> {
        let lane = convert::lane_from_wire(ack.lane).map_err(|_| SignatureError)?;
        let head_hash = ack.head_hash.as_slice().try_into().map_err(|_| SignatureError)?;
        let statement = Self { edge, epoch, lane, last_ordinal: ack.last_ordinal, head_hash };
        key.verify(keys::ACK, &statement.to_bytes(), &ack.signature)?;
        Ok(statement)
    }
}
