//! Opening, migrating, closing.

use crate::raw::Place;
use crate::world;

#[tokio::test]
async fn a_new_database_is_migrated_and_opens_again_as_it_was() {
    let place = Place::empty();
    let store = place.open().await;
    assert_eq!(store.catalog_version().await.unwrap(), 1);
    store.close().await;
    let again = place.open().await;
    assert_eq!(again.catalog_version().await.unwrap(), 1);
    assert_eq!(again.unbalanced(10).await.unwrap(), []);
    again.close().await;
}

#[tokio::test]
async fn every_in_memory_database_is_its_own() {
    let (one, two) = (world::memory().await, world::memory().await);
    assert_eq!(one.catalog_version().await.unwrap(), two.catalog_version().await.unwrap());
}
