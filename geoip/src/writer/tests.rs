use super::*;
use crate::database::GeoDatabase;
use crate::testing::{asn, country};
use proptest::prelude::*;
use proto_model::Country;
use std::net::{Ipv4Addr, Ipv6Addr};

fn layout(record_bits: Option<u16>) -> Layout {
    Layout { record_bits, ipv6: true, build_epoch: 1, database_type: "T", description: "D" }
}

fn bytes(record_bits: Option<u16>, entries: &[(Network, Value)]) -> Vec<u8> {
    let mut writer = Writer::new(layout(record_bits));
    for (network, value) in entries {
        let id = writer.record(value).unwrap();
        writer.insert(*network, id).unwrap();
    }
    let mut out = Vec::new();
    writer.finish(&mut out).unwrap();
    out
}

fn open(bytes: &[u8]) -> GeoDatabase {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    GeoDatabase::open_verified(file.path()).unwrap()
}

fn v4(text: &str, prefix: u32) -> Network {
    Network::new(text.parse().unwrap(), prefix).unwrap()
}

#[test]
fn ranges_become_the_fewest_networks() {
    let cases = [
        (0, u128::MAX, vec![(0, 0)]),
        (5, 5, vec![(5, 128)]),
        (1, 6, vec![(1, 128), (2, 127), (4, 127), (6, 128)]),
        (u128::MAX - 1, u128::MAX, vec![(u128::MAX - 1, 127)]),
        (1, 0, vec![]),
    ];
    for (start, end, expected) in cases {
        let found: Vec<_> = Network::of_range(start, end).map(|n| (n.bits, n.length)).collect();
        assert_eq!(found, expected, "{start} {end}");
    }
}

#[test]
fn equal_neighbours_become_one_and_the_order_does_not_matter() {
    let halves = [(v4("10.0.0.0", 9), country("US")), (v4("10.128.0.0", 9), country("US"))];
    let whole = [(v4("10.0.0.0", 8), country("US"))];
    assert_eq!(bytes(None, &halves), bytes(None, &whole));
    let mut other = [(v4("11.0.0.0", 8), country("US")), (v4("10.0.0.0", 8), country("US"))];
    let first = bytes(None, &other);
    other.reverse();
    assert_eq!(first, bytes(None, &other));
}

#[test]
fn texts_of_any_length_come_back_and_stand_in_the_file_once() {
    let owners = [
        "x",
        "four",
        &"y".repeat(28),
        &"z".repeat(29),
        &"a".repeat(284),
        &"b".repeat(285),
        &"c".repeat(3_000),
    ];
    let entries: Vec<_> = owners
        .iter()
        .enumerate()
        .map(|(at, owner)| {
            let at = u32::try_from(at).unwrap() + 1;
            (Network::new(Ipv4Addr::from_bits(at << 24).into(), 8).unwrap(), asn(at, owner))
        })
        .collect();
    let file = bytes(None, &entries);
    let database = open(&file);
    for (at, owner) in owners.iter().enumerate() {
        let address = Ipv4Addr::from_bits((u32::try_from(at).unwrap() + 1) << 24);
        let record = database.reader().lookup(address.into()).unwrap();
        let path = [maxminddb::PathElement::Key("autonomous_system_organization")];
        assert_eq!(record.decode_path::<&str>(&path).unwrap(), Some(*owner));
    }
    let count = |text: &[u8]| file.windows(text.len()).filter(|window| *window == text).count();
    assert_eq!(count(b"autonomous_system_organization"), 1);
}

