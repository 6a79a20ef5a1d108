//! The numbers of a tenant's lists, as far as one transaction hands them out: each list is asked once, and told
//! once at the end.

use crate::StoreError;
use crate::row::{Id, take_seq};
use crate::sql::{Connection, query};
use proto_model::TenantId;
use std::collections::BTreeMap;

pub(crate) struct Numbers {
    tenant: i64,
    /// By list: the last number that the database knows of, and the last one handed out.
    lists: BTreeMap<&'static str, (i64, i64)>,
}

impl Numbers {
    pub fn of(tenant: TenantId) -> Self {
        Self { tenant: tenant.column(), lists: BTreeMap::new() }
    }

    /// The first one locks the list until the transaction ends, so that numbers become visible in order.
    pub async fn take(&mut self, conn: &mut Connection, list: &'static str) -> Result<i64, StoreError> {
        if let Some((_, last)) = self.lists.get_mut(list) {
            *last += 1;
            return Ok(*last);
        }
        let first = take_seq(conn, self.tenant, list, 1).await?;
        self.lists.insert(list, (first, first));
        Ok(first)
    }

    /// To be called before the transaction commits.
    pub async fn store(&mut self, conn: &mut Connection) -> Result<(), StoreError> {
        for (list, (known, last)) in &mut self.lists {
            if last > known {
                let sql = "UPDATE sequences SET last = $3 WHERE tenant_id = $1 AND name = $2";
                query(sql).bind(self.tenant).bind(*list).bind(*last).execute(&mut *conn).await?;
                *known = *last;
            }
        }
        Ok(())
    }
}
