//! Click caps: what of a window's budget is used, and which leases of it edges hold.
//!
//! How much of a budget is leased is not written down anywhere: it is the sum of the leases that nobody has reported
//! on and that have not expired. So a lease of an edge that is gone comes back by itself, and a report that comes too
//! late still counts.
//!
//! A lease is reported on once, and its row is what says so. A window that is over takes its rows with it, since nobody
//! asks for it any more; in a budget without windows every report on clicks is kept, or one that an edge repeats after
//! weeks would count again. There are at most as many of them as clicks.

use crate::dialect::Scope;
use crate::retry::retrying;
use crate::row::{Columns, Id, big};
use crate::sql::{Connection, Sql, locking, query};
use crate::{Store, StoreError};
use proto_model::{Budget, Capped, EdgeId, TenantId, UnixMicros};

/// Rows of one transaction.
const ROWS: i64 = 5_000;

/// What an edge says of one window of one offer or link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickClaim {
    pub subject: Capped,
    pub window_start: UnixMicros,
    /// Number of a lease that is over for the edge, and how much of it was spent.
    pub report: Option<(u64, u64)>,
    pub want: Option<ClickWant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClickWant {
    /// Drawn by the edge: the same number is the same lease.
    pub number: u64,
    pub clicks: u64,
    /// Nobody waits for it.
    pub ahead: bool,
    /// As it stands now.
    pub limit: u64,
}

/// How leases are given out at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTerms {
    /// Among how many edges a budget is shared.
    pub edges: u32,
    pub now: UnixMicros,
    /// Of leases that are given now.
    pub expires_at: UnixMicros,
}

/// The answer to a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClickGrant {
    /// 0 = none.
    pub granted: u64,
    pub expires_at: UnixMicros,
    /// All of the window is reported: without another limit there will be no more.
    pub used_up: bool,
}

/// How much of a window is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClickUsage {
    pub used: u64,
    pub leased: u64,
}

/// Where the window of a budget begins that has no windows.
const FOR_GOOD: i64 = 0;

/// Of one window, as parameters $1 to $4.
#[derive(Clone, Copy)]
struct Key {
    tenant: i64,
    kind: i64,
    subject: i64,
    window: i64,
}

macro_rules! bind_key {
    ($key:expr, $sql:expr) => {
        query($sql).bind($key.tenant).bind($key.kind).bind($key.subject).bind($key.window)
    };
}

impl Key {
    fn new(tenant: TenantId, subject: Capped, window_start: UnixMicros) -> Self {
        let (kind, subject) = match subject {
            Capped::Offer(id) => (1, id.column()),
            Capped::Link(id) => (2, id.column()),
        };
        Self { tenant: tenant.column(), kind, subject, window: window_start.0 }
    }

    /// Makes the row if there is none, and keeps others from it: `MissingReference` when this tenant has no such
    /// offer or link.
    async fn lock(self, conn: &mut Connection) -> Result<(), StoreError> {
        let found = bind_key!(self, LOCK).fetch_optional(&mut *conn).await?;
        if found.is_some() {
            return Ok(());
        }
        let known = if self.kind == 1 { KNOWN_OFFER } else { KNOWN_LINK };
        let known = query(known).bind(self.tenant).bind(self.subject).fetch_optional(&mut *conn).await?;
        known.ok_or(StoreError::MissingReference)?;
        let sql = "INSERT INTO click_budgets (tenant_id, subject_kind, subject_id, window_start, used) \
            VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING";
        bind_key!(self, sql).execute(&mut *conn).await?;
        bind_key!(self, LOCK).fetch_one(conn).await?;
        Ok(())
    }

    async fn usage(self, conn: &mut Connection, now: UnixMicros) -> Result<ClickUsage, StoreError> {
        let row = bind_key!(self, USAGE).bind(now.0).fetch_one(conn).await?;
        Ok(ClickUsage { used: row.number("used")?, leased: row.number("leased")? })
    }

    /// Once for each number. One that we have never given out, or forgotten in a restore, counts as well.
    async fn report(
        self,
        conn: &mut Connection,
        edge: EdgeId,
        (number, spent): (u64, u64),
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO click_leases (tenant_id, subject_kind, subject_id, window_start, edge_id, number, \
            granted, expires_at, spent) VALUES ($1, $2, $3, $4, $5, $6, 0, $8, $7) \
            ON CONFLICT (tenant_id, edge_id, number) DO UPDATE \
            SET spent = excluded.spent, expires_at = excluded.expires_at \
            WHERE click_leases.spent IS NULL AND click_leases.subject_kind = excluded.subject_kind \
            AND click_leases.subject_id = excluded.subject_id \
            AND click_leases.window_start = excluded.window_start";
        let (number, spent) = (big(number), big(spent));
        // Of what is over, `expires_at` only says when it may be forgotten.
        let kept = if self.window == FOR_GOOD && spent > 0 { i64::MAX } else { now.0 };
        let first = bind_key!(self, sql).bind(edge.column()).bind(number).bind(spent).bind(kept);
        if first.execute(&mut *conn).await? == 1 {
            let sql = "UPDATE click_budgets SET used = used + $5 \
                WHERE tenant_id = $1 AND subject_kind = $2 AND subject_id = $3 AND window_start = $4";
            bind_key!(self, sql).bind(spent).execute(conn).await?;
        }
        Ok(())
    }

