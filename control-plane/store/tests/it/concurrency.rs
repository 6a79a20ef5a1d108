//! Several control planes on one database, asking at once.

use crate::owned::own_everything;
use crate::projection::{batches, value};
use crate::raw::{Place, Raw};
use crate::world::{NOW, World, edge, lease, new_edge};
use control_plane_domain::intake::{CustomerRef, Input, Touch, Vouched};
use control_plane_store::fleet::JoinToken;
use control_plane_store::journal::{AppendOutcome, NewBatch};
use control_plane_store::projection::{CustomerKey, Projection, SidecarRow, Who};
use control_plane_store::{Store, StoreError};
use proto_model::event::PersonalClass;
use proto_model::{Lane, StreamNo, UnixMicros};
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const PROCESSES: usize = 4;

/// Each with connections of its own, as several processes have.
async fn processes() -> (Place, Vec<Store>) {
    let place = Place::new().await;
    let mut stores = Vec::new();
    for _ in 0..PROCESSES {
        stores.push(place.open().await);
    }
    (place, stores)
}

/// Runs the same in each of them, begun at one moment.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    stores: &[Store],
    act: impl Fn(usize, Store) -> F,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(stores.len()));
    let mut tasks = JoinSet::new();
    for (n, store) in stores.iter().enumerate() {
        let (barrier, act) = (barrier.clone(), act(n, store.clone()));
        tasks.spawn(async move {
            barrier.wait().await;
            act.await
        });
    }
    tasks.join_all().await
}

