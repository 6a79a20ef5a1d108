//! A database that was put back to an earlier state: nothing that was given out since is given out again, and edges
//! find their place.

use crate::raw::{Place, Raw};
use crate::world::{Edge, NOW, World, edge};
use control_plane_store::fleet::LaneClaim;
use control_plane_store::gaps::Lost;
use control_plane_store::journal::AppendOutcome;
use control_plane_store::restore::{LOST_NAMED, LostOrdinals, LostSince};
use control_plane_store::{DatabaseUrl, Store, StoreError, backup};
use proto_model::{Lane, StreamNo};
use std::collections::BTreeSet;
use std::time::Duration;

/// Of the certificate that edges trust.
const KEYS: [u8; 32] = [7; 32];

/// The numbers that were given out after the backup, and what is given out after the restore.
#[derive(Default, Debug)]
struct Given {
    sessions: BTreeSet<u64>,
    epochs: BTreeSet<u32>,
    streams: BTreeSet<StreamNo>,
    versions: BTreeSet<u64>,
    fences: BTreeSet<u64>,
}

impl Given {
    /// A busy day: everything that hands out numbers does so a few times.
    async fn day(store: &Store, edge: &Edge, network: u64) -> Self {
        let mut given = Self::default();
        for at in 0..3 {
            let epoch = store.open_epoch(edge.id, "disk lost", NOW).await.unwrap();
            given.epochs.insert(epoch.epoch);
            given.streams.extend([epoch.money_stream, epoch.traffic_stream]);
            let session = store.open_session(edge.id, epoch.epoch, &[], NOW).await.unwrap();
            given.sessions.insert(session.session);
            World::create(store, network + at).await;
            given.versions.insert(store.catalog_version().await.unwrap());
            let lease = store.acquire_lease("money", "me", Duration::from_secs(60), NOW).await.unwrap();
            given.fences.insert(lease.fence);
        }
        given
    }

    fn assert_after(&self, before: &Self) {
        fn rises<T: Ord + Copy + std::fmt::Debug>(what: &str, before: &BTreeSet<T>, after: &BTreeSet<T>) {
            assert!(before.last() < after.first(), "{what}: {before:?}, then {after:?}");
        }
        rises("sessions", &before.sessions, &self.sessions);
        rises("epochs", &before.epochs, &self.epochs);
        rises("streams", &before.streams, &self.streams);
        rises("catalog versions", &before.versions, &self.versions);
        rises("fences", &before.fences, &self.fences);
    }
}

/// A second place with what stands in the first; nobody works on it meanwhile.
async fn copy(place: &Place, store: Store) -> Place {
    store.close().await;
    let directory = tempfile::tempdir().unwrap();
    let url = match &place.url {
        DatabaseUrl::Sqlite(_) => {
            let file = directory.path().join("tributary.db");
            backup::copy_file(&place.url.file().unwrap(), &file).await.unwrap();
            format!("sqlite://{}", file.display()).parse().unwrap()
        }
        DatabaseUrl::Postgres(url) => {
            let name = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
            // On a thread of its own: the closed store's last connection ends only while this one goes on.
            let clone = move || control_plane_testing::server().clone_database(&name).url;
            tokio::task::spawn_blocking(clone).await.unwrap().parse().unwrap()
        }
    };
    Place { url, directory }
}

#[tokio::test]
async fn nothing_given_out_since_the_backup_is_given_out_again() {
    let live = Place::new().await;
    let store = live.open().await;
    let edge = edge(&store, 1).await;
    store.acquire_lease("money", "me", Duration::from_secs(60), NOW).await.unwrap();
    let backup = copy(&live, store).await;
    let lost = Given::day(&live.open().await, &edge, 1).await;

    // The same backup is restored twice, an hour apart; what was given out in between counts, too.
    let first = copy(&backup, backup.open().await).await;
    let store = first.open().await;
    assert_eq!(store.after_restore(&KEYS, NOW, "the disk died").await.unwrap().restores, 1);
    let after = Given::day(&store, &edge, 1).await;
    after.assert_after(&lost);
    let second = copy(&backup, backup.open().await).await;
    let store = second.open().await;
    store.after_restore(&KEYS, NOW.plus_secs(3_600), "the disk died again").await.unwrap();
    let later = Given::day(&store, &edge, 1).await;
    later.assert_after(&after);

    // And a restored database may be restored.
    let third = copy(&second, store).await;
    let store = third.open().await;
    let restored = store.after_restore(&KEYS, NOW.plus_secs(3_600), "a test").await.unwrap();
    assert_eq!((restored.restores, restored.edges), (2, 1));
    Given::day(&store, &edge, 10).await.assert_after(&later);
    assert_eq!(store.freeze().await.unwrap().unwrap().reason, "the disk died again; a test");
    store.lift_freeze().await.unwrap();
    assert_eq!((store.freeze().await.unwrap(), store.restores().await.unwrap()), (None, 2));
}

