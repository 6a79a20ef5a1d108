use super::*;
use proto_model::event::{Body, Click, FineFacts, Privacy, RecordedFacts, RecordedVerdict, Uniqueness};
use proto_model::{
    AdvertiserId, ClickFlags, Country, DeviceClass, EdgeId, Lane, LinkId, OfferId, PartnerId, ProgramId,
    UnixMicros, VerdictKind,
};
use proto_wire::convert::{SkipReason, event_to_wire, skipped_to_wire};
use proto_wire::edge_v1::{EventBatch, Sidecar};
use proto_wire::envelope::{GENESIS_HEAD, HeaderFields};
use proto_wire::keys::SigningKey;

const STREAM: StreamNo = StreamNo(3);

fn wire(ordinal: u64) -> (Event, Vec<SidecarEntry>) {
    let click = Click {
        link: LinkId::new(1).unwrap(),
        offer: OfferId::new(2).unwrap(),
        partner: PartnerId::new(3).unwrap(),
        program: ProgramId::new(4).unwrap(),
        advertiser: AdvertiserId::new(5).unwrap(),
        flags: ClickFlags::default(),
        uniqueness: Uniqueness::Undecided,
    };
    let facts = RecordedFacts {
        country: Country::UNKNOWN,
        device: DeviceClass::Desktop,
        os: String::new(),
        browser: String::new(),
        geo_version: 0,
        fine: FineFacts::default(),
        privacy: Privacy::Full,
        privacy_policy: 1,
    };
    let event = TrackingEvent {
        tenant: TenantId::new(7).unwrap(),
        occurred_at: UnixMicros::from_secs(1_000),
        facts,
        verdict: RecordedVerdict { kind: VerdictKind::Allow, rule_id: None, rule_set_version: 0 },
        body: Body::Click(click),
    };
    let personal = Personal {
        customer_id: Some(format!("customer {ordinal}")),
        sub_ids: vec!["tag".into()],
        ..Personal::default()
    };
    event_to_wire(&event, STREAM, ordinal, &personal, || [9; 16])
}

fn row(events: Vec<Event>, sidecar: Vec<SidecarEntry>) -> JournalRow {
    let fields = HeaderFields {
        edge: EdgeId::new(1).unwrap(),
        epoch: 1,
        lane: Lane::Traffic,
        stream: STREAM,
        prev_hash: GENESIS_HEAD,
    };
    let key = SigningKey::generate().unwrap();
    let sidecar = Sidecar { entries: sidecar };
    let sealed = SealedBatch::seal(&key, fields, &EventBatch { events }, &sidecar).unwrap();
    let header = Header::parse(&sealed.header_bytes).unwrap();
    JournalRow {
        seq: 1,
        edge: header.edge,
        epoch: header.epoch,
        lane: header.lane,
        stream: header.stream,
        first_ordinal: header.first_ordinal,
        last_ordinal: header.last_ordinal,
        events: header.events,
        head_hash: header.head_hash(),
        header_bytes: sealed.header_bytes,
        signature: sealed.signature,
        payload: sealed.payload,
        received_at: UnixMicros(0),
        sidecar: Some(sealed.sidecar),
    }
}

#[test]
fn values_are_kept_only_where_the_event_commits_to_them() {
    let (first, second) = (wire(1), wire(2));
    let mut forged = second.1[0].clone();
    forged.value = first.1[0].value.clone();
    let repeated = first.1[0].clone();
    let entries = [first.1.clone(), vec![repeated, forged, second.1[1].clone()]].concat();
    let batch =
        open(&row(vec![first.0, second.0, skipped_to_wire(3, 9, SkipReason::Unclean)], entries)).unwrap();

    let [one, two] = batch.events.as_slice() else { panic!("{batch:?}") };
    assert_eq!(one.customer_id.as_deref(), Some("customer 1"));
    assert_eq!(one.values.len(), 2);
    assert_eq!(two.customer_id, None, "somebody else's id under this event's commitment");
    assert_eq!(two.values.len(), 1);
    assert_eq!(batch.mismatched, BTreeMap::from([(TenantId::new(7).unwrap(), (2, 1))]));
}

#[test]
fn what_an_edge_declares_as_lost_is_counted() {
    let unclean = skipped_to_wire(1, 1024, SkipReason::Unclean);
    let lost = skipped_to_wire(1025, 1027, SkipReason::Lost);
    let events = vec![unclean, lost, skipped_to_wire(1028, 1032, SkipReason::Bounded), wire(1033).0];
    let batch = open(&row(events, Vec::new())).unwrap();
    assert_eq!((batch.lost, batch.maybe_lost, batch.unreadable, batch.events.len()), (3, 5, 0, 1));
    assert_eq!(open(&row(vec![wire(1).0], Vec::new())).unwrap().lost, 0);
}

#[test]
fn one_unreadable_event_costs_only_itself() {
    let (mut bad, _) = wire(1);
    bad.tenant = 0;
    let batch = open(&row(vec![bad, wire(2).0], Vec::new())).unwrap();
    assert_eq!((batch.events.len(), batch.unreadable), (1, 1));
    assert!(batch.first_unreadable().unwrap().contains("tenant"));
}

#[test]
fn a_broken_or_erased_sidecar_costs_only_its_values() {
    let (event, entries) = wire(1);
    let mut broken = row(vec![event], entries);
    for sidecar in [Some(b"not zstd".to_vec()), Some(Vec::new()), None] {
        broken.sidecar = sidecar;
        let batch = open(&broken).unwrap();
        assert_eq!((batch.events.len(), batch.events[0].values.len()), (1, 0));
    }
    broken.payload.truncate(5);
    assert!(open(&broken).is_err());
}
