//! Which batches of the journal hold clicks of a tenant; the projection writes it.

use crate::row::{Columns, Id, big};
use crate::sql::query;
use crate::{Store, StoreError};
use proto_model::{TenantId, VerdictKind};

macro_rules! select_batches {
    ($verdict:literal) => {
        concat!(
            "SELECT journal_seq FROM click_batches WHERE tenant_id = $1 AND journal_seq <= $2 ",
            $verdict,
            "ORDER BY journal_seq DESC LIMIT $3"
        )
    };
}

impl Store {
    /// Journal seqs up to `through`, newest first: each batch holds a click of the tenant with this verdict.
    pub async fn click_batches(
        &self,
        tenant: TenantId,
        verdict: Option<VerdictKind>,
        through: u64,
        limit: u32,
    ) -> Result<Vec<u64>, StoreError> {
        let sql = match verdict {
            None => select_batches!(""),
            Some(VerdictKind::Allow) => select_batches!("AND allowed > 0 "),
            Some(VerdictKind::Flag) => select_batches!("AND flagged > 0 "),
            Some(VerdictKind::Block) => select_batches!("AND blocked > 0 "),
        };
        let query = query(sql).bind(tenant.column()).bind(big(through)).bind(i64::from(limit));
        query
            .fetch_all(&mut self.read(tenant).await?)
            .await?
            .iter()
            .map(|row| row.number("journal_seq"))
            .collect()
    }
}
