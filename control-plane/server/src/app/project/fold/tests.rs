use super::*;
use crate::app::project::open::{BoundValue, OpenEvent};
use proto_model::event::{
    Authority, FineFacts, Privacy, RecordedFacts, RecordedVerdict, RefusedHit, TrackingEvent,
};
use proto_model::time::HOUR_US;
use proto_model::{Amount, Country, Currency, DeviceClass, OfferId, PartnerId, ProgramId, Reason};

const STREAM: StreamNo = StreamNo(3);

fn tenant() -> TenantId {
    TenantId::new(7).unwrap()
}

fn advertiser() -> AdvertiserId {
    AdvertiserId::new(70).unwrap()
}

fn link() -> LinkId {
    LinkId::new(700).unwrap()
}

fn offer() -> OfferId {
    OfferId::new(71).unwrap()
}

fn target() -> LinkTarget {
    let (partner, program) = (PartnerId::new(72).unwrap(), ProgramId::new(73).unwrap());
    LinkTarget { offer: offer(), partner, program, advertiser: advertiser() }
}

fn event(ordinal: u64, verdict: VerdictKind, body: Body) -> OpenEvent {
    let facts = RecordedFacts {
        country: Country::parse("CN"),
        device: DeviceClass::Mobile,
        os: "Android".into(),
        browser: "Chrome".into(),
        geo_version: 0,
        fine: FineFacts::default(),
        privacy: Privacy::Full,
        privacy_policy: 1,
    };
    let rule_id = (verdict != VerdictKind::Allow).then(|| "r1".to_owned());
    let verdict = RecordedVerdict { kind: verdict, rule_id, rule_set_version: 4 };
    let occurred_at = UnixMicros(5 * HOUR_US + 1);
    let event = TrackingEvent { tenant: tenant(), occurred_at, facts, verdict, body };
    OpenEvent { ordinal, event, values: Vec::new(), customer_id: None, visitor_id: None }
}

fn click() -> Body {
    clicked(ClickFlags::default(), Uniqueness::Repeated)
}

fn clicked(flags: ClickFlags, uniqueness: Uniqueness) -> Body {
    let LinkTarget { offer, partner, program, advertiser } = target();
    Body::Click(Click { link: link(), offer, partner, program, advertiser, flags, uniqueness })
}

fn shown() -> Body {
    let LinkTarget { offer, partner, program, advertiser } = target();
    let flags = ClickFlags::default();
    Body::Impression(Impression { link: link(), offer, partner, program, advertiser, flags })
}

fn facts(link: LinkId) -> ClickFacts {
    ClickFacts {
        tenant: tenant(),
        link,
        offer: offer(),
        at_secs: 17_000,
        address: Address { stream: StreamNo(4), ordinal: 9 },
        country: Country::parse("CN"),
        device: DeviceClass::Mobile,
        verdict: VerdictKind::Allow,
        rule_set_version: 4,
        flags: ClickFlags::default(),
    }
}

fn sale(click: Option<ClickFacts>) -> Body {
    Body::Conversion(ConversionHit {
        advertiser: advertiser(),
        authority: Authority::TokenPostback,
        click,
        order_id: "A-1".into(),
        goal: "sale".into(),
        event_id: None,
        amount: Some(Amount::new(1990, Currency::parse("USD").unwrap())),
        coupon: None,
    })
}

fn folded(events: Vec<OpenEvent>) -> Projection {
    let batch = OpenBatch { events, ..OpenBatch::default() };
    let links = Links::from([((tenant(), link()), target())]);
    let customers = Customers::from([
        ((tenant(), Who::Customer("c-1".into())), CustomerRef([9; 16])),
        ((tenant(), Who::Visitor("c-1".into())), CustomerRef([8; 16])),
    ]);
    fold(&batch, STREAM, &links, &customers)
}

/// Where an allowed hit on the link falls.
fn key(kind: HitKind) -> RollupKey<'static> {
    RollupKey {
        tenant: tenant(),
        hour: UnixMicros(5 * HOUR_US),
        kind,
        advertiser: advertiser(),
        offer: Some(offer()),
        partner: Some(target().partner),
        link: Some(link()),
        country: Country::parse("CN"),
        device: DeviceClass::Mobile,
        verdict: VerdictKind::Allow,
        rule_id: None,
        rule_set_version: 4,
        unique: false,
    }
}

#[test]
fn what_is_shown_and_what_is_tested_is_counted_apart() {
    let test = ClickFlags(ClickFlags::TEST);
    let allow = |ordinal, body| event(ordinal, VerdictKind::Allow, body);
    let out = folded(vec![
        allow(1, clicked(ClickFlags::default(), Uniqueness::Unique)),
        allow(2, click()),
        allow(3, shown()),
        allow(4, clicked(test, Uniqueness::Unique)),
    ]);
    let unique = RollupKey { unique: true, ..key(HitKind::Click) };
    let tested = RollupKey { unique: true, ..key(HitKind::Test) };
    let expected = [(unique, 1), (key(HitKind::Click), 1), (key(HitKind::Impression), 1), (tested, 1)].into();
    assert_eq!(out.rollups, expected);
    assert!(out.intake.is_empty());
}

