//! Runs the text cases and compares what they show.

use crate::scenario::{Scenario, Words};
use crate::world::{advertiser, settlement};
use control_plane_domain::order::{Conversion, Order, Part};
use proto_model::Amount;
use std::fmt::Write;

const CASES: [(&str, &str); 6] = [
    ("attribution", include_str!("cases/attribution.txt")),
    ("authority", include_str!("cases/authority.txt")),
    ("lifecycle", include_str!("cases/lifecycle.txt")),
    ("models", include_str!("cases/models.txt")),
    ("settlement", include_str!("cases/settlement.txt")),
    ("vouching", include_str!("cases/vouching.txt")),
];

/// On a difference the whole file is shown as the cases stand now, to be read before it is taken.
#[test]
fn cases_show_what_they_say() {
    for (file, text) in CASES {
        let shown = run(text);
        let differs = text.lines().zip(shown.lines()).position(|(said, found)| said != found);
        let line = differs.map_or(0, |line| line + 1);
        assert!(shown == text, "cases/{file}.txt differs in line {line}; now it reads:\n{shown}");
    }
}

/// The text again, with the lines behind `show` as they are.
fn run(text: &str) -> String {
    let mut shown = String::new();
    let mut scenario = Scenario::new();
    for line in text.lines().filter(|line| !line.starts_with('>')) {
        writeln!(shown, "{line}").unwrap();
        match Words::of(line) {
            _ if line.is_empty() || line.starts_with('#') => {}
            words if words.at(0) == "case" => scenario = Scenario::new(),
            words if words.at(0) == "show" => {
                for found in show(&scenario, line.split_whitespace().skip(1).collect()) {
                    writeln!(shown, "> {found}").unwrap();
                }
            }
            _ => scenario.run(line),
        }
    }
    shown
}

fn text(amount: Amount) -> String {
    format!("{} {}", amount.decimal(), amount.currency)
}

fn show(scenario: &Scenario, what: Vec<&str>) -> Vec<String> {
    let books = |key| scenario.world.shards.get(&key).map(|shard| &shard.books);
    let order = |id: &str| books(advertiser(1)).and_then(|books| books.state.orders.get(id));
    match what[..] {
        ["postings"] => books(advertiser(1)).into_iter().flat_map(|b| &b.ledger).map(posting).collect(),
        ["settled"] => books(settlement()).into_iter().flat_map(|b| &b.ledger).map(posting).collect(),
        ["balances"] => {
            let balances = scenario.world.balances().into_iter();
            balances
                .map(|((account, currency), sum)| {
                    let sum = Amount::new(i64::try_from(sum).unwrap(), currency);
                    format!("{account} {}", text(sum))
                })
                .collect()
        }
        ["statements"] => statements(scenario),
        ["notices"] => {
            let all = scenario.world.shards.values().flat_map(|shard| &shard.books.notifications);
            all.map(|n| format!("{} {} {}", n.kind, n.partner, text(n.amount))).collect()
        }
        ["candidates", id] => order(id).into_iter().flat_map(candidates).collect(),
        [id] => order(id).map_or_else(|| vec!["unknown".to_owned()], conversions),
        _ => panic!("show what? {what:?}"),
    }
}

fn posting(transaction: &control_plane_domain::ledger::LedgerTransaction) -> String {
    let entries = transaction.entries.iter().map(|entry| {
        let amount = Amount::new(entry.minor, transaction.currency);
        format!("{} {}", entry.account, amount.decimal())
    });
    format!("{}: {}", transaction.kind.as_str(), entries.collect::<Vec<_>>().join(", "))
}

fn statements(scenario: &Scenario) -> Vec<String> {
    let Some(shard) = scenario.world.shards.get(&settlement()) else { return Vec::new() };
    let money = |minor, currency| text(Amount::new(minor, currency));
    let made = shard.books.statements.iter();
    made.map(|s| {
        let lines: Vec<String> = s
            .lines
            .iter()
            .map(|line| format!("{} {}", line.credit.order_id, line.credit.amount.decimal()))
            .collect();
        let paid = if s.payout.is_some() { "paid" } else { "carried" };
        let (opening, closing) = (money(s.opening_minor, s.currency), money(s.closing_minor, s.currency));
        format!("{}: {opening} [{}] {closing} {paid}", s.partner, lines.join(", "))
    })
    .collect()
}

fn candidates(order: &Order) -> Vec<String> {
    let all = order.conversions.values().flat_map(|conversion| &conversion.decision.candidates);
    all.map(|c| {
        let share = c.share.map_or_else(String::new, |share| format!(" {share} ppm"));
        format!("click {} {} {}{share}", c.credit.click.address.ordinal, c.origin.as_str(), c.outcome)
    })
    .collect()
}

fn conversions(order: &Order) -> Vec<String> {
    let refused = format!("{} pixels refused", order.refused_pixels);
    let refused = (order.refused_pixels > 0).then_some(refused);
    order.conversions.values().map(conversion).chain(refused).collect()
}

fn conversion(conversion: &Conversion) -> String {
    let mut line = conversion.key.goal.clone();
    if let Some(event) = &conversion.key.event_id {
        write!(line, "/{event}").unwrap();
    }
    let amount = conversion.amount.map_or_else(|| "no amount".to_owned(), text);
    write!(line, " {amount} by {}:", conversion.authority.as_str()).unwrap();
    if let Some(reason) = conversion.reason {
        write!(line, " {} ({reason})", conversion.status.as_str()).unwrap();
    }
    for (place, commission) in conversion.commissions.values().enumerate() {
        let (partner, worth) = (commission.partner.get(), text(commission.amount));
        line.push_str(if place > 0 { "," } else { "" });
        write!(line, " p{partner} v{} {} {worth}", commission.terms_version, commission.status.as_str())
            .unwrap();
        write!(line, " ({})", commission.reason).unwrap();
        if commission.part != Part::Whole {
            write!(line, " for {} ppm", commission.share).unwrap();
        }
        if let Some(until) = commission.hold_until {
            write!(line, " until {}", until.secs() / 60).unwrap();
        }
    }
    if conversion.duplicates > 0 {
        write!(line, "; {} more of the same", conversion.duplicates).unwrap();
    }
    for conflict in &conversion.conflicts {
        write!(line, "; {} says {}", conflict.authority.as_str(), conflict.reason).unwrap();
    }
    if conversion.more_conflicts > 0 {
        write!(line, "; {} more conflicts", conversion.more_conflicts).unwrap();
    }
    line
}
