use super::*;
use crate::about::{About, Publisher};
use crate::testing::{
    DEFAULT_BUILD_EPOCH, Layout, asn, city, flat, mmdb_bytes, write_mmdb, write_mmdb_as, write_records,
};
use proptest::prelude::*;

const ENTRIES: &[(&str, &str)] = &[
    ("203.0.113.0/24", "CN"),
    ("203.0.113.128/25", "US"),
    ("203.0.113.130/32", "DE"),
    ("198.51.100.0/24", "US"),
    ("192.0.2.0/24", "not a code"),
    ("2001:db8::/32", "FR"),
    ("2001:db8:1::/48", "JP"),
];

const LOOKUPS: &[(&str, &str)] = &[
    ("203.0.113.7", "CN"),
    ("203.0.113.129", "US"),
    ("203.0.113.130", "DE"),
    ("203.0.113.131", "US"),
    ("::ffff:203.0.113.7", "CN"),
    ("198.51.100.255", "US"),
    ("198.51.101.0", "ZZ"),
    ("192.0.2.1", "ZZ"),
    ("127.0.0.1", "ZZ"),
    ("2001:db8::1", "FR"),
    ("2001:db8:1::1", "JP"),
    ("2001:db8:2::1", "FR"),
    ("::1", "ZZ"),
];

fn look(geo: &Geo, address: &str) -> String {
    geo.lookup(address.parse().unwrap()).code().to_owned()
}

fn file(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

#[test]
fn finds_countries_in_every_record_size() {
    let (_dir, path) = file("countries.mmdb");
    for record_bits in [24, 28, 32] {
        write_mmdb_as(&path, Layout { record_bits, ..Layout::default() }, ENTRIES).unwrap();
        GeoDatabase::open_verified(&path).unwrap();
        let geo = Geo::load(&path).unwrap();
        // Twice: the second time from the cache.
        for (address, country) in LOOKUPS.iter().chain(LOOKUPS) {
            assert_eq!(look(&geo, address), *country, "{address}, {record_bits} bits");
        }
        assert_eq!(geo.version(), DEFAULT_BUILD_EPOCH);
    }
}

#[test]
fn an_ipv4_database_knows_no_ipv6() {
    let (_dir, path) = file("v4.mmdb");
    let layout = Layout { ipv6: false, ..Layout::default() };
    write_mmdb_as(&path, layout, &[("0.0.0.0/0", "CN"), ("203.0.113.0/24", "US")]).unwrap();
    let geo = Geo::load(&path).unwrap();
    let expected =
        [("9.9.9.9", "CN"), ("203.0.113.1", "US"), ("2001:db8::1", "ZZ"), ("::ffff:9.9.9.9", "CN")];
    for (address, country) in expected {
        assert_eq!(look(&geo, address), country, "{address}");
    }
    assert!(write_mmdb_as(&path, layout, &[("2001:db8::/32", "FR")]).is_err());
}

#[test]
fn without_a_database_all_is_unknown() {
    let geo = Geo::empty();
    assert_eq!((look(&geo, "203.0.113.7").as_str(), geo.version()), ("ZZ", 0));
    geo.reload().unwrap();

    let (_dir, path) = file("later.mmdb");
    let (geo, error) = Geo::load_or_empty(&path);
    assert!(matches!(error, Some(GeoError::Read { .. })));
    assert_eq!(look(&geo, "203.0.113.7"), "ZZ");
    write_mmdb(&path, ENTRIES).unwrap();
    geo.reload().unwrap();
    assert_eq!(look(&geo, "203.0.113.7"), "CN");
}

#[test]
fn a_reload_takes_the_new_and_keeps_the_last_good() {
    let (_dir, path) = file("countries.mmdb");
    write_mmdb(&path, ENTRIES).unwrap();
    let geo = Geo::load(&path).unwrap();
    assert_eq!(look(&geo, "203.0.113.7"), "CN");

    let newer = Layout { build_epoch: DEFAULT_BUILD_EPOCH + 1, ..Layout::default() };
    write_mmdb_as(&path, newer, &[("203.0.113.0/24", "US")]).unwrap();
    geo.reload().unwrap();
    assert_eq!((look(&geo, "203.0.113.7").as_str(), geo.version()), ("US", DEFAULT_BUILD_EPOCH + 1));

    let sound = mmdb_bytes(newer, ENTRIES).unwrap();
    let damaged = sound.iter().map(|byte| if *byte == 7 << 5 | 1 { 0xff } else { *byte }).collect();
    for bytes in [Vec::new(), b"not a database".to_vec(), sound[..sound.len() - 40].to_vec(), damaged] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(geo.reload(), Err(GeoError::Corrupt { .. })));
        assert_eq!(look(&geo, "203.0.113.7"), "US");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(geo.reload(), Err(GeoError::Read { .. })));
    assert_eq!((look(&geo, "203.0.113.7").as_str(), geo.version()), ("US", DEFAULT_BUILD_EPOCH + 1));
}

