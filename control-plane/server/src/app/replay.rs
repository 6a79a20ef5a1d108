//! The proof behind every statement: the intake of a shard, replayed from nothing, must give the stored
//! ledger, statements and payouts byte for byte: nothing else, nothing missing, nothing more.

use super::App;
use crate::error::AppError;
use control_plane_domain::intake::ShardKey;
use control_plane_domain::ledger::LedgerTransaction;
use control_plane_domain::replay::Replay;
use control_plane_domain::settlement::{Payout, Statement};
use proto_model::{DerivedId, TenantId};
use std::collections::BTreeMap;

const PAGE: u32 = 500;

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    pub shard: ShardKey,
    pub items: u64,
    pub transactions: u64,
    pub statements: u64,
    pub payouts: u64,
    /// The head of the chain that the replay made.
    pub ledger_hash: [u8; 32],
    /// The first thing that differs from what is stored; `None` = identical.
    pub difference: Option<String>,
}

/// What a shard amounts to, as it is stored or as a replay made it.
struct Books<'a> {
    ledger: &'a [LedgerTransaction],
    statements: &'a [Statement],
    payouts: &'a [Payout],
}

/// How much of each the replay had made at the point up to which all of it must be stored.
#[derive(Clone, Copy, Default)]
struct Due {
    ledger: usize,
    statements: usize,
    payouts: usize,
}

/// Folds what the money engine has applied so far and compares it with what is stored.
///
/// The engine may go on meanwhile. What was applied before the books were read must stand in them; and what
/// stands in them must follow from what was applied by the time they had been read.
pub async fn replay_shard(app: &App, shard: ShardKey) -> Result<ReplayReport, AppError> {
    let before = app.store.applied_through(shard).await.map_err(AppError::of("shard"))?;
    let ledger = stored_ledger(app, shard).await?;
    let (statements, payouts) = stored_settlements(app, shard).await?;
    let after = app.store.applied_through(shard).await?;
    let stored = Books { ledger: &ledger, statements: &statements, payouts: &payouts };

    let mut replay = Replay::default();
    let (mut items, mut due) = (0, Due::default());
    'pages: loop {
        let page = app.store.intake_items(shard, items, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for item in page {
            if item.ordinal > after {
                break 'pages;
            }
            replay
                .step(shard, &item)
                .map_err(|error| AppError::internal("the intake cannot be replayed", error))?;
            items = item.ordinal;
            if items <= before {
                due = Due {
                    ledger: replay.ledger.len(),
                    statements: replay.statements.len(),
                    payouts: replay.payouts.len(),
                };
            }
        }
    }
    let replayed = Books { ledger: &replay.ledger, statements: &replay.statements, payouts: &replay.payouts };
    Ok(ReplayReport {
        shard,
        items,
        transactions: count(replay.ledger.len()),
        statements: count(replay.statements.len()),
        payouts: count(replay.payouts.len()),
        ledger_hash: replay.state.ledger.hash,
        difference: difference(&stored, &replayed, due),
    })
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

async fn stored_ledger(app: &App, shard: ShardKey) -> Result<Vec<LedgerTransaction>, AppError> {
    let mut all: Vec<LedgerTransaction> = Vec::new();
    loop {
        let after = all.last().map_or(0, |transaction| transaction.sequence);
        let page = app.store.shard_ledger(shard, after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Statements and payouts belong to the tenant's settlement shard alone.
async fn stored_settlements(app: &App, shard: ShardKey) -> Result<(Vec<Statement>, Vec<Payout>), AppError> {
    if shard.advertiser.is_some() {
        return Ok(Default::default());
    }
    Ok((stored_statements(app, shard.tenant).await?, stored_payouts(app, shard.tenant).await?))
}

async fn stored_statements(app: &App, tenant: TenantId) -> Result<Vec<Statement>, AppError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = app.store.list_statements(tenant, None, after, PAGE).await?;
        all.extend(page.items.into_iter().map(|row| row.statement));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

async fn stored_payouts(app: &App, tenant: TenantId) -> Result<Vec<Payout>, AppError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = app.store.list_payouts(tenant, None, after, PAGE).await?;
        all.extend(page.items.into_iter().map(|row| row.payout));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn difference(stored: &Books<'_>, replayed: &Books<'_>, due: Due) -> Option<String> {
    let ledger = || {
        let same = |a: &LedgerTransaction, b: &LedgerTransaction| {
            a == b && a.canonical_bytes() == b.canonical_bytes()
        };
        let name = |sequence: u64| format!("transaction {sequence}");
        compare(stored.ledger, replayed.ledger, due.ledger, |t| t.sequence, same, name)
    };
    let statements = || {
        let same = |a: &Statement, b: &Statement| a == b && a.canonical_bytes() == b.canonical_bytes();
        let name = |id: DerivedId| format!("statement {}", id.text("stm"));
        compare(stored.statements, replayed.statements, due.statements, |s| s.id, same, name)
    };
    let payouts = || {
        // Status and reason move on after the intake; who gets what for which statement does not.
        let fixed = |p: &Payout| (p.statement, p.partner, p.amount);
        let same = |a: &Payout, b: &Payout| fixed(a) == fixed(b);
        let name = |id: DerivedId| format!("payout {}", id.text("pay"));
        compare(stored.payouts, replayed.payouts, due.payouts, |p| p.id, same, name)
    };
    ledger().or_else(statements).or_else(payouts)
}

/// The first difference. The first `due` of the replay must be stored; whatever is stored must have been
/// replayed.
fn compare<T, K: Ord + Copy>(
    stored: &[T],
    replayed: &[T],
    due: usize,
    key: impl Fn(&T) -> K,
    same: impl Fn(&T, &T) -> bool,
    name: impl Fn(K) -> String,
) -> Option<String> {
    let mut left: BTreeMap<K, &T> = stored.iter().map(|item| (key(item), item)).collect();
    for (index, ours) in replayed.iter().enumerate() {
        match left.remove(&key(ours)) {
            Some(theirs) if same(theirs, ours) => {}
            Some(_) => return Some(format!("{} differs from its replay", name(key(ours)))),
            None if index < due => return Some(format!("{} is missing", name(key(ours)))),
            None => {}
        }
    }
    left.keys().next().map(|extra| format!("{} has no cause in the intake", name(*extra)))
}
