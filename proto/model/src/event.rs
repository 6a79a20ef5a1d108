//! Tracking events: what an edge saw, immutable, at an address in the journal.

use crate::facts::{Country, DeviceClass, VerdictKind, coded_enum};
use crate::id::{AdvertiserId, LinkId, OfferId, PartnerId, ProgramId, TenantId};
use crate::money::Amount;
use crate::reason::Reason;
use crate::time::UnixMicros;

coded_enum!(
    /// Each lane has its own ordinals and hash chain, so conversions never wait behind clicks.
    Lane {
        Money = 1 "money",
        Traffic = 2 "traffic",
    }
);

/// The control plane's number for one (edge, epoch, lane). Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamNo(pub u32);

/// Where an event stands in the journal. The ordinal has 48 bits and starts at 1 in each stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    pub stream: StreamNo,
    pub ordinal: u64,
}

pub const ORDINAL_MAX: u64 = (1 << 48) - 1;

/// Bits in the click id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ClickFlags(pub u8);

impl ClickFlags {
    /// The click could not be spooled: its ordinal is random and no event will arrive for it.
    pub const UNSPOOLED: u8 = 1;
    /// A test click: visible, never paid.
    pub const TEST: u8 = 2;
    /// Registered by the landing page itself: nobody was redirected.
    pub const DIRECT: u8 = 4;

    pub const fn unspooled(self) -> bool {
        self.0 & Self::UNSPOOLED != 0
    }

    pub const fn test(self) -> bool {
        self.0 & Self::TEST != 0
    }

    pub const fn direct(self) -> bool {
        self.0 & Self::DIRECT != 0
    }
}

/// What a click id carries: enough to attribute a conversion without the click event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClickFacts {
    pub tenant: TenantId,
    pub link: LinkId,
    /// The offer the link resolved to when it was clicked.
    pub offer: OfferId,
    /// Whole seconds since 1970, to 2106.
    pub at_secs: u32,
    pub address: Address,
    pub country: Country,
    pub device: DeviceClass,
    pub verdict: VerdictKind,
    pub rule_set_version: u32,
    pub flags: ClickFlags,
}

impl ClickFacts {
    pub fn at(&self) -> UnixMicros {
        UnixMicros::from_secs(i64::from(self.at_secs))
    }
}

/// What the rules said of a hit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedVerdict {
    pub kind: VerdictKind,
    /// The rule that decided; `None` when no rule matched.
    pub rule_id: Option<String>,
    /// 0 when the tenant had no rule set.
    pub rule_set_version: u32,
}

/// What was known of the browser or server that sent the hit. Personal fields are not here: they are
/// in [`Personal`], bound by commitments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedFacts {
    pub country: Country,
    pub device: DeviceClass,
    pub os: String,
    pub browser: String,
    /// Build time of the geo database in Unix seconds; 0 = none was loaded.
    pub geo_version: u64,
    pub fine: FineFacts,
    pub privacy: Privacy,
    /// Of the rules by which `privacy` was found; 0 = it was not recorded.
    pub privacy_policy: u32,
}

/// What is known beyond country and device; nothing of it where [`Privacy::Reduced`] applies. Texts may be empty. The
/// referrer is not here, nor its host: it may name a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FineFacts {
    /// Part of the country and city, as the geo database names them.
    pub region: String,
    pub city: String,
    /// Number of the network (autonomous system).
    pub asn: Option<u32>,
    /// A primary language tag in lower case.
    pub language: String,
    /// `slow-2g`, `2g`, `3g`, `4g`.
    pub connection: String,
}

coded_enum!(
    /// How much is kept of a hit.
    Privacy {
        /// The event is older than the field.
        Unrecorded = 0 "unrecorded",
        Full = 1 "full",
        /// Neither address, user agent nor referrer, no customer, no facts finer than the country.
        Reduced = 2 "reduced",
    }
);

coded_enum!(
    /// How far a conversion report is believed; higher amends lower. The order matters.
    Authority {
        Pixel = 1 "pixel",
        TokenPostback = 2 "token_postback",
        /// A signed postback or the commerce API.
        Signed = 3 "signed",
    }
);

coded_enum!(
    /// Whether the visitor clicked on this offer before, within its window; as one edge alone remembers it.
    Uniqueness {
        /// The event is older than the field, or nobody was let on.
        Undecided = 0 "undecided",
        Unique = 1 "unique",
        Repeated = 2 "repeated",
    }
);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Click {
    pub link: LinkId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub program: ProgramId,
    pub advertiser: AdvertiserId,
    pub flags: ClickFlags,
    pub uniqueness: Uniqueness,
}

/// Somebody was shown a partner's material.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Impression {
    pub link: LinkId,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub program: ProgramId,
    pub advertiser: AdvertiserId,
    pub flags: ClickFlags,
}

/// A page binds a click to its visitor or customer, who stand in [`Personal`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TouchHit {
    pub advertiser: AdvertiserId,
    /// Opened and verified by the edge.
    pub click: ClickFacts,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversionHit {
    pub advertiser: AdvertiserId,
    pub authority: Authority,
    /// Opened and verified by the edge.
    pub click: Option<ClickFacts>,
    pub order_id: String,
    /// `sale` when the advertiser did not say.
    pub goal: String,
    pub event_id: Option<String>,
    pub amount: Option<Amount>,
    pub coupon: Option<String>,
}

/// A hit that reached a known tenant but cannot take effect; kept so that nothing is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedHit {
    pub advertiser: AdvertiserId,
    pub authority: Authority,
    pub reason: Reason,
    pub order_id: Option<String>,
    /// Of the click that nobody took, or that the refused report names.
    pub link: Option<LinkId>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    Click(Click),
    Conversion(ConversionHit),
    Refused(RefusedHit),
    Impression(Impression),
    Touch(TouchHit),
}

/// One tracking event as it stands in signed bytes, next to the commitments to its personal fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackingEvent {
    pub tenant: TenantId,
    pub occurred_at: UnixMicros,
    pub facts: RecordedFacts,
    pub verdict: RecordedVerdict,
    pub body: Body,
}

coded_enum!(
    /// Personal fields fall into classes that expire and are erased on their own.
    PersonalClass {
        /// IP prefix and hash, user agent, referrer.
        Network = 1 "network",
        /// The customer id an advertiser sent.
        Subject = 2 "subject",
        /// The partner's free sub-ids.
        Tags = 3 "tags",
        /// The number that a shop's page gave to its visitor.
        Visitor = 4 "visitor",
    }
);

/// The personal fields of one event; they travel in the sidecar, never in signed bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Personal {
    pub network: Option<Network>,
    pub customer_id: Option<String>,
    pub visitor_id: Option<String>,
    /// `sub_id` 1-8, empty strings where absent.
    pub sub_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// `203.0.113.0/24` or `2001:db8:1::/48`.
    pub ip_prefix: String,
    /// Keyed hash of the full address; the key lives for one UTC day, on the edge only.
    pub ip_hash: [u8; 16],
    pub user_agent: String,
    pub referrer: String,
}
