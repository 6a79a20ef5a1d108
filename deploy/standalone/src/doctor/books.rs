//! Whether the books are sound: ledger chains, statements, journal.

use super::Context;
use super::report::Report;
use control_plane_server::app::verify::verify_journal;
use control_plane_store::Store;
use control_plane_store::StoreError;
use control_plane_store::doctor::Contradiction;

const TOLD: u32 = 5;
const STOP: &str = "stop paying out, keep a copy of the database as it is, compare POST /v1/ledger/replay, and restore \
    from the last backup that doctor finds sound";

pub async fn check(context: &Context, store: &Store, report: &mut Report) {
    match ledger(store).await {
        Err(error) => report.failed("ledger", &error),
        Ok((shards, transactions, problems)) if problems.is_empty() => {
            let found = format!("{transactions} transactions in {shards} chains, all whole and balanced");
            report.ok("ledger", found);
        }
        Ok((.., problems)) => report.wrong("ledger", problems.join("; "), STOP),
    }
    match store.contradictions(TOLD).await {
        Err(error) => report.failed("statements", &error),
        Ok(found) if found.is_empty() => {
            report.ok("statements", "lines, totals, payouts, what is carried over and the ledger agree");
        }
        Ok(found) => {
            let tell =
                |found: &Contradiction| format!("{} ({}, {})", found.what, found.subject, found.tenant);
            report.wrong("statements", found.iter().map(tell).collect::<Vec<_>>().join("; "), STOP);
        }
    }
    journal(store, report).await;
    signatures(context, store, report).await;
}

/// Chains, transactions, and what is wrong with them.
async fn ledger(store: &Store) -> Result<(usize, u64, Vec<String>), StoreError> {
    let shards = store.ledgers().await?;
    let mut transactions = 0;
    let mut problems = Vec::new();
    for shard in &shards {
        let check = store.verify_ledger(*shard).await?;
        transactions += check.transactions;
        if let Some(problem) = check.problem {
            let whose = match shard.advertiser {
                Some(advertiser) => advertiser.to_string(),
                None => "settlement".to_owned(),
            };
            problems.push(format!("{} {whose}: {problem}", shard.tenant));
        }
    }
    let unbalanced = store.unbalanced(TOLD).await?;
    problems.extend(unbalanced.iter().map(|(tenant, _)| format!("{tenant}: a transaction does not balance")));
    Ok((shards.len(), transactions, problems))
}

async fn journal(store: &Store, report: &mut Report) {
    const CHECK: &str = "journal";
    let (count, headless) = match (store.journal_count().await, store.headless().await) {
        (Ok(count), Ok(headless)) => (count, headless),
        (Err(error), _) | (_, Err(error)) => return report.failed(CHECK, &error),
    };
    let mut problems: Vec<String> = headless
        .iter()
        .map(|stream| {
            let (lane, edge, at) = (stream.lane.as_str(), stream.edge, stream.last_ordinal);
            format!("the last batch of {lane} of {edge} is not the one at {at} that was acknowledged")
        })
        .collect();
    let there = count.batches.saturating_add(count.dropped);
    if there != count.given || count.highest_seq != count.given {
        problems.push(format!(
            "{} batches up to {} and {} dropped, of {} that were taken",
            count.batches, count.highest_seq, count.dropped, count.given
        ));
    }
    if problems.is_empty() {
        return report.ok(CHECK, format!("{} batches, none missing", count.batches));
    }
    let fix = "restore from a backup: edges send again what they still keep (docs/fleet.md); doctor --thorough \
        names each batch that was changed";
    report.wrong(CHECK, problems.join("; "), fix);
}

async fn signatures(context: &Context, store: &Store, report: &mut Report) {
    const CHECK: &str = "journal.signatures";
    if !context.thorough {
        return report.skipped(CHECK, "reads the whole journal: pass --thorough");
    }
    match verify_journal(store).await {
        Err(error) => report.failed(CHECK, &error),
        Ok(checked) if checked.ok() => {
            let found = format!(
                "{} batches of {} streams are as the edges signed them",
                checked.batches, checked.streams
            );
            report.ok(CHECK, found);
        }
        Ok(checked) => {
            let told = checked.problems.iter().take(TOLD as usize);
            let told: Vec<String> = told
                .map(|problem| match problem.edge {
                    Some(edge) => format!("{edge}: {}", problem.what),
                    None => problem.what.clone(),
                })
                .collect();
            let found = format!("{} problems: {}", checked.found, told.join("; "));
            report.wrong(
                CHECK,
                found,
                "restore these days from a backup; who changed them had the database's rights",
            );
        }
    }
}