#[test]
fn far_pointers_are_followed() {
    let mut data = Data::default();
    let filler = "f".repeat(60_000);
    data.add(&Value::text("near the start")).unwrap();
    let mut at = Vec::new();
    for number in 0..12u32 {
        data.add(&Value::Text(format!("{filler}{number}"))).unwrap();
        at.push(data.add(&Value::text("near the start")).unwrap());
    }
    // To offset 0 in the shortest form, however far away.
    assert!(at.iter().all(|at| data.bytes()[*at..*at + 2] == [1 << 5, 0]));
    let offsets: Vec<_> = (0..12).map(|n| data.add(&Value::Text(format!("{filler}{n}"))).unwrap()).collect();
    let target = |at: usize| match data.bytes()[at] >> 3 & 3 {
        0 => u32::from_be_bytes([0, 0, data.bytes()[at] & 7, data.bytes()[at + 1]]),
        1 => {
            2_048 + u32::from_be_bytes([0, data.bytes()[at] & 7, data.bytes()[at + 1], data.bytes()[at + 2]])
        }
        _ => {
            526_336
                + u32::from_be_bytes([
                    data.bytes()[at] & 7,
                    data.bytes()[at + 1],
                    data.bytes()[at + 2],
                    data.bytes()[at + 3],
                ])
        }
    };
    for (number, at) in offsets.into_iter().enumerate() {
        let head = usize::try_from(target(at)).unwrap();
        let text = format!("{filler}{number}");
        assert_eq!(&data.bytes()[head + 3..head + 3 + text.len()], text.as_bytes());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut writer = Writer::new(Layout { ipv6: false, ..layout(None) });
    let id = writer.record(&country("US")).unwrap();
    assert!(writer.insert(Network::new(Ipv6Addr::LOCALHOST.into(), 64).unwrap(), id).is_err());
    writer.insert(v4("10.0.0.0", 8), id).unwrap();
    assert!(writer.record(&Value::Text("x".repeat(70_000))).is_err());
    for (prefix, fits) in [(32, true), (33, false)] {
        assert_eq!(Network::new(Ipv4Addr::LOCALHOST.into(), prefix).is_some(), fits);
    }
    let mut writer = Writer::new(layout(Some(16)));
    let id = writer.record(&country("US")).unwrap();
    writer.insert(v4("10.0.0.0", 8), id).unwrap();
    assert!(writer.finish(&mut Vec::new()).is_err());
}

const CODES: [&str; 4] = ["US", "CN", "DE", "JP"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a list that is searched from its end.
    #[test]
    fn lookups_agree_with_a_list(
        entries in prop::collection::vec((any::<u32>(), 0u32..=32, 0usize..4), 0..40),
        v6 in prop::collection::vec((any::<u128>(), 0u32..=128, 0usize..4), 0..10),
        more: Vec<u32>,
        bits in prop::sample::select(vec![None, Some(24), Some(28), Some(32)]),
    ) {
        let v4 = entries.iter().map(|(a, p, c)| (Network::new(Ipv4Addr::from_bits(*a).into(), *p).unwrap(), *c));
        let v6 = v6.iter().map(|(a, p, c)| (Network::new(Ipv6Addr::from_bits(*a).into(), *p).unwrap(), *c));
        let list: Vec<_> = v6.chain(v4).collect();
        let values: Vec<_> = list.iter().map(|(network, code)| (*network, country(CODES[*code]))).collect();
        let database = open(&bytes(bits, &values));
        let edges = list.iter().flat_map(|(n, _)| [n.bits, n.bits | (u128::MAX.checked_shr(n.length).unwrap_or(0))]);
        for at in edges.chain(more.into_iter().map(u128::from)) {
            let inside = |n: &Network| n.length == 0 || (at ^ n.bits) >> (128 - n.length) == 0;
            let expected = list.iter().rev().find(|(n, _)| inside(n)).map_or("ZZ", |(_, code)| CODES[*code]);
            let address = match u32::try_from(at) {
                Ok(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4)),
                Err(_) => IpAddr::V6(Ipv6Addr::from_bits(at)),
            };
            // Mapped addresses are looked up as what they map to.
            if address.to_canonical() == address {
                prop_assert_eq!(database.lookup(address), Country::parse(expected), "{}", address);
            }
        }
    }
}
