//! Days are dropped whole, and what is left holds.

use crate::projection::{clicks, value};
use crate::world::{self, Edge, NOW, World, edge, lease};
use control_plane_store::journal::{AppendOutcome, NewBatch};
use control_plane_store::leases::Lease;
use control_plane_store::projection::{Projection, RefusedKey};
use control_plane_store::reports::ReportFilter;
use control_plane_store::retention::{Anchor, Dropped};
use control_plane_store::{DatabaseUrl, Store, StoreError};
use proto_model::event::PersonalClass;
use proto_model::time::{DAY_US, HOUR_US};
use proto_model::{Address, Reason, UnixMicros, VerdictKind};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

/// The start of the day `n` days after that of [`NOW`].
fn day(n: i64) -> UnixMicros {
    UnixMicros(NOW.0 - NOW.0.rem_euclid(DAY_US) + n * DAY_US)
}

/// Three days with two batches each, and a way to ask the database itself.
struct Journal {
    store: Store,
    url: DatabaseUrl,
    world: World,
    edge: Edge,
    lease: Lease,
    _directory: TempDir,
}

/// Ordinal, hash and sequence number all are `n`.
fn batch(edge: &Edge, n: u8, received_at: UnixMicros) -> NewBatch {
    NewBatch { received_at, ..edge.batch(n.into(), n.into(), [n - 1; 32], n) }
}

impl Journal {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = world::database().await.unwrap_or_else(|| {
            DatabaseUrl::Sqlite(format!("sqlite://{}", directory.path().join("tributary.db").display()))
        });
        let store = Store::open(&url).await.unwrap();
        let world = World::create(&store, 1).await;
        let (edge, lease) = (edge(&store, 1).await, lease(&store).await);
        let journal = Self { store, url, world, edge, lease, _directory: directory };
        for n in 1..=6 {
            let at = UnixMicros(day(i64::from(n - 1) / 2).0 + i64::from(n) * HOUR_US);
            let outcome = journal.append(n, at).await;
            assert_eq!(outcome, AppendOutcome::Appended { seq: n.into() });
        }
        journal
    }

    async fn append(&self, n: u8, at: UnixMicros) -> AppendOutcome {
        self.store.append_batch(&batch(&self.edge, n, at)).await.unwrap()
    }

    /// With a click in the roll-ups of its day, and a personal value.
    async fn project(&self, through: u64) {
        for seq in self.store.projected_through().await.unwrap() + 1..=through {
            let hour = UnixMicros(day(i64::try_from(seq - 1).unwrap() / 2).0 + HOUR_US);
            let mut click = clicks(&self.world, VerdictKind::Flag);
            click.hour = hour;
            let (tenant, advertiser) = (self.world.tenant, self.world.advertiser);
            let refused = RefusedKey { tenant, hour, advertiser, reason: Reason::BadToken };
            let projection = Projection {
                rollups: [(click, 1)].into(),
                refused: [(refused, 1)].into(),
                sidecar: vec![value(&self.world, seq, PersonalClass::Network, None)],
                ..Projection::default()
            };
            assert!(self.store.commit_projection(&self.lease, seq, &projection, NOW).await.unwrap());
        }
    }

    async fn drop_before(&self, before: UnixMicros) -> Dropped {
        self.store.drop_journal_before(before, day(9)).await.unwrap()
    }

    async fn kept(&self) -> Vec<u64> {
        let stream = self.edge.epoch.traffic_stream;
        self.store.batches_beginning_after(stream, 0, 99).await.unwrap().iter().map(|row| row.seq).collect()
    }

    /// Ordinals that still have a personal value, and batches in which clicks are looked for.
    async fn traces(&self) -> (Vec<u64>, Vec<u64>) {
        let mut values = Vec::new();
        for ordinal in 1..=9 {
            let address = Address { stream: self.edge.epoch.traffic_stream, ordinal };
            if !self.store.sidecar_at(self.world.tenant, address).await.unwrap().is_empty() {
                values.push(ordinal);
            }
        }
        (values, self.store.click_batches(self.world.tenant, None, 99, 99).await.unwrap())
    }

    async fn clicks_reported(&self) -> u64 {
        let (from, until) = (day(0), day(9));
        let filter = ReportFilter { from, until, advertiser: None, offer: None, partner: None, link: None };
        let report = self.store.report_links(self.world.tenant, &filter, 99).await.unwrap();
        report.iter().map(|line| line.clicks).sum()
    }

    /// What the database says to somebody who goes past the store: a number, or why not.
    async fn ask(&self, sql: &str) -> Result<i64, String> {
        match &self.url {
            DatabaseUrl::Postgres(url) => {
                let (_, name) = url.rsplit_once('/').unwrap();
                let server = control_plane_testing::chosen().unwrap();
                let said = server.superuser_psql(name, sql).map_err(|error| error.to_string())?;
                Ok(said.parse().unwrap_or_default())
            }
            DatabaseUrl::Sqlite(url) => {
                let options: SqliteConnectOptions = url.parse().unwrap();
                let mut raw = SqliteConnection::connect_with(&options).await.unwrap();
                let number = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&mut raw).await;
                number.map(Option::unwrap_or_default).map_err(|error| error.to_string())
            }
        }
    }
}

