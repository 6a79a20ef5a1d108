//! What a record says, in each of the layouts that publishers use.

use maxminddb::{LookupResult, MaxMindDbError, PathElement, PathElement::Index, PathElement::Key};
use proto_model::Country;
use std::sync::Arc;

type Record<'a> = LookupResult<'a, Vec<u8>>;
type Path = &'static [PathElement<'static>];

/// Bytes of a region's or a city's name that are kept; longer ones are cut.
pub const TEXT_MAX: usize = 64;

/// What is known of an address. A copy shares its texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub country: Country,
    /// The ISO 3166-2 code (`US-CA`) where the database has one, else the region's name.
    pub region: Option<Arc<str>>,
    pub city: Option<Arc<str>>,
    /// Number of the autonomous system that announces the address.
    pub asn: Option<u32>,
}

impl Place {
    pub const UNKNOWN: Self = Self { country: Country::UNKNOWN, region: None, city: None, asn: None };
}

impl Default for Place {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

/// Which facts a database has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Facts {
    pub country: bool,
    pub region: bool,
    pub city: bool,
    pub asn: bool,
}

impl Facts {
    pub(crate) fn add(&mut self, place: &Place) {
        self.country |= place.country != Country::UNKNOWN;
        self.region |= place.region.is_some();
        self.city |= place.city.is_some();
        self.asn |= place.asn.is_some();
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub fn names(self) -> Vec<&'static str> {
        let all =
            [(self.country, "country"), (self.region, "region"), (self.city, "city"), (self.asn, "asn")];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }
}

// MaxMind, DB-IP and their like nest; IPinfo and the databases made of registry data are flat.
const COUNTRY: &[Path] = &[&[Key("country"), Key("iso_code")], &[Key("country_code")], &[Key("country")]];
const REGION_CODE: &[Path] = &[&[Key("subdivisions"), Index(0), Key("iso_code")], &[Key("region_code")]];
const REGION_NAME: &[Path] =
    &[&[Key("subdivisions"), Index(0), Key("names"), Key("en")], &[Key("region")], &[Key("state1")]];
const CITY: &[Path] = &[&[Key("city"), Key("names"), Key("en")], &[Key("city")]];
const ASN: &[Path] = &[&[Key("autonomous_system_number")], &[Key("asn")]];
const AS_TEXT: &[Path] = &[&[Key("asn")]];

/// Unknown also when the record is damaged.
pub(crate) fn country(record: &Record<'_>) -> Country {
    try_country(record).unwrap_or(Country::UNKNOWN)
}

fn try_country(record: &Record<'_>) -> Result<Country, MaxMindDbError> {
    for path in COUNTRY {
        let country = at::<&str>(record, path)?.map_or(Country::UNKNOWN, Country::parse);
        if country != Country::UNKNOWN {
            return Ok(country);
        }
    }
    Ok(Country::UNKNOWN)
}

/// An error means that the record is damaged; what it merely does not have is unknown.
pub(crate) fn decode(record: &Record<'_>) -> Result<Place, MaxMindDbError> {
    let country = try_country(record)?;
    let code = first(record, REGION_CODE)?.filter(|code| is_subdivision(code));
    let region = match code {
        Some(code) if country != Country::UNKNOWN => Some(format!("{}-{code}", country.code()).into()),
        _ => first(record, REGION_NAME)?.and_then(text),
    };
    let city = first(record, CITY)?.and_then(text);
    Ok(Place { country, region, city, asn: asn(record)? })
}

fn asn(record: &Record<'_>) -> Result<Option<u32>, MaxMindDbError> {
    for path in ASN {
        if let Some(number) = at::<u32>(record, path)? {
            return Ok(Some(number).filter(|number| *number != 0));
        }
    }
    Ok(first(record, AS_TEXT)?.and_then(parse_asn))
}

/// `AS64496` or `64496`. 0 stands for "not announced".
pub(crate) fn parse_asn(text: &str) -> Option<u32> {
    let digits = text.trim().trim_start_matches(['A', 'S', 'a', 's']);
    digits.parse().ok().filter(|number| *number != 0)
}

/// After the country, ISO 3166-2 has one to three letters or digits.
fn is_subdivision(code: &str) -> bool {
    (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn first<'a>(record: &Record<'a>, paths: &[Path]) -> Result<Option<&'a str>, MaxMindDbError> {
    for path in paths {
        if let Some(text) = at::<&str>(record, path)?.filter(|text| !text.trim().is_empty()) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// `None` also where another layout has something of another type.
fn at<'a, T: serde::Deserialize<'a>>(record: &Record<'a>, path: Path) -> Result<Option<T>, MaxMindDbError> {
    match record.decode_path(path) {
        Err(MaxMindDbError::Decoding { .. }) => Ok(None),
        decoded => decoded,
    }
}

fn text(name: &str) -> Option<Arc<str>> {
    let name = clean(name, TEXT_MAX);
    (!name.is_empty()).then(|| name.into())
}

/// One line of printable text of at most `max` bytes; whatever is not printable becomes a space.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let gap = usize::from(!out.is_empty());
        let room = max.saturating_sub(out.len() + gap);
        let end = (0..=word.len().min(room)).rev().find(|end| word.is_char_boundary(*end)).unwrap_or(0);
        if end == 0 {
            break;
        }
        out.extend((gap == 1).then_some(' '));
        out.push_str(&word[..end]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_and_cut() {
        let cases = [
            ("San  José\n", 64, "San José"),
            ("a\u{7}b\tc", 64, "a b c"),
            ("  ", 64, ""),
            ("Zürich", 2, "Z"),
            ("ab cd", 3, "ab"),
            ("ab cd", 4, "ab c"),
        ];
        for (given, max, expected) in cases {
            assert_eq!(clean(given, max), expected, "{given:?} {max}");
        }
    }

    #[test]
    fn systems_are_numbers_or_texts() {
        let cases =
            [("AS64496", Some(64496)), ("64496", Some(64496)), ("AS0", None), ("", None), ("ASx", None)];
        for (given, expected) in cases {
            assert_eq!(parse_asn(given), expected, "{given}");
        }
    }
}
