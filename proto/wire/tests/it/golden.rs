//! Frozen bytes. A change that fails here would make ids, journals or signatures of the past unreadable:
//! it needs a new version number beside the old one, never new golden values.

use crate::support::*;
use prost::Message;
use proto_model::event::{Body, FineFacts, Personal, PersonalClass, Privacy, TrackingEvent, Uniqueness};
use proto_model::{
    Address, ClickFacts, ClickFlags, Country, DeviceClass, EdgeId, Lane, LinkId, OfferId, StreamNo,
    VerdictKind,
};
use proto_wire::convert::{JournalEvent, SkipReason, event_from_wire, event_to_wire, skipped_to_wire};
use proto_wire::edge_v1::{Event, EventBatch, Sidecar};
use proto_wire::envelope::{AckStatement, GapDeclaration, GapReason, Header, SealedBatch};
use proto_wire::{join, keys, personal};

const CLICK_IDS: &str = include_str!("golden/click_ids.hex");
const SIGNED: &str = include_str!("golden/signed.hex");
const BATCH: &str = include_str!("golden/batch.hex");
const HITS: &str = include_str!("golden/hits.hex");

fn edge() -> EdgeId {
    EdgeId::new(0x01_0203_0405).unwrap()
}

fn smallest() -> ClickFacts {
    ClickFacts {
        tenant: tenant(),
        link: LinkId::new(1).unwrap(),
        offer: OfferId::new(1).unwrap(),
        at_secs: 0,
        address: Address { stream: StreamNo(0), ordinal: 0 },
        country: Country::UNKNOWN,
        device: DeviceClass::Unknown,
        verdict: VerdictKind::Allow,
        rule_set_version: 0,
        flags: ClickFlags(0),
    }
}

fn largest() -> ClickFacts {
    ClickFacts {
        tenant: tenant(),
        link: LinkId::new(LinkId::MAX).unwrap(),
        offer: OfferId::new(OfferId::MAX).unwrap(),
        at_secs: u32::MAX,
        address: Address { stream: StreamNo(u32::MAX), ordinal: (1 << 48) - 1 },
        country: Country::parse("US"),
        device: DeviceClass::Other,
        verdict: VerdictKind::Block,
        rule_set_version: u32::MAX,
        flags: ClickFlags(u8::MAX),
    }
}

#[test]
fn click_ids() {
    let golden = golden(CLICK_IDS);
    let keys = click_keys();
    for (name, facts) in
        [("typical", click_facts_of_a_click()), ("smallest", smallest()), ("largest", largest())]
    {
        let nonce = unhex(golden[&*format!("{name}.nonce")]).try_into().unwrap();
        let id = golden[&*format!("{name}.id")];
        assert_eq!(&*keys.seal(&facts, nonce), id, "{name}");
        assert_eq!(keys.open(id), Ok(facts), "{name}");
        assert_eq!(hex(&raw_plaintext(id)), golden[&*format!("{name}.plaintext")], "{name}");
    }
}

/// Opens an id with the bare cipher, so that the layout is seen and not only its round trip.
fn raw_plaintext(id: &str) -> Vec<u8> {
    use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
    use base64::Engine;
    let mut sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &click_key(7).key).unwrap());
    let mut nonce = [0; 12];
    nonce[..6].copy_from_slice(&sealed[2..8]);
    let aad = [&b"tributary-click-v1\0\x01\x07"[..], &tenant().get().to_be_bytes()].concat();
    key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed[8..]).unwrap().to_vec()
}

#[test]
fn a_signed_header() {
    let golden = golden(SIGNED);
    let key = key_of_seed(&unhex(golden["seed"]));
    assert_eq!(hex(&key.public()), golden["public_key"]);
    let header = Header {
        edge: edge(),
        epoch: 3,
        lane: Lane::Money,
        stream: StreamNo(9),
        first_ordinal: 1_000_001,
        last_ordinal: 1_000_004,
        events: 3,
        prev_hash: [0x11; 32],
        payload_sha256: [0x22; 32],
        payload_len: 333,
        raw_len: 777,
    };
    assert_eq!(hex(&header.to_bytes()), golden["header"]);
    assert_eq!(Header::parse(&unhex(golden["header"])).unwrap(), header);
    assert_eq!(hex(&key.sign(keys::BATCH, &header.to_bytes())), golden["header.signature"]);
    assert_eq!(hex(&header.head_hash()), golden["header.head_hash"]);
}

#[test]
fn statements_and_proofs() {
    let golden = golden(SIGNED);
    let key = key_of_seed(&unhex(golden["seed"]));
    let ack = AckStatement {
        edge: edge(),
        epoch: 3,
        lane: Lane::Traffic,
        last_ordinal: 1_000_004,
        head_hash: [0x33; 32],
    };
    assert_eq!(hex(&ack.to_bytes()), golden["ack"]);
    assert_eq!(hex(&ack.sign(&key).signature), golden["ack.signature"]);
    assert_eq!(hex(&key.sign(keys::MANIFEST, b"manifest")), golden["manifest.signature"]);
    assert_eq!(hex(&join::enroll_message(&"A".repeat(43), b"csr")), golden["enroll.message"]);
    assert_eq!(hex(&join::renew_message(edge(), 1_767_225_600, b"csr")), golden["renew.message"]);
}

