//! What a rule can ask about a hit, and how.

use proto_model::{AdvertiserId, DeviceClass, LinkId, OfferId, PartnerId};
use std::ops::RangeInclusive;

/// Names and numbers of an enum that travels: the number on the wire, the name in JSON.
macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number that stands in snapshots; never reused.
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

named_enum!(
    Field {
        /// ISO 3166-1 alpha-2; `ZZ` when unknown.
        Country = 1 "country",
        /// A [`DeviceClass`] by name.
        Device = 2 "device",
        Os = 3 "os",
        Browser = 4 "browser",
        UserAgent = 5 "user_agent",
        /// Lower case; empty when there was no referrer.
        ReferrerHost = 6 "referrer_host",
        Link = 7 "link",
        Offer = 8 "offer",
        Partner = 9 "partner",
        Advertiser = 10 "advertiser",
        /// A [`HitKind`] by name.
        Hit = 11 "hit",
        /// Hour of the day in UTC, 0-23.
        Hour = 12 "hour",
        /// Part of a country, as the geo database names it; empty when unknown. Likewise the city.
        Region = 13 "region",
        City = 14 "city",
        /// Number of the network (autonomous system) that the client is in.
        Asn = 15 "asn",
        /// The first language the browser asks for: its primary tag, `en` or `zh`.
        Language = 16 "language",
        /// How fast the client says it is connected: `slow-2g`, `2g`, `3g`, `4g`; empty when it does not say.
        Connection = 17 "connection",
        /// Day of the week in UTC, 1 = Monday to 7 = Sunday.
        Weekday = 18 "weekday",
        /// Hour and weekday at the offset in the facts: that of the offer's time zone.
        LocalHour = 19 "local_hour",
        LocalWeekday = 20 "local_weekday",
    }
);

named_enum!(
    /// Text is compared byte for byte: case matters.
    Operator {
        Eq = 1 "eq",
        Ne = 2 "ne",
        Lt = 3 "lt",
        Le = 4 "le",
        Gt = 5 "gt",
        Ge = 6 "ge",
        Contains = 7 "contains",
        StartsWith = 8 "starts_with",
    }
);

named_enum!(
    /// What kind of hit is judged.
    HitKind {
        Click = 1 "click",
        Conversion = 2 "conversion",
        Impression = 3 "impression",
        /// A page binds a click to its visitor or customer.
        Touch = 4 "touch",
    }
);

/// What a field is compared with: a number for [`FieldKind::Number`], else a text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    Text(String),
    Number(i64),
}

/// Which operators and values a field takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldKind {
    /// Free text: `eq`, `ne`, `contains`, `starts_with`, sets of any texts.
    Text,
    /// One of a closed list or an id: `eq`, `ne`, sets. Values must be members, so that a typing error
    /// is found when the rule is published and not by the fraud it let through.
    Code,
    /// `eq`, `ne`, `lt`, `le`, `gt`, `ge`, sets.
    Number,
}

impl Field {
    pub const fn kind(self) -> FieldKind {
        match self {
            Self::Os
            | Self::Browser
            | Self::UserAgent
            | Self::ReferrerHost
            | Self::Region
            | Self::City
            | Self::Connection => FieldKind::Text,
            Self::Hour | Self::Asn | Self::Weekday | Self::LocalHour | Self::LocalWeekday => {
                FieldKind::Number
            }
            Self::Country
            | Self::Device
            | Self::Link
            | Self::Offer
            | Self::Partner
            | Self::Advertiser
            | Self::Hit
            | Self::Language => FieldKind::Code,
        }
    }

    /// The numbers that a numeric field takes.
    pub(crate) const fn range(self) -> RangeInclusive<u64> {
        match self {
            Self::Weekday | Self::LocalWeekday => 1..=7,
            Self::Asn => 1..=u32::MAX as u64,
            _ => 0..=23,
        }
    }

    /// What a value of this field looks like, for error messages.
    pub const fn expects(self) -> &'static str {
        match self {
            Self::Country => "a two-letter country code such as CN",
            Self::Device => "a device class: unknown, desktop, mobile, tablet, crawler, appliance or other",
            Self::Hit => "click, conversion, impression or touch",
            Self::Link => "a link id (lnk_...)",
            Self::Offer => "an offer id (off_...)",
            Self::Partner => "a partner id (ptn_...)",
            Self::Advertiser => "an advertiser id (adv_...)",
            Self::Hour | Self::LocalHour => "an hour from 0 to 23",
            Self::Weekday | Self::LocalWeekday => "a day from 1 (Monday) to 7 (Sunday)",
            Self::Asn => "the number of a network, from 1 to 4294967295",
            Self::Language => "the primary tag of a language in lower case, such as en or zh",
            Self::Os
            | Self::Browser
            | Self::UserAgent
            | Self::ReferrerHost
            | Self::Region
            | Self::City
            | Self::Connection => "a text",
        }
    }

    /// The number a value is compared by; `None` when it is no value of this field.
    pub(crate) fn code_of(self, text: &str) -> Option<u64> {
        match self {
            Self::Country => country_code(text),
            Self::Device => DeviceClass::parse(text).map(|device| u64::from(device.code())),
            Self::Hit => HitKind::parse(text).map(|hit| u64::from(hit.code())),
            Self::Link => text.parse().ok().map(LinkId::get),
            Self::Offer => text.parse().ok().map(OfferId::get),
            Self::Partner => text.parse().ok().map(PartnerId::get),
            Self::Advertiser => text.parse().ok().map(AdvertiserId::get),
            Self::Language => pack_language(text),
            _ if self.kind() == FieldKind::Number => {
                text.parse().ok().filter(|value| self.range().contains(value))
            }
            _ => None,
        }
    }
}

/// Upper case only: `cn` in a rule set would otherwise be published as one thing and read as another.
fn country_code(text: &str) -> Option<u64> {
    match text.as_bytes() {
        [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some(pack_country([*a, *b])),
        _ => None,
    }
}

/// Two to eight lower-case letters (RFC 5646), as the bytes of a number.
pub(crate) fn pack_language(tag: &str) -> Option<u64> {
    let fits = (2..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_lowercase());
    fits.then(|| tag.bytes().fold(0, |code, byte| code << 8 | u64::from(byte)))
}

pub(crate) fn pack_country(code: [u8; 2]) -> u64 {
    u64::from(u16::from_be_bytes(code))
}

impl Operator {
    pub(crate) const fn fits(self, kind: FieldKind) -> bool {
        match self {
            Self::Eq | Self::Ne => true,
            Self::Lt | Self::Le | Self::Gt | Self::Ge => matches!(kind, FieldKind::Number),
            Self::Contains | Self::StartsWith => matches!(kind, FieldKind::Text),
        }
    }
}
