//! What must hold of a shard's books after every step, whatever was fed to it.

use crate::intake::{ClickCredit, ShardKey};
use crate::ledger::{
    Account, ChainError, LedgerHead, LedgerTransaction, TransactionKind, balances, verify_chain,
};
use crate::lifecycle::{part_of, shares};
use crate::order::{Commission, CommissionStatus, Conversion, ConversionStatus, WHOLE};
use crate::reason;
use crate::replay::Replay;
use crate::settlement::Statement;
use crate::state::ShardState;
use proto_model::event::Authority;
use proto_model::money::MAX_MINOR;
use proto_model::{AdvertiserId, Currency, DerivedId, PartnerId};
use std::collections::{BTreeMap, BTreeSet};

/// The first thing found wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("the ledger chain is broken")]
    Chain(#[source] ChainError),
    #[error("the ledger ends at transaction {found}, the state says {stated}")]
    Head { stated: u64, found: u64 },
    #[error("ledger transaction {0:?} was posted twice")]
    PostedTwice(DerivedId),
    #[error("commission {commission:?}: {what}")]
    Commission { commission: DerivedId, what: &'static str },
    #[error("conversion {conversion:?}: {what}")]
    Conversion { conversion: DerivedId, what: &'static str },
    #[error("ledger entries about {0:?}, which is neither a commission nor a payout of this shard")]
    Stray(DerivedId),
    #[error("statement {statement:?}: {what}")]
    Statement { statement: DerivedId, what: &'static str },
    #[error(
        "partner {partner}: {account} is {found} in the ledger and {expected} on statements, in {currency}"
    )]
    Balance { partner: PartnerId, account: &'static str, currency: Currency, found: i128, expected: i128 },
}

/// Checks a whole shard: `replay` must have started from nothing.
pub fn check(shard: ShardKey, replay: &Replay) -> Result<(), Violation> {
    let found = verify_chain(LedgerHead::default(), &replay.ledger).map_err(Violation::Chain)?;
    let stated = replay.state.ledger;
    if found != stated {
        return Err(Violation::Head { stated: stated.sequence, found: found.sequence });
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = replay.ledger.iter().find(|transaction| !seen.insert(transaction.id)) {
        return Err(Violation::PostedTwice(twice.id));
    }
    match shard.advertiser {
        Some(advertiser) => check_orders(advertiser, &replay.state, &replay.ledger),
        None => check_settlement(replay),
    }
}

fn check_orders(
    advertiser: AdvertiserId,
    state: &ShardState,
    ledger: &[LedgerTransaction],
) -> Result<(), Violation> {
    let mut by_subject: BTreeMap<DerivedId, Vec<&LedgerTransaction>> = BTreeMap::new();
    for transaction in ledger {
        by_subject.entry(transaction.subject).or_default().push(transaction);
    }
    let mut ids = BTreeSet::new();
    for conversion in state.orders.values().flat_map(|order| order.conversions.values()) {
        if !ids.insert(conversion.id) {
            let what = "its id is not its own";
            return Err(Violation::Conversion { conversion: conversion.id, what });
        }
        check_decision(conversion)?;
        let shares = shares(&conversion.commissions);
        for (place, (part, commission)) in conversion.commissions.iter().enumerate() {
            let postings = by_subject.remove(&commission.id).unwrap_or_default();
            if (*part, part.commission(conversion.id)) != (commission.part, commission.id) {
                let what = "is not the part that it stands for";
                return Err(Violation::Commission { commission: commission.id, what });
            }
            check_commission(advertiser, conversion, commission, &postings)?;
            let whole = commission.arithmetic.map(|arithmetic| arithmetic.result());
            if whole.is_some_and(|whole| part_of(whole, &shares, place).minor != commission.amount.minor) {
                let what = "its amount is not its part of what its arithmetic gives";
                return Err(Violation::Commission { commission: commission.id, what });
            }
        }
    }
    by_subject.into_keys().next().map_or(Ok(()), |subject| Err(Violation::Stray(subject)))
}

fn check_decision(conversion: &Conversion) -> Result<(), Violation> {
    let wrong = |what| Err(Violation::Conversion { conversion: conversion.id, what });
    let decision = &conversion.decision;
    let winners: Vec<usize> = (0..decision.candidates.len())
        .filter(|index| decision.candidates[*index].outcome == reason::WON)
        .collect();
    if winners != decision.winner.into_iter().collect::<Vec<_>>() {
        return wrong("the winner is not the one candidate that won");
    }
    let winner = decision.winner.map(|index| decision.candidates[index].credit);
    let credited = conversion.commissions.values().filter(|commission| commission.share > 0);
    let given: u64 = credited.clone().map(|commission| u64::from(commission.share)).sum();
    let has_part = |winner: ClickCredit| credited.clone().any(|held| held.is_for(&winner));
    match (conversion.status, winner) {
        (ConversionStatus::Unattributed, None) if conversion.reason.is_some() => {}
        (ConversionStatus::Attributed, Some(winner))
            if given == u64::from(WHOLE) && has_part(winner) && conversion.reason.is_none() => {}
        _ => return wrong("status, winner and commissions do not agree"),
    }
    if winner.is_some_and(|winner| winner.click.flags.test()) {
        return wrong("a test click won");
    }
    Ok(())
}

fn check_commission(
    advertiser: AdvertiserId,
    conversion: &Conversion,
    commission: &Commission,
    postings: &[&LedgerTransaction],
) -> Result<(), Violation> {
    let wrong = |what| Err(Violation::Commission { commission: commission.id, what });
    let worth = commission.amount;
    let live = matches!(commission.status, CommissionStatus::Pending | CommissionStatus::Approved);
    if !(0..=MAX_MINOR).contains(&worth.minor) || (!live && worth.minor != 0) {
        return wrong("its amount is out of range, or left over");
    }
    if commission.arithmetic.is_none() && worth.minor != 0 {
        return wrong("its amount comes from nowhere");
    }
    let approved = commission.status == CommissionStatus::Approved;
    if approved && commission.approved_at.is_none() {
        return wrong("approved at no time");
    }
    if approved && conversion.authority == Authority::Pixel && !commission.trust_pixel {
        return wrong("approved on the word of a browser");
    }
    if commission.hold_until.is_some() && commission.status != CommissionStatus::Pending {
        return wrong("on hold although it is not pending");
    }
    if usize::try_from(commission.postings) != Ok(postings.len()) {
        return wrong("its count of postings is not that of the ledger");
    }
    if balances(postings.iter().copied()) != position(advertiser, commission) {
        return wrong("its position in the ledger is not its status and amount");
    }
    Ok(())
}

/// What a commission must hold, by account.
fn position(advertiser: AdvertiserId, commission: &Commission) -> BTreeMap<(Account, Currency), i128> {
    let minor = i128::from(commission.amount.minor);
    let sides = match commission.status {
        CommissionStatus::Pending => [
            (Account::AdvertiserAccrued(advertiser), minor),
            (Account::PartnerPending(commission.partner), -minor),
        ],
        _ => [(Account::AdvertiserReceivable(advertiser), minor), (Account::Clearing, -minor)],
    };
    let currency = commission.amount.currency;
    sides.into_iter().filter(|(_, sum)| *sum != 0).map(|(account, sum)| ((account, currency), sum)).collect()
}

fn check_settlement(replay: &Replay) -> Result<(), Violation> {
    let payouts: BTreeSet<DerivedId> = replay.payouts.iter().map(|payout| payout.id).collect();
    let is_payout = |transaction: &&LedgerTransaction| transaction.kind == TransactionKind::Payout;
    if let Some(stray) = replay.ledger.iter().filter(is_payout).find(|t| !payouts.contains(&t.subject)) {
        return Err(Violation::Stray(stray.subject));
    }
    let mut carried = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for statement in &replay.statements {
        check_statement(replay, statement, &mut carried, &mut lines)?;
    }
    if replay.state.open_credits.keys().any(|id| !lines.insert(*id)) {
        let statement = replay.statements.first().map_or(DerivedId([0; 16]), |statement| statement.id);
        return Err(Violation::Statement { statement, what: "one of its lines is open still" });
    }
    check_balances(replay)
}

fn check_statement(
    replay: &Replay,
    statement: &Statement,
    carried: &mut BTreeMap<(PartnerId, Currency), i64>,
    lines: &mut BTreeSet<DerivedId>,
) -> Result<(), Violation> {
    let wrong = |what| Err(Violation::Statement { statement: statement.id, what });
    if statement.computed_hash() != statement.hash {
        return wrong("altered after it was made");
    }
    let held = carried.entry((statement.partner, statement.currency)).or_default();
    if *held != statement.opening_minor {
        return wrong("does not open with what the last one carried over");
    }
    let sum: i128 = statement.lines.iter().map(|line| i128::from(line.credit.amount.minor)).sum();
    if i128::from(statement.opening_minor) + sum != i128::from(statement.closing_minor) {
        return wrong("does not add up");
    }
    if statement.lines.iter().any(|line| !lines.insert(line.credit.id)) {
        return wrong("one of its lines stands on another statement too");
    }
    *held = statement.closing_minor.min(0);
    let paid = replay.payouts.iter().find(|payout| payout.statement == statement.id);
    let due = (statement.closing_minor > 0).then_some(statement.closing_minor);
    if paid.map(|payout| payout.amount.minor) != due || paid.map(|payout| payout.id) != statement.payout {
        return wrong("its payout is not its positive balance");
    }
    Ok(())
}

/// Payable = carried over + open credits; due = payouts.
fn check_balances(replay: &Replay) -> Result<(), Violation> {
    let mut payable: BTreeMap<(PartnerId, Currency), i128> = BTreeMap::new();
    let mut due: BTreeMap<(PartnerId, Currency), i128> = BTreeMap::new();
    for (key, minor) in &replay.state.carried {
        *payable.entry(*key).or_default() += i128::from(*minor);
    }
    for open in replay.state.open_credits.values() {
        let key = (open.credit.partner, open.credit.amount.currency);
        *payable.entry(key).or_default() += i128::from(open.credit.amount.minor);
    }
    for payout in &replay.payouts {
        *due.entry((payout.partner, payout.amount.currency)).or_default() += i128::from(payout.amount.minor);
    }
    for ((account, currency), sum) in balances(&replay.ledger) {
        let (partner, name, expected) = match account {
            Account::PartnerPayable(partner) => (partner, "payable", &mut payable),
            Account::PayoutDue(partner) => (partner, "payout due", &mut due),
            _ => continue,
        };
        let expected = expected.remove(&(partner, currency)).unwrap_or(0);
        if -sum != expected {
            return Err(Violation::Balance { partner, account: name, currency, found: -sum, expected });
        }
    }
    let left = payable
        .into_iter()
        .map(|left| ("payable", left))
        .chain(due.into_iter().map(|left| ("payout due", left)));
    for (account, ((partner, currency), expected)) in left {
        if expected != 0 {
            return Err(Violation::Balance { partner, account, currency, found: 0, expected });
        }
    }
    Ok(())
}