#[tokio::test]
async fn a_day_goes_whole_and_the_rest_stays() {
    // Dropped before; what stays.
    let cases = [
        (UnixMicros(0), 0),
        (day(0), 0),
        (UnixMicros(day(1).0 - 1), 0),
        (day(1), 2),
        (UnixMicros(day(2).0 - 1), 2),
        (day(2), 4),
    ];
    for (before, gone) in cases {
        let journal = Journal::new().await;
        journal.project(6).await;
        let dropped = journal.drop_before(before).await;
        assert_eq!(dropped, Dropped { batches: gone, through_seq: gone, values: gone }, "{before:?}");
        let left: Vec<u64> = (gone + 1..=6).collect();
        assert_eq!(journal.kept().await, left, "{before:?}");
        let newest_first = left.iter().rev().copied().collect();
        assert_eq!(journal.traces().await, (left, newest_first), "{before:?}");
        let (anchor, count) = (
            journal.store.anchor(journal.edge.epoch.traffic_stream).await.unwrap(),
            journal.store.journal_count().await.unwrap(),
        );
        let hash = [u8::try_from(gone).unwrap(); 32];
        assert_eq!(anchor, Anchor { last_ordinal: gone, head_hash: hash }, "{before:?}");
        assert_eq!((count.batches, count.highest_seq), (6 - gone, 6), "{before:?}");
        assert_eq!((count.dropped, count.given), (gone, 6), "{before:?}");
        let start = (gone > 0).then(|| day(i64::try_from(gone).unwrap() / 2));
        assert_eq!(count.dropped_before, start, "{before:?}");
        // Again, and nothing happens.
        let again = journal.drop_before(before).await;
        assert_eq!(again, Dropped { through_seq: gone, ..Dropped::default() }, "{before:?}");
    }
}

#[tokio::test]
async fn what_is_not_projected_stays_with_its_whole_day() {
    for (projected, gone) in [(0, 0), (1, 0), (2, 0), (3, 2), (4, 2), (5, 4), (6, 6)] {
        let journal = Journal::new().await;
        journal.project(projected).await;
        assert_eq!(journal.drop_before(day(9)).await.batches, gone, "{projected}");
        let waiting = journal.store.unprojected(99).await.unwrap();
        let waiting: Vec<u64> = waiting.iter().map(|row| row.seq).collect();
        assert_eq!(waiting, (projected + 1..=6).collect::<Vec<_>>(), "{projected}");
        journal.project(6).await;
    }
}

#[tokio::test]
async fn today_stays() {
    let journal = Journal::new().await;
    journal.project(6).await;
    let now = UnixMicros(day(2).0 + 23 * HOUR_US);
    let dropped = journal.store.drop_journal_before(day(9), now).await.unwrap();
    assert_eq!(dropped.batches, 4);
    // A bound that lies in the future, by a slip of arithmetic, takes nothing of today either.
    journal.store.drop_rollups_before(UnixMicros(i64::MAX), now).await.unwrap();
    assert_eq!(journal.clicks_reported().await, 2);
}

