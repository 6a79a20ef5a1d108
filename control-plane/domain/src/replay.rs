//! A shard folded from nothing: the judge of every stored balance and statement.

use crate::canonical::Canonical;
use crate::engine::{DomainError, apply};
use crate::intake::{Input, IntakeItem, ShardKey};
use crate::ledger::LedgerTransaction;
use crate::settlement::{Payout, Statement};
use crate::state::{Effect, Notification, ShardState};

/// Everything a shard's intake amounts to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replay {
    pub state: ShardState,
    pub ledger: Vec<LedgerTransaction>,
    pub statements: Vec<Statement>,
    pub payouts: Vec<Payout>,
    pub sent: Vec<(ShardKey, Input)>,
    pub notifications: Vec<Notification>,
}

impl Replay {
    /// The books as bytes: two replays of one intake agree on every one of them.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Canonical::of("tributary-books-v1");
        bytes.len(self.ledger.len());
        for transaction in &self.ledger {
            bytes.bytes(&transaction.canonical_bytes());
            bytes.bytes(&transaction.hash);
        }
        bytes.len(self.statements.len());
        for statement in &self.statements {
            bytes.bytes(&statement.canonical_bytes());
            bytes.bytes(&statement.hash);
        }
        bytes.len(self.payouts.len());
        for payout in &self.payouts {
            bytes.id(payout.id);
            bytes.id(payout.statement);
            bytes.u64(payout.partner.get());
            bytes.amount(payout.amount);
        }
        bytes.finish()
    }

    /// Applies the next item and takes its effects into the books.
    pub fn step(&mut self, shard: ShardKey, item: &IntakeItem) -> Result<Vec<Effect>, DomainError> {
        let effects = apply(shard, &mut self.state, item)?;
        for effect in &effects {
            match effect {
                Effect::Post(transaction) => self.ledger.push(transaction.clone()),
                Effect::PutStatement(statement) => self.statements.push(statement.clone()),
                Effect::PutPayout(payout) => self.payouts.push(payout.clone()),
                Effect::Send { to, input } => self.sent.push((*to, input.clone())),
                Effect::Notify(notification) => self.notifications.push(notification.clone()),
                Effect::PutTerms(_) | Effect::PutOrder(_) | Effect::PutTouch(_) => {}
                Effect::PutCredit(_) | Effect::PutCarried { .. } => {}
            }
        }
        Ok(effects)
    }
}

pub fn replay(shard: ShardKey, items: impl IntoIterator<Item = IntakeItem>) -> Result<Replay, DomainError> {
    let mut replay = Replay::default();
    for item in items {
        replay.step(shard, &item)?;
    }
    Ok(replay)
}