    /// The lease with this number, if it was given before; else one of what is left.
    async fn grant(
        self,
        conn: &mut Connection,
        edge: EdgeId,
        want: ClickWant,
        terms: LeaseTerms,
    ) -> Result<ClickGrant, StoreError> {
        if let Some(before) = self.given(conn, edge, want.number).await? {
            return Ok(before);
        }
        let ClickUsage { used, leased } = self.usage(conn, terms.now).await?;
        let budget = Budget { limit: want.limit, used, leased };
        let granted = budget.lease(want.clicks, terms.edges, want.ahead);
        if granted == 0 {
            return Ok(ClickGrant { used_up: used >= want.limit, ..ClickGrant::default() });
        }
        let sql = "INSERT INTO click_leases (tenant_id, subject_kind, subject_id, window_start, edge_id, number, \
            granted, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let insert = bind_key!(self, sql).bind(edge.column()).bind(big(want.number)).bind(big(granted));
        insert.bind(terms.expires_at.0).execute(conn).await?;
        Ok(ClickGrant { granted, expires_at: terms.expires_at, used_up: false })
    }

    async fn given(
        self,
        conn: &mut Connection,
        edge: EdgeId,
        number: u64,
    ) -> Result<Option<ClickGrant>, StoreError> {
        let sql = "SELECT granted, expires_at, spent FROM click_leases \
            WHERE tenant_id = $1 AND edge_id = $2 AND number = $3";
        let row =
            query(sql).bind(self.tenant).bind(edge.column()).bind(big(number)).fetch_optional(conn).await?;
        row.map(|row| {
            // Nothing is left of one that was reported on.
            let over = row.col::<Option<i64>>("spent")?.is_some();
            let granted = if over { 0 } else { row.number("granted")? };
            Ok(ClickGrant { granted, expires_at: row.time("expires_at")?, used_up: false })
        })
        .transpose()
    }
}

const LOCK: Sql = locking!(
    "SELECT 1 FROM click_budgets WHERE tenant_id = $1 AND subject_kind = $2 AND subject_id = $3 AND window_start = $4"
);
const KNOWN_OFFER: &str = "SELECT 1 FROM offers WHERE tenant_id = $1 AND id = $2";
const KNOWN_LINK: &str = "SELECT 1 FROM links WHERE tenant_id = $1 AND id = $2";
const USAGE: &str = "SELECT \
    coalesce((SELECT used FROM click_budgets WHERE tenant_id = $1 AND subject_kind = $2 AND subject_id = $3 \
        AND window_start = $4), 0) AS used, \
    CAST(coalesce((SELECT sum(granted) FROM click_leases WHERE tenant_id = $1 AND subject_kind = $2 \
        AND subject_id = $3 AND window_start = $4 AND spent IS NULL AND expires_at > $5), 0) AS BIGINT) AS leased";

impl Store {
    /// Takes an edge's reports and gives it leases, all in one transaction: one answer for each claim, in their
    /// order. Said again, nothing counts twice.
    pub async fn lease_clicks(
        &self,
        tenant: TenantId,
        edge: EdgeId,
        claims: &[ClickClaim],
        terms: LeaseTerms,
    ) -> Result<Vec<ClickGrant>, StoreError> {
        // In one order, so that two edges never wait for each other.
        let mut sorted: Vec<(usize, &ClickClaim)> = claims.iter().enumerate().collect();
        sorted.sort_by_key(|(_, claim)| (claim.subject, claim.window_start));
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let mut grants = vec![ClickGrant::default(); claims.len()];
            for (at, claim) in &sorted {
                let key = Key::new(tenant, claim.subject, claim.window_start);
                key.lock(&mut tx).await?;
                if let Some(report) = claim.report {
                    key.report(&mut tx, edge, report, terms.now).await?;
                }
                if let (Some(want), Some(grant)) = (claim.want, grants.get_mut(*at)) {
                    *grant = key.grant(&mut tx, edge, want, terms).await?;
                }
            }
            tx.commit().await?;
            Ok(grants)
        })
    }

    /// How much of a window is used, and how much edges hold.
    pub async fn click_usage(
        &self,
        tenant: TenantId,
        subject: Capped,
        window_start: UnixMicros,
        now: UnixMicros,
    ) -> Result<ClickUsage, StoreError> {
        Key::new(tenant, subject, window_start).usage(&mut self.read(tenant).await?, now).await
    }

    /// Forgets windows that began before, and leases that were over before; a report that comes even later counts for
    /// a window that nobody asks for. What has no windows stays, with all reports on clicks of it.
    pub async fn forget_click_windows(&self, before: UnixMicros) -> Result<u64, StoreError> {
        let leases = "DELETE FROM click_leases WHERE (tenant_id, edge_id, number) IN \
            (SELECT tenant_id, edge_id, number FROM click_leases \
            WHERE tenant_id IN (SELECT id FROM tenants) AND expires_at < $1 LIMIT $2)";
        let windows = "DELETE FROM click_budgets WHERE (tenant_id, subject_kind, subject_id, window_start) IN \
            (SELECT tenant_id, subject_kind, subject_id, window_start FROM click_budgets \
            WHERE tenant_id IN (SELECT id FROM tenants) AND window_start > 0 AND window_start < $1 LIMIT $2)";
        let mut forgotten = 0;
        for sql in [leases, windows] {
            forgotten += self.delete_all(|| query(sql).bind(before.0).bind(ROWS)).await?;
        }
        Ok(forgotten)
    }

    /// Edges that have been heard of since then.
    pub async fn edges_since(&self, since: UnixMicros) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) AS edges FROM edges WHERE revoked = $1 AND last_seen_at >= $2";
        let row =
            query(sql).bind(false).bind(since.0).fetch_one(&mut self.read(Scope::Deployment).await?).await?;
        row.number("edges")
    }
}
