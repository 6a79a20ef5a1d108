//! What an operator must look at: one row while it is open, counted up.

use crate::world::{NOW, store};
use control_plane_store::alerts::{Acknowledged, Alert, AlertFilter, AlertKind, Raised};
use control_plane_store::{Store, StoreError};
use proto_model::UnixMicros;
use std::collections::BTreeSet;

fn skew(subject: &str, count: u64, secs: i64) -> Raised {
    let detail = format!("{secs} s on");
    Raised { kind: AlertKind::ClockSkew, subject: subject.into(), detail, count, at: NOW.plus_secs(secs) }
}

async fn list(store: &Store, filter: AlertFilter) -> Vec<(i64, String, u64)> {
    let page = store.list_alerts(filter, None, 10).await.unwrap();
    page.items.into_iter().map(|alert| (alert.id, alert.subject, alert.count)).collect()
}

#[tokio::test]
async fn what_happens_again_is_counted_until_somebody_has_seen_it() {
    let store = store().await;
    for raised in [skew("a", 1, 0), skew("b", 1, 1), skew("a", 4, 2), skew("a", 1, -5)] {
        store.raise_alert(&raised).await.unwrap();
    }
    let alert = store.get_alert(1).await.unwrap();
    assert_eq!((alert.count, alert.first_at, alert.last_at), (6, NOW, NOW.plus_secs(2)));
    assert_eq!((alert.kind.as_str(), alert.detail.as_str()), ("clock_skew", "-5 s on"));

    // Whoever has read it before the last time, or says what never was, has not seen all of it.
    for seen in [5, 7, 0, u64::MAX] {
        let refused = store.acknowledge_alert(1, seen, "key_1", NOW.plus_secs(9)).await.unwrap();
        assert_eq!(refused, Acknowledged::MovedOn(alert.clone()), "{seen}");
    }
    let now = store.acknowledge_alert(1, 6, "key_1", NOW.plus_secs(9)).await.unwrap();
    let seen = Alert { acknowledged: Some((NOW.plus_secs(9), "key_1".to_owned())), ..alert };
    assert_eq!(now, Acknowledged::Now(seen.clone()));
    let again = store.acknowledge_alert(1, 6, "key_2", NOW.plus_secs(99)).await.unwrap();
    assert_eq!(again, Acknowledged::Before(seen), "who was first stays");
    assert!(matches!(store.acknowledge_alert(77, 1, "key_1", NOW).await, Err(StoreError::NotFound)));

    store.raise_alert(&skew("a", 1, 20)).await.unwrap();
    let (open, seen, other) = (Some(true), Some(false), Some(AlertKind::GapDeclared));
    let ids = async |kind, open| {
        list(&store, AlertFilter { kind, open }).await.into_iter().map(|(id, ..)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None).await, [3, 2, 1], "newest first");
    assert_eq!(ids(Some(AlertKind::ClockSkew), open).await, [3, 2]);
    assert_eq!(ids(None, seen).await, [1]);
    assert_eq!(ids(other, None).await, [0; 0]);
    assert_eq!(store.open_alerts().await.unwrap(), [("clock_skew".to_owned(), 2)]);
    let page = store.list_alerts(AlertFilter::default(), Some(3), 1).await.unwrap();
    assert_eq!((page.items[0].id, page.next), (2, Some(2)));
}

#[tokio::test]
async fn raised_by_several_at_once_it_is_one_row() {
    let store = store().await;
    let (one, two, three) = (skew("a", 1, 0), skew("a", 1, 1), skew("a", 1, 2));
    let (a, b, c) = tokio::join!(store.raise_alert(&one), store.raise_alert(&two), store.raise_alert(&three));
    for raised in [a, b, c] {
        raised.unwrap();
    }
    let rows = list(&store, AlertFilter::default()).await;
    assert_eq!((rows.len(), rows[0].2), (1, 3), "{rows:?}");
}

#[tokio::test]
async fn a_detail_from_outside_does_not_grow_without_end() {
    let store = store().await;
    let detail = "é".repeat(100_000);
    store.raise_alert(&Raised { detail, ..skew("a", 1, 0) }).await.unwrap();
    let kept = store.get_alert(1).await.unwrap().detail;
    assert!(kept.len() <= 1_000 && kept.starts_with("éé"));
    assert_eq!(store.get_alert(1).await.unwrap().last_at, UnixMicros(NOW.0));
}

#[tokio::test]
async fn a_count_from_outside_does_not_overflow() {
    let store = store().await;
    for _ in 0..3 {
        store.raise_alert(&skew("a", u64::MAX, 0)).await.unwrap();
    }
    assert_eq!(store.get_alert(1).await.unwrap().count, (1 << 53) - 1);
}

#[test]
fn every_kind_has_a_code_of_its_own() {
    let codes: BTreeSet<&str> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(codes.len(), AlertKind::ALL.len());
    for kind in AlertKind::ALL {
        assert_eq!(AlertKind::parse(kind.as_str()), Some(*kind));
    }
    assert_eq!(AlertKind::parse("Gap_declared"), None);
}
