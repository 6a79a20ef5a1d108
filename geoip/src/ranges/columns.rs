//! Which columns a table has, told from its first row.

use crate::place::{TEXT_MAX, clean, parse_asn};
use crate::writer::Value;
use csv::StringRecord;
use proto_model::Country;

/// Of a system's owner; shown to people, never decided on.
const OWNER_MAX: usize = 96;

/// Where what stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Country,
    /// Positions of country, region and city.
    City([usize; 3]),
    Asn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Columns {
    shape: Shape,
    count: usize,
}

impl Columns {
    pub fn of(row: &StringRecord) -> Result<Self, String> {
        let count = row.len();
        let numeric = row.get(2).is_some_and(|field| !field.is_empty() && parse_system(field).is_some());
        let shape = match count {
            3 | 4 if numeric => Shape::Asn,
            3 => Shape::Country,
            5 => Shape::City([2, 3, 4]),
            // DB-IP: continent, country, region, city, latitude, longitude.
            8 => Shape::City([3, 4, 5]),
            // ip-location-db: country, two levels of region, city, postcode, latitude, longitude, timezone.
            10 => Shape::City([2, 3, 5]),
            _ => {
                return Err(format!(
                    "{count} columns of which the third is {:?} are no known table; use start,end,country or \
                     start,end,country,region,city or start,end,asn,name",
                    row.get(2).unwrap_or_default()
                ));
            }
        };
        Ok(Self { shape, count })
    }

    pub fn database_type(self) -> &'static str {
        match self.shape {
            Shape::Country => "Tributary-Country",
            Shape::City(_) => "Tributary-City",
            Shape::Asn => "Tributary-ASN",
        }
    }

    pub fn check(self, row: &StringRecord) -> Result<(), String> {
        if row.len() == self.count {
            return Ok(());
        }
        Err(format!("{} columns, where the first row has {}", row.len(), self.count))
    }

    /// `None` = the row says nothing of its range.
    pub fn value(self, row: &StringRecord) -> Result<Option<Value>, String> {
        let field = |at: usize| row.get(at).unwrap_or_default();
        match self.shape {
            Shape::Country => Ok(country(field(2))?.map(|country| place_value(country, "", ""))),
            Shape::City([c, region, city]) => {
                Ok(country(field(c))?.map(|country| place_value(country, field(region), field(city))))
            }
            Shape::Asn => system(field(2), field(3)),
        }
    }
}

fn country(code: &str) -> Result<Option<Country>, String> {
    match Country::parse(code) {
        Country::UNKNOWN if matches!(code, "" | "-" | "ZZ" | "zz") => Ok(None),
        Country::UNKNOWN => Err(format!("{code:?} is not a country code of two letters")),
        country => Ok(Some(country)),
    }
}

fn parse_system(text: &str) -> Option<u32> {
    if text == "0" { Some(0) } else { parse_asn(text) }
}

fn system(number: &str, owner: &str) -> Result<Option<Value>, String> {
    match parse_system(number) {
        _ if number.is_empty() || number == "-" => Ok(None),
        Some(0) => Ok(None),
        Some(number) => Ok(Some(system_value(number, owner))),
        None => Err(format!("{number:?} is not the number of an autonomous system")),
    }
}

/// As MaxMind writes it, so that other tools can read it too.
pub(crate) fn place_value(country: Country, region: &str, city: &str) -> Value {
    let named = |name: &str| ("names", Value::Map(vec![("en", Value::Text(clean(name, TEXT_MAX)))]));
    let mut fields = vec![("country", Value::Map(vec![("iso_code", Value::text(country.code()))]))];
    if !clean(region, TEXT_MAX).is_empty() {
        // A code comes from a database that has codes.
        let region = match region.split_once('-').filter(|(start, _)| *start == country.code()) {
            Some((_, code)) => ("iso_code", Value::text(code)),
            None => named(region),
        };
        fields.push(("subdivisions", Value::List(vec![Value::Map(vec![region])])));
    }
    if !clean(city, TEXT_MAX).is_empty() {
        fields.push(("city", Value::Map(vec![named(city)])));
    }
    Value::Map(fields)
}

pub(crate) fn system_value(number: u32, owner: &str) -> Value {
    let mut fields = vec![("autonomous_system_number", Value::Uint32(number))];
    let owner = clean(owner, OWNER_MAX);
    if !owner.is_empty() {
        fields.push(("autonomous_system_organization", Value::Text(owner)));
    }
    Value::Map(fields)
}
