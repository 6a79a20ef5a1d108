//! What an edge has lost: it says so under its name, in the stream, and everything goes on behind it.

use crate::edge::{Edge, LaneWriter, Publisher};
use crate::money::World;
use crate::plane::Plane;
use crate::refusals::{alerts, counted};
use control_plane_server::app::outcomes::Outcome;
use control_plane_server::app::{clock, gap_rate};
use control_plane_store::alerts::{AlertKind, lane_subject};
use proto_model::event::Authority;
use proto_model::{EdgeId, Lane};
use proto_wire::edge_v1::publish_request::Message as Up;
use proto_wire::edge_v1::publish_response::Message as Down;
use proto_wire::edge_v1::refusal::Kind;
use proto_wire::edge_v1::{self, Refusal};
use proto_wire::envelope::{AckStatement, GapDeclaration, GapReason};
use proto_wire::keys::{self, SigningKey};

const RESUMED: [u8; 32] = [0xAB; 32];

impl LaneWriter {
    /// The next `count` ordinals are lost.
    pub fn gap(&self, count: u64) -> GapDeclaration {
        GapDeclaration {
            edge: self.edge,
            epoch: self.epoch,
            lane: self.lane,
            stream: self.stream,
            first_ordinal: self.next,
            last_ordinal: self.next + count - 1,
            reason: GapReason::Damaged,
            prev_hash: self.prev_hash,
            resume_hash: RESUMED,
        }
    }

    pub fn go_on_after(&mut self, gap: &GapDeclaration) {
        (self.next, self.prev_hash) = (gap.last_ordinal + 1, gap.resume_hash);
    }
}

impl Publisher {
    async fn declare(&mut self, gap: &GapDeclaration, key: &SigningKey) -> Down {
        self.ask(Up::Gap(gap.to_message(key, self.session))).await.unwrap()
    }
}

