//! Several processes on one database share the work: each of these stores stands for one.

use crate::projection::batches;
use crate::world::{NOW, World, append, database, store};
use control_plane_domain::engine;
use control_plane_domain::intake::{Input, ShardKey};
use control_plane_domain::invariants;
use control_plane_domain::order::CommissionStatus;
use control_plane_domain::replay::replay;
use control_plane_domain::terms::{Hold, OfferTerms};
use control_plane_store::commissions::CommissionFilter;
use control_plane_store::leases::Lease;
use control_plane_store::projection::Projection;
use control_plane_store::{Slots, Store, StoreError};
use proto_model::TenantId;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);
/// Over at once: whoever asks next gets it.
const NONE: Duration = Duration::ZERO;
const SALES: usize = 60;

fn names(slots: impl IntoIterator<Item = u8>) -> Vec<String> {
    slots.into_iter().map(|slot| format!("money/{slot}")).collect()
}

fn names_of(leases: &[Lease]) -> Vec<String> {
    leases.iter().map(|lease| lease.name.clone()).collect()
}

#[tokio::test]
async fn leases_are_taken_renewed_and_released_together() {
    let store = store().await;
    let a = store.acquire_leases(&names(0..16), 3, "a", TTL, NOW).await.unwrap();
    assert_eq!(names_of(&a), names(0..3));
    let b = store.acquire_leases(&names(0..5), 16, "b", TTL, NOW.plus_secs(5)).await.unwrap();
    assert_eq!(names_of(&b), names(3..5), "what is held is passed over");

    let later = NOW.plus_secs(10);
    let taken = store.acquire_leases(&names(0..5), 1, "b", TTL, later).await.unwrap();
    assert_eq!((names_of(&taken), taken[0].fence), (names(0..1), 2), "expired, hence taken over");
    let renewed = store.renew_leases(&a, TTL, later).await.unwrap();
    assert_eq!(names_of(&renewed), names(1..3), "the others go on");
    assert!(renewed.iter().all(|lease| lease.expires_at == NOW.plus_secs(20) && lease.fence == 1));

    store.release_leases(&a).await.unwrap();
    let holders = async || -> Vec<(String, String, bool)> {
        let leases = store.leases().await.unwrap();
        leases.into_iter().map(|l| (l.name, l.holder, l.expires_at > later)).collect()
    };
    let expected = [("money/0", "b", true), ("money/1", "a", false), ("money/2", "a", false)];
    let rest = [("money/3", "b", true), ("money/4", "b", true)];
    let expected: Vec<_> = expected
        .iter()
        .chain(&rest)
        .map(|(name, who, held)| ((*name).into(), (*who).into(), *held))
        .collect();
    assert_eq!(holders().await, expected);
}

#[tokio::test]
async fn work_is_found_by_slot() {
    let store = store().await;
    let mut worlds = Vec::new();
    for n in 1..=5 {
        worlds.push(World::create(&store, n).await);
    }
    for slot in 0..Slots::COUNT {
        let expected: Vec<ShardKey> = worlds
            .iter()
            .filter(|world| Slots::slot_of(world.tenant) == slot)
            .map(|world| world.shard())
            .collect();
        assert_eq!(store.shards_with_work(Slots::NONE.with(slot), 10).await.unwrap(), expected, "{slot}");
    }
    assert_eq!(store.shards_with_work(Slots::NONE, 10).await.unwrap(), []);
    assert_eq!(store.shards_with_work(Slots::ALL, 10).await.unwrap().len(), 5);
    assert_eq!(store.shards_with_work(Slots::ALL, 2).await.unwrap().len(), 2);
}

/// On SQLite nothing else is written while a transaction is open; there such a process cannot be.
#[tokio::test]
async fn a_process_that_hangs_in_a_transaction_holds_up_nothing_else() {
    let Some(url) = database().await else { return };
    let (hanging, other) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let world = World::create(&hanging, 1).await;
    let leases = hanging.acquire_leases(&names(0..2), 2, "hanging", TTL, NOW).await.unwrap();
    let tx = hanging.begin_money(world.shard(), &leases[0]).await.unwrap();

    let later = NOW.plus_secs(60);
    let taken = other.acquire_leases(&names(0..3), 3, "other", TTL, later).await.unwrap();
    assert_eq!(names_of(&taken), names(1..3), "not waited for");
    drop(tx);
    // The rollback is under way.
    let taken = loop {
        let taken = other.acquire_leases(&names(0..1), 1, "other", TTL, later).await.unwrap();
        if !taken.is_empty() {
            break taken;
        }
    };
    assert_eq!(taken[0].fence, leases[0].fence + 1);
    assert!(matches!(hanging.begin_money(world.shard(), &leases[0]).await, Err(StoreError::Fenced)));
}

/// A process that takes a lease whenever it can get it, does a few steps, and often finds itself fenced.
struct Worker {
    store: Store,
    name: &'static str,
    fenced: u64,
    worked: u64,
}

