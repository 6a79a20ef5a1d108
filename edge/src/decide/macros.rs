//! Macros: what a partner or an advertiser may ask for in a URL, in the spellings that they bring along.

use proto_model::{AdvertiserId, Country, DeviceClass, LinkId, OfferId, PartnerId, UnixMicros};
use std::fmt::Write as _;

/// What may stand in a landing page. One macro has many names: each tracker of the field has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Macro {
    ClickId,
    OfferId,
    PartnerId,
    AdvertiserId,
    LinkId,
    /// `sub_id` 1-8.
    SubId(u8),
    /// The partner's own name for where the click came from.
    Source,
    Country,
    Region,
    City,
    Asn,
    Ip,
    Device,
    Os,
    Browser,
    Language,
    Referrer,
    UserAgent,
    /// Unix seconds of the click.
    Timestamp,
    /// `2026-11-28`, UTC.
    Date,
    Random,
}

/// Names, ours first. Never an amount: what a partner earns is none of the shopper's browser's business.
const NAMES: &[(&str, Macro)] = &[
    ("click_id", Macro::ClickId),
    ("clickid", Macro::ClickId),
    ("transaction_id", Macro::ClickId),
    ("_ef_transaction_id", Macro::ClickId),
    ("subid", Macro::ClickId),
    ("irclickid", Macro::ClickId),
    ("cjevent", Macro::ClickId),
    ("awc", Macro::ClickId),
    ("externalid", Macro::ClickId),
    ("offer_id", Macro::OfferId),
    ("oid", Macro::OfferId),
    ("campaign_id", Macro::OfferId),
    ("partner_id", Macro::PartnerId),
    ("affiliate_id", Macro::PartnerId),
    ("aff_id", Macro::PartnerId),
    ("affid", Macro::PartnerId),
    ("pid", Macro::PartnerId),
    ("advertiser_id", Macro::AdvertiserId),
    ("link_id", Macro::LinkId),
    ("source", Macro::Source),
    ("source_id", Macro::Source),
    ("aff_source", Macro::Source),
    ("country", Macro::Country),
    ("country_code", Macro::Country),
    ("geo", Macro::Country),
    ("region", Macro::Region),
    ("region_code", Macro::Region),
    ("city", Macro::City),
    ("asn", Macro::Asn),
    ("isp", Macro::Asn),
    ("ip", Macro::Ip),
    ("session_ip", Macro::Ip),
    ("device", Macro::Device),
    ("device_type", Macro::Device),
    ("os", Macro::Os),
    ("device_os", Macro::Os),
    ("browser", Macro::Browser),
    ("language", Macro::Language),
    ("lang", Macro::Language),
    ("referrer", Macro::Referrer),
    ("referer", Macro::Referrer),
    ("user_agent", Macro::UserAgent),
    ("useragent", Macro::UserAgent),
    ("ua", Macro::UserAgent),
    ("timestamp", Macro::Timestamp),
    ("unixtime", Macro::Timestamp),
    ("date", Macro::Date),
    ("random", Macro::Random),
    ("rand", Macro::Random),
    ("cachebuster", Macro::Random),
];

/// Prefixes that, with a digit from 1 to 8, name a sub-id: `sub1`, `aff_sub2`, `s3`.
const SUB_IDS: &[&str] = &["sub_id", "sub_id_", "sub", "aff_sub", "affsub", "subid", "s", "c", "t"];

impl Macro {
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if let Some((_, known)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(*known);
        }
        // The first sub-id of some trackers has no number.
        if name == "aff_sub" {
            return Some(Self::SubId(1));
        }
        let (prefix, digit) = name.split_at_checked(name.len().checked_sub(1)?)?;
        let number = digit.parse::<u8>().ok().filter(|number| (1..=8).contains(number))?;
        SUB_IDS.contains(&prefix).then_some(Self::SubId(number))
    }
}

/// A macro in a text, with its brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub start: usize,
    pub end: usize,
    /// `None`: spelt like a macro, and of a name that nobody knows.
    pub name: Option<Macro>,
    pub raw: bool,
}

/// Opening and closing brackets, the longer ones first.
const BRACKETS: &[(&str, &str)] = &[("!!!", "!!!"), ("[[", "]]"), ("${", "}"), ("{", "}"), ("#", "#")];

/// The first macro in `text`. Anything between brackets that is no name (a fragment between two `#`, JSON in a query)
/// is text.
pub fn find(text: &str) -> Option<Found> {
    let starts = text.char_indices().filter(|(_, c)| matches!(c, '!' | '[' | '$' | '{' | '#'));
    starts.into_iter().find_map(|(start, _)| {
        let rest = text.get(start..)?;
        BRACKETS.iter().find_map(|(open, close)| {
            let inner = rest.strip_prefix(open)?;
            let len = inner.find(close)?;
            let name = inner.get(..len)?;
            let found = named(name)?;
            // `#…#` is how a URL with a fragment looks, too: only names that are known count there.
            if *open == "#" && found.0.is_none() {
                return None;
            }
            let end = start + open.len() + len + close.len();
            Some(Found { start, end, name: found.0, raw: found.1 })
        })
    })
}

