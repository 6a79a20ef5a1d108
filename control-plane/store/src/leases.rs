//! Leases with fence numbers, for what only one process may do at a time.

use crate::{Store, StoreError};
use proto_model::UnixMicros;

/// Proof of having been the last to acquire `name`. Checkpoints are written only while its fence is the
/// newest, so a holder that slept through its expiry changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    pub fence: u64,
    pub expires_at: UnixMicros,
}
impl Store {
    /// `Conflict("lease_held")` while another holder's lease has not expired. Each success raises the fence.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        ttl: std::time::Duration,
        now: UnixMicros,
    ) -> Result<Lease, StoreError> {
        let _ = (name, holder, ttl, now);
        Err(StoreError::NotFound)
    }
    /// The same lease with a later expiry; `Fenced` when it is somebody else's by now.
    pub async fn renew_lease(
        &self,
        lease: &Lease,
        ttl: std::time::Duration,
        now: UnixMicros,
    ) -> Result<Lease, StoreError> {
        let _ = (lease, ttl, now);
        Err(StoreError::NotFound)
    }
    /// Lets others in at once. Nothing happens when the lease was lost before.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let _ = lease;
        Err(StoreError::NotFound)
    }
}
