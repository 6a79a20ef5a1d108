//! Opening, migrating, closing.

use crate::raw::{Place, Raw};
use crate::world::{self, NOW};
use control_plane_store::deployment::Node;
use control_plane_store::{Store, StoreError};
use control_plane_testing::chosen;
use proto_model::UnixMicros;

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

#[tokio::test]
async fn a_database_that_cannot_hold_every_letter_is_refused_as_it_is() {
    // Those of SQLite are always UTF-8.
    let Some(server) = chosen() else { return };
    let name = "latin";
    let sql = format!(
        "CREATE DATABASE {name} OWNER tributary ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    server.superuser_psql("postgres", &sql).unwrap();
    let url = server.url(name).parse().unwrap();
    let error = Store::open(&url).await.err().unwrap();
    assert!(matches!(&error, StoreError::Encoding { found, .. } if found == "LATIN1"), "{error:?}");
    assert!(error.to_string().contains("ENCODING 'UTF8'"), "{error}");
    assert_eq!(Store::look(&url).await.unwrap().schema_level().await.unwrap().found, None);
}

/// Only a table that is not there says that nobody has been here.
#[tokio::test]
async fn a_schema_that_cannot_be_read_is_not_taken_for_none() {
    if chosen().is_none() {
        return; // SQLite knows no rights within a database.
    }
    let place = Place::new().await;
    let mut raw = Raw::open(&place.url).await;
    raw.run("REVOKE SELECT ON schema_floor FROM tributary").await.unwrap();
    let error = Store::open(&place.url).await.err().unwrap();
    assert!(matches!(error, StoreError::CannotWrite(_)), "{error:?}");
}

#[tokio::test]
async fn a_process_that_was_killed_long_ago_is_forgotten() {
    let store = world::store().await;
    let seen = async |name: &str, seen_at| {
        let node = Node { name: name.into(), version: "1".into(), started_at: UnixMicros(0), seen_at };
        store.see_node(&node).await.unwrap();
    };
    seen("killed", NOW).await;
    seen("slow", NOW.plus_secs(1)).await;
    seen("at work", NOW.plus_secs(86_401)).await;
    let names: Vec<_> = store.nodes(UnixMicros(0)).await.unwrap().into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["at work", "slow"]);
}
