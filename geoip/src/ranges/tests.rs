use super::*;
use crate::database::GeoDatabase;
use crate::place::Place;
use proptest::prelude::*;
use proto_model::Country;
use std::net::Ipv4Addr;

fn made(table: &str) -> Result<GeoDatabase, String> {
    let mut bytes = Vec::new();
    convert(table.as_bytes(), &mut bytes, 1_700_000_000).map_err(|error| error.to_string())?;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Ok(GeoDatabase::open_verified(file.path()).unwrap())
}

fn place(database: &GeoDatabase, address: &str) -> String {
    let Place { country, region, city, asn } = database.place(address.parse().unwrap());
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
    format!("{} {} {} {}", country.code(), text(&region), text(&city), asn.unwrap_or(0))
}

/// A table, an address, and what is said of it.
const GOOD: &[(&str, &str, &str)] = &[
    ("1.0.0.0,1.0.0.255,AU", "1.0.0.7", "AU - - 0"),
    ("1.0.0.0,1.0.0.255,AU", "1.0.1.0", "ZZ - - 0"),
    ("ip_range_start,ip_range_end,country_code\n1.0.0.0,1.0.0.255,AU\n", "1.0.0.7", "AU - - 0"),
    ("\"1.0.0.0\",\"1.0.0.255\",\"au\"\r\n", "1.0.0.255", "AU - - 0"),
    ("2001:db8::,2001:db8::ffff,JP\n1.0.0.0,1.0.0.255,AU", "2001:db8::1", "JP - - 0"),
    ("0.0.0.0,0.255.255.255,ZZ\n1.0.0.0,1.0.0.255,AU", "0.0.0.1", "ZZ - - 0"),
    ("1.0.0.0,1.0.0.255,AU,Queensland,\"Brisbane, South\"", "1.0.0.1", "AU Queensland Brisbane, South 0"),
    ("1.0.0.0,1.0.0.255,AU,AU-QLD,", "1.0.0.1", "AU AU-QLD - 0"),
    ("1.0.0.0,1.0.0.255,OC,AU,Queensland,Brisbane,-27.4,153.0", "1.0.0.1", "AU Queensland Brisbane 0"),
    ("1.0.0.0,1.0.0.255,AU,Queensland,,Brisbane,4000,-27.4,153.0,", "1.0.0.1", "AU Queensland Brisbane 0"),
    ("1.0.0.0,1.0.0.255,13335,\"Cloudflare, Inc.\"", "1.0.0.1", "ZZ - - 13335"),
    ("1.0.0.0,1.0.0.255,AS13335,Cloudflare", "1.0.0.1", "ZZ - - 13335"),
    ("1.0.0.0,1.0.0.255,0,Not routed\n2.0.0.0,2.0.0.255,3215,Orange", "1.0.0.1", "ZZ - - 0"),
    ("::,::ffff,US\n255.255.255.254,255.255.255.255,US", "255.255.255.255", "US - - 0"),
];

#[test]
fn tables_of_known_shapes_become_databases() {
    for (table, address, expected) in GOOD {
        let database = made(table).unwrap_or_else(|error| panic!("{table}: {error}"));
        assert_eq!(place(&database, address), *expected, "{table}");
    }
}

#[test]
fn what_is_wrong_is_refused_by_its_line() {
    let cases = [
        ("1.0.0.0,1.0.0.255,AU\n1.0.0.9,1.0.1.0,US", "line 2: the range overlaps that of line 1"),
        ("5.0.0.0,5.0.0.255,AU\n1.0.0.0,1.0.0.255,US\n5.0.0.255,5.0.0.255,US", "line 3: the range overlaps"),
        ("1.0.0.255,1.0.0.0,AU", "line 1: the range ends before it begins"),
        ("1.0.0.0,::1,AU", "line 1: 1.0.0.0 and ::1 are not of one kind"),
        ("1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.1.300,AU", "line 2: \"1.0.1.300\" is not an address"),
        ("1.0.0.0,1.0.0.255,AUS", "line 1: \"AUS\" is not a country code"),
        ("1.0.0.0,1.0.0.255,AU\n1.0.1.0,1.0.1.255", "line 2: 2 columns, where the first row has 3"),
        ("1.0.0.0,1.0.0.255,13335,X\n1.0.1.0,1.0.1.255,AU,X", "line 2: \"AU\" is not the number"),
        ("16777216,16777471,AU", "line 1: \"16777216\" is not an address"),
        ("a,b,c,d,e,f", "the table has no ranges"),
        ("1.0.0.0,1.0.0.255,a,b,c,d", "line 1: 6 columns of which the third is \"a\" are no known table"),
        ("", "the table has no ranges"),
        ("1.0.0.0,1.0.0.255,ZZ", "the table has no ranges"),
    ];
    for (table, expected) in cases {
        let error = made(table).map(|_| String::new()).unwrap_or_else(|error| error);
        assert!(error.starts_with(expected), "{table}: {error}");
    }
    let mut sink = Vec::new();
    assert!(matches!(convert(&b"1.0.0.0,1.0.0.255,\xff"[..], &mut sink, 1), Err(RangesError::Csv(_))));
}

#[test]
fn the_same_table_in_another_order_gives_the_same_tree() {
    let rows = ["1.0.0.0,1.0.0.255,AU", "1.0.1.0,1.0.3.255,AU", "9.0.0.0,9.1.2.3,AU"];
    let mut tables = Vec::new();
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let mut bytes = Vec::new();
        convert(order.map(|at| rows[at]).join("\n").as_bytes(), &mut bytes, 1).unwrap();
        tables.push(bytes);
    }
    assert_eq!(tables[0], tables[1]);
    assert_eq!(tables[0], tables[2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lookups_agree_with_the_table(
        cuts in prop::collection::btree_set(any::<u32>(), 2..60), codes in prop::collection::vec(0usize..4, 60), more: Vec<u32>,
    ) {
        let names = ["US", "CN", "DE", "ZZ"];
        let cuts: Vec<_> = cuts.into_iter().collect();
        let ranges: Vec<_> = cuts.windows(2).zip(&codes).map(|(pair, code)| (pair[0], pair[1] - 1, names[*code])).collect();
        prop_assume!(ranges.iter().any(|(_, _, code)| *code != "ZZ"));
        let row = |(start, end, code): &(u32, u32, &str)| {
            format!("{},{},{code}\n", Ipv4Addr::from_bits(*start), Ipv4Addr::from_bits(*end))
        };
        let table: String = ranges.iter().rev().map(row).collect();
        let database = made(&table).unwrap();
        let edges = ranges.iter().flat_map(|(start, end, _)| [*start, *end, start.wrapping_sub(1), end.wrapping_add(1)]);
        for at in edges.chain(more) {
            let expected = ranges.iter().find(|(start, end, _)| (*start..=*end).contains(&at)).map_or("ZZ", |r| r.2);
            prop_assert_eq!(database.lookup(Ipv4Addr::from_bits(at).into()), Country::parse(expected));
        }
    }
}
