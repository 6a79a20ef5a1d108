//! What the projector writes for one batch: roll-ups, intake, personal values, and its checkpoint.

use crate::alerts::{self, Raised};
use crate::days::DayTable;
use crate::dialect;
use crate::dialect::Scope;
use crate::intake::{advertiser_column, append_inputs, read_shard};
use crate::journal::{JournalRow, read_journal, select_journal};
use crate::leases::{Lease, check_fence};
use crate::retry::retrying;
use crate::row::{Columns, Id, big, page, take_seq};
use crate::sql::{Connection, Row, Sql, locking, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::intake::{Input, ShardKey};
use proto_model::time::DAY_US;
use proto_model::{
    Address, AdvertiserId, DerivedId, LinkId, OfferId, PartnerId, ProgramId, Reason, TenantId, UnixMicros,
};
use serde_json::{Value, json};
use sidecar::insert_values;
use std::collections::{BTreeMap, BTreeSet};

mod batches;
mod customers;
mod packed;
mod rollups;
mod sidecar;

pub(crate) use batches::{Events, erased_within, read_values, select_packed, take_out};
pub(crate) use customers::resolve;
pub use customers::{CustomerKey, Customers, Who};
pub use rollups::{RollupKey, Rollups};
pub use sidecar::SidecarRow;
pub(crate) use sidecar::read_sidecar;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HitKind {
    Click,
    /// A conversion as an edge heard it; what counts is decided by the money engine.
    Conversion,
    Impression,
    /// A click bound to a visitor or customer.
    Touch,
    /// A click or impression of a test link: seen, and never counted with the others.
    Test,
}

impl HitKind {
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Click => 1,
            Self::Conversion => 2,
            Self::Impression => 3,
            Self::Touch => 4,
            Self::Test => 5,
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RefusedKey {
    pub tenant: TenantId,
    pub hour: UnixMicros,
    pub advertiser: AdvertiserId,
    pub reason: Reason,
}

/// Something that an honest edge or advertiser would not send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FraudSignal {
    pub tenant: TenantId,
    /// Derived from its cause.
    pub id: DerivedId,
    /// E.g. `click_id_disagrees`.
    pub kind: String,
    pub address: Address,
    pub detail: String,
    pub at: UnixMicros,
}

/// Everything one batch brings about. What names a tenant or advertiser that does not exist is left out
/// of the effects (it stays in the journal), so that one edge cannot stop the projection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Projection {
    pub rollups: Rollups,
    pub refused: BTreeMap<RefusedKey, u64>,
    pub intake: Vec<(ShardKey, Input)>,
    pub sidecar: Vec<SidecarRow>,
    pub signals: Vec<FraudSignal>,
    pub alerts: Vec<Raised>,
}

/// Roll-ups of hits that are older, or later than the clock of this machine, do not get a part of their day:
/// an edge whose clock is far off must not make a thousand of them.
const DAYS_BACK: i64 = 60;
const DAYS_AHEAD: i64 = 2;

impl Projection {
    /// Times of its roll-ups, as far as their days get parts of their own.
    fn days(&self, now: UnixMicros) -> impl Iterator<Item = UnixMicros> {
        let near = (now.0 - DAYS_BACK * DAY_US)..(now.0 + DAYS_AHEAD * DAY_US);
        let rollups = self.rollups.hours();
        let refused = self.refused.keys().map(|key| key.hour);
        rollups.chain(refused).filter(move |hour| near.contains(&hour.0))
    }
}

/// What a link stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkTarget {
    pub offer: OfferId,
    pub partner: PartnerId,
    pub program: ProgramId,
    pub advertiser: AdvertiserId,
}

async fn bulk(conn: &mut Connection, sql: Sql, rows: Vec<Value>) -> Result<(), StoreError> {
    if !rows.is_empty() {
        query(sql).bind(Value::Array(rows).to_string()).execute(conn).await?;
    }
    Ok(())
}

