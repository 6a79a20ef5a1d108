//! Click caps: what edges are given, what is counted of it, and what is nobody's.

use crate::edge::{Client, Edge};
use crate::plane::{Catalog, Plane, seed};
use control_plane_server::app::catalog::{self, OfferPatch};
use control_plane_server::app::settings::{CapBody, RoutingBody};
use control_plane_server::app::{click_caps, clock};
use proto_model::time::{DAY_US, SECOND_US};
use proto_model::{Capped, UnixMicros};
use proto_wire::edge_v1::lease_claim::Subject;
use proto_wire::edge_v1::{LeaseClaim, LeaseGrant, LeaseRequest, WatchRequest};
use tonic::Code;

/// A limit on the clicks of one offer.
struct Capping {
    plane: Plane,
    catalog: Catalog,
}

impl Capping {
    async fn new(limit: u64, window: &str) -> Self {
        let plane = Plane::start().await;
        let catalog = seed(plane.app()).await;
        let capping = Self { plane, catalog };
        capping.cap(limit, window).await;
        capping
    }

    async fn cap(&self, limit: u64, window: &str) {
        let click_cap = Some(CapBody { limit, window: window.to_owned() });
        let routing = Some(RoutingBody { click_cap, ..RoutingBody::default() });
        let patch = OfferPatch { routing, ..OfferPatch::default() };
        let Catalog { tenant, offer, .. } = self.catalog;
        catalog::change_offer(self.plane.app(), tenant, offer, patch).await.unwrap();
    }

    fn claim(&self) -> LeaseClaim {
        let subject = Some(Subject::Offer(self.catalog.offer.get()));
        LeaseClaim { tenant: self.catalog.tenant.get(), subject, ..LeaseClaim::default() }
    }

    fn want(&self, number: u64, wanted: u64) -> LeaseClaim {
        LeaseClaim { wanted, next: number, ..self.claim() }
    }

    fn report(&self, lease: u64, spent: u64) -> LeaseClaim {
        LeaseClaim { lease, spent, ..self.claim() }
    }

    async fn usage(&self) -> (u64, u64) {
        let subject = Capped::Offer(self.catalog.offer);
        let state = click_caps::state(self.plane.app(), self.catalog.tenant, subject).await.unwrap().unwrap();
        (state.usage.used, state.usage.leased)
    }
}

async fn ask(client: &mut Client, claims: Vec<LeaseClaim>) -> Vec<LeaseGrant> {
    let count = claims.len();
    let grants = client.lease(LeaseRequest { claims }).await.unwrap().into_inner().grants;
    assert_eq!(grants.len(), count, "one for each claim");
    grants
}

#[tokio::test]
async fn two_edges_share_a_cap_to_the_last_click() {
    let capping = Capping::new(40, "total").await;
    let mut clients = Vec::new();
    for name in ["one", "two"] {
        clients.push(Edge::join(&capping.plane, name).await.client().await);
    }
    let mut given = 0;
    let mut refused = 0;
    for number in 1.. {
        let client = &mut clients[usize::try_from(number % 2).unwrap()];
        let grant = ask(client, vec![capping.want(number, 10)]).await.remove(0);
        assert_eq!(grant.lease, number);
        given += grant.granted;
        let (used, leased) = capping.usage().await;
        assert!(used + leased <= 40, "never above the limit");
        ask(client, vec![capping.report(number, grant.granted)]).await;
        refused += u64::from(grant.granted == 0);
        if refused == 2 {
            assert_eq!(grant.lasts_secs, 30, "there is no use in asking soon");
            break;
        }
    }
    assert_eq!((given, capping.usage().await), (40, (40, 0)));
    capping.cap(41, "total").await;
    assert_eq!(ask(&mut clients[0], vec![capping.want(999, 10)]).await[0].granted, 1, "one more is allowed");
    capping.plane.stop().await;
}

#[tokio::test]
async fn a_request_whose_reply_was_lost_is_sent_again() {
    let capping = Capping::new(1_000, "total").await;
    let mut client = Edge::join(&capping.plane, "edge").await.client().await;
    let first = ask(&mut client, vec![capping.want(1, 50)]).await;
    assert_eq!((first[0].granted, first[0].lasts_secs), (50, 120));
    let claims = vec![capping.report(1, 30), capping.want(2, 50)];
    let second = ask(&mut client, claims.clone()).await;
    let again = ask(&mut client, claims).await;
    assert_eq!((second[1].granted, again[1].granted), (50, 50));
    assert_eq!(capping.usage().await, (30, 50));
    // Another edge's numbers are its own.
    let mut other = Edge::join(&capping.plane, "other").await.client().await;
    ask(&mut other, vec![capping.report(2, 0)]).await;
    assert_eq!(capping.usage().await, (30, 50));
    capping.plane.stop().await;
}

