//! Typed ids.
//!
//! An entity id is a random 40-bit number (the width the click id carries), written as a prefix and
//! eight Crockford base32 digits: `lnk_7zk3m9qt`. A tenant id has 32 bits and seven digits. What a
//! cause brings about (a conversion, a commission, a ledger transaction) has a [`DerivedId`]: the
//! hash of that cause, so that a retry collides with itself instead of acting twice.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {expected} id (expected `{expected}_` and {digits} base32 digits)")]
pub struct IdError {
    pub expected: &'static str,
    pub digits: usize,
}

fn digit(byte: u8) -> Option<u128> {
    let lower = byte.to_ascii_lowercase();
    let at = DIGITS.iter().position(|d| *d == lower)?;
    u128::try_from(at).ok()
}

fn write_base32(f: &mut fmt::Formatter<'_>, value: u128, digits: u32) -> fmt::Result {
    for place in (0..digits).rev() {
        let index = (value >> (5 * place)) & 31;
        let byte = DIGITS[usize::try_from(index).unwrap_or_default()];
        write!(f, "{}", char::from(byte))?;
    }
    Ok(())
}

fn parse_base32(text: &str, prefix: &'static str, digits: usize, max: u128) -> Result<u128, IdError> {
    let error = IdError { expected: prefix, digits };
    let body = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    let body = body.filter(|b| b.len() == digits).ok_or(error.clone())?;
    let mut value = 0u128;
    for byte in body.bytes() {
        // Only 26 digits (130 bits) can overflow; the top digit of such an id is at most 7.
        if value >> 123 != 0 {
            return Err(error);
        }
        value = (value << 5) | digit(byte).ok_or(error.clone())?;
    }
    if value > max { Err(error) } else { Ok(value) }
}

macro_rules! entity_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $prefix:literal, $digits:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($repr);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
            pub const MAX: $repr = $max;

            /// `None` when `value` is zero or wider than the id.
            pub const fn new(value: $repr) -> Option<Self> {
                if value == 0 || value > Self::MAX { None } else { Some(Self(value)) }
            }

            /// Folds any random number into a valid id.
            pub const fn from_random(random: u64) -> Self {
                let value = (random & (Self::MAX as u64)) as $repr;
                Self(if value == 0 { 1 } else { value })
            }

            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_", $prefix)?;
                write_base32(f, u128::from(self.0), $digits)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { expected: $prefix, digits: $digits };
                let value = parse_base32(text, $prefix, $digits, u128::from(Self::MAX))?;
                <$repr>::try_from(value).ok().and_then(Self::new).ok_or(error)
            }
        }
    };
}

entity_id!(/// An isolated network.
    TenantId, u32, "tnt", 7, u32::MAX);
entity_id!(/// Who pays.
    AdvertiserId, u64, "adv", 8, (1 << 40) - 1);
entity_id!(/// An advertiser's terms and its partners.
    ProgramId, u64, "prg", 8, (1 << 40) - 1);
entity_id!(/// Destination, goals, commission plan.
    OfferId, u64, "off", 8, (1 << 40) - 1);
entity_id!(/// Who sends traffic and is paid for it.
    PartnerId, u64, "ptn", 8, (1 << 40) - 1);
entity_id!(/// Partner x offer: what a shopper clicks.
    LinkId, u64, "lnk", 8, (1 << 40) - 1);
entity_id!(/// One edge node.
    EdgeId, u64, "edg", 8, (1 << 40) - 1);

/// 128 bits of SHA-256 over a kind and the parts of a cause.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DerivedId(pub [u8; 16]);

impl DerivedId {
    /// Each part is length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    pub fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(kind.as_bytes()).chain(parts.iter().copied()) {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// The id of the conversion that these parts make one: the same on every edge and in the money engine.
    pub fn of_conversion(
        tenant: TenantId,
        advertiser: AdvertiserId,
        order_id: &str,
        goal: &str,
        event_id: Option<&str>,
    ) -> Self {
        let (tenant, advertiser) = (tenant.get().to_be_bytes(), advertiser.get().to_be_bytes());
        let mut parts: Vec<&[u8]> = vec![&tenant, &advertiser, order_id.as_bytes(), goal.as_bytes()];
        // One part fewer, not an empty one: an empty event id is an event id.
        parts.extend(event_id.map(str::as_bytes));
        Self::of("conversion", &parts)
    }

    /// Writes the id with its entity's prefix: `cnv_…` and 26 digits.
    pub fn text(self, prefix: &'static str) -> String {
        struct Text(&'static str, u128);
        impl fmt::Display for Text {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_", self.0)?;
                write_base32(f, self.1, 26)
            }
        }
        Text(prefix, u128::from_be_bytes(self.0)).to_string()
    }

    /// Reads what [`DerivedId::text`] wrote.
    pub fn parse(text: &str, prefix: &'static str) -> Result<Self, IdError> {
        parse_base32(text, prefix, 26, u128::MAX).map(|value| Self(value.to_be_bytes()))
    }

    pub fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for DerivedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_and_reads_ids() {
        let link = LinkId::new(0x01_2345_6789).unwrap();
        assert_eq!(link.to_string(), "lnk_04hmasw9");
        assert_eq!("LNK_04hmasw9".parse::<LinkId>().unwrap_err().expected, "lnk");
        assert_eq!("lnk_04HMASW9".parse::<LinkId>(), Ok(link));
        assert_eq!(TenantId::new(u32::MAX).unwrap().to_string(), "tnt_3zzzzzz");
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in [
            "",
            "lnk_",
            "lnk_0",
            "off_04hmasw9",
            "lnk_00000000",
            "lnk_04hmasw9x",
            "lnk_04hmasu9",
            "lnk_é4hmas",
        ] {
            assert!(text.parse::<LinkId>().is_err(), "{text}");
        }
        assert!("tnt_zzzzzzz".parse::<TenantId>().is_err(), "35 bits are not 32");
        assert!(DerivedId::parse("cnv_zzzzzzzzzzzzzzzzzzzzzzzzzz", "cnv").is_err(), "130 bits are not 128");
    }

    #[test]
    fn derived_ids_separate_their_parts() {
        let one = DerivedId::of("conversion", &[b"ab", b"c"]);
        assert_ne!(one, DerivedId::of("conversion", &[b"a", b"bc"]));
        assert_eq!(one, DerivedId::of("conversion", &[b"ab", b"c"]));
    }

    proptest! {
        #[test]
        fn every_id_reads_back(random: u64, bytes: [u8; 16]) {
            let link = LinkId::from_random(random);
            prop_assert_eq!(link.to_string().parse::<LinkId>(), Ok(link));
            let id = DerivedId(bytes);
            prop_assert_eq!(DerivedId::parse(&id.text("cnv"), "cnv"), Ok(id));
        }
    }
}
