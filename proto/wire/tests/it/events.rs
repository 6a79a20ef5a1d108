//! Events survive the wire; what no edge should send is refused by name.

use crate::support::*;
use proptest::prelude::*;
use prost::Message;
use proto_model::Address;
use proto_wire::convert::{
    ConvertError, HitRef, JournalEvent, SkipReason, Unplaced, event_from_wire, event_to_wire, skipped_to_wire,
};
use proto_wire::edge_v1::{Commitment, Event, Sidecar, event};
use proto_wire::limits::EVENT_LEN_MAX;
use proto_wire::personal;

proptest! {
    #[test]
    fn events_round_trip(tracked in tracking_event(), person in personal(), ordinal in 1u64..1 << 48) {
        let (event, entries) = event_to_wire(&tracked, STREAM, ordinal, &person, counted_salts());
        prop_assert!(event.encoded_len() <= EVENT_LEN_MAX);
        let decoded = Event::decode(event.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(event_from_wire(&decoded), Ok(JournalEvent::Tracking { ordinal, event: tracked }));

        prop_assert!(entries.iter().all(|entry| personal::verify_entry(&event, STREAM, entry)));
        let values = entries.iter().map(|entry| {
            (personal::class_from_wire(entry.personal_class).unwrap(), entry.value.as_slice())
        });
        prop_assert_eq!(personal::decode(values), Ok(person));
    }
}

proptest! {
    #[test]
    fn written_by_hand_the_bytes_are_those_of_prost(
        tracked in tracking_event(), person in personal(), ordinal in 1u64..1 << 48, long in 0usize..300,
    ) {
        let (mut tracked, mut person) = (tracked, person);
        // Lengths around 128, where a varint takes a second byte; and what must be cleaned.
        tracked.facts.os = "\u{7f}o".repeat(long);
        if let Some(network) = &mut person.network {
            network.user_agent = "é\n".repeat(long);
        }
        let (event, entries) = event_to_wire(&tracked, STREAM, ordinal, &person, counted_salts());
        let mut expected = b"before".to_vec();
        event.encode(&mut expected).unwrap();
        Sidecar { entries }.encode(&mut expected).unwrap();

        let mut unplaced = Unplaced::default();
        unplaced.write(&HitRef::new(&a_conversion(), &a_person()), counted_salts());
        unplaced.write(&HitRef::new(&tracked, &person), counted_salts());
        let mut found = b"before".to_vec();
        let event_len = unplaced.place(Address { stream: STREAM, ordinal }, &mut found);
        prop_assert_eq!(event_len, Some(event.encoded_len()));
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn what_is_too_large_to_be_sealed_is_not_placed() {
    let mut person = a_person();
    person.customer_id = Some("c".repeat(5000));
    let mut unplaced = Unplaced::default();
    unplaced.write(&HitRef::new(&a_click(), &person), counted_salts());
    assert_eq!(unplaced.place(Address { stream: STREAM, ordinal: 1 }, &mut Vec::new()), None);
}

fn click() -> Event {
    event_to_wire(&a_click(), STREAM, 7, &a_person(), counted_salts()).0
}

fn conversion() -> Event {
    event_to_wire(&a_conversion(), STREAM, 7, &a_person(), counted_salts()).0
}

fn refusal() -> Event {
    event_to_wire(&a_refusal(), STREAM, 7, &a_person(), counted_salts()).0
}

fn touch() -> Event {
    event_to_wire(&a_touch(), STREAM, 7, &a_person(), counted_salts()).0
}

fn impression() -> Event {
    event_to_wire(&an_impression(), STREAM, 7, &a_person(), counted_salts()).0
}

fn changed(change: fn(&mut Event)) -> Event {
    let mut event = click();
    change(&mut event);
    event
}

fn clicked(change: fn(&mut proto_wire::edge_v1::Click)) -> Event {
    let mut event = click();
    if let Some(event::Body::Click(body)) = &mut event.body {
        change(body);
    }
    event
}

fn converted(change: fn(&mut proto_wire::edge_v1::Conversion)) -> Event {
    let mut event = conversion();
    if let Some(event::Body::Conversion(body)) = &mut event.body {
        change(body);
    }
    event
}

fn refused(change: fn(&mut proto_wire::edge_v1::Refused)) -> Event {
    let mut event = refusal();
    if let Some(event::Body::Refused(body)) = &mut event.body {
        change(body);
    }
    event
}

fn touched(change: fn(&mut proto_wire::edge_v1::Touch)) -> Event {
    let mut event = touch();
    if let Some(event::Body::Touch(body)) = &mut event.body {
        change(body);
    }
    event
}

fn shown(change: fn(&mut proto_wire::edge_v1::Impression)) -> Event {
    let mut event = impression();
    if let Some(event::Body::Impression(body)) = &mut event.body {
        change(body);
    }
    event
}

#[test]
fn impossible_frames_are_refused() {
    let cases: &[(&str, Event)] = &[
        ("ordinal", changed(|e| e.ordinal = 0)),
        ("ordinal", changed(|e| e.ordinal = 1 << 48)),
        ("tenant", changed(|e| e.tenant = 0)),
        ("occurred_at", changed(|e| e.occurred_at_micros = 0)),
        ("occurred_at", changed(|e| e.occurred_at_micros = i64::MIN)),
        ("occurred_at", changed(|e| e.occurred_at_micros = i64::MAX)),
        ("facts", changed(|e| e.facts = None)),
        ("verdict", changed(|e| e.verdict = None)),
        ("body", changed(|e| e.body = None)),
        ("country", changed(|e| e.facts.as_mut().unwrap().country = "cn".into())),
        ("country", changed(|e| e.facts.as_mut().unwrap().country = String::new())),
        ("device", changed(|e| e.facts.as_mut().unwrap().device = 7)),
        ("device", changed(|e| e.facts.as_mut().unwrap().device = 256)),
        ("os", changed(|e| e.facts.as_mut().unwrap().os = "x".repeat(65))),
        ("browser", changed(|e| e.facts.as_mut().unwrap().browser = "a\0".into())),
        ("region", changed(|e| e.facts.as_mut().unwrap().region = "x".repeat(65))),
        ("city", changed(|e| e.facts.as_mut().unwrap().city = "a\nb".into())),
        ("language", changed(|e| e.facts.as_mut().unwrap().language = "x".repeat(9))),
        ("connection", changed(|e| e.facts.as_mut().unwrap().connection = "x".repeat(9))),
        ("privacy", changed(|e| e.facts.as_mut().unwrap().privacy = 3)),
        ("verdict", changed(|e| e.verdict.as_mut().unwrap().kind = 3)),
        ("rule_id", changed(|e| e.verdict.as_mut().unwrap().rule_id = "x".repeat(65))),
        ("personal class", changed(|e| e.commitments[0].personal_class = 9)),
        ("commitment", changed(|e| e.commitments[0].digest.truncate(31))),
        ("commitment", changed(|e| e.commitments[1] = e.commitments[0].clone())),
    ];
    refuse_all(cases);
}

#[test]
fn impossible_bodies_are_refused() {
    let cases: &[(&str, Event)] = &[
        ("link", clicked(|c| c.link = 1 << 40)),
        ("offer", clicked(|c| c.offer = 0)),
        ("partner", clicked(|c| c.partner = 0)),
        ("program", clicked(|c| c.program = u64::MAX)),
        ("advertiser", clicked(|c| c.advertiser = 0)),
        ("flags", clicked(|c| c.flags = 256)),
        ("uniqueness", clicked(|c| c.uniqueness = 3)),
        ("link", shown(|i| i.link = 0)),
        ("flags", shown(|i| i.flags = 256)),
        ("advertiser", touched(|t| t.advertiser = 0)),
        ("click", touched(|t| t.click = None)),
        ("click offer", touched(|t| t.click.as_mut().unwrap().offer = 0)),
        ("link", refused(|r| r.link = 1 << 40)),
        ("advertiser", converted(|c| c.advertiser = 0)),
        ("authority", converted(|c| c.authority = 0)),
        ("order_id", converted(|c| c.order_id = String::new())),
        ("order_id", converted(|c| c.order_id = "x".repeat(129))),
        ("order_id", converted(|c| c.order_id = "1\n2".into())),
        ("goal", converted(|c| c.goal = String::new())),
        ("event_id", converted(|c| c.event_id = "x".repeat(129))),
        ("coupon", converted(|c| c.coupon = "x".repeat(65))),
        ("amount", converted(|c| c.amount_minor = -1)),
        ("amount", converted(|c| c.amount_minor = i64::MAX)),
        ("amount", converted(|c| c.currency = String::new())),
        ("currency", converted(|c| c.currency = "XXX".into())),
        ("click link", converted(|c| c.click.as_mut().unwrap().link = 0)),
        ("click offer", converted(|c| c.click.as_mut().unwrap().offer = 1 << 40)),
        ("click ordinal", converted(|c| c.click.as_mut().unwrap().ordinal = 1 << 48)),
        ("click device", converted(|c| c.click.as_mut().unwrap().device = 7)),
        ("click verdict", converted(|c| c.click.as_mut().unwrap().verdict = 3)),
        ("country", converted(|c| c.click.as_mut().unwrap().country = "1A".into())),
        ("flags", converted(|c| c.click.as_mut().unwrap().flags = 256)),
        ("reason", refused(|r| r.reason = 0)),
        ("reason", refused(|r| r.reason = 255)),
        ("authority", refused(|r| r.authority = 4)),
        ("order_id", refused(|r| r.order_id = "x".repeat(129))),
    ];
    refuse_all(cases);
}

#[test]
fn a_skipped_range_carries_nothing_else() {
    for reason in [SkipReason::Unclean, SkipReason::Lost, SkipReason::Bounded] {
        let expected = JournalEvent::Skipped { from: 3, through: 3, reason };
        assert_eq!(event_from_wire(&skipped_to_wire(3, 3, reason)), Ok(expected));
        assert_eq!(SkipReason::from_code(reason.code()), Some(reason));
    }
    let skipped = |from, through| skipped_to_wire(from, through, SkipReason::Lost);
    let commitment = Commitment { personal_class: 1, digest: vec![0; 32] };
    let cases = [
        skipped(3, 2),
        skipped(3, 1 << 48),
        Event { tenant: 1, ..skipped(3, 4) },
        Event { occurred_at_micros: 1, ..skipped(3, 4) },
        Event { commitments: vec![commitment], ..skipped(3, 4) },
    ];
    refuse_all(&cases.map(|event| ("skipped", event)));
    let of_reason = |reason| {
        let body = Some(event::Body::Skipped(proto_wire::edge_v1::Skipped { through: 4, reason }));
        ("skip reason", Event { body, ..skipped(3, 4) })
    };
    refuse_all(&[0, 4, u32::MAX].map(of_reason));
}

fn refuse_all(cases: &[(&'static str, Event)]) {
    for (field, event) in cases {
        let error = ConvertError::Field { ordinal: event.ordinal, field };
        assert_eq!(event_from_wire(event), Err(error), "{event:?}");
    }
}

#[test]
fn descriptions_are_cut_to_their_limits_and_refused_order_ids_too() {
    let mut tracked = a_refusal();
    tracked.facts.os = "O".repeat(500);
    let proto_model::event::Body::Refused(hit) = &mut tracked.body else { panic!("a refusal") };
    hit.order_id = Some("订".repeat(500) + "\n");
    let mut person = a_person();
    person.network.as_mut().unwrap().user_agent = "Moz\r\nilla ".repeat(200);
    person.sub_ids = vec!["x\0".repeat(500); 20];
    let (event, entries) = event_to_wire(&tracked, STREAM, 7, &person, counted_salts());
    assert!(event_from_wire(&event).is_ok());
    let values = entries
        .iter()
        .map(|entry| (personal::class_from_wire(entry.personal_class).unwrap(), entry.value.as_slice()));
    let read = personal::decode(values).unwrap();
    assert_eq!(read.sub_ids.len(), 8);
    assert_eq!(read.network.unwrap().user_agent.len(), 512);
}
