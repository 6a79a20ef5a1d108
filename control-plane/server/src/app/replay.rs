//! The proof behind every statement: the intake of a shard, replayed from nothing, must give the stored
//! ledger byte for byte.

use super::App;
use crate::error::AppError;
use control_plane_domain::intake::ShardKey;
use control_plane_domain::ledger::LedgerTransaction;
use control_plane_domain::replay::Replay;
use control_plane_domain::settlement::Statement;

const PAGE: u32 = 500;

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    pub shard: ShardKey,
    pub items: u64,
    pub transactions: u64,
    pub statements: u64,
    /// The head of the chain that the replay made.
    pub ledger_hash: [u8; 32],
    /// The first thing that differs from what is stored; `None` = identical.
    pub difference: Option<String>,
}

/// Folds what the money engine has applied so far and compares it with the ledger and the statements.
pub async fn replay_shard(app: &App, shard: ShardKey) -> Result<ReplayReport, AppError> {
    // Read before the intake: what is applied while we read is left for the next replay.
    let through = app.store.applied_through(shard).await.map_err(AppError::of("shard"))?;
    let stored = stored_ledger(app, shard).await?;
    let mut replay = Replay::default();
    let mut items = 0;
    'pages: loop {
        let page = app.store.intake_items(shard, items, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for item in page {
            if item.ordinal > through {
                break 'pages;
            }
            replay
                .step(shard, &item)
                .map_err(|error| AppError::internal("the intake cannot be replayed", error))?;
            items = item.ordinal;
        }
    }
    let mut difference = compare_ledgers(&stored, &replay.ledger, through);
    if difference.is_none() {
        difference = compare_statements(app, shard, &replay.statements).await?;
    }
    Ok(ReplayReport {
        shard,
        items,
        transactions: count(replay.ledger.len()),
        statements: count(replay.statements.len()),
        ledger_hash: replay.state.ledger.hash,
        difference,
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

/// Transactions of items after `through` were posted while we read; they are not compared.
fn compare_ledgers(
    stored: &[LedgerTransaction],
    replayed: &[LedgerTransaction],
    through: u64,
) -> Option<String> {
    let mut stored = stored.iter().filter(|transaction| transaction.intake_ordinal <= through);
    for ours in replayed {
        let Some(theirs) = stored.next() else {
            return Some(format!("transaction {} is missing in the ledger", ours.sequence));
        };
        if theirs != ours || theirs.canonical_bytes() != ours.canonical_bytes() {
            return Some(format!("transaction {} differs from its replay", ours.sequence));
        }
    }
    stored.next().map(|extra| format!("transaction {} has no cause in the intake", extra.sequence))
}

async fn compare_statements(
    app: &App,
    shard: ShardKey,
    replayed: &[Statement],
) -> Result<Option<String>, AppError> {
    for ours in replayed {
        let theirs = app.store.get_statement(shard.tenant, ours.id).await;
        let same = matches!(&theirs, Ok(row) if row.statement == *ours);
        if !same {
            return Ok(Some(format!("statement {} differs from its replay", ours.id.text("stm"))));
        }
    }
    Ok(None)
}
