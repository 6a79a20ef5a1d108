//! What the stages of a redirect cost by themselves, without sockets and disk: `cargo bench -p loadtest`.

// As in tests: what cannot be set up must not be measured.
#![allow(clippy::expect_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use edge::config::RateLimit;
use edge::decide::asked::Asked;
use edge::decide::click::{Marks, Resolved, Takers, decide, resolve};
use edge::decide::macros::Values;
use edge::enrich::{AgentCache, Client, Headers, IpHasher, hints};
use edge::snapshot::{Destination, Snapshot};
use geoip::Geo;
use proto_model::event::Uniqueness;
use proto_model::{
    Address, ClickFlags, Country, DeviceClass, LinkId, OfferId, PartnerId, StreamNo, UnixMicros, VerdictKind,
};
use proto_rules::{Field, Node, Operator, Rule, RuleSet, RuleSetParts, Value};
use proto_wire::convert::{Unplaced, rule_set_to_wire};
use proto_wire::edge_v1::{Chunk, ClickKey, Link, LinkChunk, Offer, TenantChunk, chunk::Content};
use std::hint::black_box;
use std::net::IpAddr;

const NOW: UnixMicros = UnixMicros(1_760_000_000_000_000);
const AGENT: &[u8] = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/126.0.0.0 Safari/537.36";
const QUERY: &str = "sub1=spring&sub2=banner";
const PAGE: &str = "https://shop.example/mower/7?ref={partner_id}&s={sub1}&c={click_id}";
const RULES: usize = 16;

/// As many as a careful operator has; none of them matches.
fn rules() -> RuleSet {
    let rule = |n: usize| {
        let value = Value::Text(format!("NoSuchSystem{n}"));
        let compare = Node::Compare { field: Field::Os, operator: Operator::Eq, value };
        Rule { id: format!("rule-{n}"), action: VerdictKind::Block, nodes: vec![compare] }
    };
    let rules = (0..RULES).map(rule).collect();
    let parts = RuleSetParts { version: 1, rules, string_sets: vec![], cidr_sets: vec![] };
    RuleSet::try_new(parts).expect("a sound rule set")
}

fn link() -> LinkId {
    LinkId::new(11).expect("a number")
}

fn snapshot() -> Snapshot {
    let offer = Offer {
        id: 1,
        advertiser: 1,
        program: 5,
        destination: PAGE.into(),
        active: true,
        ..Offer::default()
    };
    let settings = TenantChunk {
        click_keys: vec![ClickKey { key_id: 1, key: vec![7; 32], active: true }],
        offers: vec![offer],
        rule_set: Some(rule_set_to_wire(&rules())),
        ..TenantChunk::default()
    };
    let link = Link { id: link().get(), offer: 1, partner: 9, active: true, settings: None };
    let chunk = |content| Chunk { tenant: 1, content: Some(content) };
    let chunks = [chunk(Content::Settings(settings)), chunk(Content::Links(LinkChunk { links: vec![link] }))];
    Snapshot::from_chunks(1, &chunks).expect("a sound snapshot")
}

fn client(agents: &mut AgentCache) -> Client<'static> {
    let hints = hints::Headers { accept_language: b"de-DE,de;q=0.9,en;q=0.8", ..hints::Headers::default() };
    let headers = Headers { user_agent: AGENT, referrer: b"https://blog.example/post/7", hints };
    Client::describe(IpAddr::from([203, 0, 113, 9]), &headers, &Geo::empty(), agents)
}

fn values<'a>(click_id: &'a str, sub_ids: &'a [&'a str]) -> Values<'a> {
    Values {
        click_id,
        offer: OfferId::new(1).expect("a number"),
        partner: PartnerId::new(9).expect("a number"),
        advertiser: proto_model::AdvertiserId::new(1).expect("a number"),
        link: link(),
        sub_ids,
        source: "",
        country: Country::UNKNOWN,
        region: "",
        city: "",
        asn: None,
        ip: None,
        device: DeviceClass::Desktop,
        os: "Windows 10",
        browser: "Chrome",
        language: "de",
        referrer: "https://blog.example/post/7",
        user_agent: "",
        at: NOW,
        random: 1,
    }
}

fn stages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redirect");
    let (snapshot, mut agents) = (snapshot(), AgentCache::new(64));
    group.bench_function("client", |bencher| bencher.iter(|| black_box(client(&mut agents)).device));
    let client = client(&mut agents);
    group.bench_function("query", |bencher| bencher.iter(|| Asked::read(black_box(QUERY))));

    let Resolved::Live(live) = resolve(&snapshot, link(), NOW) else { unreachable!("it takes clicks") };
    group.bench_function("decide, 16 rules", |bencher| {
        bencher.iter(|| {
            let Resolved::Live(live) = resolve(&snapshot, black_box(link()), NOW) else { return None };
            Some(decide(live, &client, (7, Takers::Any), NOW, |_| true).verdict.kind)
        });
    });
    let decision = decide(live, &client, (7, Takers::Any), NOW, |_| true);

    let hasher = IpHasher::default();
    group.bench_function("address", |bencher| bencher.iter(|| client.origin(&hasher, NOW)));
    let (origin, asked) = (client.origin(&hasher, NOW), Asked::read(QUERY));
    let marks = Marks { flags: ClickFlags::default(), uniqueness: Uniqueness::Unique };
    let (mut unplaced, mut bytes) = (Unplaced::default(), Vec::new());
    let address = Address { stream: StreamNo(2), ordinal: 77 };
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            unplaced.write(&decision.record(live, &client, &origin, &asked.sub_ids, marks), || [7; 16]);
            unplaced.place(address, &mut bytes)
        });
    });

    let facts = decision.facts(live, &client, address, ClickFlags::default());
    group.bench_function("seal", |bencher| {
        bencher.iter(|| live.tenant.keys.seal(black_box(&facts), [7; 6]).len());
    });
    let id = live.tenant.keys.seal(&facts, [7; 6]);
    let page = Destination::new(PAGE, "click_id").expect("a landing page");
    group.bench_function("landing page", |bencher| {
        bencher.iter(|| {
            let mut url = String::with_capacity(512);
            let _ = page.fill(&values(&id, &["spring", "banner"]), &mut url);
            url
        });
    });
    let admission = edge::admission::Admission::new(RateLimit { per_second: 1_000_000, burst: 1_000_000 });
    group.bench_function("rate limit", |bencher| bencher.iter(|| admission.admit(black_box(client.ip))));
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
