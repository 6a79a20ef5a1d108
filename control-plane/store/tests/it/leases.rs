//! One holder at a time, and a number that says who came last.

use crate::world::{NOW, store};
use control_plane_store::StoreError;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_lease_is_held_until_it_expires_or_is_released() {
    let store = store().await;
    let first = store.acquire_lease("money", "a", TTL, NOW).await.unwrap();
    let taken = store.acquire_lease("money", "b", TTL, NOW.plus_secs(9)).await;
    assert!(matches!(taken, Err(StoreError::Conflict("lease_held"))));
    store.acquire_lease("jobs", "b", TTL, NOW).await.unwrap();

    let renewed = store.renew_lease(&first, TTL, NOW.plus_secs(9)).await.unwrap();
    assert_eq!((renewed.fence, renewed.expires_at), (first.fence, NOW.plus_secs(19)));
    let second = store.acquire_lease("money", "b", TTL, NOW.plus_secs(19)).await.unwrap();
    assert!(second.fence > first.fence);
    assert!(matches!(store.renew_lease(&renewed, TTL, NOW).await, Err(StoreError::Fenced)));

    store.release_lease(&renewed).await.unwrap();
    let held = store.acquire_lease("money", "c", TTL, NOW.plus_secs(20)).await;
    assert!(matches!(held, Err(StoreError::Conflict(_))), "releasing a lost lease frees nothing");
    store.release_lease(&second).await.unwrap();
    let third = store.acquire_lease("money", "c", TTL, NOW.plus_secs(20)).await.unwrap();
    assert!(third.fence > second.fence, "fences never start again");
}

#[tokio::test]
async fn the_same_holder_may_come_back_at_once_and_fences_itself() {
    let store = store().await;
    let first = store.acquire_lease("money", "a", TTL, NOW).await.unwrap();
    let second = store.acquire_lease("money", "a", TTL, NOW).await.unwrap();
    assert!(second.fence > first.fence);
    assert!(matches!(store.renew_lease(&first, TTL, NOW).await, Err(StoreError::Fenced)));
}
