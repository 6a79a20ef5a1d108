//! Any value that the domain could hand to the store.

use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, CustomerRef, Input, OrderEvent, OrderEventKind,
    PartnerCredit, Settled, Source, Touch, Vouched,
};
use control_plane_domain::order::{
    AmountSource, Arithmetic, Candidate, CandidateOrigin, Commission, CommissionStatus, Conflict, Conversion,
    ConversionStatus, Decision, Order, OrderEventRecord, Part, WHOLE,
};
use control_plane_domain::reason;
use control_plane_domain::terms::{GoalPlan, Hold, Model, OfferTerms, Plan};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proto_model::event::{Authority, ORDINAL_MAX};
use proto_model::{
    Address, AdvertiserId, Amount, ClickFacts, ClickFlags, Country, Currency, DerivedId, DeviceClass, LinkId,
    OfferId, PartnerId, ProgramId, Rate, StreamNo, TenantId, UnixMicros, VerdictKind,
};

/// Quotes, control characters and all, but no NUL: PostgreSQL cannot hold one, and neither edges nor the REST
/// interface let it through.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", "[^\u{0}]{0,12}", Just("'; --\"\\ \u{1}\n{}[]".to_owned())]
}

fn reason() -> impl Strategy<Value = &'static str> {
    select(reason::ALL)
}

pub fn time() -> impl Strategy<Value = UnixMicros> {
    any::<i64>().prop_map(UnixMicros)
}

fn ordinal() -> impl Strategy<Value = u64> {
    1..=ORDINAL_MAX
}

fn currency() -> impl Strategy<Value = Currency> {
    select(vec!["USD", "CNY", "JPY", "KWD", "XXX"]).prop_map(|code| Currency::parse_stored(code).unwrap())
}

pub fn amount() -> impl Strategy<Value = Amount> {
    (any::<i64>(), currency()).prop_map(|(minor, currency)| Amount { minor, currency })
}

fn derived() -> impl Strategy<Value = DerivedId> {
    any::<[u8; 16]>().prop_map(DerivedId)
}

fn customer() -> impl Strategy<Value = CustomerRef> {
    any::<[u8; 16]>().prop_map(CustomerRef)
}

fn address() -> impl Strategy<Value = Address> {
    (any::<u32>(), ordinal()).prop_map(|(stream, ordinal)| Address { stream: StreamNo(stream), ordinal })
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![address().prop_map(Source::Journal), text().prop_map(Source::Api)]
}

fn authority() -> impl Strategy<Value = Authority> {
    select(Authority::ALL)
}

pub fn credit() -> impl Strategy<Value = ClickCredit> {
    let ids = any::<[u64; 5]>();
    let facts = (any::<u32>(), address(), "[A-Z]{2}", select(DeviceClass::ALL), select(VerdictKind::ALL));
    (ids, facts, any::<u32>(), any::<u8>()).prop_map(|(ids, facts, rule_set_version, flags)| {
        let (at_secs, address, country, device, verdict) = facts;
        let click = ClickFacts {
            tenant: TenantId::from_random(ids[0]),
            link: LinkId::from_random(ids[1]),
            offer: OfferId::from_random(ids[2]),
            at_secs,
            address,
            country: Country::parse(&country),
            device,
            verdict,
            rule_set_version,
            flags: ClickFlags(flags),
        };
        let (partner, program) = (PartnerId::from_random(ids[3]), ProgramId::from_random(ids[4]));
        ClickCredit { click, partner, program }
    })
}

fn key() -> impl Strategy<Value = ConversionKey> {
    (text(), text(), option::of(text())).prop_map(|(order_id, goal, event_id)| ConversionKey {
        order_id,
        goal,
        event_id,
    })
}

fn report() -> impl Strategy<Value = ConversionReport> {
    let who = (authority(), option::of(amount()), option::of(credit()), option::of(customer()));
    (key(), who, option::of(text()), time(), source()).prop_map(|(key, who, coupon, occurred_at, source)| {
        let (authority, amount, click, customer) = who;
        ConversionReport { key, authority, amount, click, customer, coupon, occurred_at, source }
    })
}

