//! Programs.

use super::auth::Tenant;
use super::body::{Body, Params};
use super::ids::{AdvertiserRef, Id, PathId, ProgramRef, Time};
use super::page::List;
use super::{Api, Created, Reply};
use crate::app::catalog;
use axum::Json;
use axum::extract::State;
use control_plane_store::catalog::Program;
use proto_model::ProgramId;
use utoipa::{IntoParams, ToSchema};

/// An advertiser's terms and its partners.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Program)]
pub struct ProgramView {
    pub id: ProgramRef,
    pub advertiser_id: AdvertiserRef,
    pub name: String,
    pub created_at: Time,
}

impl From<Program> for ProgramView {
    fn from(program: Program) -> Self {
        Self {
            id: Id(program.id),
            advertiser_id: Id(program.advertiser),
            name: program.name,
            created_at: Time(program.created_at),
        }
    }
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProgram {
    advertiser_id: AdvertiserRef,
    #[schema(max_length = 200, min_length = 1)]
    name: String,
}

#[derive(serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProgramQuery {
    advertiser_id: Option<AdvertiserRef>,
    /// 1 to 100; 25 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List programs
#[utoipa::path(get, path = "/v1/programs", tag = "catalog", params(ProgramQuery),
    responses((status = 200, description = "A page, newest first", body = List<ProgramView>)))]
pub async fn list_programs(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Params(query): Params<ProgramQuery>,
) -> Reply<Json<List<ProgramView>>> {
    let advertiser = query.advertiser_id.map(|id| id.0);
    let slice =
        api.slice(format!("{tenant} programs {advertiser:?}"), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_programs(tenant, advertiser, slice.after, slice.limit).await?;
    let page = page.map(ProgramView::from);
    Ok(Json(slice.list(page.items, page.next)))
}

/// Create a program
#[utoipa::path(post, path = "/v1/programs", tag = "catalog", request_body = NewProgram,
    responses((status = 201, description = "The program", body = ProgramView)))]
pub async fn create_program(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(new): Body<NewProgram>,
) -> Reply<Created<ProgramView>> {
    let program = catalog::create_program(api.app(), tenant, new.advertiser_id.0, &new.name).await?;
    Ok(Created(format!("/v1/programs/{}", program.id), program.into()))
}

/// Get a program
#[utoipa::path(get, path = "/v1/programs/{program_id}", tag = "catalog",
    params(("program_id" = ProgramRef, Path)),
    responses((status = 200, description = "The program", body = ProgramView)))]
pub async fn get_program(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    PathId(id): PathId<ProgramId>,
) -> Reply<Json<ProgramView>> {
    let program = api.store().get_program(tenant, id).await.map_err(crate::AppError::of("program"))?;
    Ok(Json(program.into()))
}
