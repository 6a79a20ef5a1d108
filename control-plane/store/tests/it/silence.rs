//! A network that swallows what is said on the connections that are there, while new ones work: neither side learns
//! of it, and no limit of the server ends anything. SQLite has no network.

use crate::faults::{recovers, unavailable};
use crate::raw::Raw;
use crate::world::{NOW, World, database, edge};
use control_plane_store::journal::AppendOutcome;
use control_plane_store::{DatabaseUrl, Store};
use control_plane_testing::Proxy;
use std::time::{Duration, Instant};

/// More than a pool has connections.
const MANY: usize = 20;
/// To notice on one connection, and to have another one.
const NOTICED: Duration = Duration::from_secs(20);

/// A database behind such a network, if the tests were started for PostgreSQL: its own URL, and the one to use.
async fn behind() -> Option<(Proxy, DatabaseUrl, DatabaseUrl)> {
    let server = control_plane_testing::chosen()?;
    let direct = database().await?;
    let proxy = Proxy::to(server.port()).unwrap();
    let DatabaseUrl::Postgres(url) = &direct else { return None };
    let behind = url.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    Some((proxy, direct.clone(), behind.parse().unwrap()))
}

/// So that every connection is open that there may be.
async fn use_all(store: &Store, world: &World) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..MANY {
        let (reading, writing, tenant) = (store.clone(), store.clone(), world.tenant);
        tasks.spawn(async move { reading.get_tenant(tenant).await.map(|_| ()) });
        tasks.spawn(async move { writing.set_fallback_url(tenant, None).await.map(|_| ()) });
    }
    tasks.join_all().await.into_iter().filter(Result::is_ok).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_have_fallen_silent_are_given_up_and_replaced() {
    let Some((proxy, _, url)) = behind().await else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    assert_eq!(use_all(&store, &world).await, 2 * MANY);

    proxy.silence();
    let noticing = Instant::now();
    use_all(&store, &world).await;
    assert!(noticing.elapsed() < NOTICED, "{:?}", noticing.elapsed());
    let well = Instant::now();
    assert_eq!(use_all(&store, &world).await, 2 * MANY, "the new ones work");
    assert!(well.elapsed() < Duration::from_secs(5), "{:?}", well.elapsed());

    proxy.silence();
    let closing = Instant::now();
    store.close().await;
    assert!(closing.elapsed() < NOTICED, "{:?}", closing.elapsed());
}

/// A caller who goes away while his connection is silent takes no place with him either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_needs_to_wait_for_a_silent_connection_to_be_rid_of_it() {
    let Some((proxy, _, url)) = behind().await else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    assert_eq!(use_all(&store, &world).await, 2 * MANY);
    proxy.silence();
    for _ in 0..MANY {
        let asked = tokio::time::timeout(Duration::from_millis(50), store.get_tenant(world.tenant)).await;
        assert!(asked.is_err(), "nothing answers");
    }
    let noticing = Instant::now();
    recovers(async || store.get_tenant(world.tenant).await).await;
    assert!(noticing.elapsed() < NOTICED, "{:?}", noticing.elapsed());
}

/// One batch of an edge; the connection falls silent when the words are said.
async fn appended_once(words: &str, arrives: bool, fails: bool, happens: bool) {
    let Some((proxy, direct, url)) = behind().await else { return };
    let store = Store::open(&url).await.unwrap();
    let edge = edge(&store, 1).await;
    let batch = edge.batch(1, 1, [0; 32], 1);
    proxy.silence_at(words, arrives);
    match store.append_batch(&batch).await {
        Ok(outcome) => assert_eq!((fails, outcome), (false, AppendOutcome::Appended { seq: 1 }), "{words}"),
        Err(error) => {
            assert!(fails, "{words}: {error:?}");
            unavailable::<()>(Err(error));
        }
    }
    assert_eq!(proxy.fallen(), 1, "{words}");
    let again = recovers(async || store.append_batch(&batch).await).await;
    match happens {
        true => assert!(matches!(again, AppendOutcome::AlreadyCovered { .. }), "{words}: {again:?}"),
        false => assert_eq!(again, AppendOutcome::Appended { seq: 1 }, "{words}"),
    }
    let count = Store::open(&direct).await.unwrap().journal_count().await.unwrap();
    assert_eq!((count.batches, count.given), (1, 1), "{words}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_into_the_silence_has_happened_once_or_not_at_all() {
    const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    // Texts end so.
    const COMMIT: &str = "COMMIT\0";
    let cases = [
        // Nothing has begun, so another connection is as good.
        (BEGIN, true, false, true),
        (BEGIN, false, false, true),
        ("INSERT INTO journal", true, true, false),
        ("INSERT INTO journal", false, true, false),
        (COMMIT, true, true, true),
        (COMMIT, false, true, false),
    ];
    let [a, b, c, d, e, f] =
        cases.map(|(words, arrives, fails, happens)| appended_once(words, arrives, fails, happens));
    tokio::join!(a, b, c, d, e, f);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_nothing_any_more_listens_anew() {
    let Some((proxy, direct, url)) = behind().await else { return };
    let (one, two) = (Store::open(&direct).await.unwrap(), Store::open(&url).await.unwrap());
    let world = World::create(&one, 1).await;
    let hears = async || {
        let mut heard = two.signals().catalog.subscribe();
        one.set_fallback_url(world.tenant, None).await.unwrap();
        tokio::time::timeout(Duration::from_millis(500), heard.changed()).await.is_ok()
    };
    let listens = async || {
        let deadline = Instant::now() + 2 * NOTICED;
        // Once, it may have been the listener's own beginning.
        while !(hears().await && hears().await) {
            assert!(Instant::now() < deadline, "it is still deaf");
        }
    };
    listens().await;
    proxy.silence();
    assert!(!hears().await, "nothing comes through");
    listens().await;
}

/// Reports that take long hold every connection that is there to read by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_kept_while_reports_hold_all_that_there_is_to_read_by() {
    const TTL: Duration = Duration::from_secs(6);
    let Some(url) = database().await else { return };
    let store = Store::open(&url).await.unwrap();
    let world = World::create(&store, 1).await;
    let lease = store.acquire_lease("test", "test", TTL, NOW).await.unwrap();
    let mut raw = Raw::open(&url).await;
    raw.script("BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await;
    let mut reports = tokio::task::JoinSet::new();
    for _ in 0..MANY {
        let (store, tenant) = (store.clone(), world.tenant);
        reports.spawn(async move { store.get_tenant(tenant).await.map(|_| ()) });
    }
    // They are under way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let renewing = async {
        let now = store.database_time().await.unwrap();
        store.renew_lease(&lease, TTL, now).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(3), renewing).await.expect("in time");
    raw.run("ROLLBACK").await.unwrap();
    reports.join_all().await;
}