fn kind() -> impl Strategy<Value = OrderEventKind> {
    select(OrderEventKind::ALL.map(|(kind, _)| kind).to_vec())
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![amount().prop_map(Plan::Flat), any::<u32>().prop_map(|ppm| Plan::Percentage(Rate(ppm)))]
}

fn hold() -> impl Strategy<Value = Hold> {
    (any::<bool>(), option::of(any::<u32>()))
        .prop_map(|(until_delivered, days)| Hold { until_delivered, days })
}

fn model() -> impl Strategy<Value = Model> {
    let weights = btree_map(any::<u64>().prop_map(PartnerId::from_random), any::<u32>(), 0..4);
    prop_oneof![
        select(vec![Model::Last, Model::First, Model::Linear]),
        any::<[u32; 2]>().prop_map(|[first, last]| Model::Position { first, last }),
        any::<u32>().prop_map(|half_life_secs| Model::Decay { half_life_secs }),
        weights.prop_map(Model::Weights),
    ]
}

pub fn terms() -> impl Strategy<Value = OfferTerms> {
    let goals = vec((text(), plan()).prop_map(|(goal, plan)| GoalPlan { goal, plan }), 0..4);
    (any::<[u64; 2]>(), any::<u32>(), time(), any::<i64>(), goals, hold(), model(), any::<bool>()).prop_map(
        |(ids, version, valid_from, window_secs, goals, hold, model, trust_pixel)| OfferTerms {
            offer: OfferId::from_random(ids[0]),
            program: ProgramId::from_random(ids[1]),
            version,
            valid_from,
            window_secs,
            goals,
            hold,
            model,
            trust_pixel,
        },
    )
}

pub fn input() -> impl Strategy<Value = Input> {
    let vouched = select(vec![Vouched::Page, Vouched::Server]);
    let touch = (customer(), credit(), time(), vouched)
        .prop_map(|(customer, click, bound_at, vouched)| Touch { customer, click, bound_at, vouched });
    let event = (text(), text(), kind(), option::of(amount()), time(), source()).prop_map(
        |(order_id, event_id, kind, amount, occurred_at, source)| OrderEvent {
            order_id,
            event_id,
            kind,
            amount,
            occurred_at,
            source,
        },
    );
    let credit = (derived(), derived(), any::<[u64; 2]>(), text(), amount()).prop_map(
        |(id, commission, ids, order_id, amount)| PartnerCredit {
            id,
            commission,
            advertiser: AdvertiserId::from_random(ids[0]),
            order_id,
            partner: PartnerId::from_random(ids[1]),
            amount,
        },
    );
    let settled = (text(), derived(), derived()).prop_map(|(order_id, commission, statement)| Settled {
        order_id,
        commission,
        statement,
    });
    prop_oneof![
        terms().prop_map(Input::Terms),
        report().prop_map(Input::Conversion),
        touch.prop_map(Input::Touch),
        event.prop_map(Input::OrderEvent),
        text().prop_map(|order_id| Input::HoldElapsed { order_id }),
        credit.prop_map(Input::PartnerCredit),
        time().prop_map(|through| Input::ClosePeriod { through }),
        settled.prop_map(Input::Settled),
    ]
}

fn event_record() -> impl Strategy<Value = OrderEventRecord> {
    (text(), kind(), option::of(amount()), time(), source(), ordinal()).prop_map(
        |(event_id, kind, amount, occurred_at, source, ordinal)| OrderEventRecord {
            event_id,
            kind,
            amount,
            occurred_at,
            source,
            ordinal,
        },
    )
}

fn arithmetic() -> impl Strategy<Value = Arithmetic> {
    prop_oneof![
        amount().prop_map(|result| Arithmetic::Flat { result }),
        (amount(), any::<u32>(), amount()).prop_map(|(base, ppm, result)| Arithmetic::Percentage {
            base,
            rate: Rate(ppm),
            result
        }),
    ]
}

fn decision() -> impl Strategy<Value = Decision> {
    let origin = select(vec![CandidateOrigin::ClickId, CandidateOrigin::Touch, CandidateOrigin::PageTouch]);
    let candidate = (credit(), origin, reason(), option::of(any::<u32>()))
        .prop_map(|(credit, origin, outcome, share)| Candidate { credit, origin, outcome, share });
    let rest = (option::of(0usize..3), option::of(authority()), option::of(any::<u32>()));
    (vec(candidate, 0..3), rest).prop_map(|(candidates, (winner, authority, terms_version))| Decision {
        candidates,
        winner,
        authority,
        terms_version,
    })
}

