//! The personal values of one tenant in one batch as bytes:
//!
//! | bytes | |
//! |---|---|
//! | 1 | version |
//! | 4 | how many values |
//! | 4 | length of the last part before compression |
//! | 16 each | salts; apart, since what is random does not compress |
//! | ... | zstd: of each value the distance to the ordinal before, class, length, and the value |
//!
//! Numbers of the last part are varints, the others big-endian. Values stand in the order of ordinal and class.

use super::SidecarRow;
use crate::StoreError;
use proto_model::event::PersonalClass;
use proto_model::{Address, StreamNo, TenantId};

const VERSION: u8 = 1;
const SALT: usize = 16;
/// Beyond what a batch can bring (`proto/wire`: 4,096 events of three classes, 4 MiB).
const MOST_VALUES: usize = 1 << 16;
const MOST_BYTES: usize = 1 << 23;
/// The fastest: a batch is packed once and hardly ever read.
const LEVEL: i32 = 1;

/// Whose values a blob holds, and which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub tenant: TenantId,
    pub stream: StreamNo,
    pub first: u64,
    pub last: u64,
    pub held: usize,
}

fn broken(detail: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt("sidecar_batches.packed", detail)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// `values` are of one tenant and stream, from ordinal `first` on, in order, and none is there twice.
pub(crate) fn pack(first: u64, values: &[&SidecarRow]) -> Result<Vec<u8>, StoreError> {
    let mut raw = Vec::with_capacity(values.iter().map(|value| value.value.len() + 6).sum());
    let mut before = first;
    for value in values {
        put_varint(&mut raw, value.address.ordinal - before);
        raw.push(value.class.code());
        put_varint(&mut raw, value.value.len() as u64);
        raw.extend_from_slice(&value.value);
        before = value.address.ordinal;
    }
    if values.len() > MOST_VALUES || raw.len() > MOST_BYTES {
        return Err(StoreError::Conflict("too_many_values"));
    }
    let compressed = zstd::bulk::compress(&raw, LEVEL).map_err(broken)?;
    let mut packed = Vec::with_capacity(9 + values.len() * SALT + compressed.len());
    packed.push(VERSION);
    packed.extend_from_slice(&(values.len() as u32).to_be_bytes());
    packed.extend_from_slice(&(raw.len() as u32).to_be_bytes());
    packed.extend(values.iter().flat_map(|value| value.salt));
    packed.extend_from_slice(&compressed);
    Ok(packed)
}

/// What [`pack`] was given, as far as it lies in `place`; everything else is `Corrupt`.
pub(crate) fn unpack(place: &Place, packed: &[u8]) -> Result<Vec<SidecarRow>, StoreError> {
    let mut head = Bytes(packed);
    let [version] = head.array()?;
    if version != VERSION {
        return Err(broken(format_args!("version {version} is unknown")));
    }
    let (count, length) = (head.length()?, head.length()?);
    if count != place.held || count > MOST_VALUES || length > MOST_BYTES {
        return Err(broken("it does not hold what its row says"));
    }
    let salts = head.take(count * SALT)?;
    let raw = zstd::bulk::decompress(head.0, length).map_err(broken)?;
    if raw.len() != length {
        return Err(broken("too short"));
    }
    let mut body = Bytes(&raw);
    let mut ordinal = place.first;
    let mut values: Vec<SidecarRow> = Vec::with_capacity(count);
    for salt in salts.as_chunks().0 {
        ordinal = ordinal.saturating_add(body.varint()?);
        let [class] = body.array()?;
        let class = PersonalClass::from_code(class).ok_or_else(|| broken("a class that is unknown"))?;
        let length = usize::try_from(body.varint()?).unwrap_or(usize::MAX);
        let value = body.take(length)?.to_vec();
        let address = Address { stream: place.stream, ordinal };
        let in_order = values.last().is_none_or(|last| (last.address.ordinal, last.class) < (ordinal, class));
        if !in_order || ordinal > place.last {
            return Err(broken("values out of order"));
        }
        values.push(SidecarRow { tenant: place.tenant, address, class, salt: *salt, value, customer: None });
    }
    if body.0.is_empty() { Ok(values) } else { Err(broken("more bytes than values")) }
}

/// Bytes that are left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| broken("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        self.take(N)?.try_into().map_err(broken)
    }

    fn length(&mut self) -> Result<usize, StoreError> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(broken)
    }

    fn varint(&mut self) -> Result<u64, StoreError> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken("a number that is too large"))
    }
}

#[cfg(test)]
mod tests;
