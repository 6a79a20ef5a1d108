//! A PostgreSQL that stops, refuses, or ends what is under way. Each test has a server of its own. SQLite has no
//! server to lose.

use crate::raw::Raw;
use crate::world::{NOW, World, append, edge, lease, run_money};
use control_plane_domain::engine;
use control_plane_store::journal::AppendOutcome;
use control_plane_store::{DatabaseUrl, Signal, Store, StoreError};
use control_plane_testing::{Options, Server, Stop};
use std::time::Duration;

/// Far beyond anything healthy; only a test that fails waits this long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server with an empty database, if the tests were started for PostgreSQL.
pub fn private(options: Options) -> Option<(Server, DatabaseUrl)> {
    control_plane_testing::chosen()?;
    let server = Server::start(options).unwrap();
    let url = server.create_database().url.parse().unwrap();
    Some((server, url))
}

/// Until it works; anything but "for the moment" fails the test.
pub async fn recovers<T>(mut act: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match act().await {
            Ok(done) => return done,
            Err(error) if error.is_temporary() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[track_caller]
pub fn unavailable<T>(result: Result<T, StoreError>) {
    let error = result.err().expect("the server is gone");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so_at_once() {
    if control_plane_testing::chosen().is_none() {
        return;
    }
    let error = Store::open(&"postgres://a:secret@127.0.0.1:1/b".parse().unwrap()).await.err().unwrap();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn what_was_under_way_when_the_server_died_has_happened_whole_or_not_at_all() {
    let Some((mut server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let edge = edge(&store, 1).await;
    store.append_batch(&edge.batch(1, 1, [0; 32], 1)).await.unwrap();
    let lease = lease(&store).await;
    run_money(&store, &lease).await;
    append(&store, world.shard(), &world.sale("A-1", 10_000)).await;
    let mut money = store.begin_money(world.shard(), &lease).await.unwrap();
    let item = money.next_items(1).await.unwrap().remove(0);
    let mut state = money.load(&item.input).await.unwrap();
    let effects = engine::apply(world.shard(), &mut state, &item).unwrap();
    money.persist(&item, &state, &effects).await.unwrap();

    server.stop(Stop::Immediate).unwrap();
    unavailable(money.commit().await);
    let next = edge.batch(2, 2, [1; 32], 2);
    unavailable(store.append_batch(&next).await);
    unavailable(store.get_tenant(world.tenant).await);
    server.start_again().unwrap();

    // The same store, without being opened again.
    let outcome = recovers(async || store.append_batch(&next).await).await;
    assert_eq!(outcome, AppendOutcome::Appended { seq: 2 });
    assert!(matches!(store.append_batch(&next).await.unwrap(), AppendOutcome::AlreadyCovered { .. }));
    hidden_then_once(&store, &world, &lease).await;
}

/// The sale of the money that was lost: nothing of it is there, and the next time it comes out whole.
async fn hidden_then_once(store: &Store, world: &World, lease: &control_plane_store::leases::Lease) {
    let order = store.get_order(world.tenant, world.advertiser, "A-1").await;
    assert!(matches!(order, Err(StoreError::NotFound)), "{order:?}");
    assert_eq!(run_money(store, lease).await, 1);
    assert_eq!(
        store.list_conversions(world.tenant, &Default::default(), None, 9).await.unwrap().items.len(),
        1
    );
    assert_eq!(store.verify_ledger(world.shard()).await.unwrap().problem, None);
    assert_eq!(store.unbalanced(9).await.unwrap(), []);
}

#[tokio::test]
async fn writers_that_try_again_through_a_crash_write_once() {
    const WRITES: u8 = 60;
    let Some((mut server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let edge = edge(&store, 1).await;
    let before = store.intake_items(world.shard(), 0, 1_000).await.unwrap().len();
    let writing = async {
        for at in 1..=WRITES {
            let batch = edge.batch(at.into(), at.into(), [at - 1; 32], at);
            let outcome = recovers(async || store.append_batch(&batch).await).await;
            let kept =
                matches!(outcome, AppendOutcome::Appended { .. } | AppendOutcome::AlreadyCovered { .. });
            assert!(kept, "{outcome:?}");
            let (sale, key) = (world.sale(&format!("A-{at}"), 100), format!("key-{at}"));
            let shard = world.shard();
            recovers(async || store.append_intake_once(shard, &sale, &key, [1; 32], NOW).await).await;
        }
    };
    let crashing = async {
        for reached in [10, 30] {
            while recovers(async || store.journal_count().await).await.batches < reached {}
            // Whatever was asked just now is under way.
            server.stop(Stop::Immediate).unwrap();
            server.start_again().unwrap();
        }
    };
    tokio::join!(writing, crashing);
    let count = store.journal_count().await.unwrap();
    let all = u64::from(WRITES);
    assert_eq!((count.batches, count.highest_seq, count.given), (all, all, all));
    let items = store.intake_items(world.shard(), 0, 1_000).await.unwrap();
    assert_eq!(items.len(), before + usize::from(WRITES));
}

#[tokio::test]
async fn connections_that_are_ended_are_replaced() {
    let Some((server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let lease = lease(&store).await;
    let money = store.begin_money(world.shard(), &lease).await.unwrap();
    let mut money = Some(money);
    let ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE application_name = 'tributary'";
    for _ in 0..3 {
        server.superuser_psql("postgres", ours).unwrap();
        if let Some(mut money) = money.take() {
            unavailable(money.next_items(1).await);
        }
        recovers(async || store.set_fallback_url(world.tenant, None).await).await;
        recovers(async || store.get_tenant(world.tenant).await).await;
    }
}

/// Neither its limits nor the sockets end anything then.
#[tokio::test]
async fn a_server_that_stands_still_is_not_waited_for() {
    let Some((server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    store.catalog_version().await.unwrap();
    let main = std::fs::read_to_string(server.directory().join("data/postmaster.pid")).unwrap();
    let backends = server.superuser_psql("postgres", "SELECT pid FROM pg_stat_activity").unwrap();
    let all: Vec<&str> = main.lines().take(1).chain(backends.lines()).map(str::trim).collect();
    // The one that was asked for the list is gone by now.
    let signal =
        |name: &str| std::process::Command::new("kill").args(["-s", name]).args(&all).output().unwrap();
    signal("STOP");
    unavailable(store.catalog_version().await);
    signal("CONT");
    assert_eq!(recovers(async || store.catalog_version().await).await, 1);
    store.close().await;
}

#[tokio::test]
async fn a_server_that_only_reads_is_said_so_and_used_again_when_it_writes() {
    let Some((server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let set = |value: &str| {
        server
            .superuser_psql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"))
            .unwrap();
        server.superuser_psql("postgres", "SELECT pg_reload_conf()").unwrap();
    };
    set("on");
    // Sessions look at it when they are next idle.
    let error = loop {
        match store.set_fallback_url(world.tenant, None).await {
            Err(error) => break error,
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert!(matches!(error, StoreError::CannotWrite(_)), "{error:?}");
    store.get_tenant(world.tenant).await.unwrap();
    set("off");
    recovers(async || store.set_fallback_url(world.tenant, None).await).await;
}

/// A session takes such a setting over when it begins, and keeps it.
#[tokio::test]
async fn sessions_from_a_time_when_the_database_only_read_are_not_used_for_ever() {
    let Some((server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let superuser = |sql: &str| server.superuser_psql("postgres", sql).unwrap();
    superuser("ALTER ROLE tributary SET default_transaction_read_only = on");
    superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tributary'");
    // More at once than a pool has connections, so that each of them is one of those.
    let write = async || {
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let store = store.clone();
            tries.spawn(async move { store.set_fallback_url(world.tenant, None).await });
        }
        let refused = tries.join_all().await.into_iter().filter_map(Result::err);
        refused.filter(|error| matches!(error, StoreError::CannotWrite(_))).count()
    };
    while write().await < 16 {}
    superuser("ALTER ROLE tributary RESET default_transaction_read_only");
    let all_go = async { while write().await > 0 {} };
    tokio::time::timeout(DEADLINE, all_go).await.expect("sessions of before are given up");
}

#[tokio::test]
async fn too_many_connections_are_a_matter_of_time() {
    let settings = [("max_connections", "12"), ("superuser_reserved_connections", "3")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Some((server, url)) = private(Options { settings: settings.into(), ..Options::default() }) else {
        return;
    };
    let store = Store::open(&url).await.unwrap();
    let mut shards = Vec::new();
    for n in 1..=4 {
        let world = World::create(&store, n).await;
        shards.extend([world.shard(), world.settlement()]);
    }
    let lease = lease(&store).await;
    let DatabaseUrl::Postgres(text) = &url else { unreachable!() };
    let mut others = Vec::new();
    // Those of which the server has not noticed yet that they are gone do not count.
    let held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tributary'";
    while server.superuser_psql("postgres", held).unwrap() != "9" {
        others.extend(<sqlx::PgConnection as sqlx::Connection>::connect(text).await);
    }
    // Those that it has are taken; another is not to be had.
    let mut under_way = Vec::new();
    let refused = loop {
        match store.begin_money(shards[under_way.len()], &lease).await {
            Ok(money) => under_way.push(money),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    drop(others);
    recovers(async || store.begin_money(shards[under_way.len()], &lease).await).await;
}

/// Waits until somebody waits for a lock of ours.
pub async fn someone_waits(server: &Server) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while server.superuser_psql("postgres", waiting).unwrap() == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_must_give_way_is_run_again() {
    let Some((server, url)) = private(Options::default()) else { return };
    let store = Store::open(&url).await.unwrap();
    let (one, two) = (World::create(&store, 1).await, World::create(&store, 2).await);
    let mut raw = Raw::open(&url).await;
    let lock = |world: &World| {
        let (tenant, advertiser) = (world.tenant.get(), world.advertiser.get());
        format!(
            "UPDATE intake_heads SET head = head \
             WHERE tenant_id = {tenant} AND advertiser_id = {advertiser}"
        )
    };
    let lease = lease(&store).await;
    let edge = edge(&store, 1).await;
    for at in 1..=2u8 {
        store.append_batch(&edge.batch(at.into(), at.into(), [at - 1; 32], at)).await.unwrap();
    }
    // Shards are locked in their order; who locks them the other way round is in the way.
    let (first, second) = if one.shard() < two.shard() { (&one, &two) } else { (&two, &one) };
    let projection = control_plane_store::projection::Projection {
        intake: vec![(one.shard(), one.sale("A-1", 100)), (two.shard(), two.sale("A-1", 100))],
        ..Default::default()
    };
    let project = |seq| {
        let (store, lease, projection) = (store.clone(), lease.clone(), projection.clone());
        tokio::spawn(async move { store.commit_projection(&lease, seq, &projection, NOW).await })
    };
    raw.run("BEGIN").await.unwrap();
    raw.run(&lock(second)).await.unwrap();
    let projected = project(1);
    someone_waits(&server).await;
    // One of both is told to give way; if it is this one, it does so.
    let _ = raw.run(&lock(first)).await;
    raw.run("ROLLBACK").await.unwrap();
    assert!(projected.await.unwrap().unwrap());

    // A statement that took too long, or that somebody cancelled.
    raw.run("BEGIN").await.unwrap();
    raw.run(&lock(second)).await.unwrap();
    let projected = project(2);
    someone_waits(&server).await;
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    server.superuser_psql("postgres", cancel).unwrap();
    raw.run("ROLLBACK").await.unwrap();
    assert!(projected.await.unwrap().unwrap());
    for world in [&one, &two] {
        let items = store.intake_items(world.shard(), 0, 10).await.unwrap();
        assert_eq!(items.len(), 3, "the terms, and each sale once");
    }
}

/// Until it was heard more often than once: once, it may have been the listener's own beginning.
async fn hears(signal: &Signal, mut act: impl AsyncFnMut()) {
    let mut heard = signal.subscribe();
    let mut times = 0;
    let listening = async {
        while times < 2 {
            act().await;
            if tokio::time::timeout(Duration::from_millis(200), heard.changed()).await.is_ok() {
                times += 1;
            }
        }
    };
    tokio::time::timeout(DEADLINE, listening).await.expect("it listens");
}

#[tokio::test]
async fn a_commit_wakes_other_processes() {
    let Some((mut server, url)) = private(Options::default()) else { return };
    let (one, two) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let world = World::create(&one, 1).await;
    let edge = edge(&one, 1).await;
    let change = async || {
        recovers(async || one.set_fallback_url(world.tenant, None).await).await;
    };
    for round in 1..=2u8 {
        hears(&two.signals().catalog, change).await;
        // From now on every single commit is heard; nobody looks by himself here.
        let mut catalog = two.signals().catalog.subscribe();
        change().await;
        tokio::time::timeout(DEADLINE, catalog.changed()).await.expect("the catalog").unwrap();
        let mut journal = two.signals().journal.subscribe();
        let batch = edge.batch(round.into(), round.into(), [round - 1; 32], round);
        recovers(async || one.append_batch(&batch).await).await;
        tokio::time::timeout(DEADLINE, journal.changed()).await.expect("the journal").unwrap();
        let mut intake = two.signals().intake.subscribe();
        append(&one, world.shard(), &world.sale(&format!("A-{round}"), 100)).await;
        tokio::time::timeout(DEADLINE, intake.changed()).await.expect("the intake").unwrap();
        if round == 1 {
            server.stop(Stop::Fast).unwrap();
            server.start_again().unwrap();
        }
    }
}