#[test]
fn a_touch_binds_the_click_to_everybody_it_names() {
    let touch = |flags| {
        let click = ClickFacts { flags, ..facts(link()) };
        let mut touch =
            event(5, VerdictKind::Allow, Body::Touch(TouchHit { advertiser: advertiser(), click }));
        (touch.customer_id, touch.visitor_id) = (Some("c-1".into()), Some("c-1".into()));
        let value = |class| BoundValue { class, salt: [1; 16], value: b"c-1".to_vec() };
        touch.values = vec![value(PersonalClass::Subject), value(PersonalClass::Visitor)];
        touch
    };
    let out = folded(vec![touch(ClickFlags::default())]);
    let bound: Vec<_> = out
        .intake
        .iter()
        .map(|(shard, input)| {
            let Input::Touch(touch) = input else { panic!("{input:?}") };
            assert_eq!(*shard, ShardKey::advertiser(tenant(), advertiser()));
            assert_eq!(
                (touch.click.partner, touch.bound_at, touch.vouched),
                (target().partner, UnixMicros(5 * HOUR_US + 1), Vouched::Page)
            );
            touch.customer
        })
        .collect();
    assert_eq!(bound, [CustomerRef([9; 16]), CustomerRef([8; 16])]);
    let found: Vec<_> = out.sidecar.iter().map(|row| row.customer).collect();
    assert_eq!(
        found,
        [Some(CustomerRef([9; 16])), Some(CustomerRef([8; 16]))],
        "each is erased by its own name"
    );
    assert_eq!(out.rollups, [(key(HitKind::Touch), 1)].into());

    let tested = folded(vec![touch(ClickFlags(ClickFlags::TEST))]);
    assert_eq!((tested.intake.len(), tested.rollups), (0, [(key(HitKind::Test), 1)].into()));
    let blocked = OpenEvent {
        event: TrackingEvent {
            verdict: RecordedVerdict { kind: VerdictKind::Block, rule_id: None, rule_set_version: 4 },
            ..touch(ClickFlags::default()).event
        },
        ..touch(ClickFlags::default())
    };
    assert!(folded(vec![blocked]).intake.is_empty());
    let nobody = OpenEvent { customer_id: None, visitor_id: None, ..touch(ClickFlags::default()) };
    assert!(folded(vec![nobody]).intake.is_empty());
}

#[test]
fn a_visitor_stands_for_a_customer_who_is_not_named() {
    let mut converted = event(5, VerdictKind::Allow, sale(None));
    converted.visitor_id = Some("c-1".into());
    let out = folded(vec![converted]);
    let [(_, Input::Conversion(report))] = out.intake.as_slice() else { panic!("{:?}", out.intake) };
    assert_eq!(report.customer, Some(CustomerRef([8; 16])));
}

#[test]
fn hits_of_one_kind_share_one_row() {
    let allow = |ordinal| event(ordinal, VerdictKind::Allow, click());
    let out = folded(vec![allow(1), allow(2), event(3, VerdictKind::Block, click())]);
    let allowed = key(HitKind::Click);
    let blocked = RollupKey { verdict: VerdictKind::Block, rule_id: Some("r1"), ..allowed };
    assert_eq!(out.rollups, [(allowed, 2), (blocked, 1)].into());
    assert!(out.intake.is_empty());
}

#[test]
fn a_conversion_goes_to_its_advertiser_with_the_clicks_partner() {
    let mut converted = event(5, VerdictKind::Allow, sale(Some(facts(link()))));
    converted.customer_id = Some("c-1".into());
    converted.values =
        vec![BoundValue { class: PersonalClass::Subject, salt: [1; 16], value: b"c-1".to_vec() }];
    let out = folded(vec![converted]);
    let [(shard, Input::Conversion(report))] = out.intake.as_slice() else { panic!("{:?}", out.intake) };
    assert_eq!(*shard, ShardKey::advertiser(tenant(), advertiser()));
    let credit = report.click.unwrap();
    assert_eq!((credit.partner, credit.program), (target().partner, target().program));
    assert_eq!(report.customer, Some(CustomerRef([9; 16])));
    assert_eq!(report.source, Source::Journal(Address { stream: STREAM, ordinal: 5 }));
    assert_eq!(out.sidecar[0].customer, report.customer, "found again when the customer is erased");
    assert_eq!(out.rollups, [(key(HitKind::Conversion), 1)].into());
}

#[test]
fn what_cannot_be_credited_is_kept_and_shown() {
    let unknown = LinkId::new(999).unwrap();
    let out = folded(vec![event(1, VerdictKind::Allow, sale(Some(facts(unknown))))]);
    assert!(matches!(&out.intake[..], [(_, Input::Conversion(report))] if report.click.is_none()));
    assert_eq!(out.signals[0].kind, "click_link_unknown");

    let out = folded(vec![event(1, VerdictKind::Block, sale(None))]);
    assert!(out.intake.is_empty(), "a blocked conversion moves no money");
    let blocked = RollupKey {
        verdict: VerdictKind::Block,
        rule_id: Some("r1"),
        link: None,
        offer: None,
        partner: None,
        ..key(HitKind::Conversion)
    };
    assert_eq!(out.rollups, [(blocked, 1)].into());
}

#[test]
fn refused_hits_and_mismatched_values_are_counted() {
    let refused = RefusedHit {
        advertiser: advertiser(),
        authority: Authority::Pixel,
        reason: Reason::InvalidClickId,
        order_id: None,
        link: None,
    };
    let events = vec![event(1, VerdictKind::Allow, Body::Refused(refused))];
    let mismatched = BTreeMap::from([(tenant(), (2, 1))]);
    let batch = OpenBatch { events, mismatched, ..OpenBatch::default() };
    let out = fold(&batch, STREAM, &Links::new(), &Customers::new());
    assert_eq!(out.refused.values().sum::<u64>(), 1);
    assert!(out.rollups.is_empty());
    assert_eq!(out.signals[0].kind, "sidecar_mismatch");
    let again = fold(&batch, STREAM, &Links::new(), &Customers::new());
    assert_eq!(out.signals[0].id, again.signals[0].id);
}
