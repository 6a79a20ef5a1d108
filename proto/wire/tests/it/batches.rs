//! Sealing, verifying and opening batches.

use crate::support::*;
use proptest::prelude::*;
use prost::Message;
use proto_model::Lane;
use proto_wire::convert::{SkipReason, skipped_to_wire};
use proto_wire::edge_v1::{EventBatch, Sidecar};
use proto_wire::envelope::{
    AckStatement, BatchMeter, EnvelopeError, GENESIS_HEAD, Header, HeaderFields, MAX_EVENTS, MAX_RAW,
    SealedBatch,
};
use proto_wire::keys::{self, SignatureError, SigningKey, sha256};
use std::io::Read;

fn sealed() -> SealedBatch {
    let (events, sidecar) = batch_of(1001, &[(a_click(), a_person()), (a_conversion(), a_person())]);
    SealedBatch::seal(&signing_key(), header_fields(), &events, &sidecar).unwrap()
}

/// A batch whose header was signed by an edge that does not keep to the rules.
fn signed(change: impl FnOnce(&mut Header), payload: Vec<u8>) -> (SealedBatch, Header) {
    let mut batch = sealed();
    let mut header = Header::parse(&batch.header_bytes).unwrap();
    header.payload_len = u32::try_from(payload.len()).unwrap();
    header.payload_sha256 = sha256(&payload);
    change(&mut header);
    batch.payload = payload;
    batch.header_bytes = header.to_bytes().to_vec();
    batch.signature = signing_key().sign(keys::BATCH, &batch.header_bytes);
    (batch, header)
}

#[test]
fn a_batch_verifies_and_opens_and_chains() {
    let key = signing_key();
    let first = sealed();
    let header = first.verify(&key.public_key()).unwrap();
    assert_eq!((header.first_ordinal, header.last_ordinal, header.events), (1001, 1002, 2));
    assert_eq!(header.prev_hash, GENESIS_HEAD);
    assert_eq!(first.open(&header).unwrap().events.len(), 2);

    let (mut events, sidecar) = batch_of(1003, &[(a_click(), a_person())]);
    events.events.push(skipped_to_wire(1004, 5000, SkipReason::Unclean));
    let fields = HeaderFields { prev_hash: header.head_hash(), ..header_fields() };
    let second = SealedBatch::seal(&key, fields, &events, &sidecar).unwrap();
    let next = second.verify(&key.public_key()).unwrap();
    assert_eq!((next.first_ordinal, next.last_ordinal, next.events), (1003, 5000, 2));
    assert_eq!(next.prev_hash, header.head_hash());
    assert_ne!(next.head_hash(), header.head_hash());
    assert_eq!(second.open(&next).unwrap(), events);
}

#[test]
fn sealing_twice_gives_the_same_bytes() {
    assert_eq!(sealed(), sealed());
}

#[test]
fn files_and_messages_carry_a_batch_whole() {
    let batch = sealed();
    assert_eq!(SealedBatch::from_file_bytes(&batch.to_file_bytes()).unwrap(), batch);
    let message = batch.to_message(77);
    assert_eq!(message.session, 77);
    assert_eq!(SealedBatch::from_message(message.clone()).unwrap(), batch);
    let short = proto_wire::edge_v1::Batch { signature: vec![0; 63], ..message };
    assert!(matches!(SealedBatch::from_message(short), Err(EnvelopeError::SignatureLength(63))));
}

#[test]
fn sealing_refuses_what_opening_would() {
    let key = signing_key();
    let seal =
        |events: &EventBatch, sidecar: &Sidecar| SealedBatch::seal(&key, header_fields(), events, sidecar);
    let none = Sidecar::default();
    assert!(matches!(seal(&EventBatch::default(), &none), Err(EnvelopeError::Empty)));

    let (mut gap, sidecar) = batch_of(1, &[(a_click(), a_person()), (a_click(), a_person())]);
    assert!(seal(&gap, &sidecar).is_ok());
    gap.events[1].ordinal = 3;
    assert!(matches!(seal(&gap, &none), Err(EnvelopeError::NotDense { expected: 2, found: 3 })));
    gap.events[1].ordinal = 1;
    assert!(matches!(seal(&gap, &none), Err(EnvelopeError::NotDense { expected: 2, found: 1 })));
    gap.events.truncate(1);
    assert!(matches!(seal(&gap, &sidecar), Err(EnvelopeError::StraySidecar { ordinal: 2 })));

    for (from, through, expected) in [(0, 4, 1), (5, 4, 5), (5, u64::MAX, 5)] {
        let skipped = EventBatch { events: vec![skipped_to_wire(from, through, SkipReason::Unclean)] };
        let error = seal(&skipped, &none).unwrap_err();
        assert!(matches!(error, EnvelopeError::NotDense { expected: e, .. } if e == expected), "{error}");
    }
    let events = (1..=u64::try_from(MAX_EVENTS).unwrap() + 1)
        .map(|at| skipped_to_wire(at, at, SkipReason::Unclean))
        .collect();
    assert!(matches!(
        seal(&EventBatch { events }, &none),
        Err(EnvelopeError::TooLarge { what: "events", .. })
    ));
}

