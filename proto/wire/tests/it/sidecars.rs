//! Personal values: bound to their events while they are there, gone without a trace in signed bytes.

use crate::support::*;
use proptest::prelude::*;
use proto_model::StreamNo;
use proto_model::event::PersonalClass;
use proto_wire::edge_v1::{Event, Sidecar, SidecarEntry};
use proto_wire::envelope::SealedBatch;
use proto_wire::personal::{PersonalError, class_from_wire, decode, verify_entry};

fn one_event() -> (Event, Vec<SidecarEntry>) {
    let (batch, sidecar) = batch_of(1001, &[(a_conversion(), a_person())]);
    (batch.events[0].clone(), sidecar.entries)
}

#[test]
fn an_entry_belongs_to_its_event_alone() {
    let (event, entries) = one_event();
    assert_eq!(entries.len(), 4);
    let entry = &entries[1];
    assert!(verify_entry(&event, STREAM, entry));
    assert!(!verify_entry(&event, StreamNo(STREAM.0 + 1), entry), "another stream");
    assert!(!verify_entry(&Event { ordinal: 1002, ..event.clone() }, STREAM, entry), "another event");
    let changes: [fn(&mut SidecarEntry); 7] = [
        |entry| entry.ordinal += 1,
        |entry| entry.personal_class = 1,
        |entry| entry.personal_class = 258,
        |entry| entry.value.push(0),
        |entry| entry.value[3] ^= 1,
        |entry| entry.salt[0] ^= 1,
        |entry| entry.salt.truncate(15),
    ];
    for change in changes {
        let mut tampered = entry.clone();
        change(&mut tampered);
        assert!(!verify_entry(&event, STREAM, &tampered), "{tampered:?}");
    }
    assert!(!verify_entry(&Event { commitments: vec![], ..event }, STREAM, entry), "never committed to");
}

#[test]
fn after_erasure_the_batch_verifies_and_the_rest_still_reads() {
    let (events, sidecar) = batch_of(1001, &[(a_click(), a_person()), (a_conversion(), a_person())]);
    let batch = SealedBatch::seal(&signing_key(), header_fields(), &events, &sidecar).unwrap();
    let before = batch.verify(&signing_key().public_key()).unwrap();
    let subject = u32::from(PersonalClass::Subject.code());
    let kept: Vec<_> = sidecar.entries.into_iter().filter(|entry| entry.personal_class != subject).collect();

    let erased = batch.with_sidecar(&Sidecar { entries: kept }).unwrap();
    let after = erased.verify(&signing_key().public_key()).unwrap();
    assert_eq!(after.head_hash(), before.head_hash());
    assert_eq!(erased.open(&after).unwrap(), events);
    let left = erased.open_sidecar().unwrap().entries;
    assert_eq!(left.len(), 6);
    let of_first = left.iter().filter(|entry| entry.ordinal == 1001);
    assert!(of_first.clone().all(|entry| verify_entry(&events.events[0], STREAM, entry)));
    let values =
        of_first.map(|entry| (class_from_wire(entry.personal_class).unwrap(), entry.value.as_slice()));
    let person = decode(values).unwrap();
    assert_eq!(person.customer_id, None);
    assert_eq!(person.network, a_person().network);

    let nothing = erased.with_sidecar(&Sidecar::default()).unwrap();
    assert!(nothing.verify(&signing_key().public_key()).is_ok());
    assert_eq!(nothing.open_sidecar().unwrap(), Sidecar::default());
    let none_sent = SealedBatch { sidecar: vec![], ..nothing };
    assert_eq!(none_sent.open_sidecar().unwrap(), Sidecar::default());
}

#[test]
fn signed_bytes_hold_no_personal_value() {
    let (events, _) = batch_of(1001, &[(a_conversion(), a_person())]);
    let signed = prost::Message::encode_to_vec(&events);
    let text = String::from_utf8_lossy(&signed);
    for value in [
        "203.0.113",
        "0123456789abcdef",
        "Mozilla",
        "publisher.example",
        "customer-7",
        "banner",
        "visitor-9b2c",
    ] {
        assert!(!text.contains(value), "{value}");
    }
}

#[test]
fn equal_values_cannot_be_seen_to_be_equal() {
    let (events, _) = batch_of(1001, &[(a_click(), a_person()), (a_click(), a_person())]);
    assert_ne!(events.events[0].commitments, events.events[1].commitments);
}

#[test]
fn impossible_values_are_refused() {
    use prost::Message;
    use proto_wire::edge_v1::{PersonalNetwork, PersonalSubject, PersonalTags, PersonalVisitor};
    let network = |ip_hash: usize, user_agent: &str| {
        let user_agent = user_agent.to_owned();
        PersonalNetwork { ip_hash: vec![0; ip_hash], user_agent, ..Default::default() }.encode_to_vec()
    };
    let subject = |customer_id: &str| PersonalSubject { customer_id: customer_id.into() }.encode_to_vec();
    let visitor = |visitor_id: &str| PersonalVisitor { visitor_id: visitor_id.into() }.encode_to_vec();
    let tags = |count: usize, tag: &str| PersonalTags { sub_ids: vec![tag.into(); count] }.encode_to_vec();
    let cases = [
        (PersonalClass::Network, network(15, "x"), "ip_hash"),
        (PersonalClass::Network, network(16, "x\0"), "user_agent"),
        (PersonalClass::Network, network(16, &"x".repeat(513)), "user_agent"),
        (PersonalClass::Subject, subject(""), "customer_id"),
        (PersonalClass::Subject, subject(&"x".repeat(129)), "customer_id"),
        (PersonalClass::Visitor, visitor(""), "visitor_id"),
        (PersonalClass::Visitor, visitor(&"x".repeat(65)), "visitor_id"),
        (PersonalClass::Tags, tags(9, "x"), "sub_ids"),
        (PersonalClass::Tags, tags(8, &"x".repeat(257)), "sub_ids"),
    ];
    for (class, value, field) in cases {
        assert_eq!(decode([(class, value.as_slice())]), Err(PersonalError::Field(field)));
    }
    assert_eq!(class_from_wire(0), Err(PersonalError::UnknownClass(0)));
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(which in 0usize..3, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (event, mut entries) = one_event();
        let entry = &mut entries[which];
        let len = entry.salt.len() + entry.value.len();
        *entry.salt.iter_mut().chain(&mut entry.value).nth(at.index(len)).unwrap() ^= 1 << bit;
        prop_assert!(!verify_entry(&event, STREAM, entry));
    }
}
