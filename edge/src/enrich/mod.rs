//! What a request says of the browser or server that sent it.

mod agent;
pub mod hints;
mod privacy;

pub use agent::{Agent, AgentCache};
pub use privacy::IpHasher;

use crate::decide::privacy::{POLICY, Privacy};
use crate::ip::prefix;
use geoip::{Geo, Place};
use proto_model::{DeviceClass, UnixMicros};
use proto_wire::convert::{FactsRef, FineRef, NetworkRef};
use proto_wire::limits::{REFERRER_MAX, USER_AGENT_MAX, clean};
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

/// Facts of one hit, with the texts of its request. The full address lives only as long as this.
pub struct Client<'r> {
    pub ip: IpAddr,
    pub place: Place,
    pub geo_version: u64,
    pub agent: Rc<Agent>,
    /// By user agent and hints.
    pub device: DeviceClass,
    /// The primary subtag of the language wanted most, in lower case; may be empty.
    pub language: Cow<'r, str>,
    /// `4g` and its like; may be empty.
    pub connection: &'static str,
    /// What may be kept of it.
    pub privacy: Privacy,
    pub user_agent: Cow<'r, str>,
    pub referrer: Cow<'r, str>,
    /// Lower case; empty when there is no referrer.
    pub referrer_host: String,
}

/// What may be stored of an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    pub ip_prefix: String,
    pub ip_hash: [u8; 16],
}

/// Headers that say who asks; empty = absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'r> {
    pub user_agent: &'r [u8],
    pub referrer: &'r [u8],
    pub hints: hints::Headers<'r>,
}

impl<'r> Client<'r> {
    pub fn describe(ip: IpAddr, headers: &Headers<'r>, geo: &Geo, agents: &mut AgentCache) -> Self {
        let user_agent = text(headers.user_agent, USER_AGENT_MAX);
        let referrer = text(headers.referrer, REFERRER_MAX);
        let agent = agents.get(&user_agent);
        Self {
            ip,
            place: geo.place(ip),
            geo_version: geo.version(),
            device: hints::device(headers.hints, agent.device),
            language: hints::language(headers.hints.accept_language),
            connection: hints::connection(headers.hints.ect),
            privacy: Privacy::Full,
            agent,
            referrer_host: host_of(&referrer).to_ascii_lowercase(),
            user_agent,
            referrer,
        }
    }

    /// For a page that says where its visitor came from: the header names the page itself.
    pub fn came_from(&mut self, referrer: &str) {
        self.referrer_host = host_of(referrer).to_ascii_lowercase();
        self.referrer = Cow::Owned(referrer.to_owned());
    }

    pub fn recorded(&self) -> FactsRef<'_> {
        FactsRef {
            country: self.place.country,
            device: self.device,
            os: &self.agent.os,
            browser: &self.agent.browser,
            geo_version: self.geo_version,
            fine: self.fine(),
            privacy: self.privacy,
            privacy_policy: POLICY,
        }
    }

    /// What is finer than the country and may be kept and handed on.
    pub fn fine(&self) -> FineRef<'_> {
        if self.privacy != Privacy::Full {
            return FineRef::default();
        }
        FineRef {
            region: self.place.region.as_deref().unwrap_or_default(),
            city: self.place.city.as_deref().unwrap_or_default(),
            asn: self.place.asn,
            language: &self.language,
            connection: self.connection,
        }
    }

    pub fn origin(&self, hasher: &IpHasher, now: UnixMicros) -> Origin {
        Origin { ip_prefix: prefix(self.ip), ip_hash: hasher.hash(self.ip, now) }
    }

    /// The personal part, with the address reduced to what may be stored; nothing of whoever asks for that.
    pub fn network<'a>(&'a self, origin: &'a Origin) -> Option<NetworkRef<'a>> {
        let network = NetworkRef {
            ip_prefix: &origin.ip_prefix,
            ip_hash: origin.ip_hash,
            user_agent: &self.user_agent,
            referrer: &self.referrer,
        };
        (self.privacy == Privacy::Full).then_some(network)
    }
}

/// A header as text that may be stored and shown: whatever is not UTF-8 or not printable is replaced.
fn text(header: &[u8], max: usize) -> Cow<'_, str> {
    // A replacement character is longer than what it replaces, so cut first; `clean` cuts to characters.
    let head = &header[..header.len().min(max)];
    match std::str::from_utf8(head) {
        Ok(text) => clean(text, max),
        Err(_) => Cow::Owned(clean(&String::from_utf8_lossy(head), max).into_owned()),
    }
}

fn host_of(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return "" };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_the_host_of_a_referrer() {
        let cases = [
            ("https://Blog.example/post?x=1", "Blog.example"),
            ("https://blog.example:8443", "blog.example"),
            ("http://user:pw@blog.example/", "blog.example"),
            ("http://[2001:db8::1]:80/", "2001:db8::1"),
            ("android-app://com.shop/", "com.shop"),
            ("about:blank", ""),
            ("", ""),
        ];
        for (url, host) in cases {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn nothing_finer_than_the_country_is_said_of_who_asks_for_privacy() {
        let hints = hints::Headers { accept_language: b"de", ect: b"4g", ..hints::Headers::default() };
        let headers = Headers { hints, ..Headers::default() };
        let ip = IpAddr::from([203, 0, 113, 9]);
        let mut client = Client::describe(ip, &headers, &Geo::empty(), &mut AgentCache::new(4));
        client.place =
            Place { region: Some("BE".into()), city: Some("Berlin".into()), asn: Some(7), ..Place::UNKNOWN };
        let known = FineRef { region: "BE", city: "Berlin", asn: Some(7), language: "de", connection: "4g" };
        assert_eq!((client.fine(), client.recorded().fine), (known, known));
        client.privacy = Privacy::Reduced;
        assert_eq!((client.fine(), client.recorded().fine), (FineRef::default(), FineRef::default()));
    }

    #[test]
    fn headers_become_harmless_text() {
        assert_eq!(text(b"a\x1b[31m\tb\xff", 64), "a [31m b\u{fffd}");
        assert_eq!(text(&[b'x'; 70_000], USER_AGENT_MAX).len(), USER_AGENT_MAX);
    }

    proptest! {
        #[test]
        fn any_headers_are_described(agent: Vec<u8>, referrer: Vec<u8>, ip: u128) {
            let mut agents = AgentCache::new(4);
            let hints = hints::Headers { accept_language: &agent, ..hints::Headers::default() };
            let headers = Headers { user_agent: &agent, referrer: &referrer, hints };
            let client = Client::describe(IpAddr::from(ip.to_be_bytes()), &headers, &Geo::empty(), &mut agents);
            prop_assert!(client.user_agent.len() <= USER_AGENT_MAX && client.referrer.len() <= REFERRER_MAX);
            prop_assert!(!client.user_agent.chars().any(char::is_control));
            prop_assert_eq!(client.place, Place::UNKNOWN);
        }
    }
}
