//! The fleet.

use super::body::{Body, Params};
use super::edge_health::{self, ReportView, StreamView};
use super::ids::{EdgeRef, Id, PathId, Time};
use super::page::List;
use super::{Api, PageQuery, Reply};
use crate::app::{clock, fleet};
use axum::Json;
use axum::extract::State;
use control_plane_store::fleet::Edge;
use http::StatusCode;
use proto_model::EdgeId;
use utoipa::ToSchema;

#[derive(serde::Serialize, ToSchema)]
#[schema(as = Edge)]
pub struct EdgeView {
    pub id: EdgeRef,
    pub name: String,
    pub version: String,
    /// `active` or `revoked`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// `online` when it has reported within a minute, `silent` when it has not, `unknown` when it never has.
    #[schema(example = "online")]
    pub connection: &'static str,
    pub created_at: Time,
    pub last_seen_at: Option<Time>,
    /// Null = it has never reported.
    pub report: Option<ReportView>,
    pub streams: Vec<StreamView>,
}

async fn view(api: &Api, edge: Edge) -> Reply<EdgeView> {
    let streams = api.store().edge_streams(edge.id).await?;
    let report = api.store().edge_report(edge.id).await?;
    let now = clock::now();
    let streams = streams.into_iter().map(|head| StreamView::of(head, report.as_ref(), now)).collect();
    Ok(EdgeView {
        id: Id(edge.id),
        name: edge.name,
        version: edge.version,
        status: if edge.revoked { "revoked" } else { "active" },
        connection: edge_health::connection(report.as_ref(), now),
        created_at: Time(edge.created_at),
        last_seen_at: edge.last_seen_at.map(Time),
        report: report.map(ReportView::from),
        streams,
    })
}

/// List edges
#[utoipa::path(get, path = "/v1/edges", tag = "operator", params(PageQuery),
    responses((status = 200, description = "A page, newest first", body = List<EdgeView>)))]
pub async fn list_edges(
    State(api): State<Api>,
    Params(query): Params<PageQuery>,
) -> Reply<Json<List<EdgeView>>> {
    let slice = api.slice("edges".to_owned(), query.limit, query.cursor.as_deref())?;
    let page = api.store().list_edges(slice.after, slice.limit).await?;
    let mut views = Vec::with_capacity(page.items.len());
    for edge in page.items {
        views.push(view(&api, edge).await?);
    }
    Ok(Json(slice.list(views, page.next)))
}

/// Get an edge
#[utoipa::path(get, path = "/v1/edges/{edge_id}", tag = "operator", params(("edge_id" = EdgeRef, Path)),
    responses((status = 200, description = "How it is doing", body = EdgeView)))]
pub async fn get_edge(State(api): State<Api>, PathId(id): PathId<EdgeId>) -> Reply<Json<EdgeView>> {
    current(&api, id).await
}

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJoinBundle {
    /// The name that the edge will have.
    #[schema(max_length = 200, min_length = 1)]
    name: String,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = JoinBundle)]
pub struct JoinBundleView {
    /// For `tributary edge enroll`; works once, for 15 minutes.
    #[schema(example = "tbj1....")]
    pub bundle: String,
}

/// Let a new edge join
#[utoipa::path(post, path = "/v1/edges/join-bundles", tag = "operator", request_body = NewJoinBundle,
    responses((status = 201, description = "A bundle, shown once", body = JoinBundleView)))]
pub async fn create_join_bundle(
    State(api): State<Api>,
    Body(new): Body<NewJoinBundle>,
) -> Reply<(StatusCode, Json<JoinBundleView>)> {
    let bundle = fleet::create_join_bundle(api.app(), &new.name).await?;
    Ok((StatusCode::CREATED, Json(JoinBundleView { bundle: bundle.to_text() })))
}

/// Revoke an edge
///
/// From now on nothing of this edge is accepted.
#[utoipa::path(post, path = "/v1/edges/{edge_id}/revoke", tag = "operator",
    params(("edge_id" = EdgeRef, Path)),
    responses((status = 200, description = "The edge as it is now", body = EdgeView)))]
pub async fn revoke_edge(State(api): State<Api>, PathId(id): PathId<EdgeId>) -> Reply<Json<EdgeView>> {
    fleet::revoke_edge(api.app(), id).await?;
    current(&api, id).await
}

/// Release an edge's quarantined streams
///
/// What stands in the journal stays, and the edge may send again what comes after it. When that contradicts
/// the journal once more, the stream is quarantined once more: then revoke the edge and enrol it anew.
#[utoipa::path(post, path = "/v1/edges/{edge_id}/release", tag = "operator",
    params(("edge_id" = EdgeRef, Path)),
    responses((status = 200, description = "The edge as it is now", body = EdgeView)))]
pub async fn release_edge(State(api): State<Api>, PathId(id): PathId<EdgeId>) -> Reply<Json<EdgeView>> {
    fleet::release_edge(api.app(), id).await?;
    current(&api, id).await
}

async fn current(api: &Api, id: EdgeId) -> Reply<Json<EdgeView>> {
    let edge = api.store().get_edge(id).await.map_err(crate::AppError::of("edge"))?;
    Ok(Json(view(api, edge).await?))
}
