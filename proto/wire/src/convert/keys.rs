//! The click keys of a tenant, as its snapshot chunk carries them.

use crate::click_id::{ClickKey, ClickKeys, ClickKeysError};
use crate::deep_link::DeepLinkKeys;
use crate::edge_v1;
use proto_model::TenantId;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClickKeyError {
    #[error("click key {key_id} of {tenant} is malformed (an id below 256 and 32 bytes are needed)")]
    Malformed { tenant: TenantId, key_id: u32 },
    #[error(transparent)]
    Keys(#[from] ClickKeysError),
}

pub fn click_keys_from_wire(
    tenant: TenantId,
    keys: &[edge_v1::ClickKey],
) -> Result<ClickKeys, ClickKeyError> {
    Ok(ClickKeys::try_new(tenant, &read(tenant, keys)?)?)
}

pub fn deep_link_keys_from_wire(
    tenant: TenantId,
    keys: &[edge_v1::ClickKey],
) -> Result<DeepLinkKeys, ClickKeyError> {
    Ok(DeepLinkKeys::new(tenant, &read(tenant, keys)?))
}

fn read(tenant: TenantId, keys: &[edge_v1::ClickKey]) -> Result<Vec<(ClickKey, bool)>, ClickKeyError> {
    let read = |wire: &edge_v1::ClickKey| {
        let key_id = u8::try_from(wire.key_id).ok()?;
        let key = wire.key.as_slice().try_into().ok()?;
        Some((ClickKey { key_id, key }, wire.active))
    };
    keys.iter()
        .map(|wire| read(wire).ok_or(ClickKeyError::Malformed { tenant, key_id: wire.key_id }))
        .collect()
}