fn refused(answer: Down) -> Refusal {
    match answer {
        Down::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn acked(edge: &Edge, answer: Down) -> AckStatement {
    match answer {
        Down::Ack(ack) => AckStatement::verify(&edge.control_key, edge.id, edge.epoch.epoch, &ack).unwrap(),
        other => panic!("{other:?}"),
    }
}

impl World {
    /// Three clicks are lost between two that are there.
    async fn lossy() -> Self {
        let mut world = Self::new().await;
        world.click().await;
        world.declare_lost(3).await;
        world
    }

    /// Declares clicks as lost, one by one, until that is refused; gives how many were.
    async fn flood(&mut self) -> (u64, Refusal) {
        let mut declared = 0;
        loop {
            let gap = self.traffic.gap(1);
            match self.publisher.declare(&gap, &self.edge.keys.batch_key).await {
                Down::Refusal(refusal) => return (declared, refusal),
                answer => {
                    acked(&self.edge, answer);
                }
            }
            self.traffic.go_on_after(&gap);
            declared += 1;
            assert!(declared < 4 * u64::from(gap_rate::AT_ONCE), "it is never refused");
        }
    }

    /// The next `count` clicks.
    pub async fn declare_lost(&mut self, count: u64) {
        let gap = self.traffic.gap(count);
        let ack = acked(&self.edge, self.publisher.declare(&gap, &self.edge.keys.batch_key).await);
        assert_eq!((ack.lane, ack.last_ordinal, ack.head_hash), (Lane::Traffic, gap.last_ordinal, RESUMED));
        self.traffic.go_on_after(&gap);
    }
}

#[tokio::test]
async fn a_declared_gap_is_acknowledged_and_the_stream_goes_on() {
    let mut world = World::lossy().await;
    let clicked = world.click().await;
    assert_eq!(clicked.ordinal, 5);
    // After a lost acknowledgement, and in a new session.
    world.publisher = world.edge.open().await;
    let mut gap = world.edge.lane(Lane::Traffic).gap(1);
    let stored = world.plane.app().store.gaps_beginning_after(clicked.stream, 0, 9).await.unwrap();
    gap.clone_from(&GapDeclaration::parse(&stored[0].declaration).unwrap());
    let again = acked(&world.edge, world.publisher.declare(&gap, &world.edge.keys.batch_key).await);
    assert_eq!((again.last_ordinal, again.head_hash), (5, world.traffic.prev_hash));
    // One that comes too early waits for what is before it; conversions have nothing to do with it.
    world.traffic.next += 2;
    let early = refused(world.publisher.declare(&world.traffic.gap(1), &world.edge.keys.batch_key).await);
    assert_eq!((early.kind(), early.expected_ordinal, early.lane), (Kind::Gap, 6, 2));
    world.sell(Authority::TokenPostback, Some(clicked), "A-1", 19_990).await;
    let found = world.verify().await;
    assert!(found.ok(), "{found:?}");
    assert_eq!((found.gaps, found.lost, found.batches), (1, 3, 3));
    world.plane.stop().await;
}

#[tokio::test]
async fn a_gap_that_is_not_the_edges_to_declare_changes_nothing() {
    let mut world = World::new().await;
    world.click().await;
    let stranger = SigningKey::generate().unwrap();
    let key = &world.edge.keys.batch_key;
    let good = world.traffic.gap(3);
    let signed = |gap: GapDeclaration| gap.to_message(key, 0);
    let mut newer = good.to_bytes().to_vec();
    newer[0] += 1;
    let newer =
        edge_v1::Gap { session: 0, signature: key.sign(keys::GAP, &newer).to_vec(), declaration: newer };
    let cut = edge_v1::Gap { declaration: good.to_bytes()[..40].to_vec(), ..signed(good.clone()) };
    let unsigned = edge_v1::Gap { signature: vec![0; 3], ..signed(good.clone()) };
    let batchlike =
        edge_v1::Gap { signature: key.sign(keys::BATCH, &good.to_bytes()).to_vec(), ..signed(good.clone()) };
    let cases = [
        ("another key", good.to_message(&stranger, 0)),
        ("signed as a batch", batchlike),
        ("no signature", unsigned),
        ("cut short", cut),
        ("a newer form", newer),
        ("another edge", signed(GapDeclaration { edge: EdgeId::from_random(7), ..good.clone() })),
        ("another epoch", signed(GapDeclaration { epoch: good.epoch + 1, ..good.clone() })),
        ("another stream", signed(GapDeclaration { stream: world.money.stream, ..good.clone() })),
    ];
    for (case, message) in cases {
        let message = edge_v1::Gap { session: world.publisher.session, ..message };
        let refusal = refused(world.publisher.ask(Up::Gap(message)).await.unwrap());
        assert_eq!((refusal.kind(), refusal.lane), (Kind::Invalid, 2), "{case}");
        assert!(!refusal.detail.is_empty(), "{case}");
    }
    world.click().await;
    let found = world.verify().await;
    assert_eq!((found.ok(), found.gaps, found.batches), (true, 0, 2), "{found:?}");
    world.plane.stop().await;
}

#[tokio::test]
async fn a_gap_over_what_is_there_is_a_fork() {
    let mut world = World::new().await;
    let before = world.traffic.clone();
    world.click().await;
    let key = &world.edge.keys.batch_key;
    let fork = refused(world.publisher.declare(&before.gap(1), key).await);
    assert_eq!(fork.kind(), Kind::Quarantined);
    let next = refused(world.publisher.declare(&world.traffic.gap(1), key).await);
    assert_eq!(next.kind(), Kind::Quarantined, "until an operator has looked");
    world.plane.stop().await;
}

#[tokio::test]
async fn a_stream_begins_with_open_also_for_a_gap() {
    let plane = Plane::start().await;
    let edge = Edge::join(&plane, "one").await;
    let gap = edge.lane(Lane::Traffic).gap(1);
    let mut early = Publisher::connect(&edge).await.unwrap();
    let refused = early.ask(Up::Gap(gap.to_message(&edge.keys.batch_key, 0))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    let mut old = edge.open().await;
    let _newer = edge.open().await;
    assert_eq!(self::refused(old.declare(&gap, &edge.keys.batch_key).await).kind(), Kind::Fenced);
    plane.stop().await;
}

#[tokio::test]
async fn only_a_gap_that_the_edge_has_signed_explains_missing_ordinals() {
    let mut world = World::lossy().await;
    world.click().await;
    world.projected().await;
    let mut raw = world.database().await;
    let cases = [
        ("DELETE FROM stream_gaps".to_owned(), "ordinals are missing"),
        ("DELETE FROM stream_gaps".to_owned(), "the chain does not continue"),
        (
            format!("UPDATE stream_gaps SET declaration = {}", raw.flipped("declaration", 20)),
            "gap declaration is not signed by this edge",
        ),
        (
            format!("UPDATE stream_gaps SET signature = {}", raw.flipped("signature", 9)),
            "not signed by this edge",
        ),
        ("UPDATE stream_gaps SET last_ordinal = 3".into(), "other ordinals than the signed gap"),
        ("UPDATE stream_gaps SET reason = 'missing'".into(), "another reason"),
        (
            format!("UPDATE stream_gaps SET resume_hash = {}", raw.flipped("resume_hash", 3)),
            "hashes are not those",
        ),
        (
            "UPDATE stream_gaps SET stream = (SELECT stream FROM streams WHERE lane = 1)".into(),
            "of another stream",
        ),
        (
            "UPDATE sidecar_batches SET first_ordinal = 3, last_ordinal = 3 WHERE first_ordinal = 5".into(),
            "no batch holds",
        ),
        ("DELETE FROM journal WHERE first_ordinal = 5".into(), "its head stands at 5"),
        ("DELETE FROM journal WHERE first_ordinal = 1".into(), "not where batches are missing"),
        ("DELETE FROM journal WHERE first_ordinal = 1".into(), "gap does not continue the chain"),
    ];
    let tables = ["journal", "stream_gaps", "sidecar_batches"];
    for table in tables {
        raw.run(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    for (sql, expected) in cases {
        raw.run(&sql).await;
        let found = world.verify().await;
        assert!(found.problems.iter().any(|problem| problem.what.contains(expected)), "{sql}: {found:?}");
        for table in tables {
            raw.run(&format!("DELETE FROM {table}")).await;
            raw.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
        assert!(world.verify().await.ok(), "{sql}");
    }
    drop(raw);
    world.plane.stop().await;
}

#[tokio::test]
async fn what_is_left_verifies_when_days_around_a_gap_were_dropped() {
    // How many clicks stand behind the gap when the days are dropped.
    for behind in [0, 1] {
        let mut world = World::lossy().await;
        for _ in 0..behind {
            world.click().await;
        }
        world.projected().await;
        let later = clock::now().plus_days(2);
        let dropped = world.plane.app().store.drop_journal_before(later, later).await.unwrap();
        assert_eq!(dropped.batches, 1 + behind);
        let found = world.verify().await;
        assert_eq!((found.ok(), found.gaps), (true, 1 - behind), "{found:?}");
        world.click().await;
        let found = world.verify().await;
        assert_eq!((found.ok(), found.batches), (true, 1), "{found:?}");
        world.plane.stop().await;
    }
}

#[tokio::test]
async fn a_flood_of_gaps_is_refused_and_holds_nobody_up() {
    let mut world = World::new().await;
    let (first, refusal) = world.flood().await;
    assert_eq!((refusal.kind(), refusal.lane), (Kind::Invalid, 2));
    assert!(refusal.detail.contains("too fast"), "{refusal:?}");
    // A new session begins nothing anew. On a slow machine, time passes meanwhile and makes a little room.
    world.publisher = world.edge.open().await;
    let (more, _) = world.flood().await;
    assert!(first >= u64::from(gap_rate::AT_ONCE) && more < first / 2, "{first}, then {more}");
    // The lane's batches, the other lane and other edges have nothing to do with it.
    world.click().await;
    let gap = world.money.gap(1);
    acked(&world.edge, world.publisher.declare(&gap, &world.edge.keys.batch_key).await);
    let other = Edge::join(&world.plane, "other").await;
    let gap = other.lane(Lane::Traffic).gap(1);
    acked(&other, other.open().await.declare(&gap, &other.keys.batch_key).await);
    assert_eq!(counted(&world.plane, Outcome::Invalid), 2);
    let subject = lane_subject(world.edge.id, Lane::Traffic);
    let plane = world.plane.restart().await;
    let store = &plane.app().store;
    let refused = alerts(store, AlertKind::BatchRefused).await;
    assert_eq!((refused.len(), &refused[0].0, refused[0].1), (1, &subject, 2), "{refused:?}");
    let declared = alerts(store, AlertKind::GapDeclared).await;
    assert!(declared.iter().any(|(of, count, _)| *of == subject && *count == first + more), "{declared:?}");
    plane.stop().await;
}

#[tokio::test]
async fn many_gaps_are_walked_through() {
    let mut world = World::new().await;
    for n in 0..230 {
        let gap = world.traffic.gap(1);
        acked(&world.edge, world.publisher.declare(&gap, &world.edge.keys.batch_key).await);
        world.traffic.go_on_after(&gap);
        if n % 90 == 10 {
            world.click().await;
        }
    }
    let found = world.verify().await;
    assert!(found.ok(), "{found:?}");
    assert_eq!((found.gaps, found.lost, found.batches), (230, 230, 3));
    world.plane.stop().await;
}