fn claims(edge: &Edge, held: u64) -> [LaneClaim; 2] {
    let claim = |lane, stream| LaneClaim { lane, stream, held, signed_for: held, held_hash: None };
    [claim(Lane::Money, edge.epoch.money_stream), claim(Lane::Traffic, edge.epoch.traffic_stream)]
}

async fn append(store: &Store, edge: &Edge, first: u64, last: u64, prev: u8, mark: u8) -> AppendOutcome {
    store.append_batch(&edge.batch(first, last, [prev; 32], mark)).await.unwrap()
}

#[tokio::test]
async fn an_edge_goes_on_in_its_epoch_from_where_the_backup_stands() {
    let live = Place::new().await;
    let store = live.open().await;
    let mut edge = edge(&store, 1).await;
    append(&store, &edge, 1, 10, 0, 1).await;
    let backup = copy(&live, store).await;
    let store = live.open().await;
    append(&store, &edge, 11, 20, 1, 2).await;
    store.close().await;

    let store = backup.open().await;
    store.after_restore(&KEYS, NOW, "the disk died").await.unwrap();
    assert_eq!(append(&store, &edge, 11, 20, 1, 2).await, AppendOutcome::Fenced, "the session is over");
    assert!(!store.returned().await.unwrap()[0].is_back());
    let claims = [claims(&edge, 0)[0], claims(&edge, 20)[1]];
    let opened = store.open_session(edge.id, 1, &claims, NOW).await.unwrap();
    assert_eq!((opened.adopted, opened.heads[1].last_ordinal), (false, 10));
    let returned = store.returned().await.unwrap().remove(0);
    assert_eq!((returned.is_back(), returned.is_whole()), (true, false));
    assert_eq!((returned.lanes[1].last_ordinal, returned.lanes[1].held), (10, Some(20)));
    edge.session = opened.session;
    assert!(matches!(append(&store, &edge, 11, 20, 1, 2).await, AppendOutcome::Appended { .. }));
    assert!(store.returned().await.unwrap()[0].is_whole());
}

#[tokio::test]
async fn a_gap_that_is_declared_since_the_restore_is_named_until_somebody_has_reconciled() {
    let live = Place::new().await;
    let store = live.open().await;
    let mut edge = edge(&store, 1).await;
    append(&store, &edge, 1, 2, 0, 7).await;
    assert_eq!(store.append_gap(&edge.gap(3, 3, 7, 1)).await.unwrap(), AppendOutcome::Declared);
    let backup = copy(&live, store).await;
    let store = live.open().await;
    append(&store, &edge, 4, 6, 1, 2).await;
    append(&store, &edge, 7, 8, 2, 3).await;
    store.close().await;

    let store = backup.open().await;
    store.after_restore(&KEYS, NOW, "the disk died").await.unwrap();
    let opened = store.open_session(edge.id, 1, &claims(&edge, 8), NOW).await.unwrap();
    edge.session = opened.session;
    assert_eq!(opened.heads[1].last_ordinal, 3);
    assert_eq!(append(&store, &edge, 7, 8, 2, 3).await, AppendOutcome::Gap { expected: 4 });
    assert_eq!(store.append_gap(&edge.gap(4, 6, 1, 2)).await.unwrap(), AppendOutcome::Declared);
    assert!(matches!(append(&store, &edge, 7, 8, 2, 3).await, AppendOutcome::Appended { .. }));
    let stream = edge.epoch.traffic_stream;
    let named = vec![LostOrdinals { lane: Lane::Traffic, stream, first_ordinal: 4, last_ordinal: 6 }];
    let lost = LostSince { total: Lost { gaps: 1, ordinals: 3 }, named };
    let returned = store.returned().await.unwrap().remove(0);
    assert!(returned.lanes[1].is_whole(), "it has come to where the edge stood: {returned:?}");
    assert_eq!((returned.is_whole(), &returned.lost), (false, &lost), "not what was lost before");

    // Neither a second restore nor a new epoch hides it.
    store.close().await;
    let store = backup.open().await;
    store.after_restore(&KEYS, NOW, "a slip").await.unwrap();
    let next = store.open_epoch(edge.id, "disk lost", NOW).await.unwrap();
    store.open_session(edge.id, next.epoch, &[], NOW).await.unwrap();
    assert_eq!(store.returned().await.unwrap()[0].lost, lost);
    store.lift_freeze().await.unwrap();
    assert_eq!(store.returned().await.unwrap()[0].lost, LostSince::default());
}