async fn fold_rollups(conn: &mut Connection, seq: u64, projection: &Projection) -> Result<(), StoreError> {
    projection.rollups.write(conn, seq).await?;
    let refused = projection.refused.iter().map(|(key, hits)| {
        json!([key.tenant.column(), key.hour.0, key.advertiser.column(), key.reason.code(), hits])
    });
    bulk(conn, dialect::FOLD_REFUSED, refused.collect()).await
}

/// Appends what is addressed to a shard that exists, and says how much was not.
async fn append_known(
    conn: &mut Connection,
    inputs: &[(ShardKey, Input)],
    now: UnixMicros,
) -> Result<usize, StoreError> {
    if inputs.is_empty() {
        return Ok(0);
    }
    let asked: BTreeSet<ShardKey> = inputs.iter().map(|(shard, _)| *shard).collect();
    let rows = asked.iter().map(|shard| json!([shard.tenant.column(), advertiser_column(*shard)]));
    let known = query(dialect::KNOWN_SHARDS)
        .bind(Value::Array(rows.collect()).to_string())
        .fetch_all(&mut *conn)
        .await?;
    let known: BTreeSet<ShardKey> = known.iter().map(read_shard).collect::<Result<_, _>>()?;
    let kept: Vec<(ShardKey, &Input)> = inputs
        .iter()
        .filter(|(shard, _)| known.contains(shard))
        .map(|(shard, input)| (*shard, input))
        .collect();
    append_inputs(conn, &kept, now).await?;
    Ok(inputs.len() - kept.len())
}

async fn insert_signal(conn: &mut Connection, signal: &FraudSignal) -> Result<(), StoreError> {
    let tenant = signal.tenant.column();
    let sql = "SELECT 1 FROM tenants WHERE id = $1 AND NOT EXISTS \
        (SELECT 1 FROM fraud_signals WHERE tenant_id = $1 AND id = $2)";
    let wanted = query(sql).bind(tenant).bind(&signal.id.0[..]).fetch_optional(&mut *conn).await?;
    if wanted.is_none() {
        return Ok(());
    }
    let seq = take_seq(conn, tenant, "fraud_signals", 1).await?;
    let sql = "INSERT INTO fraud_signals (tenant_id, id, seq, kind, stream, ordinal, detail, at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    query(sql)
        .bind(tenant)
        .bind(&signal.id.0[..])
        .bind(seq)
        .bind(&signal.kind)
        .bind(i64::from(signal.address.stream.0))
        .bind(big(signal.address.ordinal))
        .bind(&signal.detail)
        .bind(signal.at.0)
        .execute(conn)
        .await?;
    Ok(())
}

fn read_signal(row: &Row) -> Result<FraudSignal, StoreError> {
    Ok(FraudSignal {
        tenant: row.id("tenant_id")?,
        id: row.derived("id")?,
        kind: row.col("kind")?,
        address: Address { stream: row.stream("stream")?, ordinal: row.number("ordinal")? },
        detail: row.col("detail")?,
        at: row.time("at")?,
    })
}

macro_rules! projected {
    () => {
        "SELECT seq, received_at FROM journal_checkpoints WHERE name = 'projector'"
    };
}

impl Store {
    /// The next batches to project, in journal order, with their sidecars.
    pub async fn unprojected(&self, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        let sql = select_journal!(
            "WHERE j.seq > (SELECT seq FROM journal_checkpoints WHERE name = 'projector') \
             AND j.received_at >= (SELECT received_at FROM journal_checkpoints WHERE name = 'projector') \
             ORDER BY j.seq LIMIT $1"
        );
        let rows =
            query(sql).bind(i64::from(limit)).fetch_all(&mut self.read(Scope::Deployment).await?).await?;
        rows.iter().map(read_journal).collect()
    }

