//! Erasing a person: the values go, the chain and the replay stay.

use crate::dialect;
use crate::dialect::Scope;
use crate::projection::{Events, Who, take_out};
use crate::retry::retrying;
use crate::row::{Columns, Id, big};
use crate::sql::{Connection, locking, query};
use crate::{Store, StoreError};
use control_plane_domain::intake::CustomerRef;
use proto_model::{Address, TenantId};
use serde_json::json;
use std::collections::BTreeMap;

/// Events per transaction: edges wait for as long on SQLite.
const SCRUBBED: i64 = 100;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ErasedCounts {
    /// 1 when the customer was known.
    pub customers: u64,
    /// Personal values of their events and of the clicks these name.
    pub values: u64,
    pub events: u64,
}

/// The events of a customer: what was stored with their pseudonym, every report of their orders (a pixel
/// tells an address although it names nobody), and the clicks that these and their touches name.
const EVENTS: &str = "
    WITH theirs AS (
        SELECT i.* FROM intake i WHERE i.tenant_id = $1 AND i.customer = $2
        UNION
        SELECT i.* FROM intake i JOIN intake o ON o.tenant_id = i.tenant_id
            AND o.advertiser_id = i.advertiser_id AND o.subject = i.subject
        WHERE o.tenant_id = $1 AND o.customer = $2 AND o.kind = 'conversion' AND i.kind = 'conversion'
    )
    SELECT source_stream AS stream, source_ordinal AS ordinal FROM theirs WHERE source_stream IS NOT NULL
    UNION SELECT click_stream, click_ordinal FROM theirs WHERE click_stream IS NOT NULL
    UNION SELECT stream, ordinal FROM sidecar WHERE tenant_id = $1 AND customer = $2";

/// The events of whoever had this pseudonym, and these: their values go, and none that come later are kept. Says
/// how many events and values those were.
pub(crate) async fn erase_events(
    conn: &mut Connection,
    tenant: TenantId,
    customer: CustomerRef,
    more: &[Address],
) -> Result<(u64, u64), StoreError> {
    let rows = query(EVENTS).bind(tenant.column()).bind(&customer.0[..]).fetch_all(&mut *conn).await?;
    let mut events: Events = rows
        .iter()
        .map(|row| Ok((row.col("stream")?, row.col("ordinal")?)))
        .collect::<Result<_, StoreError>>()?;
    events.extend(more.iter().map(|at| (i64::from(at.stream.0), big(at.ordinal))));
    let addresses = json!(events).to_string();
    query(dialect::INSERT_ERASED).bind(tenant.column()).bind(&addresses).execute(&mut *conn).await?;
    let single =
        query(dialect::ERASE_VALUES).bind(tenant.column()).bind(&addresses).execute(&mut *conn).await?;
    let packed = take_out(conn, tenant, &events).await?;
    Ok((u64::try_from(events.len()).unwrap_or(u64::MAX), single + packed))
}

/// The projection under way ends first, and the next one waits: it must see which events are erased.
async fn hold_projection(conn: &mut Connection) -> Result<(), StoreError> {
    let checkpoint = locking!("SELECT seq FROM journal_checkpoints WHERE name = 'projector'");
    query(checkpoint).fetch_one(conn).await?;
    Ok(())
}

impl Store {
    /// Forgets who a customer is: their id, and the personal values of their events and clicks, also of
    /// those that arrive later. The journal keeps commitments to the values and the intake a pseudonym, so
    /// chain and replay verify as before. Nothing happens when the customer is not known.
    pub async fn erase_customer(&self, tenant: TenantId, who: &Who) -> Result<ErasedCounts, StoreError> {
        // The projector's checkpoint is not a tenant's.
        let mut tx = self.write(Scope::Deployment).await?;
        hold_projection(&mut tx).await?;
        // Whoever is writing what they did ends first.
        let sql = locking!("SELECT customer FROM customers WHERE tenant_id = $1 AND customer_id = $2");
        let row =
            query(sql).bind(tenant.column()).bind(who.column().into_owned()).fetch_optional(&mut tx).await?;
        let Some(row) = row else { return Ok(ErasedCounts::default()) };
        let customer = CustomerRef(row.bytes("customer")?);
        let (events, values) = erase_events(&mut tx, tenant, customer, &[]).await?;
        let customers = query("DELETE FROM customers WHERE tenant_id = $1 AND customer_id = $2")
            .bind(tenant.column())
            .bind(who.column().into_owned())
            .execute(&mut tx)
            .await?;
        self.database().owe_log();
        tx.commit().await?;
        self.database().forget_log().await?;
        Ok(ErasedCounts { customers, values, events })
    }

    /// Takes out of the blobs what a version that knows nothing of them has erased while it was at work beside this
    /// one; says how many values that were. Then cuts the log off, if an erasure could not. Costs next to nothing when
    /// there is nothing to do.
    pub async fn scrub_erased(&self) -> Result<u64, StoreError> {
        let sql = "SELECT 1 FROM erased_events WHERE NOT scrubbed LIMIT 1";
        let mut values = 0;
        while query(sql).fetch_optional(&mut self.read(Scope::Deployment).await?).await?.is_some() {
            values += retrying!(self.scrub_some())?;
        }
        self.database().forget_log().await?;
        Ok(values)
    }

    async fn scrub_some(&self) -> Result<u64, StoreError> {
        let mut tx = self.write(Scope::Deployment).await?;
        hold_projection(&mut tx).await?;
        let sql = "SELECT tenant_id, stream, ordinal FROM erased_events WHERE NOT scrubbed \
            ORDER BY tenant_id, stream, ordinal LIMIT $1";
        let mut pending: BTreeMap<TenantId, Events> = BTreeMap::new();
        for row in query(sql).bind(SCRUBBED).fetch_all(&mut tx).await? {
            let event = (row.col("stream")?, row.col("ordinal")?);
            pending.entry(row.id("tenant_id")?).or_default().insert(event);
        }
        let mut values = 0;
        for (tenant, events) in &pending {
            values += take_out(&mut tx, *tenant, events).await?;
            let events = json!(events).to_string();
            query(dialect::MARK_SCRUBBED).bind(tenant.column()).bind(events).execute(&mut tx).await?;
        }
        if values > 0 {
            self.database().owe_log();
        }
        tx.commit().await?;
        Ok(values)
    }
}