#[test]
fn a_gap() {
    let golden = golden(SIGNED);
    let key = key_of_seed(&unhex(golden["seed"]));
    let gap = GapDeclaration {
        edge: edge(),
        epoch: 3,
        lane: Lane::Money,
        stream: StreamNo(9),
        first_ordinal: 1_000_001,
        last_ordinal: 1_000_004,
        reason: GapReason::Missing,
        prev_hash: [0x11; 32],
        resume_hash: [0x33; 32],
    };
    assert_eq!(hex(&gap.to_bytes()), golden["gap"]);
    assert_eq!(hex(&gap.sign(&key)), golden["gap.signature"]);
    let (bytes, signature) = (unhex(golden["gap"]), unhex(golden["gap.signature"]));
    assert_eq!(GapDeclaration::verify(&key.public_key(), &bytes, &signature).unwrap(), gap);
}

#[test]
fn a_commitment() {
    let salt = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let digest = personal::commit(StreamNo(9), 1_000_001, PersonalClass::Subject, &salt, b"value");
    assert_eq!(hex(&digest), golden(SIGNED)["commitment"]);
}

/// The file is one that this crate once sealed. It is opened, not sealed again: a newer zstd may pack the
/// same events differently, and both are good.
#[test]
fn a_sealed_batch() {
    let golden = golden(BATCH);
    let file = unhex(golden["file"]);
    let batch = SealedBatch::from_file_bytes(&file).unwrap();
    assert_eq!(batch.to_file_bytes(), file);
    let header = batch.verify(&signing_key().public_key()).unwrap();
    assert_eq!(hex(&header.head_hash()), golden["head_hash"]);

    let events = batch.open(&header).unwrap();
    let sidecar = batch.open_sidecar().unwrap();
    let (mut expected, expected_sidecar) = golden_events();
    expected.events.push(skipped_to_wire(1004, 1010, SkipReason::Unclean));
    expected.events.push(skipped_to_wire(1011, 1020, SkipReason::Lost));
    assert_eq!(events, expected, "today's conversion makes the same events");
    assert_eq!(sidecar, expected_sidecar);
    for entry in &sidecar.entries {
        let event = events.events.iter().find(|event| event.ordinal == entry.ordinal).unwrap();
        assert!(personal::verify_entry(event, header.stream, entry), "{}", entry.ordinal);
    }
    let skips: [(_, [u64; 2], _); 2] =
        [("unclean", [1004, 1010], SkipReason::Unclean), ("lost", [1011, 1020], SkipReason::Lost)];
    for (event, (name, [from, through], reason)) in events.events[3..].iter().zip(skips) {
        assert_eq!(event_from_wire(event), Ok(JournalEvent::Skipped { from, through, reason }));
        assert_eq!(hex(&event.encode_to_vec()), golden[&*format!("skipped.{name}")]);
    }
}

/// In the vocabulary of the first edges, which had neither fine facts nor visitors.
fn golden_events() -> (EventBatch, Sidecar) {
    let person = Personal { visitor_id: None, ..a_person() };
    let hits = [(a_click(), person.clone()), (a_conversion(), person), (a_refusal(), Personal::default())];
    batch_of(1001, &hits.map(|(event, person)| (of_the_first_edges(event), person)))
}

fn of_the_first_edges(mut event: TrackingEvent) -> TrackingEvent {
    event.facts.fine = FineFacts::default();
    (event.facts.privacy, event.facts.privacy_policy) = (Privacy::Unrecorded, 0);
    match &mut event.body {
        Body::Click(click) => click.uniqueness = Uniqueness::Undecided,
        Body::Refused(hit) => hit.link = None,
        _ => {}
    }
    event
}

/// Every kind of event with all that it can say, message by message.
#[test]
fn every_kind_of_hit() {
    let golden = golden(HITS);
    let kinds = [
        ("click", a_click()),
        ("conversion", a_conversion()),
        ("refused", a_refusal()),
        ("impression", an_impression()),
        ("touch", a_touch()),
    ];
    for (ordinal, (name, tracked)) in (1001..).zip(kinds) {
        let (event, _) = event_to_wire(&tracked, STREAM, ordinal, &a_person(), counted_salts());
        let frozen = unhex(golden[name]);
        assert_eq!(hex(&event.encode_to_vec()), golden[name], "{name}");
        let read = event_from_wire(&Event::decode(frozen.as_slice()).unwrap());
        assert_eq!(read, Ok(JournalEvent::Tracking { ordinal, event: tracked }), "{name}");
    }
    let values = personal::encode(&a_person());
    let values: Vec<String> =
        values.iter().map(|(class, value)| format!("{} {}", class.as_str(), hex(value))).collect();
    let frozen: Vec<String> = PersonalClass::ALL
        .iter()
        .map(|class| format!("{} {}", class.as_str(), golden[&*format!("value.{}", class.as_str())]))
        .collect();
    assert_eq!(values, frozen);
}