fn conflict() -> impl Strategy<Value = Conflict> {
    (authority(), option::of(amount()), option::of(credit()), source(), ordinal(), reason()).prop_map(
        |(authority, amount, click, source, ordinal, reason)| Conflict {
            authority,
            amount,
            click,
            source,
            ordinal,
            reason,
        },
    )
}

fn commission() -> impl Strategy<Value = Commission> {
    let status = select(vec![
        CommissionStatus::Pending,
        CommissionStatus::Approved,
        CommissionStatus::Reversed,
        CommissionStatus::ClawedBack,
    ]);
    let part = (any::<bool>(), 0..=WHOLE, option::of(arithmetic()));
    let what = (derived(), part, any::<[u64; 2]>(), any::<u32>(), plan(), hold(), any::<bool>());
    let now = (
        amount(),
        status,
        reason(),
        option::of(time()),
        option::of(time()),
        option::of(derived()),
        any::<u32>(),
    );
    (what, now).prop_map(|((id, part, ids, terms_version, plan, hold, trust_pixel), now)| {
        let (whole, share, arithmetic) = part;
        let (partner, offer) = (PartnerId::from_random(ids[0]), OfferId::from_random(ids[1]));
        let (amount, status, reason, hold_until, approved_at, statement, postings) = now;
        Commission {
            id,
            part: if whole { Part::Whole } else { Part::Share { partner, offer } },
            share,
            partner,
            offer,
            terms_version,
            plan,
            hold,
            trust_pixel,
            amount,
            arithmetic,
            status,
            reason,
            hold_until,
            approved_at,
            statement,
            postings,
        }
    })
}

/// A conversion whose key and id are set by [`order`].
fn conversion() -> impl Strategy<Value = Conversion> {
    let stated = (source(), ordinal()).prop_map(|(source, ordinal)| AmountSource { source, ordinal });
    let amount = (option::of(amount()), option::of(authority()), option::of(stated));
    let believed = (authority(), amount, option::of(customer()));
    let status = select(vec![ConversionStatus::Attributed, ConversionStatus::Unattributed]);
    let more = (option::of(text()), time(), status, option::of(reason()), decision());
    let counts = (vec(conflict(), 0..3), any::<u32>(), any::<u32>(), ordinal(), ordinal());
    (believed, more, counts, vec(commission(), 0..4)).prop_map(|(believed, more, counts, commissions)| {
        let (authority, (amount, amount_authority, amount_source), customer) = believed;
        let (coupon, occurred_at, status, reason, decision) = more;
        let (conflicts, more_conflicts, duplicates, first_ordinal, last_ordinal) = counts;
        Conversion {
            id: DerivedId([0; 16]),
            key: ConversionKey { order_id: String::new(), goal: String::new(), event_id: None },
            authority,
            amount,
            amount_authority,
            amount_source,
            customer,
            coupon,
            occurred_at,
            status,
            reason,
            decision,
            conflicts,
            more_conflicts,
            duplicates,
            commissions: commissions.into_iter().map(|commission| (commission.part, commission)).collect(),
            first_ordinal,
            last_ordinal,
        }
    })
}

/// The store takes any id that is one per key.
fn conversion_id(key: &ConversionKey) -> DerivedId {
    DerivedId::of("conversion", &[format!("{key:?}").as_bytes()])
}

/// Any state of the order with this id.
pub fn order(order_id: String) -> impl Strategy<Value = Order> {
    let keys = (select(vec!["sale", "lead"]), option::of("[ab]"));
    let parts = (vec(event_record(), 0..3), btree_map(keys, conversion(), 0..4), any::<u32>());
    parts.prop_map(move |(events, conversions, refused_pixels)| {
        let conversions = conversions.into_iter().map(|((goal, event_id), conversion)| {
            let key = ConversionKey { order_id: order_id.clone(), goal: goal.to_owned(), event_id };
            let id = conversion_id(&key);
            (key.clone(), Conversion { id, key, ..conversion })
        });
        let conversions = conversions.collect();
        Order { order_id: order_id.clone(), events, conversions, refused_pixels }
    })
}