/// One of them has done it; the others were told this.
#[track_caller]
fn one_wins<T: std::fmt::Debug>(results: Vec<Result<T, StoreError>>, code: &str) {
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "{won:?} {lost:?}");
    for result in lost {
        assert!(matches!(result, Err(StoreError::Conflict(why)) if why == code), "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_enrols_one_edge() {
    let (_place, stores) = processes().await;
    for round in 1..=5 {
        let token = JoinToken {
            token_sha256: [round; 32],
            name: "edge".into(),
            created_at: NOW,
            expires_at: NOW.plus_secs(900),
            used_at: None,
        };
        stores[0].create_join_token(&token).await.unwrap();
        let enrolled = at_once(&stores, |n, store| async move {
            let edge = new_edge(round * 10 + u8::try_from(n).unwrap());
            store.enroll_edge(&[round; 32], &edge, NOW).await
        });
        one_wins(enrolled.await, "join_token_used");
        assert_eq!(stores[0].list_edges(None, 100).await.unwrap().items.len(), usize::from(round));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_idempotency_key_acts_once() {
    let (_place, stores) = processes().await;
    let world = World::create(&stores[0], 1).await;
    let before = stores[0].intake_items(world.shard(), 0, 100).await.unwrap().len();
    for round in 1..=5 {
        let world = &world;
        let ordinals = at_once(&stores, |_, store| {
            let (shard, sale) = (world.shard(), world.sale(&format!("A-{round}"), 100));
            let key = format!("key-{round}");
            async move { store.append_intake_once(shard, &sale, &key, [1; 32], NOW).await.unwrap() }
        })
        .await;
        assert!(ordinals.iter().all(|ordinal| *ordinal == ordinals[0]), "{ordinals:?}");
        let items = stores[0].intake_items(world.shard(), 0, 100).await.unwrap();
        assert_eq!(items.len(), before + round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_to_the_same_version_one_wins() {
    let (_place, stores) = processes().await;
    let world = World::create(&stores[0], 1).await;
    for version in 0..5 {
        let tenant = world.tenant;
        let published = at_once(&stores, |_, store| async move {
            store.publish_rule_set(tenant, "{}", Some(version), NOW).await
        });
        one_wins(published.await, "rule_set_version");
        let terms = at_once(&stores, |_, store| {
            let (advertiser, terms) = (world.advertiser, world.terms(version + 2));
            async move { store.put_terms(tenant, advertiser, &terms, NOW).await }
        });
        one_wins(terms.await, "terms_version");
    }
    assert_eq!(stores[0].current_rule_set(world.tenant).await.unwrap().unwrap().version, 5);
    let written = stores[0].offer_terms(world.tenant, world.advertiser, world.offer).await.unwrap();
    assert_eq!(written.iter().map(|terms| terms.version).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_are_rotated_one_after_the_other() {
    let (_place, stores) = processes().await;
    let world = World::create(&stores[0], 1).await;
    let rotated = at_once(&stores, |n, store| {
        let key = world.click_key(u8::try_from(n).unwrap() + 2);
        async move { store.rotate_click_key(&key).await }
    })
    .await;
    assert!(rotated.iter().all(Result::is_ok), "{rotated:?}");
    let keys = stores[0].click_keys(world.tenant).await.unwrap();
    assert_eq!(keys.len(), PROCESSES + 1);
    assert_eq!(keys.iter().filter(|key| key.active).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_customers_get_the_same_pseudonyms() {
    let (_place, stores) = processes().await;
    let world = World::create(&stores[0], 1).await;
    let tenant = world.tenant;
    let resolved = at_once(&stores, |n, store| async move {
        // In another order each, which must not matter.
        let mut keys: Vec<_> = (0..20u8)
            .map(|id| CustomerKey {
                tenant,
                who: Who::Customer(format!("customer-{id}")),
                candidate: CustomerRef([id * 10 + u8::try_from(n).unwrap(); 16]),
            })
            .collect();
        keys.rotate_left(n * 5);
        store.resolve_customers(&keys).await.unwrap()
    })
    .await;
    assert_eq!(resolved[0].len(), 20);
    assert!(resolved.iter().all(|refs| *refs == resolved[0]), "{resolved:?}");
}

fn on_lane(batch: NewBatch, lane: Lane, stream: proto_model::StreamNo) -> NewBatch {
    let header = control_plane_store::journal::BatchHeader { lane, stream, ..batch.header };
    NewBatch { header, ..batch }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_edges_append_on_both_lanes_and_the_journal_is_one_order() {
    const BATCHES: u8 = 12;
    let (_place, stores) = processes().await;
    let mut tasks = JoinSet::new();
    for n in 1..=4u8 {
        let edge = Arc::new(edge(&stores[0], n).await);
        for lane in [Lane::Money, Lane::Traffic] {
            let (edge, store) = (edge.clone(), stores[usize::from(n) % PROCESSES].clone());
            tasks.spawn(async move {
                let stream = match lane {
                    Lane::Money => edge.epoch.money_stream,
                    Lane::Traffic => edge.epoch.traffic_stream,
                };
                for at in 1..=BATCHES {
                    let batch = on_lane(edge.batch(at.into(), at.into(), [at - 1; 32], at), lane, stream);
                    // Clocks of processes differ, and run backwards.
                    let received_at = UnixMicros(NOW.0 + i64::from(n) * 1_000_000 - i64::from(at) * 1_000);
                    let outcome = store.append_batch(&NewBatch { received_at, ..batch }).await.unwrap();
                    assert!(matches!(outcome, AppendOutcome::Appended { .. }), "{outcome:?}");
                }
            });
        }
    }
    tasks.join_all().await;
    let rows = stores[0].unprojected(1_000).await.unwrap();
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=8 * u64::from(BATCHES)).collect::<Vec<_>>(), "dense, and nothing twice");
    assert!(rows.is_sorted_by_key(|row| row.received_at), "times never run backwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_value_that_is_projected_while_its_customer_is_erased_does_not_stay() {
    let (place, stores) = processes().await;
    let world = World::create(&stores[0], 1).await;
    let edge = edge(&stores[0], 1).await;
    let lease = lease(&stores[0]).await;
    for at in 1..=10u8 {
        stores[0].append_batch(&edge.batch(at.into(), at.into(), [at - 1; 32], at)).await.unwrap();
        let candidate = CustomerRef([at; 16]);
        let key = CustomerKey { tenant: world.tenant, who: Who::Customer("ann".into()), candidate };
        let customer =
            stores[0].resolve_customers(&[key]).await.unwrap()[&(world.tenant, Who::Customer("ann".into()))];
        // The intake names the event as theirs before its value comes.
        let mut report = world.report(&format!("A-{at}"), 100);
        report.customer = Some(customer);
        report.click = None;
        let address = proto_model::Address { stream: edge.epoch.traffic_stream, ordinal: at.into() };
        report.source = control_plane_domain::intake::Source::Journal(address);
        let sale = control_plane_domain::intake::Input::Conversion(report);
        stores[0].append_intake(world.shard(), &sale, NOW).await.unwrap();
        let mut row = value(&world, at.into(), PersonalClass::Subject, Some(customer));
        row.address = address;
        let packed = SidecarRow { class: PersonalClass::Network, customer: None, ..row.clone() };
        let projection = Projection { sidecar: vec![row, packed], ..Projection::default() };
        let (tenant, lease) = (world.tenant, &lease);
        at_once(&stores[..2], |n, store| {
            let (lease, projection) = (lease.clone(), projection.clone());
            async move {
                if n == 0 {
                    assert!(store.commit_projection(&lease, at.into(), &projection, NOW).await.unwrap());
                } else {
                    assert_eq!(
                        store.erase_customer(tenant, &Who::Customer("ann".into())).await.unwrap().customers,
                        1
                    );
                }
            }
        })
        .await;
        assert_eq!(stores[1].sidecar_at(tenant, address).await.unwrap(), []);
    }
    for table in ["sidecar", "sidecar_batches"] {
        assert_eq!(Raw::open(&place.url).await.count(table).await, 0, "{table}");
    }
}

/// Either it comes first and is erased, or it is of somebody new, who can be erased in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_customer_does_while_they_are_erased_can_still_be_erased() {
    let (_place, stores) = processes().await;
    let world = World::create(&stores[0], 1).await;
    batches(&stores[0], 1).await;
    let clicks = 1..=40u64;
    let sidecar =
        clicks.clone().map(|ordinal| value(&world, ordinal, PersonalClass::Network, None)).collect();
    let projection = Projection { sidecar, ..Projection::default() };
    assert!(stores[0].commit_projection(&lease(&stores[0]).await, 1, &projection, NOW).await.unwrap());
    for round in clicks.clone().step_by(PROCESSES) {
        let (tenant, shard) = (world.tenant, world.shard());
        at_once(&stores, |n, store| {
            let click = world.click(round + n as u64);
            async move {
                let candidate = CustomerRef([u8::try_from(click.click.address.ordinal).unwrap(); 16]);
                let key = CustomerKey { tenant, who: Who::Customer("ann".into()), candidate };
                let touch = |customer| {
                    Input::Touch(Touch { customer, click, bound_at: NOW, vouched: Vouched::Server })
                };
                store.append_of_customer(shard, &key, &touch, NOW).await.unwrap();
                if n == 0 {
                    store.erase_customer(tenant, &Who::Customer("ann".into())).await.unwrap();
                }
            }
        })
        .await;
    }
    stores[0].erase_customer(world.tenant, &Who::Customer("ann".into())).await.unwrap();
    for ordinal in clicks {
        let address = proto_model::Address { stream: StreamNo(2), ordinal };
        assert_eq!(stores[1].sidecar_at(world.tenant, address).await.unwrap(), [], "{ordinal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn money_of_a_shard_is_moved_by_one_at_a_time() {
    let (_place, stores) = processes().await;
    let owned = own_everything(&stores[0], 1).await;
    let lease = lease(&stores[0]).await;
    let world = owned.world;
    stores[0].append_intake(world.shard(), &world.sale("B-1", 100), NOW).await.unwrap();
    // Whoever begins second waits, and then finds nothing left to do.
    let applied = at_once(&stores, |_, store| {
        let (lease, shard) = (lease.clone(), world.shard());
        async move {
            let mut tx = store.begin_money(shard, &lease).await.unwrap();
            let items = tx.next_items(10).await.unwrap();
            for item in &items {
                let mut state = tx.load(&item.input).await.unwrap();
                let effects = control_plane_domain::engine::apply(shard, &mut state, item).unwrap();
                tx.persist(item, &state, &effects).await.unwrap();
            }
            tx.commit().await.unwrap();
            items.len()
        }
    })
    .await;
    assert_eq!(applied.iter().sum::<usize>(), 1, "{applied:?}");
    assert_eq!(stores[1].verify_ledger(world.shard()).await.unwrap().problem, None);
}