#[tokio::test]
async fn a_batch_that_was_dropped_is_acked_again_and_new_ones_go_on() {
    let journal = Journal::new().await;
    journal.project(6).await;
    for (before, head) in [(day(2), 6), (day(3), 7)] {
        journal.drop_before(before).await;
        let covered = AppendOutcome::AlreadyCovered { last_ordinal: head.into(), head_hash: [head; 32] };
        for n in 1..=head {
            assert_eq!(journal.append(n, day(0)).await, covered, "{n}");
        }
        // A clock that is behind: the batch comes to a day that is kept nevertheless.
        let next = head + 1;
        assert_eq!(journal.append(next, day(0)).await, AppendOutcome::Appended { seq: next.into() });
        assert_eq!(journal.kept().await.last(), Some(&u64::from(next)));
        let received_at = journal.store.journal_batch(next.into()).await.unwrap().received_at;
        assert!(received_at >= before, "{received_at:?}");
        journal.project(next.into()).await;
    }
    // What reaches over the end of what was dropped is no batch that an honest edge has sent.
    let fork = journal.edge.batch(7, 8, [6; 32], 9);
    assert!(matches!(journal.store.append_batch(&fork).await.unwrap(), AppendOutcome::Fork { .. }));
}

#[tokio::test]
async fn a_journal_without_a_batch_has_nothing_to_drop() {
    let store = world::store().await;
    assert_eq!(store.drop_journal_before(day(9), day(9)).await.unwrap(), Dropped::default());
    assert_eq!(store.drop_rollups_before(day(9), day(9)).await.unwrap(), 0);
}

#[tokio::test]
async fn all_of_an_idle_journal_can_go_and_it_begins_again() {
    let journal = Journal::new().await;
    journal.project(6).await;
    assert_eq!(journal.drop_before(day(9)).await.batches, 6);
    assert_eq!(journal.kept().await, [0; 0]);
    let count = journal.store.journal_count().await.unwrap();
    assert_eq!((count.batches, count.highest_seq, count.given), (0, 6, 6));
    assert_eq!(journal.append(7, day(4)).await, AppendOutcome::Appended { seq: 7 });
    journal.project(7).await;
    assert_eq!(journal.kept().await, [7]);
}