#[test]
fn a_zstd_bomb_is_refused_without_unpacking_it() {
    let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 1).unwrap();
    assert!(bomb.len() < 64 * 1024, "it is small to send");
    let (batch, header) = signed(|header| header.raw_len = u32::try_from(MAX_RAW).unwrap(), bomb.clone());
    let header_read = batch.verify(&signing_key().public_key()).unwrap();
    assert_eq!(header_read, header);
    assert!(matches!(batch.check_frames(&header), Err(EnvelopeError::Frame { what: "payload", .. })));
    assert!(matches!(batch.open(&header), Err(EnvelopeError::Decompress { limit: MAX_RAW, .. })));
    let batch = SealedBatch { sidecar: bomb, ..sealed() };
    let header = batch.verify(&signing_key().public_key()).unwrap();
    assert!(matches!(batch.check_frames(&header), Err(EnvelopeError::Frame { what: "sidecar", .. })));
    assert!(matches!(batch.open_sidecar(), Err(EnvelopeError::Decompress { what: "sidecar", .. })));
    // The same without the size in its frame header, as a stream would be written.
    let bomb = zstd::stream::encode_all(std::io::repeat(0).take(64 * 1024 * 1024), 1).unwrap();
    let batch = SealedBatch { sidecar: bomb, ..sealed() };
    assert!(batch.check_frames(&header).is_err());
    assert!(matches!(batch.open_sidecar(), Err(EnvelopeError::Decompress { what: "sidecar", .. })));
    assert_eq!(sealed().check_frames(&header).map_err(|error| error.to_string()), Ok(()));
}

#[test]
fn a_decoding_bomb_is_refused_before_decoding() {
    // Two bytes each on the wire, hundreds decoded.
    let raw = [0x0a, 0x00].repeat(MAX_RAW / 2);
    let raw_len = u32::try_from(raw.len()).unwrap();
    let (batch, header) = signed(|header| header.raw_len = raw_len, zstd::bulk::compress(&raw, 1).unwrap());
    assert!(matches!(batch.open(&header), Err(EnvelopeError::TooLarge { what: "payload", .. })));
    let batch = SealedBatch { sidecar: batch.payload, ..sealed() };
    assert!(matches!(batch.open_sidecar(), Err(EnvelopeError::TooLarge { what: "sidecar", .. })));
}

#[test]
fn signed_headers_that_lie_about_the_payload_are_refused() {
    let (events, _) = batch_of(1001, &[(a_click(), a_person()), (a_conversion(), a_person())]);
    let raw = events.encode_to_vec();
    let payload = zstd::bulk::compress(&raw, 1).unwrap();
    type Change = fn(&mut Header);
    let cases: [(&str, Change); 6] = [
        ("events", |header| header.events = 1),
        ("bytes", |header| header.raw_len += 1),
        ("bytes", |header| header.raw_len -= 1),
        ("ordinals", |header| header.first_ordinal -= 1),
        ("ordinals", |header| header.last_ordinal += 1),
        ("ordinals", |header| (header.first_ordinal, header.last_ordinal) = (1, 2)),
    ];
    for (what, change) in cases {
        let (batch, header) = signed(change, payload.clone());
        assert_eq!(batch.verify(&signing_key().public_key()).unwrap(), header, "{what}");
        assert!(batch.open(&header).is_err(), "{what}");
    }
}

#[test]
fn impossible_headers_are_refused_even_signed() {
    type Change = fn(&mut Header);
    let cases: [(&str, Change); 8] = [
        ("ordinal range", |h| h.first_ordinal = 0),
        ("ordinal range", |h| h.last_ordinal = h.first_ordinal - 1),
        ("ordinal range", |h| h.last_ordinal = 1 << 48),
        ("number of events", |h| h.events = 0),
        ("number of events", |h| h.events = 3),
        ("number of events", |h| (h.last_ordinal, h.events) = (1 << 40, 4097)),
        ("decompressed length", |h| h.raw_len = u32::MAX),
        ("payload length", |h| h.payload_len = u32::MAX),
    ];
    for (field, change) in cases {
        let payload = sealed().payload;
        let (batch, _) = signed(change, payload);
        let error = batch.verify(&signing_key().public_key()).unwrap_err();
        assert!(matches!(error, EnvelopeError::HeaderField(f) if f == field), "{field}: {error}");
    }
}

