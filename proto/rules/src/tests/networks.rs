use super::*;
use crate::cidr::Networks;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[test]
fn reads_networks() {
    let cases = [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:DB8:0::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Cidr>().unwrap().to_string(), expected);
    }
}

#[test]
fn refuses_what_is_not_a_network() {
    for text in [
        "",
        "/",
        "/24",
        "203.0.113.0/",
        "203.0.113.0/33",
        "203.0.113.0/+24",
        "203.0.113/24",
        "203.0.113.0/24/1",
        "::/129",
        "::/-1",
        "example.com/8",
        "203.0.113.0/999999999999",
        " 203.0.113.0/24",
    ] {
        let message = text.parse::<Cidr>().unwrap_err().to_string();
        assert!(message.contains(&format!("`{text}` is not a network")), "{message}");
    }
    let slip = "203.0.113.7/8".parse::<Cidr>().unwrap_err().to_string();
    assert_eq!(slip, "`203.0.113.7/8` has bits set past its prefix; did you mean `203.0.0.0/8`?");
}

#[test]
fn an_ipv4_address_in_ipv6_form_is_ipv4() {
    let ranges = Networks::new(&["203.0.113.0/24".parse().unwrap()]);
    assert!(ranges.contains("::ffff:203.0.113.200".parse().unwrap()));
    assert!(!ranges.contains("::203.0.113.200".parse().unwrap()));
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    // A narrow space, so that addresses and networks meet.
    prop_oneof![
        (0u32..4096).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits << 20))),
        (0u32..4096).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        (0u128..4096).prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits << 116))),
        (0u128..4096).prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 100))),
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
    ]
}

pub(super) fn any_cidr() -> impl Strategy<Value = Cidr> {
    (any_address(), 0u8..=128).prop_map(|(address, prefix)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        match Cidr::try_new(address, prefix % (longest + 1)) {
            Ok(cidr) => cidr,
            Err(CidrError::HostBits { network, .. }) => network,
            Err(error) => panic!("{error}"),
        }
    })
}

proptest! {
    #[test]
    fn ranges_hold_what_any_network_holds(
        cidrs in prop::collection::vec(any_cidr(), 0..12),
        addresses in prop::collection::vec(any_address(), 1..20),
    ) {
        let ranges = Networks::new(&cidrs);
        for address in addresses {
            let expected = cidrs.iter().any(|cidr| cidr.contains(address));
            prop_assert_eq!(ranges.contains(address), expected, "{} in {:?}", address, cidrs);
        }
        for cidr in &cidrs {
            prop_assert!(ranges.contains(cidr.address()));
            prop_assert_eq!(cidr.to_string().parse::<Cidr>(), Ok(*cidr));
        }
    }

    #[test]
    fn any_text_is_refused_or_read(text in "[0-9a-f.:/]{0,24}") {
        if let Ok(cidr) = text.parse::<Cidr>() {
            prop_assert!(cidr.contains(cidr.address()));
        }
    }
}
