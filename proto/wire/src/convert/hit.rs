//! A hit with its texts borrowed from wherever they stand: a request, a snapshot, or the vocabulary's own types.

use crate::limits::SUB_IDS;
use proto_model::event::{
    Authority, Body, Click, ConversionHit, FineFacts, Impression, Personal, Privacy, RefusedHit, TouchHit,
    TrackingEvent,
};
use proto_model::{
    AdvertiserId, Amount, ClickFacts, Country, DeviceClass, LinkId, Reason, TenantId, UnixMicros,
};
use proto_rules::Verdict;

/// What [`TrackingEvent`] and [`Personal`] say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitRef<'a> {
    pub tenant: TenantId,
    pub occurred_at: UnixMicros,
    pub facts: FactsRef<'a>,
    pub verdict: Verdict<'a>,
    pub body: BodyRef<'a>,
    pub personal: PersonalRef<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactsRef<'a> {
    pub country: Country,
    pub device: DeviceClass,
    pub os: &'a str,
    pub browser: &'a str,
    pub geo_version: u64,
    pub fine: FineRef<'a>,
    pub privacy: Privacy,
    pub privacy_policy: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FineRef<'a> {
    pub region: &'a str,
    pub city: &'a str,
    pub asn: Option<u32>,
    pub language: &'a str,
    pub connection: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyRef<'a> {
    Click(Click),
    Conversion(ConversionRef<'a>),
    Refused(RefusedRef<'a>),
    Impression(Impression),
    Touch(TouchHit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionRef<'a> {
    pub advertiser: AdvertiserId,
    pub authority: Authority,
    pub click: Option<ClickFacts>,
    pub order_id: &'a str,
    pub goal: &'a str,
    pub event_id: Option<&'a str>,
    pub amount: Option<Amount>,
    pub coupon: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedRef<'a> {
    pub advertiser: AdvertiserId,
    pub authority: Authority,
    pub reason: Reason,
    pub order_id: Option<&'a str>,
    pub link: Option<LinkId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PersonalRef<'a> {
    pub network: Option<NetworkRef<'a>>,
    pub customer_id: Option<&'a str>,
    pub visitor_id: Option<&'a str>,
    /// Empty where absent.
    pub sub_ids: [&'a str; SUB_IDS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkRef<'a> {
    pub ip_prefix: &'a str,
    pub ip_hash: [u8; 16],
    pub user_agent: &'a str,
    pub referrer: &'a str,
}

impl<'a> HitRef<'a> {
    pub fn new(tracked: &'a TrackingEvent, personal: &'a Personal) -> Self {
        let (facts, verdict) = (&tracked.facts, &tracked.verdict);
        Self {
            tenant: tracked.tenant,
            occurred_at: tracked.occurred_at,
            facts: FactsRef {
                country: facts.country,
                device: facts.device,
                os: &facts.os,
                browser: &facts.browser,
                geo_version: facts.geo_version,
                fine: (&facts.fine).into(),
                privacy: facts.privacy,
                privacy_policy: facts.privacy_policy,
            },
            verdict: Verdict {
                kind: verdict.kind,
                rule_id: verdict.rule_id.as_deref(),
                rule_set_version: verdict.rule_set_version,
            },
            body: match &tracked.body {
                Body::Click(click) => BodyRef::Click(*click),
                Body::Conversion(hit) => BodyRef::Conversion(hit.into()),
                Body::Refused(hit) => BodyRef::Refused(hit.into()),
                Body::Impression(shown) => BodyRef::Impression(*shown),
                Body::Touch(touch) => BodyRef::Touch(*touch),
            },
            personal: personal.into(),
        }
    }
}

impl<'a> From<&'a FineFacts> for FineRef<'a> {
    fn from(fine: &'a FineFacts) -> Self {
        Self {
            region: &fine.region,
            city: &fine.city,
            asn: fine.asn,
            language: &fine.language,
            connection: &fine.connection,
        }
    }
}

impl<'a> From<&'a ConversionHit> for ConversionRef<'a> {
    fn from(hit: &'a ConversionHit) -> Self {
        Self {
            advertiser: hit.advertiser,
            authority: hit.authority,
            click: hit.click,
            order_id: &hit.order_id,
            goal: &hit.goal,
            event_id: hit.event_id.as_deref(),
            amount: hit.amount,
            coupon: hit.coupon.as_deref(),
        }
    }
}

impl<'a> From<&'a RefusedHit> for RefusedRef<'a> {
    fn from(hit: &'a RefusedHit) -> Self {
        let order_id = hit.order_id.as_deref();
        let RefusedHit { advertiser, authority, reason, link, .. } = *hit;
        Self { advertiser, authority, reason, order_id, link }
    }
}

impl<'a> From<&'a Personal> for PersonalRef<'a> {
    fn from(personal: &'a Personal) -> Self {
        let mut sub_ids = [""; SUB_IDS];
        for (to, from) in sub_ids.iter_mut().zip(&personal.sub_ids) {
            *to = from;
        }
        let network = personal.network.as_ref().map(|network| NetworkRef {
            ip_prefix: &network.ip_prefix,
            ip_hash: network.ip_hash,
            user_agent: &network.user_agent,
            referrer: &network.referrer,
        });
        let (customer_id, visitor_id) = (personal.customer_id.as_deref(), personal.visitor_id.as_deref());
        Self { network, customer_id, visitor_id, sub_ids }
    }
}