    /// How many batches wait to be projected, counted up to `limit`.
    pub async fn backlog(&self, limit: u32) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS batches FROM (SELECT 1 FROM journal j \
             WHERE j.seq > (SELECT seq FROM journal_checkpoints WHERE name = 'projector') \
             AND j.received_at >= (SELECT received_at FROM journal_checkpoints WHERE name = 'projector') \
             LIMIT $1) AS waiting";
        let query = query(sql).bind(i64::from(limit));
        query.fetch_one(&mut self.read(Scope::Deployment).await?).await?.number("batches")
    }

    /// The journal seq up to which everything is projected.
    pub async fn projected_through(&self) -> Result<u64, StoreError> {
        query(projected!()).fetch_one(&mut self.read(Scope::Deployment).await?).await?.number("seq")
    }

    /// The last number that a batch was given; nothing is known of whether it is still there.
    pub async fn given_through(&self) -> Result<u64, StoreError> {
        let sql = "SELECT seq FROM journal_head";
        query(sql).fetch_one(&mut self.read(Scope::Deployment).await?).await?.number("seq")
    }

    /// Everything that one batch brings about, with the checkpoint, in one transaction. `false` = it was
    /// projected before; nothing has changed. `Conflict("projection_order")` when batches before it are
    /// missing.
    pub async fn commit_projection(
        &self,
        lease: &Lease,
        seq: u64,
        projection: &Projection,
        now: UnixMicros,
    ) -> Result<bool, StoreError> {
        retrying!(self.try_commit(lease, seq, projection, now))
    }

    async fn try_commit(
        &self,
        lease: &Lease,
        seq: u64,
        projection: &Projection,
        now: UnixMicros,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        check_fence(&mut tx, lease).await?;
        let row = query(locking!(projected!())).fetch_one(&mut tx).await?;
        let (done, done_at): (u64, i64) = (row.number("seq")?, row.col("received_at")?);
        if seq <= done {
            return Ok(false);
        }
        if seq != done + 1 {
            return Err(StoreError::Conflict("projection_order"));
        }
        let days = self.days().make(&mut tx, &DayTable::ROLLUPS, projection.days(now)).await?;
        fold_rollups(&mut tx, seq, projection).await?;
        let left_out = append_known(&mut tx, &projection.intake, now).await?;
        let erased = insert_values(&mut tx, &projection.sidecar, &projection.intake).await?;
        for signal in &projection.signals {
            insert_signal(&mut tx, signal).await?;
        }
        for raised in &projection.alerts {
            alerts::raise(&mut tx, raised).await?;
        }
        query("DELETE FROM journal_sidecars WHERE seq = $1").bind(big(seq)).execute(&mut tx).await?;
        let sql = "UPDATE journal_checkpoints SET seq = $1, \
            received_at = coalesce((SELECT j.received_at FROM journal j \
                WHERE j.seq = $1 AND j.received_at >= $2), received_at) \
            WHERE name = 'projector'";
        query(sql).bind(big(seq)).bind(done_at).execute(&mut tx).await?;
        tx.owed.projection = true;
        tx.owed.intake = !projection.intake.is_empty();
        if erased > 0 {
            self.database().owe_log();
        }
        tx.commit().await?;
        self.days().made(days);
        if erased > 0 {
            self.database().forget_log().await?;
        }
        if left_out > 0 {
            tracing::warn!(seq, left_out, "a batch named advertisers that do not exist; see the journal");
        }
        Ok(true)
    }

    /// What links of known tenants stand for; those that do not exist are left out.
    pub async fn links_by_id(
        &self,
        links: &[(TenantId, LinkId)],
    ) -> Result<BTreeMap<(TenantId, LinkId), LinkTarget>, StoreError> {
        if links.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked: BTreeSet<(i64, i64)> = links.iter().map(|(t, l)| (t.column(), l.column())).collect();
        let rows = query(dialect::LINK_TARGETS)
            .bind(json!(asked).to_string())
            .fetch_all(&mut self.read(Scope::Deployment).await?)
            .await?;
        let target = |row: &Row| {
            let target = LinkTarget {
                offer: row.id("offer_id")?,
                partner: row.id("partner_id")?,
                program: row.id("program_id")?,
                advertiser: row.id("advertiser_id")?,
            };
            Ok(((row.id("tenant_id")?, row.id("id")?), target))
        };
        rows.iter().map(target).collect()
    }

    pub async fn list_signals(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<FraudSignal>, StoreError> {
        let (before, rows) = Page::<FraudSignal>::bounds(after, limit);
        let sql = "SELECT * FROM fraud_signals WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_signal)
    }
}
