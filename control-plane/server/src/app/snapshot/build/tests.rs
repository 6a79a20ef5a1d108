use super::*;
use proto_model::{LinkId, OfferId, PartnerId, UnixMicros};

fn id(number: u32) -> TenantId {
    TenantId::new(number).unwrap()
}

fn tenant(number: u32) -> Tenant {
    let name = format!("tenant {number}");
    Tenant { id: id(number), name, fallback_url: None, created_at: UnixMicros(0) }
}

fn link(tenant: u32, number: u64) -> Link {
    Link {
        tenant: id(tenant),
        id: LinkId::new(number).unwrap(),
        offer: OfferId::new(1).unwrap(),
        partner: PartnerId::new(1).unwrap(),
        active: true,
        settings_json: "{}".into(),
        vanity: None,
        created_at: UnixMicros(0),
    }
}

fn catalog(links: impl Iterator<Item = Link>) -> CatalogSnapshot {
    CatalogSnapshot {
        version: 1,
        tenants: vec![tenant(1), tenant(2)],
        click_keys: Vec::new(),
        advertisers: Vec::new(),
        postback_keys: Vec::new(),
        domains: Vec::new(),
        offers: Vec::new(),
        links: links.collect(),
        rule_sets: Vec::new(),
    }
}

fn built(catalog: &CatalogSnapshot) -> BTreeMap<TenantId, TenantChunks> {
    tenants(catalog).map(|(tenant, chunks)| (tenant, chunks.unwrap())).collect()
}

#[test]
fn one_new_link_changes_one_chunk_of_its_tenant() {
    let many = || (1..=20_000u64).map(|number| link(1, number));
    let before = built(&catalog(many()));
    let after = built(&catalog(many().chain([link(1, 30_000)])));
    assert_eq!(before[&id(1)].refs.len(), 1 + 8, "settings and eight buckets");
    assert_eq!(before[&id(2)].refs.len(), 1, "settings only");
    assert!(before[&id(2)] == after[&id(2)]);
    let changed = before[&id(1)].refs.iter().zip(&after[&id(1)].refs).filter(|(a, b)| a != b);
    assert_eq!(changed.count(), 1);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let forth = built(&catalog((1..=100).map(|number| link(1, number))));
    let back = built(&catalog((1..=100).rev().map(|number| link(1, number))));
    assert!(forth[&id(1)] == back[&id(1)]);
}

#[test]
fn a_broken_rule_set_is_its_tenants_own_trouble() {
    let mut catalog = catalog(std::iter::empty());
    catalog.rule_sets.push(RuleSetRecord {
        tenant: id(1),
        version: 1,
        body_json: r#"{"rules":[{"id":"r","action":"block"}]}"#.into(),
        published_at: UnixMicros(0),
    });
    let results: Vec<_> = tenants(&catalog).map(|(tenant, chunks)| (tenant, chunks.is_ok())).collect();
    assert_eq!(results, [(id(1), false), (id(2), true)]);
}
