//! Random and half-right bytes into every parser: an error, never a panic.

use crate::support::*;
use proptest::prelude::*;
use prost::Message;
use proto_model::event::PersonalClass;
use proto_wire::convert::{click_keys_from_wire, event_from_wire, lane_from_wire, rule_set_from_wire};
use proto_wire::edge_v1::{ClickKey, Event, RuleSet, SidecarEntry};
use proto_wire::envelope::{GapDeclaration, Header, SealedBatch};
use proto_wire::keys::{PublicKey, SigningKey};
use proto_wire::personal;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

proptest! {
    #[test]
    fn envelopes(noise in bytes(), head: [u8; 110], signature: [u8; 32]) {
        let _ = Header::parse(&noise);
        let _ = SealedBatch::from_file_bytes(&noise);
        let signature = [signature, signature].concat().try_into().unwrap();
        let batch = SealedBatch {
            header_bytes: noise.clone(),
            signature,
            payload: noise.clone(),
            sidecar: noise,
        };
        prop_assert!(batch.verify(&signing_key().public_key()).is_err());
        let _ = batch.open_sidecar();
        if let Ok(header) = Header::parse(&head) {
            let _ = batch.open(&header);
        }
    }

    #[test]
    fn gaps(noise in bytes(), exact: [[u8; 33]; 3]) {
        let exact = exact.concat();
        for bytes in [&noise, &exact] {
            if let Ok(gap) = GapDeclaration::parse(bytes) {
                prop_assert_eq!(&gap.to_bytes()[..], &bytes[..]);
                prop_assert!(gap.ordinals() > 0);
            }
            prop_assert!(GapDeclaration::verify(&signing_key().public_key(), bytes, &noise).is_err());
        }
    }

    /// Good zstd around noise reaches the decoders.
    #[test]
    fn payloads(noise in bytes()) {
        let packed = zstd::bulk::compress(&noise, 1).unwrap();
        let (events, sidecar) = batch_of(1, &[(a_click(), a_person())]);
        let batch = SealedBatch::seal(&signing_key(), header_fields(), &events, &sidecar).unwrap();
        let header = batch.verify(&signing_key().public_key()).unwrap();
        let header = Header { raw_len: u32::try_from(noise.len()).unwrap(), ..header };
        let batch = SealedBatch { payload: packed.clone(), sidecar: packed, ..batch };
        let _ = batch.open(&header);
        let _ = batch.open_sidecar();
    }

    #[test]
    fn messages(noise in bytes()) {
        if let Ok(event) = Event::decode(noise.as_slice()) {
            let _ = event_from_wire(&event);
        }
        if let Ok(entry) = SidecarEntry::decode(noise.as_slice()) {
            let _ = personal::verify_entry(&batch_of(1, &[(a_click(), a_person())]).0.events[0], STREAM, &entry);
        }
        if let Ok(rules) = RuleSet::decode(noise.as_slice()) {
            let _ = rule_set_from_wire(&rules);
        }
        for class in PersonalClass::ALL {
            let _ = personal::decode([(*class, noise.as_slice())]);
        }
    }

    /// A good event with one byte changed: still no panic, and what is taken is well-formed.
    #[test]
    fn damaged_events(tracked in tracking_event(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut encoded = batch_of(1, &[(tracked, a_person())]).0.events[0].encode_to_vec();
        let at = at.index(encoded.len());
        encoded[at] = byte;
        if let Ok(event) = Event::decode(encoded.as_slice()) {
            let _ = event_from_wire(&event);
        }
    }

    #[test]
    fn keys(noise in bytes(), key_id: u32, active: bool, lane: i32) {
        let _ = SigningKey::from_pkcs8(&noise);
        let _ = PublicKey::from_slice(&noise);
        let _ = lane_from_wire(lane);
        let key = noise.iter().copied().cycle().take(32).collect();
        let made = click_keys_from_wire(tenant(), &[ClickKey { key_id, key, active }]);
        prop_assert_eq!(made.is_ok(), key_id < 256 && active && !noise.is_empty());
    }
}
