//! A keyed hash that tells two visitors of one day apart without telling who they are.

use proto_model::UnixMicros;
use proto_model::time::DAY_US;
use proto_wire::keys::random;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

const KEY_LEN: usize = 16;

/// The key exists in memory only and lives for one UTC day: after that nobody can test an address
/// against a stored hash, we included.
pub struct IpHasher {
    key: RwLock<DayKey>,
}

struct DayKey {
    day: i64,
    key: [u8; KEY_LEN],
}

impl DayKey {
    fn fresh(day: i64) -> Self {
        Self { day, key: random() }
    }

    /// A hit that took its time just before midnight must not bring the old day back.
    fn serves(&self, day: i64) -> bool {
        day == self.day || day == self.day - 1
    }
}

impl Default for IpHasher {
    fn default() -> Self {
        Self { key: RwLock::new(DayKey::fresh(0)) }
    }
}

impl IpHasher {
    pub fn hash(&self, ip: IpAddr, now: UnixMicros) -> [u8; 16] {
        let day = now.0.div_euclid(DAY_US);
        {
            let held = self.key.read().unwrap_or_else(PoisonError::into_inner);
            if held.serves(day) {
                return tag(&held.key, ip);
            }
        }
        let mut held = self.key.write().unwrap_or_else(PoisonError::into_inner);
        if !held.serves(day) {
            *held = DayKey::fresh(day);
        }
        tag(&held.key, ip)
    }
}

/// SipHash-2-4 with 128 bits: a keyed function is all that is needed, since nobody ever has the key.
fn tag(key: &[u8; KEY_LEN], ip: IpAddr) -> [u8; 16] {
    // An IPv4 address counts as the IPv6 address it is mapped to.
    let address = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&address);
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_within_a_day_and_node_only() {
        let hasher = IpHasher::default();
        let (monday, tuesday) = (UnixMicros(5), UnixMicros(DAY_US + 5));
        let ip: IpAddr = "203.0.113.9".parse().unwrap();
        let first = hasher.hash(ip, monday);
        assert_eq!(hasher.hash("::ffff:203.0.113.9".parse().unwrap(), monday), first);
        assert_ne!(hasher.hash("203.0.113.8".parse().unwrap(), monday), first);
        assert_ne!(IpHasher::default().hash(ip, monday), first, "the key is of this process");
        assert_ne!(hasher.hash(ip, tuesday), first);
        assert_ne!(hasher.hash(ip, monday), first, "the key of a day that is over is gone");
    }
}