#[tokio::test]
async fn what_a_crash_left_behind_goes_the_next_time() {
    let journal = Journal::new().await;
    journal.project(6).await;
    journal.drop_before(day(1)).await;
    // As if the process had died right after the day was dropped.
    let copy = "INSERT INTO sidecar_batches SELECT tenant_id, stream, 2, 2, held, packed FROM sidecar_batches \
        WHERE first_ordinal = 3";
    // A version that knows nothing of blobs moves but the first.
    for forgotten in ["forgotten_through", "packed_forgotten_through"] {
        journal.ask(copy).await.unwrap();
        assert_eq!(journal.traces().await.0, [2, 3, 4, 5, 6]);
        assert_eq!(journal.drop_before(day(1)).await.values, 0, "nothing new was dropped, nobody looks");
        journal.ask(&format!("UPDATE journal_head SET {forgotten} = 0")).await.unwrap();
        assert_eq!(journal.drop_before(day(1)).await.values, 1, "{forgotten}");
        assert_eq!(journal.traces().await.0, [3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn the_rest_of_the_journal_is_still_written_once() {
    let journal = Journal::new().await;
    journal.project(6).await;
    journal.drop_before(day(1)).await;
    for sql in ["DELETE FROM journal WHERE seq = 3", "UPDATE journal SET events = 9", "DELETE FROM journal"] {
        let why = journal.ask(sql).await.unwrap_err();
        assert!(why.contains("written once"), "{sql}: {why}");
    }
    assert_eq!(journal.kept().await, [3, 4, 5, 6]);
}

#[tokio::test]
async fn rollups_of_old_days_go() {
    let journal = Journal::new().await;
    journal.project(6).await;
    for (before, left) in [(day(0), 6), (UnixMicros(day(1).0 + HOUR_US), 4), (day(1), 4), (day(2), 2)] {
        journal.store.drop_rollups_before(before, day(9)).await.unwrap();
        assert_eq!(journal.clicks_reported().await, left, "{before:?}");
        for table in ["links", "facts", "rules", "refused"] {
            let sum = format!("SELECT CAST(sum(hits) AS BIGINT) FROM rollup_{table}");
            assert_eq!(journal.ask(&sum).await, Ok(i64::try_from(left).unwrap()), "{table} {before:?}");
        }
    }
    assert_eq!(journal.store.drop_rollups_before(day(2), day(9)).await.unwrap(), 0);
    assert_eq!(journal.kept().await.len(), 6, "the journal is another matter");
}

#[tokio::test]
async fn on_postgres_the_days_are_dropped_as_tables() {
    // SQLite has no parts.
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let journal = Journal::new().await;
    journal.project(6).await;
    let parts = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_d[0-9]{8}$'";
    assert_eq!(journal.ask(parts).await, Ok(5 * 3));
    journal.drop_before(day(2)).await;
    assert_eq!(journal.ask(parts).await, Ok(1 + 4 * 3));
    assert_eq!(journal.store.drop_rollups_before(day(2), day(9)).await.unwrap(), 4 * 2);
    assert_eq!(journal.ask(parts).await, Ok(5));
}

#[tokio::test]
async fn on_postgres_a_later_day_is_looked_up_as_the_first_ones_are() {
    // SQLite has no parts.
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let journal = Journal::new().await;
    journal.project(6).await;
    let cases = [
        ("rollup_links_link", "tenant_id, link_id, kind, hour"),
        ("rollup_links_partner", "tenant_id, partner_id, kind, hour"),
    ];
    for (index, columns) in cases {
        let parts = format!(
            "SELECT count(*) FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid \
             WHERE h.inhparent = '{index}'::regclass AND i.indisvalid \
             AND i.indrelid::regclass::text ~ '^rollup_links_(d[0-9]{{8}}|other)$' \
             AND pg_get_indexdef(i.indexrelid) LIKE '%({columns})'"
        );
        assert_eq!(journal.ask(&parts).await, Ok(3 + 1), "{index}: each day, and what falls beside them");
    }
}

#[tokio::test]
async fn who_reads_for_long_is_not_waited_for() {
    // SQLite's readers keep nobody waiting.
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let journal = Journal::new().await;
    journal.project(6).await;
    let DatabaseUrl::Postgres(url) = &journal.url else { panic!("not on PostgreSQL") };
    let mut reader = sqlx::PgConnection::connect(url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM journal").execute(&mut *reading).await.unwrap();
    let refused = journal.store.drop_journal_before(day(1), day(9)).await;
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    assert_eq!(journal.kept().await.len(), 6);
    reading.commit().await.unwrap();
    assert_eq!(journal.drop_before(day(1)).await.batches, 2);
}

#[tokio::test]
async fn a_batch_that_comes_into_the_day_meanwhile_saves_it() {
    // SQLite has one writer at a time.
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let journal = Journal::new().await;
    journal.project(6).await;
    journal.drop_before(day(2)).await;
    let DatabaseUrl::Postgres(url) = &journal.url else { panic!("not on PostgreSQL") };
    let mut other = sqlx::PgConnection::connect(url).await.unwrap();
    let mut appending = other.begin().await.unwrap();
    for sql in [
        "SET LOCAL tributary.tenant = '-1'",
        "UPDATE journal_head SET seq = 7",
        "INSERT INTO journal SELECT 7, stream, lane, 7, 7, events, header, signature, payload, head_hash, \
         received_at FROM journal WHERE seq = 6",
    ] {
        sqlx::query(sql).execute(&mut *appending).await.unwrap();
    }
    // It has seen that all is projected, and waits for the other to be done.
    let store = journal.store.clone();
    let dropping = tokio::spawn(async move { store.drop_journal_before(day(9), day(9)).await.unwrap() });
    let waits = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while journal.ask(waits).await != Ok(1) {
        tokio::task::yield_now().await;
    }
    appending.commit().await.unwrap();
    assert_eq!(dropping.await.unwrap(), Dropped { through_seq: 4, ..Dropped::default() });
    assert_eq!(journal.kept().await, [5, 6, 7]);
}
