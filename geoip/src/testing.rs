//! Writes small MaxMind DB files in the layouts of several publishers, for tests and demos. Real databases come
//! from a publisher.

pub use crate::writer::Value;
use crate::writer::{Network, Writer};
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// What [`write_mmdb`] writes as build time: 2024-01-01.
pub const DEFAULT_BUILD_EPOCH: u64 = 1_704_067_200;

/// How the file is laid out. Readers must cope with each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// 24, 28 or 32 bits a record.
    pub record_bits: u16,
    /// `false` = a tree of 32 levels that has no place for IPv6.
    pub ipv6: bool,
    pub build_epoch: u64,
    pub database_type: &'static str,
}

impl Default for Layout {
    fn default() -> Self {
        let database_type = "Tributary-Country";
        Self { record_bits: 24, ipv6: true, build_epoch: DEFAULT_BUILD_EPOCH, database_type }
    }
}

/// Writes `(network, country code)` pairs; where networks nest, the longer prefix wins.
pub fn write_mmdb(path: impl AsRef<Path>, entries: &[(&str, &str)]) -> io::Result<()> {
    write_mmdb_as(path, Layout::default(), entries)
}

pub fn write_mmdb_as(path: impl AsRef<Path>, layout: Layout, entries: &[(&str, &str)]) -> io::Result<()> {
    put(path.as_ref(), &mmdb_bytes(layout, entries)?)
}

/// [`write_mmdb_as`] with records of any form; see [`country`], [`city`], [`asn`] and [`flat`].
pub fn write_records(path: impl AsRef<Path>, layout: Layout, entries: &[(&str, Value)]) -> io::Result<()> {
    put(path.as_ref(), &record_bytes(layout, entries)?)
}

/// The file appears whole or not at all, as a good publisher's would.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = crate::about::with_more(path, ".new");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(&unfinished, path)
}

pub fn mmdb_bytes(layout: Layout, entries: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let entries: Vec<_> = entries.iter().map(|(network, code)| (*network, country(code))).collect();
    record_bytes(layout, &entries)
}

pub fn record_bytes(layout: Layout, entries: &[(&str, Value)]) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(crate::writer::Layout {
        record_bits: Some(layout.record_bits),
        ipv6: layout.ipv6,
        build_epoch: layout.build_epoch,
        database_type: layout.database_type,
        description: "For tests",
    });
    let mut routes = Vec::new();
    for (network, value) in entries {
        routes.push((parse_network(network)?, writer.record(value)?));
    }
    // Shorter prefixes first, so that longer ones are cut out of them.
    routes.sort_unstable_by_key(|(network, record)| (network.length(), *network, *record));
    for (network, record) in routes {
        writer.insert(network, record)?;
    }
    let mut bytes = Vec::new();
    writer.finish(&mut bytes)?;
    Ok(bytes)
}

fn parse_network(text: &str) -> io::Result<Network> {
    let parse = || {
        let (address, prefix) = text.split_once('/')?;
        Network::new(address.parse::<IpAddr>().ok()?, prefix.parse().ok()?)
    };
    let bad = || format!("`{text}` is not a network such as 203.0.113.0/24");
    parse().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, bad()))
}

fn names(name: &str) -> Value {
    Value::Map(vec![("names", Value::Map(vec![("en", Value::text(name))]))])
}

/// A record as in GeoLite2 Country and DB-IP Country Lite.
pub fn country(code: &str) -> Value {
    Value::Map(vec![("country", Value::Map(vec![("iso_code", Value::text(code))]))])
}

/// A record as in GeoLite2 City and, when the region has no code, DB-IP City Lite.
pub fn city(code: &str, region_code: Option<&str>, region: &str, city: &str) -> Value {
    let mut subdivision = vec![("names", Value::Map(vec![("en", Value::text(region))]))];
    subdivision.extend(region_code.map(|code| ("iso_code", Value::text(code))));
    Value::Map(vec![
        ("city", names(city)),
        ("country", Value::Map(vec![("iso_code", Value::text(code))])),
        ("subdivisions", Value::List(vec![Value::Map(subdivision)])),
    ])
}

/// A record as in GeoLite2 ASN and DB-IP ASN Lite.
pub fn asn(number: u32, owner: &str) -> Value {
    Value::Map(vec![
        ("autonomous_system_number", Value::Uint32(number)),
        ("autonomous_system_organization", Value::text(owner)),
    ])
}

/// A record of texts, as in the databases of IPinfo and iptoasn.
pub fn flat(fields: &[(&'static str, &str)]) -> Value {
    Value::Map(fields.iter().map(|(key, text)| (*key, Value::text(text))).collect())
}