#[tokio::test]
async fn every_edge_that_is_connected_has_a_share() {
    let capping = Capping::new(1_000, "total").await;
    let join = async |name| Edge::join(&capping.plane, name).await.client().await;
    let (mut asks, mut watches, mut asks_too) =
        (join("asks").await, join("watches").await, join("too").await);
    // A fourth of what is left for each lease of the only edge, then an eighth, then a twelfth.
    assert_eq!(ask(&mut asks, vec![capping.want(1, 1_000)]).await[0].granted, 250);
    let stream = watches.watch(WatchRequest::default()).await.unwrap();
    assert_eq!(ask(&mut asks, vec![capping.want(2, 1_000)]).await[0].granted, 93, "the other one is idle");
    assert_eq!(ask(&mut asks_too, vec![capping.want(1, 1_000)]).await[0].granted, 54, "and one only leases");
    assert_eq!(ask(&mut asks, vec![capping.want(3, 1_000)]).await[0].granted, 50);
    drop(stream);
    capping.plane.stop().await;
}

#[tokio::test]
async fn windows_are_those_of_the_offer_and_of_now() {
    let capping = Capping::new(100, "day").await;
    let mut client = Edge::join(&capping.plane, "edge").await.client().await;
    let today = clock::now().0 / DAY_US * DAY_US / SECOND_US;
    let cases = [(today, true), (0, false), (today - 86_400, false), (today + 3_600, false)];
    for (number, (window_start_secs, given)) in (1..).zip(cases) {
        let claim = LeaseClaim { window_start_secs, ..capping.want(number, 5) };
        let granted = ask(&mut client, vec![claim]).await[0].granted;
        assert_eq!(granted > 0, given, "{window_start_secs}");
    }
    // What was spent yesterday counts for yesterday.
    let late = LeaseClaim { window_start_secs: today - 86_400, ..capping.report(77, 9) };
    ask(&mut client, vec![late]).await;
    assert_eq!(capping.usage().await, (0, 5));
    let yesterday = UnixMicros::from_secs(today - 86_400);
    let (tenant, offer) = (capping.catalog.tenant, Capped::Offer(capping.catalog.offer));
    let usage = capping.plane.app().store.click_usage(tenant, offer, yesterday, clock::now()).await.unwrap();
    assert_eq!(usage.used, 9);
    capping.plane.stop().await;
}

#[tokio::test]
async fn what_a_tenant_does_not_have_gets_nothing_and_harms_nobody() {
    let capping = Capping::new(100, "total").await;
    let theirs = seed(capping.plane.app()).await;
    let mut client = Edge::join(&capping.plane, "edge").await.client().await;
    let crossed = LeaseClaim { tenant: theirs.tenant.get(), ..capping.want(1, 5) };
    let uncapped = LeaseClaim {
        tenant: theirs.tenant.get(),
        subject: Some(Subject::Offer(theirs.offer.get())),
        ..capping.want(2, 5)
    };
    let link = LeaseClaim { subject: Some(Subject::Link(theirs.link.get())), ..capping.want(3, 5) };
    let granted: Vec<u64> = ask(&mut client, vec![crossed, capping.want(4, 5), uncapped, link])
        .await
        .iter()
        .map(|grant| grant.granted)
        .collect();
    assert_eq!(granted, [0, 5, 0, 0]);
    assert_eq!(capping.usage().await, (0, 5));
    capping.plane.stop().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let capping = Capping::new(100, "total").await;
    let edge = Edge::join(&capping.plane, "edge").await;
    let mut client = edge.client().await;
    let good = capping.want(1, 5);
    let bad = [
        LeaseClaim { tenant: 0, ..good },
        LeaseClaim { subject: None, ..good },
        LeaseClaim { subject: Some(Subject::Offer(u64::MAX)), ..good },
        LeaseClaim { next: 0, ..good },
        LeaseClaim { next: u64::MAX, ..good },
        LeaseClaim { spent: u64::MAX, ..good },
        LeaseClaim { window_start_secs: i64::MAX, ..good },
        LeaseClaim { window_start_secs: -1, ..good },
    ];
    for claim in bad {
        let refused = client.lease(LeaseRequest { claims: vec![claim] }).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{claim:?}: {refused}");
    }
    let many = client.lease(LeaseRequest { claims: vec![good; 257] }).await.unwrap_err();
    assert_eq!(many.code(), Code::InvalidArgument);
    let mut stranger = crate::edge::connect(&edge.bundle, None).await;
    let refused = stranger.lease(LeaseRequest { claims: vec![good] }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(capping.usage().await, (0, 0));
    capping.plane.stop().await;
}