#[test]
fn a_meter_stops_where_sealing_would() {
    let mut tracked = a_conversion();
    tracked.facts.os = "x".repeat(64);
    let (batch, sidecar) = batch_of(1, &[(tracked, a_person())]);
    let mut meter = BatchMeter::default();
    while meter.admit(&batch.events[0], &sidecar.entries) {}
    assert_eq!(meter.events(), MAX_EVENTS);

    let mut entry = sidecar.entries[0].clone();
    entry.value = vec![0; 4000];
    let mut meter = BatchMeter::default();
    while meter.admit(&batch.events[0], std::slice::from_ref(&entry)) {}
    let events = meter.events();
    assert!((1000..1100).contains(&events), "{events}");
    let (events, _) = batch_of(1, &vec![(a_click(), a_person()); events]);
    let entries = events.events.iter().map(|event| {
        let ordinal = event.ordinal;
        proto_wire::edge_v1::SidecarEntry { ordinal, ..entry.clone() }
    });
    let sidecar = Sidecar { entries: entries.collect() };
    assert!(SealedBatch::seal(&signing_key(), header_fields(), &events, &sidecar).is_ok());
}

#[test]
fn an_ack_speaks_of_one_edge_epoch_lane_and_head() {
    let control = SigningKey::generate().unwrap();
    let fields = header_fields();
    let statement = AckStatement {
        edge: fields.edge,
        epoch: fields.epoch,
        lane: Lane::Money,
        last_ordinal: 1002,
        head_hash: [7; 32],
    };
    let ack = statement.sign(&control);
    let verify = |epoch, ack: &_| AckStatement::verify(&control.public_key(), fields.edge, epoch, ack);
    assert_eq!(verify(fields.epoch, &ack), Ok(statement));
    assert_eq!(verify(fields.epoch + 1, &ack), Err(SignatureError));
    let traffic = i32::from(proto_wire::edge_v1::Lane::Traffic);
    for changed in [
        proto_wire::edge_v1::Ack { last_ordinal: 1003, ..ack.clone() },
        proto_wire::edge_v1::Ack { head_hash: vec![8; 32], ..ack.clone() },
        proto_wire::edge_v1::Ack { head_hash: vec![], ..ack.clone() },
        proto_wire::edge_v1::Ack { lane: traffic, ..ack.clone() },
        proto_wire::edge_v1::Ack { lane: 0, ..ack.clone() },
        proto_wire::edge_v1::Ack { signature: vec![], ..ack.clone() },
    ] {
        assert_eq!(verify(fields.epoch, &changed), Err(SignatureError), "{changed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn batches_round_trip(items in prop::collection::vec((tracking_event(), personal()), 1..20), first in 1u64..1 << 47) {
        let (events, sidecar) = batch_of(first, &items);
        let batch = SealedBatch::seal(&signing_key(), header_fields(), &events, &sidecar).unwrap();
        let header = batch.verify(&signing_key().public_key()).unwrap();
        prop_assert_eq!(batch.open(&header).unwrap(), events);
        prop_assert_eq!(batch.open_sidecar().unwrap(), sidecar);
    }
}

proptest! {
    /// In the header, the signature or the payload: nothing of it passes.
    #[test]
    fn any_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut batch = sealed();
        let signed = batch.header_bytes.len() + batch.signature.len() + batch.payload.len();
        let mut bytes = batch.header_bytes.iter_mut().chain(&mut batch.signature).chain(&mut batch.payload);
        *bytes.nth(at.index(signed)).unwrap() ^= 1 << bit;
        prop_assert!(batch.verify(&signing_key().public_key()).is_err());
    }

    #[test]
    fn a_damaged_file_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        let file = sealed().to_file_bytes();
        let mut flipped = file.clone();
        flipped[at.index(file.len())] ^= 1 << bit;
        prop_assert!(SealedBatch::from_file_bytes(&flipped).is_err());
        prop_assert!(SealedBatch::from_file_bytes(&file[..cut.index(file.len())]).is_err());
        let longer = [file.as_slice(), &[0]].concat();
        prop_assert!(SealedBatch::from_file_bytes(&longer).is_err());
    }
}