#[tokio::test]
async fn of_many_gaps_the_first_are_named_and_all_are_counted() {
    let live = Place::new().await;
    let backup = copy(&live, live.open().await).await;
    let store = backup.open().await;
    store.after_restore(&KEYS, NOW, "the disk died").await.unwrap();
    let (many, one) = (edge(&store, 1).await, edge(&store, 2).await);
    let more = u64::from(LOST_NAMED) + 3;
    for n in 0..more {
        let (prev, next) = (u8::try_from(n).unwrap(), u8::try_from(n + 1).unwrap());
        store.append_gap(&many.gap(2 * n + 1, 2 * n + 2, prev, next)).await.unwrap();
    }
    store.append_gap(&one.gap(1, 5, 0, 1)).await.unwrap();
    let returned = store.returned().await.unwrap();
    let named: Vec<u64> = returned[0].lost.named.iter().map(|lost| lost.first_ordinal).collect();
    assert_eq!(named, (0..u64::from(LOST_NAMED)).map(|n| 2 * n + 1).collect::<Vec<_>>());
    assert_eq!(returned[0].lost.total, Lost { gaps: more, ordinals: 2 * more });
    assert_eq!(returned[1].lost.total, Lost { gaps: 1, ordinals: 5 }, "each edge for itself");
    assert_eq!(returned[1].lost.named.len(), 1);
}

#[tokio::test]
async fn an_epoch_that_was_forgotten_is_the_edges_still() {
    let live = Place::new().await;
    let store = live.open().await;
    let (mut one, mut two) = (edge(&store, 1).await, edge(&store, 2).await);
    let backup = copy(&live, store).await;
    let store = live.open().await;
    one.epoch = store.open_epoch(one.id, "disk lost", NOW).await.unwrap();
    two.epoch = store.open_epoch(two.id, "disk lost", NOW).await.unwrap();
    store.close().await;

    let store = backup.open().await;
    let unknown = |result: Result<_, StoreError>| match result {
        Err(StoreError::Conflict(code)) => code,
        other => panic!("{other:?}"),
    };
    // Nobody has said that this was restored.
    let early = store.open_session(one.id, 2, &claims(&one, 5), NOW).await;
    assert_eq!(unknown(early.map(drop)), "unknown_epoch");
    let restored = copy(&backup, store).await;
    let store = restored.open().await;
    store.after_restore(&KEYS, NOW, "the disk died").await.unwrap();
    let silent = store.open_session(one.id, 2, &[], NOW).await;
    assert_eq!(unknown(silent.map(drop)), "unknown_epoch", "it does not say which streams it writes");
    let opened = store.open_session(one.id, 2, &claims(&one, 5), NOW).await.unwrap();
    assert!(opened.adopted);
    let streams: Vec<StreamNo> = opened.heads.iter().map(|head| head.stream).collect();
    assert_eq!(streams, [one.epoch.money_stream, one.epoch.traffic_stream]);
    one.session = opened.session;
    assert!(matches!(append(&store, &one, 1, 5, 0, 1).await, AppendOutcome::Appended { .. }));
    assert!(!store.open_session(one.id, 2, &claims(&one, 5), NOW).await.unwrap().adopted, "it is known now");

    // Streams have one owner, and numbers that were never given out have none.
    let taken = store.open_session(two.id, 2, &claims(&one, 5), NOW).await;
    assert_eq!(unknown(taken.map(drop)), "stream_taken");
    let mut far = claims(&two, 5);
    far[0].stream = StreamNo(u32::MAX);
    let far = store.open_session(two.id, 2, &far, NOW).await;
    assert_eq!(unknown(far.map(drop)), "unknown_epoch");
    // Once somebody has reconciled, whoever was to come back has.
    let freeze = store.lift_freeze().await.unwrap().unwrap();
    let late = store.open_session(two.id, 2, &claims(&two, 5), NOW).await;
    assert_eq!(unknown(late.map(drop)), "unknown_epoch", "{freeze:?}");
    let known = store.open_session(one.id, 2, &claims(&one, 5), NOW).await.unwrap();
    assert!(!known.adopted, "what was taken on stays");
    let next = store.open_epoch(two.id, "disk lost again", NOW).await.unwrap();
    assert!(next.epoch > 1_000);
    let old = store.open_session(two.id, 2, &claims(&two, 5), NOW).await;
    assert!(matches!(old, Err(StoreError::Fenced)), "a newer spool writes");
    let ahead = store.open_session(two.id, u32::MAX, &claims(&two, 5), NOW).await;
    assert_eq!(unknown(ahead.map(drop)), "unknown_epoch");
    store.revoke_edge(two.id).await.unwrap();
    assert_eq!(store.returned().await.unwrap().len(), 1, "a revoked edge is not waited for");
}

