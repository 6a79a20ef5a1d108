use super::{Link, LinkChange, Partner, Vanity};
use crate::retry::retrying;
use crate::row::{Columns, Id, found, page, take_seq};
use crate::sql::{Connection, Row, query};
use crate::{Page, Store, StoreError};
use proto_model::{LinkId, OfferId, PartnerId, TenantId};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkFilter {
    pub offer: Option<OfferId>,
    pub partner: Option<PartnerId>,
}

pub(super) fn read_link(row: &Row) -> Result<Link, StoreError> {
    Ok(Link {
        tenant: row.id("tenant_id")?,
        id: row.id("id")?,
        offer: row.id("offer_id")?,
        partner: row.id("partner_id")?,
        active: row.col("active")?,
        settings_json: row.col("settings_json")?,
        vanity: match (row.col("host")?, row.col("slug")?) {
            (Some(host), Some(slug)) => Some(Vanity { host, slug }),
            _ => None,
        },
        created_at: row.time("created_at")?,
    })
}

/// A link with its name; the conditions follow.
macro_rules! links {
    ($conditions:literal) => {
        concat!(
            "SELECT l.*, s.host, s.slug FROM links l \
             LEFT JOIN slugs s ON s.tenant_id = l.tenant_id AND s.link_id = l.id ",
            $conditions
        )
    };
}
pub(super) use links;

const ONE: &str = links!("WHERE l.tenant_id = $1 AND l.id = $2");

/// The name that the link shall have from now on. `MissingReference` when the tenant has no such host,
/// `Conflict("slug_taken")` when it is another link's name.
async fn set_vanity(
    conn: &mut Connection,
    tenant: TenantId,
    link: LinkId,
    vanity: Option<&Vanity>,
) -> Result<(), StoreError> {
    query("DELETE FROM slugs WHERE tenant_id = $1 AND link_id = $2")
        .bind(tenant.column())
        .bind(link.column())
        .execute(conn)
        .await?;
    let Some(Vanity { host, slug }) = vanity else { return Ok(()) };
    let sql = "INSERT INTO slugs (tenant_id, host, slug, link_id) VALUES ($1, $2, $3, $4)";
    let query = query(sql).bind(tenant.column()).bind(host).bind(slug).bind(link.column());
    match query.execute(conn).await.map_err(StoreError::from) {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict("already_exists")) => Err(StoreError::Conflict("slug_taken")),
        Err(other) => Err(other),
    }
}

fn read_partner(row: &Row) -> Result<Partner, StoreError> {
    Ok(Partner {
        tenant: row.id("tenant_id")?,
        id: row.id("id")?,
        name: row.col("name")?,
        created_at: row.time("created_at")?,
    })
}

impl Store {
    pub async fn create_partner(&self, partner: &Partner) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(partner.tenant).await?;
            let seq = take_seq(&mut tx, partner.tenant.column(), "partners", 1).await?;
            let sql =
                "INSERT INTO partners (tenant_id, id, seq, name, created_at) VALUES ($1, $2, $3, $4, $5)";
            query(sql)
                .bind(partner.tenant.column())
                .bind(partner.id.column())
                .bind(seq)
                .bind(&partner.name)
                .bind(partner.created_at.0)
                .execute(&mut tx)
                .await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_partner(&self, tenant: TenantId, id: PartnerId) -> Result<Partner, StoreError> {
        let row = query("SELECT * FROM partners WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.column())
            .bind(id.column())
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_partner(&row)
    }

    pub async fn list_partners(
        &self,
        tenant: TenantId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Partner>, StoreError> {
        let (before, rows) = Page::<Partner>::bounds(after, limit);
        let sql = "SELECT * FROM partners WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
        let query = query(sql).bind(tenant.column()).bind(before).bind(rows);
        page(&query.fetch_all(&mut self.read(tenant).await?).await?, limit, read_partner)
    }

    pub async fn create_link(&self, link: &Link) -> Result<(), StoreError> {
        retrying!(async {
            let mut tx = self.write(link.tenant).await?;
            let seq = take_seq(&mut tx, link.tenant.column(), "links", 1).await?;
            let sql = "INSERT INTO links (tenant_id, id, seq, offer_id, partner_id, active, settings_json, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            query(sql)
                .bind(link.tenant.column())
                .bind(link.id.column())
                .bind(seq)
                .bind(link.offer.column())
                .bind(link.partner.column())
                .bind(link.active)
                .bind(&link.settings_json)
                .bind(link.created_at.0)
                .execute(&mut tx)
                .await?;
            set_vanity(&mut tx, link.tenant, link.id, link.vanity.as_ref()).await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_link(&self, tenant: TenantId, id: LinkId) -> Result<Link, StoreError> {
        let row = query(ONE)
            .bind(tenant.column())
            .bind(id.column())
            .fetch_one(&mut self.read(tenant).await?)
            .await?;
        read_link(&row)
    }

    pub async fn list_links(
        &self,
        tenant: TenantId,
        filter: &LinkFilter,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<Link>, StoreError> {
        let (before, rows) = Page::<Link>::bounds(after, limit);
        let sql = links!(
            "WHERE l.tenant_id = $1 AND l.seq < $2 AND ($4 IS NULL OR l.offer_id = $4) \
             AND ($5 IS NULL OR l.partner_id = $5) ORDER BY l.seq DESC LIMIT $3"
        );
        let rows = query(sql)
            .bind(tenant.column())
            .bind(before)
            .bind(rows)
            .bind(filter.offer.map(Id::column))
            .bind(filter.partner.map(Id::column))
            .fetch_all(&mut self.read(tenant).await?)
            .await?;
        page(&rows, limit, read_link)
    }

    pub async fn update_link(
        &self,
        tenant: TenantId,
        id: LinkId,
        change: &LinkChange,
    ) -> Result<Link, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let sql = "UPDATE links SET active = coalesce($3, active), settings_json = coalesce($4, settings_json) \
                WHERE tenant_id = $1 AND id = $2";
            let done = query(sql)
                .bind(tenant.column())
                .bind(id.column())
                .bind(change.active)
                .bind(change.settings_json.as_deref())
                .execute(&mut tx)
                .await?;
            found(done)?;
            if let Some(vanity) = &change.vanity {
                set_vanity(&mut tx, tenant, id, vanity.as_ref()).await?;
            }
            let row = query(ONE).bind(tenant.column()).bind(id.column()).fetch_one(&mut tx).await?;
            let link = read_link(&row)?;
            tx.commit_catalog().await?;
            Ok(link)
        })
    }
}
