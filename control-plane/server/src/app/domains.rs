//! The tenant's own hosts.

use super::settings::{self, checked_host, checked_page};
use super::{App, clock};
use crate::error::AppError;
use control_plane_store::StoreError;
use control_plane_store::catalog::Domain;
use proto_model::TenantId;

/// Where a domain sends those whom no link takes along; `None` = the tenant's fallback.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    pub home_url: Option<String>,
    pub not_found_url: Option<String>,
    pub expired_url: Option<String>,
}

/// What changes of them; an inner `None` clears one.
#[derive(Clone, Debug, Default)]
pub struct PagesPatch {
    pub home_url: Option<Option<String>>,
    pub not_found_url: Option<Option<String>>,
    pub expired_url: Option<Option<String>>,
}

fn checked(at: &str, page: Option<String>) -> Result<Option<String>, AppError> {
    page.map(|text| checked_page(at, &text)).transpose().map_err(settings::within(""))
}

pub async fn create_domain(
    app: &App,
    tenant: TenantId,
    host: &str,
    pages: Pages,
) -> Result<Domain, AppError> {
    checked_host("/host", host).map_err(settings::within(""))?;
    let domain = Domain {
        tenant,
        host: host.to_owned(),
        home_url: checked("/home_url", pages.home_url)?,
        not_found_url: checked("/not_found_url", pages.not_found_url)?,
        expired_url: checked("/expired_url", pages.expired_url)?,
        created_at: clock::now(),
    };
    match app.store.create_domain(&domain).await {
        Ok(()) => Ok(domain),
        Err(StoreError::Conflict("already_exists")) => Err(AppError::Conflict {
            code: "host_taken",
            message: "This host is a domain already; a host belongs to one tenant.".to_owned(),
        }),
        Err(other) => Err(other.into()),
    }
}

pub async fn change_domain(
    app: &App,
    tenant: TenantId,
    host: &str,
    patch: PagesPatch,
) -> Result<Domain, AppError> {
    let held = app.store.get_domain(tenant, host).await.map_err(AppError::of("domain"))?;
    let domain = Domain {
        home_url: checked("/home_url", patch.home_url.unwrap_or(held.home_url))?,
        not_found_url: checked("/not_found_url", patch.not_found_url.unwrap_or(held.not_found_url))?,
        expired_url: checked("/expired_url", patch.expired_url.unwrap_or(held.expired_url))?,
        ..held
    };
    app.store.update_domain(&domain).await.map_err(AppError::of("domain"))?;
    Ok(domain)
}

pub async fn delete_domain(app: &App, tenant: TenantId, host: &str) -> Result<(), AppError> {
    match app.store.delete_domain(tenant, host).await {
        Err(StoreError::Conflict(code @ "domain_in_use")) => Err(AppError::Conflict {
            code,
            message: "Links have names on this host; take them away first.".to_owned(),
        }),
        other => other.map_err(AppError::of("domain")),
    }
}