impl Worker {
    async fn lease(&self, lease: &str) -> Option<Lease> {
        match self.store.acquire_lease(lease, self.name, NONE, NOW).await {
            Ok(lease) => Some(lease),
            Err(StoreError::Conflict("lease_held") | StoreError::Busy(_)) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// `None` after a step that had to give way.
    fn count<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(result) => {
                self.worked += 1;
                Some(result)
            }
            Err(StoreError::Fenced) => {
                self.fenced += 1;
                None
            }
            Err(StoreError::Busy(_)) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn step(&self, shard: ShardKey, lease: &Lease) -> Result<(), StoreError> {
        let mut tx = self.store.begin_money(shard, lease).await?;
        for item in tx.next_items(3).await? {
            let mut state = tx.load(&item.input).await?;
            let effects = engine::apply(shard, &mut state, &item).unwrap();
            tx.persist(&item, &state, &effects).await?;
        }
        tx.commit().await
    }

    /// Until both tenants have what they should.
    async fn run(mut self, tenants: [TenantId; 2]) -> Self {
        while !is_done(&self.store, tenants).await {
            for slot in tenants.map(Slots::slot_of) {
                let Some(lease) = self.lease(&format!("money/{slot}")).await else { continue };
                let slots = Slots::NONE.with(slot);
                for shard in self.store.shards_with_work(slots, 10).await.unwrap() {
                    // Three steps under one lease: the others may have taken it over between any of them.
                    for _ in 0..3 {
                        let result = self.step(shard, &lease).await;
                        if self.count(result).is_none() {
                            break;
                        }
                    }
                }
            }
        }
        self
    }
}

async fn approved(store: &Store, tenant: TenantId) -> Vec<i64> {
    let filter = CommissionFilter { status: Some(CommissionStatus::Approved), ..CommissionFilter::default() };
    let page = store.list_commissions(tenant, &filter, None, 1_000).await.unwrap();
    page.items.into_iter().map(|row| row.commission.amount.minor).collect()
}

async fn is_done(store: &Store, tenants: [TenantId; 2]) -> bool {
    let mut done = store.shards_with_work(Slots::ALL, 1).await.unwrap().is_empty();
    for tenant in tenants {
        done &= approved(store, tenant).await.len() == SALES;
    }
    done
}

fn at_once(world: &World) -> OfferTerms {
    OfferTerms { hold: Hold { until_delivered: false, days: Some(0) }, ..world.terms(2) }
}

async fn feed(store: Store, worlds: [World; 2], offset: usize) {
    for n in (offset..SALES).step_by(2) {
        for world in &worlds {
            append(&store, world.shard(), &world.sale(&format!("order-{n}"), 1_000)).await;
            let elapsed = Input::HoldElapsed { order_id: format!("order-{n}") };
            append(&store, world.shard(), &elapsed).await;
        }
    }
}

/// SQLite has one process, hence nobody to exchange a lease with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_that_change_hands_all_the_time_leave_exact_totals() {
    let Some(url) = database().await else { return };
    let (one, two) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let worlds = [World::create(&one, 1).await, World::create(&one, 2).await];
    let tenants = [worlds[0].tenant, worlds[1].tenant];
    for world in &worlds {
        one.put_terms(world.tenant, world.advertiser, &at_once(world), NOW).await.unwrap();
    }
    let worker = |store: &Store, name| Worker { store: store.clone(), name, fenced: 0, worked: 0 };
    let workers = [
        tokio::spawn(worker(&one, "one").run(tenants)),
        tokio::spawn(worker(&two, "two").run(tenants)),
        tokio::spawn(worker(&two, "three").run(tenants)),
    ];
    let feeders =
        [feed(one.clone(), worlds.clone(), 0), feed(two.clone(), worlds.clone(), 1)].map(tokio::spawn);
    for feeder in feeders {
        feeder.await.unwrap();
    }
    for worker in workers {
        let worker = worker.await.unwrap();
        eprintln!("{}: {} steps, {} times fenced", worker.name, worker.worked, worker.fenced);
    }

    for world in &worlds {
        assert_eq!(approved(&one, world.tenant).await, vec![100; SALES]);
        for shard in [world.shard(), world.settlement()] {
            let items = one.intake_items(shard, 0, 10_000).await.unwrap();
            let replay = replay(shard, items).unwrap();
            invariants::check(shard, &replay).unwrap();
            assert_eq!(two.shard_ledger(shard, 0, 10_000).await.unwrap(), replay.ledger);
            assert_eq!(two.verify_ledger(shard).await.unwrap().problem, None);
        }
    }
    assert_eq!(one.unbalanced(1).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projectors_that_change_places_all_the_time_pass_over_nothing_and_double_nothing() {
    let Some(url) = database().await else { return };
    let (one, two) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    let world = World::create(&one, 1).await;
    let count = 40;
    batches(&one, 40).await;
    let project = |store: Store, name, world: World| async move {
        let mut worker = Worker { store, name, fenced: 0, worked: 0 };
        while worker.store.projected_through().await.unwrap() < count {
            let Some(lease) = worker.lease("project").await else { continue };
            for row in worker.store.unprojected(3).await.unwrap() {
                let order_id = row.seq.to_string();
                let item = (world.shard(), Input::HoldElapsed { order_id });
                let projection = Projection { intake: vec![item], ..Projection::default() };
                let result = worker.store.commit_projection(&lease, row.seq, &projection, NOW).await;
                if worker.count(result).is_none() {
                    break;
                }
            }
        }
    };
    let projectors = [project(one.clone(), "one", world.clone()), project(two, "two", world.clone())];
    for projector in projectors.map(tokio::spawn) {
        projector.await.unwrap();
    }
    let items = one.intake_items(world.shard(), 0, 1_000).await.unwrap();
    let orders: Vec<String> = items
        .iter()
        .filter_map(|item| match &item.input {
            Input::HoldElapsed { order_id } => Some(order_id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(orders, (1..=count).map(|seq| seq.to_string()).collect::<Vec<_>>());
}
