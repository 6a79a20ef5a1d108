//! Names of hosts: where shoppers may be sent, and the domains that links are served under.

/// Longer names do not exist in the DNS.
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error(
        "`{0}` is not a host name; write it in lower case and without a port, for instance shop.example \
         (other scripts in their xn-- form)"
    )]
    Malformed(String),
    #[error("`{0}` is an address or a name of a private network; use the name that the public DNS knows")]
    Private(String),
}

/// A host name of the public DNS: lower-case ASCII labels, at least two of them, no address.
pub fn check_host(text: &str) -> Result<(), HostError> {
    let malformed = || Err(HostError::Malformed(text.to_owned()));
    if text.len() > MAX_HOST || !text.split('.').all(is_label) {
        return malformed();
    }
    match text.rsplit_once('.') {
        // Browsers read a name whose last label is a number as an IPv4 address.
        Some((_, last)) if last.bytes().all(|b| b.is_ascii_digit()) => {
            Err(HostError::Private(text.to_owned()))
        }
        Some((_, last)) if PRIVATE.contains(&last) => Err(HostError::Private(text.to_owned())),
        Some(_) => Ok(()),
        None if text == "localhost" => Err(HostError::Private(text.to_owned())),
        None => malformed(),
    }
}

/// Top-level names that never leave a network (RFC 6761, RFC 8375, and what ICANN keeps for it).
const PRIVATE: [&str; 6] = ["localhost", "local", "internal", "lan", "onion", "arpa"];

fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Hosts to look a name up in: `shop.example` is itself, `*.shop.example` everything below it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostList {
    /// Both sorted.
    exact: Box<[Box<str>]>,
    below: Box<[Box<str>]>,
}

impl HostList {
    pub fn try_new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, HostError> {
        let (mut exact, mut below) = (Vec::new(), Vec::new());
        for text in hosts {
            let (list, host) = match text.strip_prefix("*.") {
                Some(parent) => (&mut below, parent),
                None => (&mut exact, text),
            };
            check_host(host)?;
            list.push(Box::from(host));
        }
        exact.sort_unstable();
        below.sort_unstable();
        Ok(Self { exact: exact.into(), below: below.into() })
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// `host` as a URL parser gives it: lower case. Allocates nothing.
    pub fn allows(&self, host: &str) -> bool {
        let holds = |list: &[Box<str>], name: &str| list.binary_search_by(|held| (**held).cmp(name)).is_ok();
        if holds(&self.exact, host) {
            return true;
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if holds(&self.below, parent) {
                return true;
            }
            rest = parent;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_names_are_hosts() {
        for host in ["shop.example", "a.b.c.example", "xn--fiqs8s.example", "3d.shop.example", "a-b.example"]
        {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for host in [
            "",
            "shop",
            "Shop.example",
            "shop.example.",
            ".example",
            "-a.example",
            "a-.example",
            "a_b.example",
            "shop.example:80",
            "中文.example",
            "a b.example",
            "*.example.com",
            "[::1]",
            "{x}.example",
        ] {
            assert!(matches!(check_host(host), Err(HostError::Malformed(_))), "{host}");
        }
        for host in ["127.0.0.1", "1.2", "0x7f.1", "localhost", "db.internal", "printer.local", "a.localhost"]
        {
            assert!(matches!(check_host(host), Err(HostError::Private(_))), "{host}");
        }
        let long = format!("{}.example", "a".repeat(64));
        assert!(check_host(&long).is_err() && check_host(&"a.".repeat(130)).is_err());
    }

    #[test]
    fn a_star_stands_for_what_is_below() {
        let list = HostList::try_new(["shop.example", "*.cdn.example", "b.example"]).unwrap();
        let cases = [
            ("shop.example", true),
            ("www.shop.example", false),
            ("cdn.example", false),
            ("a.cdn.example", true),
            ("a.b.cdn.example", true),
            ("evilcdn.example", false),
            ("cdn.example.evil.example", false),
            ("b.example", true),
            ("example", false),
            ("", false),
        ];
        for (host, allowed) in cases {
            assert_eq!(list.allows(host), allowed, "{host}");
        }
        assert!(HostList::default().is_empty() && !HostList::default().allows("shop.example"));
        assert!(HostList::try_new(["*.*.example"]).is_err() && HostList::try_new(["*"]).is_err());
    }
}
