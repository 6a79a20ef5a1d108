//! The settlement shard: takes credits up, closes periods.

use crate::canonical::Canonical;
use crate::error::DomainError;
use crate::intake::{Input, PartnerCredit, Settled, ShardKey};
use crate::ledger::{Account, Draft, LedgerEntry, TransactionKind};
use crate::notify;
use crate::settlement::{OpenCredit, Payout, PayoutStatus, Statement};
use crate::state::{Effect, ShardState};
use crate::step::Step;
use proto_model::{Amount, Currency, DerivedId, PartnerId, TenantId, UnixMicros};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// A credit arrives. One that came before changes nothing.
pub(crate) fn credit(
    step: &mut Step<'_>,
    state: &mut ShardState,
    credit: &PartnerCredit,
) -> Result<(), DomainError> {
    let known = state.known_credits.contains(&credit.id) || state.open_credits.contains_key(&credit.id);
    if known || credit.amount.minor == 0 {
        return Ok(());
    }
    let open = OpenCredit { credit: credit.clone(), credited_at: step.now, ordinal: step.ordinal };
    state.known_credits.insert(credit.id);
    state.open_credits.insert(credit.id, open.clone());
    step.effect(Effect::PutCredit(open));
    step.post(Draft {
        id: DerivedId::of("transaction", &[&credit.id.0]),
        kind: TransactionKind::Credit,
        currency: credit.amount.currency,
        subject: credit.commission,
        entries: vec![
            LedgerEntry::debit(Account::Clearing, credit.amount.minor),
            LedgerEntry::credit(Account::PartnerPayable(credit.partner), credit.amount.minor),
        ],
    })
}

/// Closes the period that ends with `through`: one statement per partner and currency that has credits.
/// A statement that was made before stands; credits that came too late for it wait for the next. A period
/// that is not over is left open: what it will hold is not known yet.
pub(crate) fn close(
    step: &mut Step<'_>,
    state: &mut ShardState,
    through: UnixMicros,
) -> Result<(), DomainError> {
    if through > step.now {
        return Ok(());
    }
    let mut due: BTreeMap<(PartnerId, Currency), Vec<OpenCredit>> = BTreeMap::new();
    for open in state.open_credits.values().filter(|open| open.credited_at <= through) {
        let key = (open.credit.partner, open.credit.amount.currency);
        due.entry(key).or_default().push(open.clone());
    }
    for ((partner, currency), mut lines) in due {
        let id = statement_id(step.shard.tenant, partner, currency, through);
        if !state.known_statements.insert(id) {
            continue;
        }
        lines.sort_by_key(|line| line.ordinal);
        let opening_minor = state.carried.get(&(partner, currency)).copied().unwrap_or(0);
        let (closing_minor, fitting) = add_up(opening_minor, &lines);
        lines.truncate(fitting);
        let payout = (closing_minor > 0).then(|| DerivedId::of("payout", &[&id.0]));
        let hash = [0; 32];
        let mut statement =
            Statement { id, partner, currency, through, opening_minor, lines, closing_minor, payout, hash };
        statement.hash = statement.computed_hash();
        book(step, state, statement)?;
    }
    Ok(())
}

pub(crate) fn statement_id(
    tenant: TenantId,
    partner: PartnerId,
    currency: Currency,
    through: UnixMicros,
) -> DerivedId {
    let tenant = tenant.get().to_be_bytes();
    let partner = partner.get().to_be_bytes();
    DerivedId::of("statement", &[&tenant, &partner, currency.code().as_bytes(), &through.0.to_be_bytes()])
}

/// The balance after as many lines as an i64 can hold, and how many those are; the rest stays open.
fn add_up(opening: i64, lines: &[OpenCredit]) -> (i64, usize) {
    let mut sum = opening;
    for (count, line) in lines.iter().enumerate() {
        match sum.checked_add(line.credit.amount.minor) {
            Some(next) => sum = next,
            None => return (sum, count),
        }
    }
    (sum, lines.len())
}

fn book(step: &mut Step<'_>, state: &mut ShardState, statement: Statement) -> Result<(), DomainError> {
    let Statement { id, partner, currency, closing_minor, opening_minor, .. } = statement;
    for line in &statement.lines {
        state.open_credits.remove(&line.credit.id);
    }
    let settled = settled_messages(step.shard.tenant, &statement);
    step.effect(Effect::PutStatement(statement));
    let carried = closing_minor.min(0);
    if carried != opening_minor {
        state.carried.insert((partner, currency), carried);
        step.effect(Effect::PutCarried { partner, currency, minor: carried });
    }
    if closing_minor > 0 {
        pay(step, id, partner, Amount::new(closing_minor, currency))?;
    }
    for effect in settled {
        step.effect(effect);
    }
    Ok(())
}

/// Tells the advertisers' shards which commissions stand on a statement now, each once.
fn settled_messages(tenant: TenantId, statement: &Statement) -> Vec<Effect> {
    let mut told = BTreeSet::new();
    let lines = statement.lines.iter().filter(|line| told.insert(line.credit.commission));
    lines
        .map(|line| Effect::Send {
            to: ShardKey::advertiser(tenant, line.credit.advertiser),
            input: Input::Settled(Settled {
                order_id: line.credit.order_id.clone(),
                commission: line.credit.commission,
                statement: statement.id,
            }),
        })
        .collect()
}

fn pay(
    step: &mut Step<'_>,
    statement: DerivedId,
    partner: PartnerId,
    amount: Amount,
) -> Result<(), DomainError> {
    let id = DerivedId::of("payout", &[&statement.0]);
    step.effect(Effect::PutPayout(Payout { id, statement, partner, amount, status: PayoutStatus::Draft }));
    step.post(Draft {
        id: DerivedId::of("transaction", &[&id.0]),
        kind: TransactionKind::Payout,
        currency: amount.currency,
        subject: id,
        entries: vec![
            LedgerEntry::debit(Account::PartnerPayable(partner), amount.minor),
            LedgerEntry::credit(Account::PayoutDue(partner), amount.minor),
        ],
    })?;
    step.notify(notify::PAYOUT_CREATED, partner, id, amount, "");
    Ok(())
}

impl Statement {
    /// Everything but the hash.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Canonical::of("tributary-statement-v1");
        bytes.id(self.id);
        bytes.u64(self.partner.get());
        bytes.currency(self.currency);
        bytes.time(self.through);
        bytes.i64(self.opening_minor);
        bytes.len(self.lines.len());
        for line in &self.lines {
            bytes.id(line.credit.id);
            bytes.id(line.credit.commission);
            bytes.u64(line.credit.advertiser.get());
            bytes.text(&line.credit.order_id);
            bytes.u64(line.credit.partner.get());
            bytes.amount(line.credit.amount);
            bytes.time(line.credited_at);
            bytes.u64(line.ordinal);
        }
        bytes.i64(self.closing_minor);
        match self.payout {
            None => bytes.u8(0),
            Some(payout) => {
                bytes.u8(1);
                bytes.id(payout);
            }
        }
        bytes.finish()
    }

    /// What `hash` must be.
    pub fn computed_hash(&self) -> [u8; 32] {
        Sha256::digest(self.canonical_bytes()).into()
    }
}
