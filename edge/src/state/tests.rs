use super::*;

#[test]
fn remembers_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let cursor = AckCursor { last_ordinal: 9, head_hash: [3; 32] };
    state.remember_conversion(&[1; 32], &[2; 32]);
    state.remember_conversion(&[1; 32], &[9; 32]);
    state.raise_snapshot_floor(5);
    state.raise_snapshot_floor(4);
    state.set_ack_cursor(1, Lane::Money, cursor);
    state.flush();
    drop(state);
    let state = State::open(dir.path()).unwrap();
    assert_eq!(state.seen_conversion(&[1; 32]), Some([2; 32]), "the first content stands");
    assert_eq!(state.seen_conversion(&[2; 32]), None);
    assert_eq!(state.snapshot_floor(), 5);
    assert_eq!(state.ack_cursors(1), PerLane { money: Some(cursor), traffic: None });
    assert_eq!(state.ack_cursor(2, Lane::Money), None);
}

#[test]
fn old_keys_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open_with(dir.path(), 10).unwrap();
    for key in 0..25u8 {
        state.remember_conversion(&[key; 32], &[key; 32]);
    }
    let known: Vec<u8> = (0..25).filter(|key| state.seen_conversion(&[*key; 32]).is_some()).collect();
    assert_eq!(known, (15..25).collect::<Vec<u8>>());
}

#[test]
fn a_damaged_database_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.raise_snapshot_floor(5);
    state.flush();
    drop(state);
    for entry in std::fs::read_dir(dir.path().join(DIR)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, [0x5a; 700]).unwrap();
        }
    }
    let state = State::open(dir.path()).unwrap();
    assert_eq!(state.snapshot_floor(), 0, "empty, but usable");
    state.raise_snapshot_floor(6);
    assert_eq!(state.snapshot_floor(), 6);
    assert!(dir.path().join("state-damaged-1").is_dir());
}

#[test]
fn a_database_that_failed_in_use_is_set_aside_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.raise_snapshot_floor(5);
    let failed: Option<()> = state.use_trees(|_| Err(sled::Error::Unsupported("made to fail".into())));
    assert_eq!((failed, state.snapshot_floor()), (None, 0));
    drop(state);
    assert_eq!(State::open(dir.path()).unwrap().snapshot_floor(), 0);
    assert!(dir.path().join("state-damaged-1").is_dir());
}
