//! A blocked click stays visible, with rule and version, whatever comes after it.

use crate::edge::{Edge, click};
use crate::plane::{Plane, eventually, seed};
use control_plane_server::app::recent::{self, RecentClick};
use proto_model::{Lane, TenantId, VerdictKind};

/// Every click of the tenant, page by page.
async fn all(
    plane: &Plane,
    tenant: TenantId,
    verdict: Option<VerdictKind>,
    limit: usize,
) -> Vec<RecentClick> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = recent::clicks(plane.app(), tenant, verdict, after, limit).await.unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_busy_tenant_hides_nobody_s_blocked_click() {
    let plane = Plane::start().await;
    let (quiet, busy) = (seed(plane.app()).await, seed(plane.app()).await);
    let edge = Edge::join(&plane, "one").await;
    let mut traffic = edge.lane(Lane::Traffic);
    let mut publisher = edge.open().await;
    let blocked_at = traffic.address(1);
    let mixed = [
        click(&quiet, VerdictKind::Allow),
        click(&quiet, VerdictKind::Block),
        click(&busy, VerdictKind::Allow),
    ];
    publisher.ack(&traffic.seal(&edge.keys.batch_key, &mixed)).await;
    let mut expected = vec![traffic.address(0).ordinal - 1];
    for _ in 0..45 {
        expected.insert(0, traffic.next);
        let batch = traffic.seal(&edge.keys.batch_key, &[click(&busy, VerdictKind::Allow)]);
        publisher.ack(&batch).await;
    }
    eventually("all of it projected", async || {
        (all(&plane, busy.tenant, None, 100).await.len() == 46).then_some(())
    })
    .await;

    let page = recent::clicks(plane.app(), quiet.tenant, Some(VerdictKind::Block), None, 25).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    let blocked = &page.items[0];
    assert_eq!(blocked.address, blocked_at);
    assert_eq!((blocked.verdict.rule_id.as_deref(), blocked.verdict.rule_set_version), (Some("block-cn"), 1));
    for limit in [1, 2, 7, 100] {
        let ordinals =
            |clicks: Vec<RecentClick>| clicks.iter().map(|c| c.address.ordinal).collect::<Vec<_>>();
        assert_eq!(ordinals(all(&plane, busy.tenant, None, limit).await), expected, "{limit}");
        assert_eq!(ordinals(all(&plane, quiet.tenant, None, limit).await), [2, 1], "{limit}");
    }
    plane.stop().await;
}
