//! Who this node is to the control plane: its keys, its certificate, whom it believes.

mod enroll;
mod files;
mod link;
mod renew;

pub(crate) use enroll::read_epoch;
pub use enroll::{EnrollError, enroll};
pub use files::IdentityError;
pub use link::ControlLink;
pub(crate) use link::server_only;
pub use renew::Renewer;

use crate::spool::Streams;
use proto_model::EdgeId;
use proto_wire::keys::{PublicKey, SigningKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name in the control plane's certificate, wherever it is reached.
pub const CONTROL_PLANE_NAME: &str = "control-plane.tributary.internal";

/// What enrolment left on disk.
#[derive(Clone)]
pub struct Identity {
    pub edge: EdgeId,
    /// Where the control plane's gRPC listener stands.
    pub control_url: String,
    /// Verifies manifests and acknowledgements.
    pub control_key: PublicKey,
    pub ca_der: Vec<u8>,
    /// Signs batches; another key than the certificate's.
    pub batch_key: Arc<SigningKey>,
    dir: PathBuf,
}

/// The certificate and its key, as they are renewed together.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    pub issued_at_secs: i64,
    pub certificate_der: Vec<u8>,
    pub key_pkcs8: Vec<u8>,
}

impl TlsIdentity {
    /// Until connections with it are refused; `None` when they are by now. What cannot be read is not known to be so.
    fn lasts(&self, now_secs: i64) -> Option<Duration> {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&self.certificate_der) else {
            return Some(Duration::MAX);
        };
        let left = certificate.validity().not_after.timestamp().saturating_sub(now_secs);
        u64::try_from(left).ok().map(Duration::from_secs)
    }
}

/// The epoch that the spool writes under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    pub streams: Streams,
    /// A spool was made for it, so it must be there.
    pub has_spool: bool,
}

impl Identity {
    /// Reads `data_dir/identity`.
    pub fn load(data_dir: &Path) -> Result<Self, IdentityError> {
        files::load(&directory(data_dir))
    }

    pub fn load_tls(&self) -> Result<TlsIdentity, IdentityError> {
        files::load_tls(&self.dir)
    }

    pub fn load_epoch(&self) -> Result<Epoch, IdentityError> {
        files::load_epoch(&self.dir, self.edge)
    }

    pub fn store_epoch(&self, epoch: &Epoch) -> Result<(), IdentityError> {
        files::store_epoch(&self.dir, epoch)
    }
}

/// Whether this node has an identity already.
pub fn is_enrolled(data_dir: &Path) -> bool {
    files::exists(&directory(data_dir))
}

/// Where the identity of a node stands.
pub fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("identity")
}
