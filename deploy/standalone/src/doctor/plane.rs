//! Who is at work, what they have not come to yet, and what waits for a person.

use super::queues;
use super::report::Report;
use control_plane_store::{Store, StoreError};
use proto_model::UnixMicros;
use proto_model::time::SECOND_US;
use std::collections::BTreeSet;

/// A control plane says more often than this that it is at work.
const SILENT: i64 = 10 * SECOND_US;
const DAY: i64 = 86_400 * SECOND_US;
/// The leases, or what stands before the slash in their names.
const PARTS: [&str; 3] = ["project", "money", "jobs"];
const TOLD: usize = 5;

/// The names of the processes that have said so, or hold a lease.
pub async fn at_work(store: &Store) -> Result<BTreeSet<String>, StoreError> {
    let now = store.database_time().await?;
    let nodes = store.nodes(UnixMicros(now.0.saturating_sub(SILENT))).await?;
    let leases = store.leases().await?;
    let holders = leases.into_iter().filter(|lease| lease.expires_at > now).map(|lease| lease.holder);
    Ok(nodes.into_iter().map(|node| node.name).chain(holders).collect())
}

pub async fn check(store: &Store, report: &mut Report) {
    match at_work(store).await {
        Err(error) => report.failed("nodes", &error),
        Ok(names) if names.is_empty() => {
            let fix = "start one: tributary control-plane run";
            report.warning("nodes", "no control plane is at work on this database", fix);
            report.skipped("leases", "no control plane is at work");
            queues::check(store, false, report).await;
        }
        Ok(names) => {
            let shown: Vec<&str> = names.iter().map(String::as_str).collect();
            report.ok("nodes", format!("{} at work: {}", names.len(), shown.join(", ")));
            leases(store, report).await;
            queues::check(store, true, report).await;
        }
    }
    streams(store, report).await;
    alerts(store, report).await;
    edges(store, report).await;
    payouts(store, report).await;
}

async fn leases(store: &Store, report: &mut Report) {
    const CHECK: &str = "leases";
    let (now, leases) = match (store.database_time().await, store.leases().await) {
        (Ok(now), Ok(leases)) => (now, leases),
        (Err(error), _) | (_, Err(error)) => return report.failed(CHECK, &error),
    };
    let held = |part: &&str| {
        leases.iter().any(|lease| lease.expires_at > now && lease.name.split('/').next() == Some(part))
    };
    let idle: Vec<&str> = PARTS.into_iter().filter(|part| !held(part)).collect();
    // The money engine's slots.
    let unheld = leases.iter().filter(|lease| lease.name.contains('/') && lease.expires_at <= now);
    let unheld: Vec<&str> = unheld.map(|lease| lease.name.as_str()).chain(idle).collect();
    if unheld.is_empty() {
        return report.ok(CHECK, format!("{} are held by who is at work", PARTS.join(", ")));
    }
    let fix = "after a crash another node takes over within ten seconds: run doctor again; if it stays, look at \
        /v1/health and the log of each node";
    report.warning(CHECK, format!("nobody holds {}", unheld.join(", ")), fix);
}

async fn streams(store: &Store, report: &mut Report) {
    const CHECK: &str = "streams";
    match store.quarantined().await {
        Err(error) => report.failed(CHECK, &error),
        Ok(found) if found.is_empty() => report.ok(CHECK, "none is in quarantine"),
        Ok(found) => {
            let told = found.iter().take(TOLD);
            let told: Vec<String> = told
                .map(|stream| format!("{} of {}: {}", stream.lane.as_str(), stream.edge, stream.reason))
                .collect();
            let found = format!("{} in quarantine: {}", found.len(), told.join("; "));
            let fix = "find out why (docs/fleet.md, A quarantined stream), then POST /v1/edges/{edge_id}/release \
                or revoke the edge";
            report.warning(CHECK, found, fix);
        }
    }
}

async fn alerts(store: &Store, report: &mut Report) {
    const CHECK: &str = "alerts";
    match store.open_alerts().await {
        Err(error) => report.failed(CHECK, &error),
        Ok(open) if open.is_empty() => report.ok(CHECK, "none is open"),
        Ok(open) => {
            let count: u64 = open.iter().map(|(_, alerts)| alerts).sum();
            let told: Vec<String> = open.iter().map(|(kind, alerts)| format!("{alerts} {kind}")).collect();
            let fix = "look at each (tributary ctl alerts; docs/fleet.md, Alerts), then acknowledge what you have seen \
                (--acknowledge ALERT --seen COUNT)";
            report.warning(CHECK, format!("{count} open: {}", told.join(", ")), fix);
        }
    }
}

async fn edges(store: &Store, report: &mut Report) {
    const CHECK: &str = "edges";
    let (now, edges) = match (store.database_time().await, store.seen_edges().await) {
        (Ok(now), Ok(edges)) => (now, edges),
        (Err(error), _) | (_, Err(error)) => return report.failed(CHECK, &error),
    };
    let revoked = edges.iter().filter(|edge| edge.revoked).count();
    let mut active = edges.iter().filter(|edge| !edge.revoked).peekable();
    if active.peek().is_none() {
        return report.ok(CHECK, format!("none is enrolled, {revoked} revoked"));
    }
    let recent = |at: UnixMicros| now.0.saturating_sub(at.0) <= DAY;
    let silent: Vec<&str> = edges
        .iter()
        .filter(|edge| !edge.revoked && !edge.last_seen_at.is_some_and(recent))
        .map(|edge| edge.name.as_str())
        .collect();
    if silent.is_empty() {
        return report.ok(CHECK, format!("{} heard of within a day, {revoked} revoked", active.count()));
    }
    let found = format!(
        "{} not heard of for a day, or never: {}",
        silent.len(),
        silent.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ")
    );
    let fix = "start it, see that it reaches the control plane's address for edges, or revoke it: POST \
        /v1/edges/{edge_id}/revoke";
    report.warning(CHECK, found, fix);
}

async fn payouts(store: &Store, report: &mut Report) {
    const CHECK: &str = "payouts";
    match store.freeze().await {
        Err(error) => report.failed(CHECK, &error),
        Ok(None) => report.ok(CHECK, "periods may be closed"),
        Ok(Some(freeze)) => {
            let found = format!("frozen: {}", freeze.reason);
            let fix =
                "settle what it waits for, then lift it: POST /v1/deployment/reconcile (docs/backup.md)";
            report.warning(CHECK, found, fix);
        }
    }
}
