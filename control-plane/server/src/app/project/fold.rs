//! What a batch means: a pure function from its events to what is written.

use super::open::{OpenBatch, OpenEvent};
use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, CustomerRef, Input, ShardKey, Source,
};
use control_plane_store::projection::{
    Customers, FraudSignal, HitKind, LinkTarget, Projection, RefusedKey, RollupKey, SidecarRow,
};
use proto_model::event::{Body, Click, ConversionHit};
use proto_model::{
    Address, AdvertiserId, ClickFacts, DerivedId, LinkId, StreamNo, TenantId, UnixMicros, VerdictKind,
};
use std::collections::{BTreeMap, BTreeSet};

pub type Links = BTreeMap<(TenantId, LinkId), LinkTarget>;

fn click_of(event: &OpenEvent) -> Option<ClickFacts> {
    match &event.event.body {
        Body::Conversion(hit) => hit.click,
        Body::Click(_) | Body::Refused(_) => None,
    }
}

/// The links whose partner and program must be known.
pub fn links_of(batch: &OpenBatch) -> Vec<(TenantId, LinkId)> {
    let links = batch.events.iter().filter_map(|event| Some((event.event.tenant, click_of(event)?.link)));
    links.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The customers that must have a pseudonym.
pub fn customer_ids_of(batch: &OpenBatch) -> BTreeSet<(TenantId, String)> {
    let named = |event: &OpenEvent| Some((event.event.tenant, event.customer_id.clone()?));
    batch.events.iter().filter_map(named).collect()
}

pub fn fold(batch: &OpenBatch, stream: StreamNo, links: &Links, customers: &Customers) -> Projection {
    let mut out = Projection::default();
    for event in &batch.events {
        let address = Address { stream, ordinal: event.ordinal };
        let customer = event
            .customer_id
            .as_ref()
            .and_then(|id| customers.get(&(event.event.tenant, id.clone())).copied());
        match &event.event.body {
            Body::Click(click) => count_click(&mut out, event, click),
            Body::Conversion(hit) => conversion(&mut out, event, hit, address, links, customer),
            Body::Refused(hit) => {
                let key = RefusedKey {
                    tenant: event.event.tenant,
                    hour: event.event.occurred_at.hour_start(),
                    advertiser: hit.advertiser,
                    reason: hit.reason,
                };
                *out.refused.entry(key).or_default() += 1;
            }
        }
        out.sidecar.extend(event.values.iter().map(|value| SidecarRow {
            tenant: event.event.tenant,
            address,
            class: value.class,
            salt: value.salt,
            value: value.value.clone(),
            customer,
        }));
    }
    for (tenant, (count, ordinal)) in &batch.mismatched {
        let detail = format!("{count} personal values do not match what the edge has signed");
        let at = batch.events.first().map_or(UnixMicros(0), |event| event.event.occurred_at);
        out.signals.push(signal(
            *tenant,
            "sidecar_mismatch",
            Address { stream, ordinal: *ordinal },
            detail,
            at,
        ));
    }
    out
}

fn rollup(event: &OpenEvent, kind: HitKind, advertiser: AdvertiserId) -> RollupKey<'_> {
    let tracked = &event.event;
    RollupKey {
        tenant: tracked.tenant,
        hour: tracked.occurred_at.hour_start(),
        kind,
        advertiser,
        offer: None,
        partner: None,
        link: None,
        country: tracked.facts.country,
        device: tracked.facts.device,
        verdict: tracked.verdict.kind,
        rule_id: tracked.verdict.rule_id.as_deref(),
        rule_set_version: tracked.verdict.rule_set_version,
    }
}

fn count_click(out: &mut Projection, event: &OpenEvent, click: &Click) {
    let key = RollupKey {
        offer: Some(click.offer),
        partner: Some(click.partner),
        link: Some(click.link),
        ..rollup(event, HitKind::Click, click.advertiser)
    };
    out.rollups.add(&key, 1);
}

fn conversion(
    out: &mut Projection,
    event: &OpenEvent,
    hit: &ConversionHit,
    address: Address,
    links: &Links,
    customer: Option<CustomerRef>,
) {
    let tenant = event.event.tenant;
    let credit = hit.click.and_then(|click| credit(&click, links.get(&(tenant, click.link))));
    if hit.click.is_some() && credit.is_none() {
        let detail = format!("order {} names a click on a link that does not exist", hit.order_id);
        out.signals.push(signal(tenant, "click_link_unknown", address, detail, event.event.occurred_at));
    }
    let key = RollupKey {
        offer: credit.map(|credit| credit.click.offer),
        partner: credit.map(|credit| credit.partner),
        link: credit.map(|credit| credit.click.link),
        ..rollup(event, HitKind::Conversion, hit.advertiser)
    };
    out.rollups.add(&key, 1);
    // A hit that the tenant's own rules block stays visible in the roll-ups and moves no money.
    if event.event.verdict.kind == VerdictKind::Block {
        return;
    }
    let report = ConversionReport {
        key: ConversionKey {
            order_id: hit.order_id.clone(),
            goal: hit.goal.clone(),
            event_id: hit.event_id.clone(),
        },
        authority: hit.authority,
        amount: hit.amount,
        click: credit,
        customer,
        coupon: hit.coupon.clone(),
        occurred_at: event.event.occurred_at,
        source: Source::Journal(address),
    };
    out.intake.push((ShardKey::advertiser(tenant, hit.advertiser), Input::Conversion(report)));
}

fn credit(click: &ClickFacts, target: Option<&LinkTarget>) -> Option<ClickCredit> {
    target.map(|target| ClickCredit { click: *click, partner: target.partner, program: target.program })
}

/// The id follows from what it is about, so that a second look finds the same signal.
pub fn signal(tenant: TenantId, kind: &str, address: Address, detail: String, at: UnixMicros) -> FraudSignal {
    let parts: [&[u8]; 4] = [
        &tenant.get().to_be_bytes(),
        kind.as_bytes(),
        &address.stream.0.to_be_bytes(),
        &address.ordinal.to_be_bytes(),
    ];
    FraudSignal { tenant, id: DerivedId::of("signal", &parts), kind: kind.to_owned(), address, detail, at }
}

#[cfg(test)]
mod tests;
