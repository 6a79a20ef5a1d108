//! Who a customer is: the pseudonym under which the books know an advertiser's customer id, or a page's visitor.

use crate::dialect::Scope;
use crate::row::{Columns, Id};
use crate::sql::{Connection, query};
use crate::{Store, StoreError};
use control_plane_domain::intake::CustomerRef;
use proto_model::TenantId;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A customer by the id that an advertiser sent, or a visitor by the number that a page gave. They never mix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    Customer(String),
    Visitor(String),
}

/// No id holds control characters, so that no customer is taken for a visitor.
const VISITOR: &str = "visitor\u{1f}";

impl Who {
    /// As it stands in `customers.customer_id`.
    pub(crate) fn column(&self) -> Cow<'_, str> {
        match self {
            Self::Customer(id) => Cow::Borrowed(id),
            Self::Visitor(id) => Cow::Owned(format!("{VISITOR}{id}")),
        }
    }
}

/// Somebody, and the pseudonym they get if they have none yet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CustomerKey {
    pub tenant: TenantId,
    pub who: Who,
    pub candidate: CustomerRef,
}

/// Pseudonyms by tenant and id.
pub type Customers = BTreeMap<(TenantId, Who), CustomerRef>;

/// The pseudonym of a customer, made if there is none yet; `None` = there is no such tenant. It stays theirs until the
/// transaction ends: whoever erases them waits.
pub(crate) async fn resolve(
    conn: &mut Connection,
    key: &CustomerKey,
) -> Result<Option<CustomerRef>, StoreError> {
    // The update changes nothing: it makes RETURNING give the row that was there, and locks it.
    let sql = "INSERT INTO customers (tenant_id, customer_id, customer) \
        SELECT $1, $2, $3 WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1) \
        ON CONFLICT (tenant_id, customer_id) DO UPDATE SET customer_id = excluded.customer_id \
        RETURNING customer";
    let query =
        query(sql).bind(key.tenant.column()).bind(key.who.column().into_owned()).bind(&key.candidate.0[..]);
    let row = query.fetch_optional(conn).await?;
    row.map(|row| Ok(CustomerRef(row.bytes("customer")?))).transpose()
}

impl Store {
    /// The pseudonyms of these customers; of a tenant that does not exist there are none. Any of them may be erased
    /// before they are used: whoever writes what they did must look (see [`super::Projection`]), or does both at once
    /// ([`Store::append_of_customer`]).
    pub async fn resolve_customers(&self, keys: &[CustomerKey]) -> Result<Customers, StoreError> {
        let mut customers = Customers::new();
        if keys.is_empty() {
            return Ok(customers);
        }
        let mut tx = self.write(Scope::Deployment).await?;
        // In one order, whoever asks, so that two who ask at once do not wait for each other.
        for key in keys.iter().collect::<BTreeSet<_>>() {
            if let Some(customer) = resolve(&mut tx, key).await? {
                customers.insert((key.tenant, key.who.clone()), customer);
            }
        }
        tx.commit().await?;
        Ok(customers)
    }
}
