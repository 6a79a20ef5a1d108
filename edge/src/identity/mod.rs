//! Who this node is to the control plane.

use proto_model::EdgeId;
use proto_wire::join::JoinBundle;
use std::path::Path;

/// What enrolment left on disk.
pub struct Identity {
    pub edge: EdgeId,
}

#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error("this node is enrolled already (its identity stands in {0}; use another data directory)")]
    AlreadyEnrolled(String),
}

/// Trades a join bundle for an identity, written to `data_dir/identity`.
pub async fn enroll(data_dir: &Path, _bundle: &JoinBundle) -> Result<Identity, EnrollError> {
    Err(EnrollError::AlreadyEnrolled(data_dir.display().to_string()))
}