#[test]
fn a_database_without_countries_is_refused() {
    let (_dir, path) = file("asn.mmdb");
    write_mmdb(&path, &[("203.0.113.0/24", "AS64496")]).unwrap();
    let message = Geo::load(&path).unwrap_err().to_string();
    assert!(message.contains("holds no countries; use a country or city database"), "{message}");
    let (_, errors) = Geo::open(Files { places: None, asns: Some(path.clone()) });
    let message = errors[0].to_string();
    assert!(message.contains("holds no autonomous systems; use an ASN database"), "{message}");
    write_mmdb(&path, &[]).unwrap();
    assert_eq!(look(&Geo::load(&path).unwrap(), "203.0.113.7"), "ZZ");
}

#[test]
fn the_writer_refuses_what_is_no_network() {
    for network in ["203.0.113.0", "203.0.113.0/33", "::/129", "x/8", "203.0.113.0/"] {
        assert!(mmdb_bytes(Layout::default(), &[(network, "CN")]).is_err(), "{network}");
    }
    assert!(mmdb_bytes(Layout { record_bits: 16, ..Layout::default() }, ENTRIES).is_err());
}

/// Every layout that is known, at 203.0.113.0/24, and what is understood.
#[test]
fn places_are_read_in_every_layout() {
    let (_dir, path) = file("places.mmdb");
    let long = "x".repeat(200);
    let cases = [
        (city("US", Some("CA"), "California", "San Jose"), "US", "US-CA", "San Jose", 0),
        (city("DE", None, "Bayern", "M\u{fc}nchen"), "DE", "Bayern", "M\u{fc}nchen", 0),
        (city("DE", Some("not a code"), "Bayern", ""), "DE", "Bayern", "", 0),
        (asn(64496, "Example"), "ZZ", "", "", 64496),
        (
            flat(&[("country_code", "jp"), ("state1", "Tokyo"), ("city", " Chiyoda\n")]),
            "JP",
            "Tokyo",
            "Chiyoda",
            0,
        ),
        (flat(&[("country", "Japan"), ("country_code", "JP"), ("asn", "AS2497")]), "JP", "", "", 2497),
        (
            flat(&[("country", "JP"), ("region", "Tokyo"), ("region_code", "13"), ("asn", "")]),
            "JP",
            "JP-13",
            "",
            0,
        ),
        (flat(&[("country_code", "US"), ("city", &long)]), "US", "", &long[..64], 0),
        (flat(&[("other", "x")]), "ZZ", "", "", 0),
    ];
    for (record, country, region, city, asn) in cases {
        write_records(&path, Layout::default(), &[("203.0.113.0/24", record.clone())]).unwrap();
        let database = GeoDatabase::open_verified(&path).unwrap();
        let place = database.place("203.0.113.7".parse().unwrap());
        let text = |text: &Option<Arc<str>>| text.as_deref().unwrap_or_default().to_owned();
        let found = (place.country.code(), text(&place.region), text(&place.city), place.asn.unwrap_or(0));
        assert_eq!(found, (country, region.to_owned(), city.to_owned(), asn), "{record:?}");
        assert_eq!(database.lookup("203.0.113.7".parse().unwrap()), place.country);
        let facts = database.facts();
        let expected = (country != "ZZ", !region.is_empty(), !city.is_empty(), asn != 0);
        assert_eq!((facts.country, facts.region, facts.city, facts.asn), expected);
    }
}

