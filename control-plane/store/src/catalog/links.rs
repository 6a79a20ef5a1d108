use super::{Link, Partner};
use crate::retry::retrying;
use crate::row::{Columns, Id, page, take_seq};
use crate::sql::{Row, query};
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
        created_at: row.time("created_at")?,
    })
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
            let sql = "INSERT INTO links (tenant_id, id, seq, offer_id, partner_id, active, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
            query(sql)
                .bind(link.tenant.column())
                .bind(link.id.column())
                .bind(seq)
                .bind(link.offer.column())
                .bind(link.partner.column())
                .bind(link.active)
                .bind(link.created_at.0)
                .execute(&mut tx)
                .await?;
            tx.commit_catalog().await
        })
    }

    pub async fn get_link(&self, tenant: TenantId, id: LinkId) -> Result<Link, StoreError> {
        let row = query("SELECT * FROM links WHERE tenant_id = $1 AND id = $2")
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
        let sql = "SELECT * FROM links WHERE tenant_id = $1 AND seq < $2 \
            AND ($4 IS NULL OR offer_id = $4) AND ($5 IS NULL OR partner_id = $5) ORDER BY seq DESC LIMIT $3";
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

    pub async fn set_link_active(
        &self,
        tenant: TenantId,
        id: LinkId,
        active: bool,
    ) -> Result<Link, StoreError> {
        retrying!(async {
            let mut tx = self.write(tenant).await?;
            let row = query("UPDATE links SET active = $3 WHERE tenant_id = $1 AND id = $2 RETURNING *")
                .bind(tenant.column())
                .bind(id.column())
                .bind(active)
                .fetch_one(&mut tx)
                .await?;
            let link = read_link(&row)?;
            tx.commit_catalog().await?;
            Ok(link)
        })
    }
}
