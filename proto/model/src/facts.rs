//! What an edge knows of a hit, in the form that is recorded.

/// ISO 3166-1 alpha-2, or unknown (no database, no record, a private address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Country([u8; 2]);

impl Country {
    /// `ZZ` is the user-assigned code that stands for "unknown".
    pub const UNKNOWN: Self = Self(*b"ZZ");

    /// Two ASCII letters, any case; everything else is unknown.
    pub fn parse(text: &str) -> Self {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()])
            }
            _ => Self::UNKNOWN,
        }
    }

    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }

    pub const fn bytes(self) -> [u8; 2] {
        self.0
    }
}

macro_rules! coded_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number that stands in signed bytes and in click ids; never reused.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use coded_enum;

coded_enum!(
    /// Three bits in the click id.
    DeviceClass {
        Unknown = 0 "unknown",
        Desktop = 1 "desktop",
        Mobile = 2 "mobile",
        Tablet = 3 "tablet",
        /// A crawler that says so.
        Crawler = 4 "crawler",
        /// Consoles, televisions, e-readers.
        Appliance = 5 "appliance",
        Other = 6 "other",
    }
);

coded_enum!(
    /// Two bits in the click id. Mark, never drop: a blocked hit stays visible.
    VerdictKind {
        Allow = 0 "allow",
        Flag = 1 "flag",
        Block = 2 "block",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_and_read_back() {
        for device in DeviceClass::ALL {
            assert_eq!(DeviceClass::from_code(device.code()), Some(*device));
            assert_eq!(DeviceClass::parse(device.as_str()), Some(*device));
        }
        for verdict in VerdictKind::ALL {
            assert_eq!(VerdictKind::from_code(verdict.code()), Some(*verdict));
        }
        assert_eq!(DeviceClass::from_code(7), None);
    }

    #[test]
    fn odd_countries_are_unknown() {
        assert_eq!(Country::parse("cn").code(), "CN");
        for text in ["", "C", "CHN", "1A", "中"] {
            assert_eq!(Country::parse(text), Country::UNKNOWN, "{text}");
        }
    }
}