#[test]
fn a_second_lookup_shares_what_the_first_one_decoded() {
    let (_dir, path) = file("places.mmdb");
    write_records(&path, Layout::default(), &[("203.0.113.0/24", city("US", None, "Ohio", "Dayton"))])
        .unwrap();
    let geo = Geo::load(&path).unwrap();
    let place = |address: &str| geo.place(address.parse().unwrap());
    let (one, other) = (place("203.0.113.7").city.unwrap(), place("203.0.113.8").city.unwrap());
    assert!(Arc::ptr_eq(&one, &other));
}

#[test]
fn the_system_comes_from_its_own_database_first() {
    let (dir, places) = file("places.mmdb");
    let asns = dir.path().join("asn.mmdb");
    let both = [("203.0.113.0/24", flat(&[("country_code", "US"), ("asn", "AS64496")]))];
    write_records(&places, Layout { database_type: "ipinfo lite", ..Layout::default() }, &both).unwrap();
    let (geo, errors) = Geo::open(Files { places: Some(places.clone()), asns: Some(asns.clone()) });
    assert_eq!(errors.len(), 1, "the second is not there yet");
    let found = |address: &str| {
        let place = geo.place(address.parse().unwrap());
        (place.country.code().to_owned(), place.asn)
    };
    assert_eq!(found("203.0.113.7"), ("US".to_owned(), Some(64496)));
    let one = [("203.0.113.0/25", asn(64497, "Example")), ("198.51.100.0/24", asn(64498, "Example"))];
    write_records(&asns, Layout { database_type: "GeoLite2-ASN", ..Layout::default() }, &one).unwrap();
    geo.reload_file(&asns).unwrap();
    assert_eq!(found("203.0.113.7"), ("US".to_owned(), Some(64497)));
    assert_eq!(found("203.0.113.200"), ("US".to_owned(), Some(64496)));
    assert_eq!(found("198.51.100.1"), ("ZZ".to_owned(), Some(64498)));
    let publishers = [Publisher::IpInfo, Publisher::MaxMind].map(Publisher::attribution);
    assert_eq!(geo.attributions(), publishers);
    std::fs::remove_file(&places).unwrap();
    assert!(geo.reload().is_err());
    assert_eq!(found("203.0.113.7"), ("US".to_owned(), Some(64497)), "each keeps what it has");
}

#[test]
fn what_stands_beside_a_file_speaks_for_it_alone() {
    let (_dir, path) = file("places.mmdb");
    write_mmdb(&path, ENTRIES).unwrap();
    assert!(Geo::load(&path).unwrap().attributions().is_empty());
    let bytes = std::fs::metadata(&path).unwrap().len();
    for (bytes, shown) in [(bytes, 1), (bytes + 1, 0)] {
        let about = About {
            source: "dbip-country 1.0".to_owned(),
            licence: Some("CC BY 4.0".to_owned()),
            attribution: Some(Publisher::DbIp.attribution()),
            fetched_at: "2026-01-01T00:00:00Z".to_owned(),
            sha256: String::new(),
            bytes,
        };
        std::fs::write(About::path_for(&path), serde_json::to_vec(&about).unwrap()).unwrap();
        assert_eq!(Geo::load(&path).unwrap().attributions().len(), shown);
    }
    std::fs::write(About::path_for(&path), b"not JSON").unwrap();
    assert!(Geo::load(&path).unwrap().attributions().is_empty());
}

proptest! {
    #[test]
    fn no_damage_makes_a_lookup_fail(
        cut in 0usize..2_000, changes in prop::collection::vec((0usize..2_000, any::<u8>()), 0..6), address: u128,
    ) {
        let (_dir, path) = file("damaged.mmdb");
        let mut bytes = mmdb_bytes(Layout::default(), ENTRIES).unwrap();
        if cut < 300 {
            bytes.truncate(bytes.len() - cut);
        }
        for (at, value) in changes {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(geo) = Geo::load(&path) {
            for (known, _) in LOOKUPS {
                look(&geo, known);
            }
            geo.lookup(IpAddr::from(address.to_be_bytes()));
            geo.place(IpAddr::from(address.to_be_bytes()));
            let _ = geo.reload();
        }
    }
}
