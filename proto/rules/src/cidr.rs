//! Networks, and sets of them as sorted, disjoint ranges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network such as `203.0.113.0/24` or `2001:db8::/32`. Bits past the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cidr {
    first: IpAddr,
    prefix: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("`{0}` is not a network (write 203.0.113.0/24, 2001:db8::/32 or a single address)")]
    Malformed(String),
    /// Most often a slip of the prefix, which would block half a country.
    #[error("`{given}` has bits set past its prefix; did you mean `{network}`?")]
    HostBits { given: String, network: Cidr },
}

impl Cidr {
    /// Fails when `prefix` is too long for the address, or the address has bits set past it.
    pub fn try_new(address: IpAddr, prefix: u8) -> Result<Self, CidrError> {
        let given = || format!("{address}/{prefix}");
        let first = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !host_mask_v4(prefix)))
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !host_mask_v6(prefix)))
            }
            _ => return Err(CidrError::Malformed(given())),
        };
        let network = Self { first, prefix };
        if first == address { Ok(network) } else { Err(CidrError::HostBits { given: given(), network }) }
    }

    pub fn address(&self) -> IpAddr {
        self.first
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(v4)) => {
                v4.to_bits() & !host_mask_v4(self.prefix) == first.to_bits()
            }
            (IpAddr::V6(first), IpAddr::V6(v6)) => {
                v6.to_bits() & !host_mask_v6(self.prefix) == first.to_bits()
            }
            _ => false,
        }
    }
}

fn host_mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
}

fn host_mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let prefix = match prefix {
            None if address.is_ipv4() => 32,
            None => 128,
            // `parse` alone would take "+24".
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| malformed())?
            }
            Some(_) => return Err(malformed()),
        };
        match Self::try_new(address, prefix) {
            Err(CidrError::Malformed(_)) => Err(malformed()),
            Err(CidrError::HostBits { network, .. }) => {
                Err(CidrError::HostBits { given: text.to_owned(), network })
            }
            ok => ok,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Networks to look an address up in: ranges that are inclusive, sorted, and do not overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    pub fn new(cidrs: &[Cidr]) -> Self {
        let mut ranges = Self::default();
        for cidr in cidrs {
            match cidr.first {
                IpAddr::V4(v4) => {
                    ranges.v4.push((v4.to_bits(), v4.to_bits() | host_mask_v4(cidr.prefix)));
                }
                IpAddr::V6(v6) => {
                    ranges.v6.push((v6.to_bits(), v6.to_bits() | host_mask_v6(cidr.prefix)));
                }
            }
        }
        merge(&mut ranges.v4);
        merge(&mut ranges.v6);
        ranges
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// An IPv4 address in IPv6 form (`::ffff:203.0.113.7`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }
}

/// Networks are either nested or disjoint, so dropping what an earlier range covers is enough.
fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| address <= range.1)
}
