//! What a batch means: a pure function from its events to what is written.

use super::open::{OpenBatch, OpenEvent};
use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, CustomerRef, Input, ShardKey, Source, Touch, Vouched,
};
use control_plane_store::projection::{
    Customers, FraudSignal, HitKind, LinkTarget, Projection, RefusedKey, RollupKey, SidecarRow, Who,
};
use proto_model::event::{Body, Click, ConversionHit, Impression, PersonalClass, TouchHit, Uniqueness};
use proto_model::{
    Address, AdvertiserId, ClickFacts, ClickFlags, DerivedId, LinkId, StreamNo, TenantId, UnixMicros,
    VerdictKind,
};
use std::collections::{BTreeMap, BTreeSet};

pub type Links = BTreeMap<(TenantId, LinkId), LinkTarget>;

fn click_of(event: &OpenEvent) -> Option<ClickFacts> {
    match &event.event.body {
        Body::Conversion(hit) => hit.click,
        Body::Touch(touch) => Some(touch.click),
        Body::Click(_) | Body::Impression(_) | Body::Refused(_) => None,
    }
}

/// The links whose partner and program must be known.
pub fn links_of(batch: &OpenBatch) -> Vec<(TenantId, LinkId)> {
    let links = batch.events.iter().filter_map(|event| Some((event.event.tenant, click_of(event)?.link)));
    links.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The customers and visitors that must have a pseudonym.
pub fn people_of(batch: &OpenBatch) -> BTreeSet<(TenantId, Who)> {
    let named = |event: &OpenEvent| {
        let tenant = event.event.tenant;
        let customer = event.customer_id.clone().map(Who::Customer);
        let visitor = event.visitor_id.clone().map(Who::Visitor);
        customer.into_iter().chain(visitor).map(move |who| (tenant, who))
    };
    batch.events.iter().flat_map(named).collect()
}

/// Whom an event names.
#[derive(Clone, Copy, Default)]
struct People {
    customer: Option<CustomerRef>,
    visitor: Option<CustomerRef>,
}

impl People {
    fn of(event: &OpenEvent, customers: &Customers) -> Self {
        let known = |who: Who| customers.get(&(event.event.tenant, who)).copied();
        Self {
            customer: event.customer_id.clone().and_then(|id| known(Who::Customer(id))),
            visitor: event.visitor_id.clone().and_then(|id| known(Who::Visitor(id))),
        }
    }

    /// The one to whom a conversion belongs: a customer stays the same on every device.
    fn first(self) -> Option<CustomerRef> {
        self.customer.or(self.visitor)
    }
}

pub fn fold(batch: &OpenBatch, stream: StreamNo, links: &Links, customers: &Customers) -> Projection {
    let mut out = Projection::default();
    for event in &batch.events {
        let address = Address { stream, ordinal: event.ordinal };
        let people = People::of(event, customers);
        match &event.event.body {
            Body::Click(click) => count_click(&mut out, event, click),
            Body::Impression(shown) => count_impression(&mut out, event, shown),
            Body::Touch(hit) => touch(&mut out, event, hit, address, links, people),
            Body::Conversion(hit) => conversion(&mut out, event, hit, address, links, people.first()),
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
            customer: match value.class {
                PersonalClass::Visitor => people.visitor,
                _ => people.first(),
            },
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
        unique: false,
    }
}

fn count_click(out: &mut Projection, event: &OpenEvent, click: &Click) {
    let key = RollupKey {
        offer: Some(click.offer),
        partner: Some(click.partner),
        link: Some(click.link),
        unique: click.uniqueness == Uniqueness::Unique,
        ..rollup(event, counted_as(HitKind::Click, click.flags), click.advertiser)
    };
    out.rollups.add(&key, 1);
}

fn count_impression(out: &mut Projection, event: &OpenEvent, shown: &Impression) {
    let kind = counted_as(HitKind::Impression, shown.flags);
    let key = RollupKey {
        offer: Some(shown.offer),
        partner: Some(shown.partner),
        link: Some(shown.link),
        ..rollup(event, kind, shown.advertiser)
    };
    out.rollups.add(&key, 1);
}

fn counted_as(kind: HitKind, flags: ClickFlags) -> HitKind {
    if flags.test() { HitKind::Test } else { kind }
}

fn touch(
    out: &mut Projection,
    event: &OpenEvent,
    hit: &TouchHit,
    address: Address,
    links: &Links,
    people: People,
) {
    let tenant = event.event.tenant;
    let Some(click) = credit(&hit.click, links.get(&(tenant, hit.click.link))) else {
        let detail = "a touch names a click on a link that does not exist".to_owned();
        out.signals.push(signal(tenant, "click_link_unknown", address, detail, event.event.occurred_at));
        return;
    };
    let key = RollupKey {
        offer: Some(click.click.offer),
        partner: Some(click.partner),
        link: Some(click.click.link),
        ..rollup(event, counted_as(HitKind::Touch, hit.click.flags), hit.advertiser)
    };
    out.rollups.add(&key, 1);
    if event.event.verdict.kind == VerdictKind::Block || hit.click.flags.test() {
        return;
    }
    // Of both: a conversion may name either.
    let shard = ShardKey::advertiser(tenant, hit.advertiser);
    for customer in [people.customer, people.visitor].into_iter().flatten() {
        // What an edge records of a touch is what a page said.
        let touch = Touch { customer, click, bound_at: event.event.occurred_at, vouched: Vouched::Page };
        out.intake.push((shard, Input::Touch(touch)));
    }
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
