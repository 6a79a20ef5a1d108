#![allow(clippy::unwrap_used)]

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

const FIRST: u64 = 1_000;

fn row(ordinal: u64, class: PersonalClass, salt: [u8; 16], value: Vec<u8>) -> SidecarRow {
    let tenant = TenantId::new(7).unwrap();
    let address = Address { stream: StreamNo(3), ordinal };
    SidecarRow { tenant, address, class, salt, value, customer: None }
}

fn rows() -> impl Strategy<Value = Vec<SidecarRow>> {
    let key = (FIRST..FIRST + 300, select(PersonalClass::ALL.to_vec()));
    let value = (any::<[u8; 16]>(), vec(any::<u8>(), 0..40));
    let row = |((ordinal, class), (salt, value))| row(ordinal, class, salt, value);
    btree_map(key, value, 0..200).prop_map(move |rows| rows.into_iter().map(row).collect())
}

fn place(rows: &[SidecarRow]) -> Place {
    let (tenant, stream) = (TenantId::new(7).unwrap(), StreamNo(3));
    let last = rows.last().map_or(FIRST, |row| row.address.ordinal);
    Place { tenant, stream, first: FIRST, last, held: rows.len() }
}

fn packed(rows: &[SidecarRow]) -> Vec<u8> {
    pack(FIRST, &rows.iter().collect::<Vec<_>>()).unwrap()
}

proptest! {
    #[test]
    fn what_is_packed_comes_out_again(rows in rows()) {
        prop_assert_eq!(unpack(&place(&rows), &packed(&rows)).unwrap(), rows);
    }

    /// Whatever it is, it gives values within the place or an error.
    #[test]
    fn other_bytes_are_refused_or_read(rows in rows(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = packed(&rows);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let place = place(&rows);
        if let Ok(read) = unpack(&place, &bytes) {
            prop_assert_eq!(read.len(), rows.len());
            prop_assert!(read.iter().all(|row| (FIRST..=place.last).contains(&row.address.ordinal)));
        }
    }

    #[test]
    fn noise_is_no_panic(noise in vec(any::<u8>(), 0..200), held in 0..20usize) {
        let _ = unpack(&Place { held, ..place(&[]) }, &noise);
    }
}

#[test]
fn a_row_that_says_otherwise_is_refused() {
    let rows = [1, 2, 9].map(|n| row(FIRST + n, PersonalClass::Network, [n as u8; 16], b"value".to_vec()));
    let (good, bytes) = (place(&rows), packed(&rows));
    assert!(unpack(&good, &bytes).is_ok());
    let longer = [bytes.clone(), vec![0]].concat();
    let bomb = {
        let zeros = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        [&[VERSION][..], &0u32.to_be_bytes(), &(8u32 << 20).to_be_bytes(), &zeros].concat()
    };
    let cases = [
        (Place { held: 2, ..good }, bytes.clone(), "what its row says"),
        (Place { last: FIRST + 8, ..good }, bytes.clone(), "out of order"),
        (good, [&[9], &bytes[1..]].concat(), "version 9"),
        (good, bytes[..20].to_vec(), "too short"),
        (good, Vec::new(), "too short"),
        (good, longer, "cannot be read"),
        (Place { held: 0, ..good }, bomb, "cannot be read"),
    ];
    for (place, bytes, why) in cases {
        let error = unpack(&place, &bytes).unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
}

#[test]
fn what_no_batch_brings_is_not_packed() {
    let rows = [row(FIRST, PersonalClass::Tags, [1; 16], vec![0; MOST_BYTES])];
    let refused = pack(FIRST, &rows.iter().collect::<Vec<_>>());
    assert!(matches!(refused, Err(StoreError::Conflict("too_many_values"))));
}
