//! Who a client is: the socket, or what a trusted proxy says of it.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// No honest chain of proxies is longer, and an endless header must not cost endless work.
const MAX_HOPS: usize = 32;

/// `::ffff:127.0.0.1` is 127.0.0.1: a dual-stack socket shows IPv4 clients that way.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The address of the client. `forwarded` are the values of all `X-Forwarded-For` headers in order; they
/// are read from the right, since everything left of the first untrusted hop was written by strangers.
pub fn client_ip<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
) -> IpAddr {
    let mut client = canonical(peer);
    if !is_trusted(client, trusted) {
        return client;
    }
    let hops = forwarded.rev().flat_map(|value| value.rsplit(','));
    for hop in hops.take(MAX_HOPS) {
        // A proxy we trust does not write garbage; somebody before it did, and it is the last we know.
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

pub fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&ip))
}

/// An address, with or without a port: some proxies add it.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed).map(canonical)
}

/// The number under which requests of one client are counted: an IPv4 address, or an IPv6 /64, since one
/// household or one attacker holds a whole /64.
pub fn rate_key(ip: IpAddr) -> u64 {
    match canonical(ip) {
        // 192::/64 and the like belong to nobody, so an IPv4 address cannot meet an IPv6 network.
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// What may be stored of an address: `203.0.113.0/24` or `2001:db8:1::/48`.
pub fn prefix(ip: IpAddr) -> String {
    match canonical(ip) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let mut out = String::with_capacity("255.255.255.0/24".len());
            for byte in [a, b, c] {
                push_number(byte, &mut out);
                out.push('.');
            }
            out.push_str("0/24");
            out
        }
        IpAddr::V6(v6) => {
            let kept = Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80);
            format!("{kept}/48")
        }
    }
}

/// Without the formatter, which takes longer than all the rest: this is written for each hit.
fn push_number(byte: u8, out: &mut String) {
    let digits = [byte / 100, byte / 10 % 10, byte % 10];
    let start = digits.iter().position(|digit| *digit != 0).unwrap_or(2);
    out.extend(digits.iter().skip(start).map(|digit| char::from(b'0' + digit)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn finds_the_client() {
        let proxies = nets(&["10.0.0.0/8", "fd00::/8"]);
        let cases: &[(&str, &[&str], &str)] = &[
            ("203.0.113.9", &[], "203.0.113.9"),
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("::ffff:203.0.113.9", &["127.0.0.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["127.0.0.1", "198.51.100.1, 10.2.3.4"], "198.51.100.1"),
            ("fd00::1", &["2001:db8::7, fd00::2"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.1:8080"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1,,10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["::ffff:127.0.0.1"], "127.0.0.1"),
        ];
        for (peer, headers, expected) in cases {
            let found = client_ip(peer.parse().unwrap(), &proxies, headers.iter().copied());
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
        }
    }

    #[test]
    fn keeps_no_full_address() {
        let cases = [
            ("203.0.113.77", "203.0.113.0/24"),
            ("7.10.100.9", "7.10.100.0/24"),
            ("255.205.250.1", "255.205.250.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ];
        for (ip, expected) in cases {
            assert_eq!(prefix(ip.parse().unwrap()), expected);
        }
    }

    #[test]
    fn a_v6_network_counts_as_one_client() {
        let key = |text: &str| rate_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:203.0.113.9"), key("203.0.113.9"));
        assert_ne!(key("203.0.113.8"), key("203.0.113.9"));
    }

    proptest! {
        #[test]
        fn strangers_cannot_choose_their_address(peer: u32, header in "\\PC{0,80}") {
            let peer = IpAddr::from(peer.to_be_bytes());
            prop_assert_eq!(client_ip(peer, &nets(&["fd00::/8"]), [header.as_str()].into_iter()), peer);
        }

        #[test]
        fn any_header_gives_an_address(header in "[0-9a-f:., \\[\\]]{0,80}") {
            let _ = client_ip(IpAddr::from([10, 0, 0, 1]), &nets(&["0.0.0.0/0", "::/0"]), [header.as_str()].into_iter());
        }
    }
}
