//! What is known of a hit, and the numbers that conditions compare it by.

use crate::field::{Field, HitKind, pack_country, pack_language};
use proto_model::time::{DAY_US, HOUR_US, SECOND_US, UnixMicros};
use proto_model::{AdvertiserId, Country, DeviceClass, LinkId, OfferId, PartnerId};
use std::net::IpAddr;

/// What is known of a hit when it is judged. Absent texts are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts<'a> {
    pub country: Country,
    /// As the geo database names it.
    pub region: &'a str,
    pub city: &'a str,
    pub asn: Option<u32>,
    pub device: DeviceClass,
    pub os: &'a str,
    pub browser: &'a str,
    /// A primary tag in lower case: `en`, `zh`.
    pub language: &'a str,
    /// `slow-2g`, `2g`, `3g`, `4g`.
    pub connection: &'a str,
    pub user_agent: &'a str,
    /// Lower case.
    pub referrer_host: &'a str,
    pub ip: IpAddr,
    pub link: Option<LinkId>,
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
    pub advertiser: Option<AdvertiserId>,
    pub hit: HitKind,
    pub at: UnixMicros,
    /// Of the time zone that local hours are meant in, at `at`; 0 = UTC.
    pub utc_offset_secs: i32,
}

impl Facts<'_> {
    /// A hit of which no more is known than where it came from, and when.
    pub const fn unknown(hit: HitKind, ip: IpAddr, at: UnixMicros) -> Self {
        Self {
            country: Country::UNKNOWN,
            region: "",
            city: "",
            asn: None,
            device: DeviceClass::Unknown,
            os: "",
            browser: "",
            language: "",
            connection: "",
            user_agent: "",
            referrer_host: "",
            ip,
            link: None,
            offer: None,
            partner: None,
            advertiser: None,
            hit,
            at,
            utc_offset_secs: 0,
        }
    }

    fn local(&self) -> UnixMicros {
        UnixMicros(self.at.0.saturating_add(i64::from(self.utc_offset_secs) * SECOND_US))
    }

    /// Of a field that holds a text; other fields have [`Codes`].
    pub(crate) fn text(&self, field: Field) -> &str {
        match field {
            Field::Os => self.os,
            Field::Browser => self.browser,
            Field::UserAgent => self.user_agent,
            Field::ReferrerHost => self.referrer_host,
            Field::Region => self.region,
            Field::City => self.city,
            Field::Connection => self.connection,
            Field::Country
            | Field::Device
            | Field::Link
            | Field::Offer
            | Field::Partner
            | Field::Advertiser
            | Field::Hit
            | Field::Hour
            | Field::Asn
            | Field::Language
            | Field::Weekday
            | Field::LocalHour
            | Field::LocalWeekday => "",
        }
    }
}

fn hour(at: UnixMicros) -> Option<u64> {
    u64::try_from(at.0.div_euclid(HOUR_US).rem_euclid(24)).ok()
}

/// 1970 began on a Thursday.
fn weekday(at: UnixMicros) -> Option<u64> {
    u64::try_from((at.0.div_euclid(DAY_US) + 3).rem_euclid(7) + 1).ok()
}

/// What fields with codes hold, by field; found once for all conditions.
pub(crate) struct Codes([u64; Field::ALL.len() + 1]);

impl Codes {
    /// A conversion without a click has no link, say. No value has this code: a language would need a byte
    /// that is no letter.
    pub(crate) const ABSENT: u64 = u64::MAX;

    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        let local = facts.local();
        let known = [
            (Field::Country, Some(pack_country(facts.country.bytes()))),
            (Field::Device, Some(u64::from(facts.device.code()))),
            (Field::Hit, Some(u64::from(facts.hit.code()))),
            (Field::Hour, hour(facts.at)),
            (Field::Weekday, weekday(facts.at)),
            (Field::LocalHour, hour(local)),
            (Field::LocalWeekday, weekday(local)),
            (Field::Asn, facts.asn.map(u64::from)),
            (Field::Language, pack_language(facts.language)),
            (Field::Link, facts.link.map(LinkId::get)),
            (Field::Offer, facts.offer.map(OfferId::get)),
            (Field::Partner, facts.partner.map(PartnerId::get)),
            (Field::Advertiser, facts.advertiser.map(AdvertiserId::get)),
        ];
        let mut codes = [Self::ABSENT; Field::ALL.len() + 1];
        for (field, code) in known {
            codes[usize::from(field.code())] = code.unwrap_or(Self::ABSENT);
        }
        Self(codes)
    }

    pub(crate) fn get(&self, field: Field) -> u64 {
        self.0[usize::from(field.code())]
    }
}
