use super::{Offer, OfferChange};
use crate::intake::append_inputs;
use crate::retry::retrying;
use crate::row::{Columns, Id, page, take_seq};
use crate::sql::{Connection, Row, locking, query};
use crate::{Page, Store, StoreError};
use control_plane_domain::terms::OfferTerms;
use control_plane_domain::{Input, ShardKey};
use proto_model::{AdvertiserId, OfferId, PauseReason, ProgramId, TenantId, UnixMicros};

pub(super) fn read_offer(row: &Row) -> Result<Offer, StoreError> {
    Ok(Offer {
        tenant: row.id("tenant_id")?,
        id: row.id("id")?,
        program: row.id("program_id")?,
        advertiser: row.id("advertiser_id")?,
        name: row.col("name")?,
        destination: row.col("destination")?,
        click_id_parameter: row.col("click_id_parameter")?,
        active: row.col("active")?,
        pause_reason: pause_reason(row)?,
        routing_json: row.col("routing_json")?,
        terms_version: row.number("terms_version")?,
        created_at: row.time("created_at")?,
    })
}

/// An active offer has none, whatever an earlier version left behind.
fn pause_reason(row: &Row) -> Result<Option<PauseReason>, StoreError> {
    match row.col::<Option<&str>>("pause_reason")? {
        Some(_) if !row.col("active")? => row.word("pause_reason", PauseReason::parse).map(Some),
        _ => Ok(None),
    }
}

async fn insert(conn: &mut Connection, offer: &Offer, seq: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO offers (tenant_id, id, seq, program_id, advertiser_id, name, destination, \
        click_id_parameter, active, pause_reason, routing_json, terms_version, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    query(sql)
        .bind(offer.tenant.column())
        .bind(offer.id.column())
        .bind(seq)
        .bind(offer.program.column())
        .bind(offer.advertiser.column())
        .bind(&offer.name)
        .bind(&offer.destination)
        .bind(&offer.click_id_parameter)
        .bind(offer.active)
        .bind(offer.pause_reason.map(PauseReason::as_str))
        .bind(&offer.routing_json)
        .bind(i64::from(offer.terms_version))
        .bind(offer.created_at.0)
        .execute(conn)
        .await?;
    Ok(())
}

impl Store {
    /// The offer and its first terms; these also go to the advertiser's intake, in the same transaction.
    pub async fn create_offer(&self, offer: &Offer, terms: &OfferTerms) -> Result<(), StoreError> {
        if terms.offer != offer.id || terms.program != offer.program {
            return Err(StoreError::Conflict("terms_offer"));
        }
        if terms.version != 1 || offer.terms_version != 1 {
            return Err(StoreError::Conflict("terms_version"));
        }
        retrying!(async {
            let mut tx = self.write(offer.tenant).await?;
            let seq = take_seq(&mut tx, offer.tenant.column(), "offers", 1).await?;
            insert(&mut tx, offer, seq).await?;
            let shard = ShardKey::advertiser(offer.tenant, offer.advertiser);
            append_inputs(&mut tx, &[(shard, &Input::Terms(terms.clone()))], offer.created_at).await?;
            tx.owed.intake = true;
            tx.commit_catalog().await
        })
    }

    pub async fn get_offer(&self, tenant: TenantId, id: OfferId) -> Result<Offer, StoreError> {
        let row = query("SELECT * FROM offers WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.column())
            .bind(id.column())
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_offer(&row)
    }

    pub async fn list_offers(
        &self,
        tenant: TenantId,
        program: Option<ProgramId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Offer>, StoreError> {
        let (before, rows) = Page::<Offer>::bounds(after, limit);
        let sql = "SELECT * FROM offers WHERE tenant_id = $1 AND seq < $2 \
            AND ($4 IS NULL OR program_id = $4) ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        let rows = query.bind(program.map(Id::column)).fetch_all(&mut self.read(tenant).await?).await?;
        page(&rows, limit, read_offer)
    }

    pub async fn update_offer(
        &self,
        tenant: TenantId,
        id: OfferId,
        change: &OfferChange,
    ) -> Result<Offer, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql = "UPDATE offers SET name = coalesce($3, name), destination = coalesce($4, destination), \
                click_id_parameter = coalesce($5, click_id_parameter), active = coalesce($6, active), \
                pause_reason = coalesce($7, pause_reason), routing_json = coalesce($8, routing_json) \
                WHERE tenant_id = $1 AND id = $2 RETURNING *";
            let row = query(sql)
                .bind(tenant.column())
                .bind(id.column())
                .bind(change.name.as_deref())
                .bind(change.destination.as_deref())
                .bind(change.click_id_parameter.as_deref())
                .bind(change.active)
                // Beside an active offer it says nothing.
                .bind(change.active.map(|_| change.pause_reason.unwrap_or(PauseReason::ByHand).as_str()))
                .bind(change.routing_json.as_deref())
                .fetch_one(&mut tx)
                .await?;
            let offer = read_offer(&row)?;
            tx.commit_catalog().await?;
            Ok(offer)
        })
    }

    /// New terms; `Conflict("terms_version")` unless their version is the offer's next.
    pub async fn put_terms(
        &self,
        tenant: TenantId,
        advertiser: AdvertiserId,
        terms: &OfferTerms,
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql = locking!(
                "SELECT * FROM offers WHERE tenant_id = $1 AND id = $2 AND advertiser_id = $3 AND program_id = $4"
            );
            let row = query(sql)
                .bind(tenant.column())
                .bind(terms.offer.column())
                .bind(advertiser.column())
                .bind(terms.program.column())
                .fetch_one(&mut tx)
                .await?;
            if read_offer(&row)?.terms_version.checked_add(1) != Some(terms.version) {
                return Err(StoreError::Conflict("terms_version"));
            }
            query("UPDATE offers SET terms_version = $3 WHERE tenant_id = $1 AND id = $2")
                .bind(tenant.column())
                .bind(terms.offer.column())
                .bind(i64::from(terms.version))
                .execute(&mut tx)
                .await?;
            let shard = ShardKey::advertiser(tenant, advertiser);
            append_inputs(&mut tx, &[(shard, &Input::Terms(terms.clone()))], now).await?;
            tx.owed.intake = true;
            tx.commit().await
        })
    }
}
