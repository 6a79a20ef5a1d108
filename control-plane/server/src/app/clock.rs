//! The only place that reads the clock or draws randomness; everything below takes them as arguments.

use proto_model::UnixMicros;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

pub fn random<const N: usize>() -> [u8; N] {
    proto_wire::keys::random::<N>()
}

pub fn random_u64() -> u64 {
    u64::from_be_bytes(random())
}
