//! A small world of two tenants, for tests of this crate.

use crate::enrich::{AgentCache, Client, Headers};
use crate::snapshot::Snapshot;
use geoip::Geo;
use proto_model::{
    Address, AdvertiserId, ClickFacts, ClickFlags, Country, DeviceClass, LinkId, OfferId, ProgramId,
    StreamNo, TenantId, UnixMicros, VerdictKind,
};
use proto_rules::{Field, Node, Operator, Rule, RuleSet, RuleSetParts, Value};
use proto_wire::click_id::{ClickKey, ClickKeys};
use proto_wire::convert::rule_set_to_wire;
use proto_wire::edge_v1::{self, Chunk, LinkChunk, TenantChunk, chunk};
use proto_wire::keys::sha256;
use std::net::IpAddr;

pub const NOW: UnixMicros = UnixMicros(1_760_000_000_000_000);
pub const TOKEN: &str = "s3cret";
pub const FALLBACK: &str = "https://tenant.example/gone";
pub const CHROME: &[u8] =
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// The first tenant has a fallback page; its second advertiser has no token.
pub const LINK: u64 = 11;
pub const LINK_OFF: u64 = 12;
pub const LINK_OF_OFFER_OFF: u64 = 13;
pub const LINK_OF_OTHER_ADVERTISER: u64 = 14;
/// The second tenant has none.
pub const FOREIGN_LINK: u64 = 21;
pub const FOREIGN_LINK_OFF: u64 = 22;

pub fn tenant(n: u32) -> TenantId {
    TenantId::new(n).unwrap()
}

pub fn link(n: u64) -> LinkId {
    LinkId::new(n).unwrap()
}

pub fn offer(n: u64) -> OfferId {
    OfferId::new(n).unwrap()
}

pub fn advertiser(n: u64) -> AdvertiserId {
    AdvertiserId::new(n).unwrap()
}

pub fn program(n: u64) -> ProgramId {
    ProgramId::new(n).unwrap()
}

fn key(n: u32) -> [u8; 32] {
    sha256(&n.to_be_bytes())
}

pub fn keys(n: u32) -> ClickKeys {
    ClickKeys::try_new(tenant(n), &[(ClickKey { key_id: 1, key: key(n) }, true)]).unwrap()
}

/// Blocks `device`, as rule "no-such-device" of version 7.
pub fn block_device(device: DeviceClass) -> RuleSet {
    let value = Value::Text(device.as_str().into());
    let compare = Node::Compare { field: Field::Device, operator: Operator::Eq, value };
    let rule = Rule { id: "no-such-device".into(), action: VerdictKind::Block, nodes: vec![compare] };
    let parts = RuleSetParts { version: 7, rules: vec![rule], string_sets: vec![], cidr_sets: vec![] };
    RuleSet::try_new(parts).unwrap()
}

fn settings(n: u32, fallback: &str, offers: Vec<edge_v1::Offer>, rules: Option<&RuleSet>) -> Chunk {
    let advertisers = [(u64::from(n), Some(TOKEN)), (u64::from(n) + 100, None)];
    let advertisers = advertisers.map(|(id, token)| edge_v1::Advertiser {
        id,
        postback_token_sha256: token.map(|token| sha256(token.as_bytes()).to_vec()).unwrap_or_default(),
        ..edge_v1::Advertiser::default()
    });
    let content = TenantChunk {
        fallback_url: fallback.into(),
        click_keys: vec![edge_v1::ClickKey { key_id: 1, key: key(n).to_vec(), active: true }],
        advertisers: advertisers.to_vec(),
        offers,
        rule_set: rules.map(rule_set_to_wire),
        ..TenantChunk::default()
    };
    Chunk { tenant: n, content: Some(chunk::Content::Settings(content)) }
}

fn offer_of(id: u64, advertiser: u64, destination: &str, active: bool) -> edge_v1::Offer {
    let destination = destination.into();
    edge_v1::Offer { id, advertiser, program: 5, destination, active, ..edge_v1::Offer::default() }
}

fn links(n: u32, links: &[(u64, u64, bool)]) -> Chunk {
    let links = links.iter().map(|(id, offer, active)| edge_v1::Link {
        id: *id,
        offer: *offer,
        partner: 9,
        active: *active,
        settings: None,
    });
    Chunk { tenant: n, content: Some(chunk::Content::Links(LinkChunk { links: links.collect() })) }
}

pub fn snapshot(rules: Option<&RuleSet>) -> Snapshot {
    let offers = vec![
        offer_of(1, 1, "https://shop.example/landing?ref=a%20b#top", true),
        offer_of(2, 1, "https://shop.example/old", false),
        offer_of(3, 101, "https://other.example/", true),
    ];
    let chunks = [
        settings(1, FALLBACK, offers, rules),
        links(1, &[(LINK, 1, true), (LINK_OFF, 1, false), (LINK_OF_OFFER_OFF, 2, true)]),
        links(1, &[(LINK_OF_OTHER_ADVERTISER, 3, true)]),
        settings(2, "", vec![offer_of(1, 2, "https://foreign.example/", true)], rules),
        links(2, &[(FOREIGN_LINK, 1, true), (FOREIGN_LINK_OFF, 1, false)]),
    ];
    Snapshot::from_chunks(3, &chunks).unwrap()
}

pub fn client(user_agent: &[u8]) -> Client<'_> {
    let ip = IpAddr::from([203, 0, 113, 9]);
    let mut agents = AgentCache::new(8);
    let referrer = b"https://Blog.example/post";
    let headers = Headers { user_agent, referrer, ..Headers::default() };
    Client::describe(ip, &headers, &Geo::empty(), &mut agents)
}

/// A click of the first tenant's link, as an id carries it.
pub fn click_facts() -> ClickFacts {
    ClickFacts {
        tenant: tenant(1),
        link: link(LINK),
        offer: offer(1),
        at_secs: 1_759_999_000,
        address: Address { stream: StreamNo(4), ordinal: 77 },
        country: Country::UNKNOWN,
        device: DeviceClass::Desktop,
        verdict: VerdictKind::Allow,
        rule_set_version: 0,
        flags: ClickFlags::default(),
    }
}
