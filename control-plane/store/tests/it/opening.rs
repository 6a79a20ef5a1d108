//! Opening, migrating, closing.

use crate::world;
use control_plane_store::Store;

#[tokio::test]
async fn a_new_database_is_migrated_and_opens_again_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("tributary.db").display());
    let store = Store::open(&url.parse().unwrap()).await.unwrap();
    assert_eq!(store.catalog_version().await.unwrap(), 1);
    store.close().await;
    let again = Store::open(&url.parse().unwrap()).await.unwrap();
    assert_eq!(again.catalog_version().await.unwrap(), 1);
    assert_eq!(again.unbalanced(10).await.unwrap(), []);
    again.close().await;
}

#[tokio::test]
async fn every_in_memory_database_is_its_own() {
    let (one, two) = (world::memory().await, world::memory().await);
    assert_eq!(one.catalog_version().await.unwrap(), two.catalog_version().await.unwrap());
}