/// What a name stands for, and whether it asks for the readable form; `None` when it cannot be a name.
fn named(text: &str) -> Option<(Option<Macro>, bool)> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !(1..=40).contains(&text.len()) || !text.bytes().all(allowed) {
        return None;
    }
    match (Macro::parse(text), text.strip_prefix('_')) {
        (Some(known), _) => Some((Some(known), false)),
        (None, Some(name)) => Some((Macro::parse(name), true)),
        (None, None) => Some((None, false)),
    }
}

/// What is known of a click. Absent texts are empty.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    pub click_id: &'a str,
    pub offer: OfferId,
    pub partner: PartnerId,
    pub advertiser: AdvertiserId,
    pub link: LinkId,
    /// As many as there are, `sub_id1` first.
    pub sub_ids: &'a [&'a str],
    pub source: &'a str,
    pub country: Country,
    pub region: &'a str,
    pub city: &'a str,
    pub asn: Option<u32>,
    /// `None` when it is not to be handed on.
    pub ip: Option<std::net::IpAddr>,
    pub device: DeviceClass,
    pub os: &'a str,
    pub browser: &'a str,
    pub language: &'a str,
    pub referrer: &'a str,
    pub user_agent: &'a str,
    pub at: UnixMicros,
    pub random: u64,
}

impl Values<'_> {
    /// Appends a value, encoded for its place in a URL.
    pub fn write(&self, name: Macro, raw: bool, out: &mut String) {
        let text = |out: &mut String, text: &str| encode(text, raw, out);
        match name {
            Macro::ClickId => text(out, self.click_id),
            Macro::OfferId => shown(self.offer, out),
            Macro::PartnerId => shown(self.partner, out),
            Macro::AdvertiserId => shown(self.advertiser, out),
            Macro::LinkId => shown(self.link, out),
            Macro::SubId(number) => {
                let index = usize::from(number).saturating_sub(1);
                text(out, self.sub_ids.get(index).copied().unwrap_or_default());
            }
            Macro::Source => text(out, self.source),
            Macro::Country => text(out, self.country.code()),
            Macro::Region => text(out, self.region),
            Macro::City => text(out, self.city),
            Macro::Asn => self.asn.into_iter().for_each(|asn| shown(asn, out)),
            Macro::Ip => self.ip.iter().for_each(|ip| text(out, &ip.to_canonical().to_string())),
            Macro::Device => text(out, self.device.as_str()),
            Macro::Os => text(out, self.os),
            Macro::Browser => text(out, self.browser),
            Macro::Language => text(out, self.language),
            Macro::Referrer => text(out, self.referrer),
            Macro::UserAgent => text(out, self.user_agent),
            Macro::Timestamp => shown(self.at.secs(), out),
            Macro::Date => date(self.at, out),
            Macro::Random => shown(self.random, out),
        }
    }
}

/// Ids and numbers need no encoding.
fn shown(value: impl std::fmt::Display, out: &mut String) {
    // Writing into a text cannot fail.
    let _ = write!(out, "{value}");
}

fn date(at: UnixMicros, out: &mut String) {
    if let Ok(at) = jiff::Timestamp::from_second(at.secs()) {
        let _ = write!(out, "{}", at.strftime("%Y-%m-%d"));
    }
}

/// Appends `text` percent-encoded: all but unreserved characters, or, `raw`, all but those that mean
/// nothing in a path or the value of a parameter. `?`, `#` and `&` are always encoded: a value stays in its place.
pub fn encode(text: &str, raw: bool, out: &mut String) {
    // A segment of dots leads up the path, encoded or not.
    let climbs = |segment: &str| matches!(segment, "." | "..");
    if climbs(text) {
        return;
    }
    let raw = raw && !text.split('/').any(climbs);
    let stays = |byte: u8| {
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        unreserved
            || raw && matches!(byte, b'/' | b':' | b'@' | b'=' | b',' | b';' | b'!' | b'$' | b'(' | b')')
    };
    let mut rest = text;
    // What stays is ASCII, so that a stretch of it ends where a character does.
    while let Some(at) = rest.bytes().position(|byte| !stays(byte)) {
        let (kept, encoded) = rest.split_at(at);
        let next = encoded.chars().next().map_or(encoded.len(), char::len_utf8);
        let (character, behind) = encoded.split_at(next);
        out.push_str(kept);
        for byte in character.bytes() {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        rest = behind;
    }
    out.push_str(rest);
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) use tests as testing;
