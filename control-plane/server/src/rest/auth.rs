//! Who is calling. The tenant comes from the credential and from nowhere else.

use super::problem::Problem;
use crate::app::{App, keys};
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};
use proto_model::TenantId;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Principal {
    Operator,
    Tenant(TenantId),
}

/// Put into the request by [`super::policy::enforce`].
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub principal: Principal,
    pub key: i64,
}

impl Caller {
    pub fn tenant(&self) -> Option<TenantId> {
        match self.principal {
            Principal::Operator => None,
            Principal::Tenant(tenant) => Some(tenant),
        }
    }
}

/// Reads and checks `Authorization: Bearer tbk_...`.
pub async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // Two credentials could be read differently by a proxy before us.
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthenticated());
    };
    let text = value.to_str().map_err(|_| Problem::unauthenticated())?;
    let (scheme, secret) = text.split_once(' ').ok_or_else(Problem::unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthenticated());
    }
    let key = keys::authenticate(app, secret.trim()).await?;
    let principal = key.tenant.map_or(Principal::Operator, Principal::Tenant);
    Ok(Caller { principal, key: key.id })
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(Problem::unauthenticated)
    }
}

/// The tenant that calls.
#[derive(Clone, Copy, Debug)]
pub struct Tenant(pub TenantId);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.tenant().map(Self).ok_or_else(Problem::forbidden)
    }
}
