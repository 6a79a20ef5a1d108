use super::*;
use proto_model::cap::Window;
use proto_model::{Capped, ClickLease, LinkId, StreamNo, TenantId};

fn key(n: u16) -> SeenKey {
    let mut words = [0; SeenKey::WORDS];
    words.copy_from_slice(&proto_wire::keys::sha256(&n.to_be_bytes())[..SeenKey::WORDS]);
    SeenKey::new(words, 1)
}

#[test]
fn remembers_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let cursor = AckCursor { last_ordinal: 9, head_hash: [3; 32] };
    state.remember_conversion(key(1));
    state.remember_conversion(key(1));
    state.raise_snapshot_floor(5);
    state.raise_snapshot_floor(4);
    state.set_ack_cursor(1, Lane::Money, cursor);
    state.flush();
    drop(state);
    let state = State::open(dir.path()).unwrap();
    assert!(state.seen_conversion(key(1)));
    assert!(!state.seen_conversion(key(2)));
    assert_eq!(state.snapshot_floor(), 5);
    assert_eq!(state.ack_cursors(1), PerLane { money: Some(cursor), traffic: None });
    assert_eq!(state.ack_cursor(2, Lane::Money), None);
}

#[test]
fn conversions_are_forgotten_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.remember_conversion(key(1));
    state.save();
    state.remember_conversion(key(2));
    state.forget_conversions();
    assert!(!state.seen_conversion(key(1)) && !state.seen_conversion(key(2)));
    state.remember_conversion(key(3));
    state.flush();
    drop(state);
    let state = State::open(dir.path()).unwrap();
    assert_eq!([1, 2, 3].map(|n| state.seen_conversion(key(n))), [false, false, true]);
}

#[test]
fn the_database_keeps_no_more_blocks_than_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let state = State::open_with(dir.path(), 512).unwrap();
        // Fewer came later than share a place, so these are there.
        assert!((0..round * 300).rev().take(8).all(|n| state.seen_conversion(key(n))), "round {round}");
        for n in 0..300 {
            state.remember_conversion(key(round * 300 + n));
            if n % 50 == 0 {
                state.save();
            }
        }
        state.flush();
        assert!(state.0.trees.as_ref().unwrap().conversions.len() <= 3);
    }
}

#[test]
fn visitors_are_known_across_a_restart_for_as_long_as_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let offer = OfferId::new(1).unwrap();
    let at = |secs: i64| UnixMicros::from_secs(1_760_000_000 + secs);
    let ip: IpAddr = "203.0.113.7".parse().unwrap();
    let visit = |state: &State, agent: &str, secs, keep| {
        state.is_unique_visit(offer, (ip, agent), at(secs), 86_400, keep)
    };
    let state = State::open(dir.path()).unwrap();
    assert!(visit(&state, "kept", 0, true) && !visit(&state, "kept", 1, true));
    assert!(visit(&state, "not kept", 1, false) && !visit(&state, "not kept", 2, false));
    state.flush();
    drop(state);
    let state = State::open(dir.path()).unwrap();
    assert!(!visit(&state, "kept", 3, true));
    assert!(visit(&state, "not kept", 3, false));
    // A day later it counts again, a month later nothing is left of anybody.
    assert!(visit(&state, "kept", 86_400, true));
    let later = i64::from(VISITOR_KEY_SECS) + 5;
    assert!(visit(&state, "other", later, true));
    assert!(visit(&state, "kept", later, true));
    state.flush();
    assert_eq!(state.0.trees.as_ref().unwrap().visitors.len(), 1);
}

#[test]
fn a_database_that_is_still_being_closed_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.remember_conversion(key(1));
    state.flush();
    let closing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(state);
    });
    let state = State::open(dir.path()).unwrap();
    assert!(state.seen_conversion(key(1)), "and not set aside");
    closing.join().unwrap();
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

#[test]
fn a_node_without_a_database_knows_what_it_has_seen_itself() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(BROKEN)).unwrap();
    assert!(State::open(dir.path()).is_err(), "the marker cannot be removed");
    let state = State::open_or_without(dir.path());
    assert!(state.is_broken());
    state.remember_conversion(key(1));
    assert!(state.seen_conversion(key(1)) && !state.seen_conversion(key(2)));
    state.raise_snapshot_floor(5);
    assert_eq!((state.snapshot_floor(), state.leases().len()), (0, 0));
    state.flush();
}

#[test]
fn what_is_different_about_leases_is_written_at_once() {
    let lease = |number| SavedLease {
        number,
        tenant: TenantId::new(1).unwrap(),
        lease: ClickLease {
            subject: Capped::Link(LinkId::new(5).unwrap()),
            window: Window { start: UnixMicros(0), end: UnixMicros(i64::MAX) },
            granted: 9,
            expires_at: UnixMicros(77),
        },
        spent: 2,
        stream: StreamNo(4),
        from: 30,
        over: false,
    };
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.change_leases(&[1, 2, 3].map(|number| LeaseChange::Save(lease(number))));
    let later = SavedLease { spent: 5, from: 40, ..lease(1) };
    state.change_leases(&[
        LeaseChange::Save(later),
        LeaseChange::End(2, 7),
        LeaseChange::Forget(3),
        LeaseChange::End(4, 1),
        LeaseChange::Forget(5),
    ]);
    state.flush_leases();
    drop(state);
    let state = State::open(dir.path()).unwrap();
    assert_eq!(state.leases(), [later, SavedLease { spent: 7, over: true, ..lease(2) }]);
}
