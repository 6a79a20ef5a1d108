//! What the projector writes for one batch: roll-ups, intake, personal values, and its checkpoint.

use crate::journal::JournalRow;
use crate::leases::Lease;
use crate::{Store, StoreError};
use control_plane_domain::intake::{CustomerRef, Input, ShardKey};
use proto_model::event::PersonalClass;
use proto_model::{
    Address, AdvertiserId, Country, DerivedId, DeviceClass, LinkId, OfferId, PartnerId, ProgramId, Reason,
    TenantId, UnixMicros, VerdictKind,
};
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HitKind {
    Click,
    /// A conversion as an edge heard it; what counts is decided by the money engine.
    Conversion,
}

/// Where hits of one kind fall in the roll-ups. Summed per batch before it comes here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RollupKey {
    pub tenant: TenantId,
    /// Start of the hour in which the hit happened.
    pub hour: UnixMicros,
    pub kind: HitKind,
    pub advertiser: AdvertiserId,
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
    pub link: Option<LinkId>,
    pub country: Country,
    pub device: DeviceClass,
    pub verdict: VerdictKind,
    pub rule_id: Option<String>,
    pub rule_set_version: u32,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RefusedKey {
    pub tenant: TenantId,
    pub hour: UnixMicros,
    pub advertiser: AdvertiserId,
    pub reason: Reason,
}

/// One class of an event's personal values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SidecarRow {
    pub tenant: TenantId,
    pub address: Address,
    pub class: PersonalClass,
    pub salt: [u8; 16],
    /// As `proto-wire` encoded it.
    pub value: Vec<u8>,
    /// The customer of the event, if it named one.
    pub customer: Option<CustomerRef>,
}

/// Something that an honest edge or advertiser would not send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FraudSignal {
    pub tenant: TenantId,
    /// Derived from its cause.
    pub id: DerivedId,
    /// E.g. `click_id_disagrees`.
    pub kind: String,
    pub address: Address,
    pub detail: String,
    pub at: UnixMicros,
}

/// Everything one batch brings about. What names a tenant or advertiser that does not exist is left out
/// of the effects (it stays in the journal), so that one edge cannot stop the projection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Projection {
    pub rollups: BTreeMap<RollupKey, u64>,
    pub refused: BTreeMap<RefusedKey, u64>,
    pub intake: Vec<(ShardKey, Input)>,
    pub sidecar: Vec<SidecarRow>,
    pub signals: Vec<FraudSignal>,
}

/// A customer id as an advertiser sent it, and the pseudonym it gets if it has none yet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CustomerKey {
    pub tenant: TenantId,
    pub customer_id: String,
    pub candidate: CustomerRef,
}

/// What a link stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkTarget {
    pub offer: OfferId,
    pub partner: PartnerId,
    pub program: ProgramId,
    pub advertiser: AdvertiserId,
}
impl Store {
    /// The next batches to project, in journal order, with their sidecars.
    pub async fn unprojected(&self, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        let _ = limit;
        Err(StoreError::NotFound)
    }
    /// The journal seq up to which everything is projected.
    pub async fn projected_through(&self) -> Result<u64, StoreError> {
        Err(StoreError::NotFound)
    }
    /// `false` = this batch was projected before; nothing has changed.
    pub async fn commit_projection(
        &self,
        lease: &Lease,
        seq: u64,
        projection: &Projection,
        now: UnixMicros,
    ) -> Result<bool, StoreError> {
        let _ = (lease, seq, projection, now);
        Err(StoreError::NotFound)
    }
    /// The pseudonyms, in the order asked for.
    pub async fn resolve_customers(&self, keys: &[CustomerKey]) -> Result<Vec<CustomerRef>, StoreError> {
        let _ = keys;
        Err(StoreError::NotFound)
    }
    pub async fn links_by_id(
        &self,
        links: &[(TenantId, LinkId)],
    ) -> Result<BTreeMap<(TenantId, LinkId), LinkTarget>, StoreError> {
        let _ = links;
        Err(StoreError::NotFound)
    }
    /// The personal values that are left of an event.
    pub async fn sidecar_at(
        &self,
        tenant: TenantId,
        address: Address,
    ) -> Result<Vec<SidecarRow>, StoreError> {
        let _ = (tenant, address);
        Err(StoreError::NotFound)
    }
    /// The newest fraud signals, newest first.
    pub async fn list_signals(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<crate::Page<FraudSignal>, StoreError> {
        let _ = (tenant, after, limit);
        Err(StoreError::NotFound)
    }
}
