//! Books of old. Intakes as an earlier version wrote them lie in `golden/`, one item a line, with what they came to
//! then: they must be read and come to the same for ever. Whoever must change one of them changes what somebody was paid.

use super::{hex, input_from_json, input_to_json};
use control_plane_domain::intake::{IntakeItem, ShardKey};
use control_plane_domain::order::{Commission, Order};
use control_plane_domain::replay::{Replay, replay};
use proto_model::{AdvertiserId, DerivedId, TenantId, UnixMicros};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Schema 14: the cases of the domain and random journeys, with retries and messages in any order.
const V14: (&str, &str) = (include_str!("golden/v14.intake"), include_str!("golden/v14.books"));

/// `world advertiser ordinal recorded_at input`; advertiser 0 is the settlement shard.
struct Line<'a> {
    world: &'a str,
    advertiser: u64,
    ordinal: u64,
    recorded_at: i64,
    input: &'a str,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().map(|line| {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let [world, advertiser, ordinal, recorded_at, input] = words[..] else {
            panic!("not a line: {line}")
        };
        Line {
            world,
            advertiser: advertiser.parse().unwrap(),
            ordinal: ordinal.parse().unwrap(),
            recorded_at: recorded_at.parse().unwrap(),
            input,
        }
    })
}

type Intakes = BTreeMap<(String, u64), Vec<IntakeItem>>;

fn intakes(text: &str) -> Intakes {
    let mut intakes = Intakes::new();
    for Line { world, advertiser, ordinal, recorded_at, input } in lines(text) {
        let input = input_from_json(input).unwrap();
        let item = IntakeItem { ordinal, recorded_at: UnixMicros(recorded_at), input };
        intakes.entry((world.to_owned(), advertiser)).or_default().push(item);
    }
    intakes
}

/// One line for each shard: `world advertiser items postings | books | messages | orders`, the last three as digests.
fn books(intakes: Intakes) -> String {
    let mut books = String::new();
    for ((world, advertiser), items) in intakes {
        let shard = ShardKey { tenant: TenantId::new(1).unwrap(), advertiser: AdvertiserId::new(advertiser) };
        let count = items.len();
        let replay = replay(shard, items).unwrap();
        let postings = replay.ledger.len();
        let parts = [replay.canonical_bytes(), messages(&replay).into_bytes(), orders(&replay).into_bytes()];
        let digests = parts.map(|part| hex(&DerivedId::of("golden", &[&part]).0));
        writeln!(books, "{world} {advertiser} {count} {postings} | {}", digests.join(" | ")).unwrap();
    }
    books
}

/// What is sent and told, in its order.
fn messages(replay: &Replay) -> String {
    let mut text = String::new();
    for (to, input) in &replay.sent {
        writeln!(text, "{to:?} {}", input_to_json(input).unwrap()).unwrap();
    }
    for told in &replay.notifications {
        let (id, subject) = (hex(&told.id.0), hex(&told.subject.0));
        writeln!(text, "{id} {} {} {subject} {:?} {}", told.kind, told.partner, told.amount, told.order_id)
            .unwrap();
    }
    text
}

/// What a partner or an advertiser sees of the orders.
fn orders(replay: &Replay) -> String {
    let mut text = String::new();
    for Order { order_id, conversions, refused_pixels, .. } in replay.state.orders.values() {
        writeln!(text, "{order_id} {refused_pixels}").unwrap();
        for conversion in conversions.values() {
            let decision = &conversion.decision;
            let outcomes: Vec<_> = decision.candidates.iter().map(|candidate| candidate.outcome).collect();
            let conflicts: Vec<_> = conversion.conflicts.iter().map(|conflict| conflict.reason).collect();
            writeln!(
                text,
                "  {} {:?} {:?} {:?} {:?} {outcomes:?} {:?} {conflicts:?} {} {}",
                hex(&conversion.id.0),
                conversion.authority,
                conversion.amount,
                conversion.status,
                conversion.reason,
                decision.winner,
                conversion.duplicates,
                conversion.more_conflicts,
            )
            .unwrap();
            for commission in conversion.commissions.values() {
                writeln!(text, "    {}", of_commission(commission)).unwrap();
            }
        }
    }
    text
}

fn of_commission(commission: &Commission) -> String {
    let Commission { partner, offer, terms_version, amount, status, reason, postings, .. } = commission;
    let statement = commission.statement.map(|id| hex(&id.0));
    format!(
        "{} {partner} {offer} {terms_version} {amount:?} {status:?} {reason} {:?} {:?} {statement:?} {postings}",
        hex(&commission.id.0),
        commission.hold_until,
        commission.approved_at,
    )
}

#[test]
fn old_intakes_come_to_the_books_that_they_came_to() {
    for (lines, then) in [V14] {
        let now = books(intakes(lines));
        assert!(now.lines().count() > 100);
        for (now, then) in now.lines().zip(then.lines()) {
            assert_eq!(now, then);
        }
        assert_eq!(now.lines().count(), then.lines().count());
    }
}

/// What was written then is written so still: a program of then reads it.
#[test]
fn old_intakes_are_written_as_they_were() {
    for Line { input, .. } in lines(V14.0) {
        assert_eq!(input_to_json(&input_from_json(input).unwrap()).unwrap(), input);
    }
}
