//! A country database for measurements: an edge without one would skip the look-up.

use std::io;
use std::path::Path;

const COUNTRIES: [&str; 8] = ["DE", "US", "CN", "BR", "FR", "IN", "GB", "JP"];

/// A country for each /16 that the generator's forwarded addresses come from.
pub fn write_geo(path: &Path) -> io::Result<()> {
    let networks: Vec<String> =
        (100..=255).flat_map(|a| (100..=255).map(move |b| format!("{a}.{b}.0.0/16"))).collect();
    let countries = networks.iter().zip(COUNTRIES.into_iter().cycle());
    let entries: Vec<(&str, &str)> =
        countries.map(|(network, country)| (network.as_str(), country)).collect();
    geoip::testing::write_mmdb(path, &entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_forwarded_address_has_a_country() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("geo.mmdb");
        write_geo(&path).unwrap();
        let database = geoip::GeoDatabase::open(&path).unwrap();
        let country = |ip: &str| database.lookup(ip.parse().unwrap()).bytes();
        assert_eq!(country("100.100.1.2"), *b"DE");
        assert_eq!(country("100.101.255.255"), *b"US");
        assert_ne!(country("255.255.100.100"), country("99.1.1.1"));
    }
}