#[tokio::test]
async fn a_restore_is_refused_to_other_keys_and_while_others_are_at_work() {
    let live = Place::new().await;
    let place = copy(&live, live.open().await).await;
    let store = place.open().await;
    store.after_restore(&KEYS, NOW, "the disk died").await.unwrap();
    assert_eq!(store.claim(&KEYS).await.map_err(|error| error.to_string()), Ok(()), "they are its own");
    store.close().await;
    let state = async |store: &Store| (store.restores().await.unwrap(), store.freeze().await.unwrap());

    let store = place.open().await;
    let other = store.after_restore(&[8; 32], NOW, "by mistake").await;
    assert!(matches!(other, Err(StoreError::Conflict("other_authority"))), "{other:?}");
    let before = state(&store).await;
    assert_eq!(before.0, 1);
    // An embedded database has a lock file beside it, which is the caller's.
    if control_plane_testing::chosen().is_some() {
        let second = place.open().await;
        let busy = second.after_restore(&KEYS, NOW, "too early").await;
        assert!(matches!(busy, Err(StoreError::Conflict("others_at_work"))), "{busy:?}");
    }
    assert_eq!(state(&store).await, before, "nothing was changed");
}

/// SQLite alone: a server has its own tools.
#[tokio::test]
async fn a_copy_of_a_file_is_one_instant_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tributary.db");
    let url: DatabaseUrl = format!("sqlite://{}", file.display()).parse().unwrap();
    assert_eq!(url.file().unwrap(), file);
    let store = Store::open(&url).await.unwrap();
    let edge = edge(&store, 1).await;

    // Batches and the head they move are written together; a copy must never tell them apart.
    let writer = async {
        for at in 1..=60_u8 {
            let at64 = u64::from(at);
            append(&store, &edge, at64, at64, at - 1, at).await;
        }
    };
    let copier = async {
        let mut seen = Vec::new();
        for at in 0..8 {
            let to = directory.path().join(format!("copy-{at}.db"));
            backup::copy_file(&file, &to).await.unwrap();
            assert!(backup::check_file(&to).await.unwrap() >= 10);
            let mut raw = Raw::open(&format!("sqlite://{}", to.display()).parse().unwrap()).await;
            let journal = raw.number("SELECT coalesce(max(last_ordinal), 0) FROM journal").await;
            let head = raw.number("SELECT max(last_ordinal) FROM streams").await;
            assert_eq!(journal, head);
            seen.push(head);
        }
        assert!(seen.is_sorted(), "{seen:?}");
    };
    tokio::join!(writer, copier);
    assert!(backup::size_of(&file).await.unwrap() > 0);

    let mut bytes = std::fs::read(directory.path().join("copy-7.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x5a);
    let damaged = directory.path().join("damaged.db");
    std::fs::write(&damaged, bytes).unwrap();
    assert!(backup::check_file(&damaged).await.is_err());
    let again = backup::copy_file(&file, &damaged).await;
    assert!(again.is_err(), "a file that is there is not overwritten");
}
