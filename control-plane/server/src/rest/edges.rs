//! The fleet.

use super::body::{Body, Params};
use super::ids::{EdgeRef, Id, PathId, Time};
use super::page::List;
use super::{Api, PageQuery, Reply};
use crate::app::fleet;
use axum::Json;
use axum::extract::State;
use control_plane_store::fleet::{Edge, LaneHead};
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
    pub created_at: Time,
    pub last_seen_at: Option<Time>,
    pub streams: Vec<StreamView>,
}

/// How far one stream of the edge has come.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Stream)]
pub struct StreamView {
    pub stream: u32,
    /// `money` or `traffic`.
    pub lane: &'static str,
    pub last_ordinal: u64,
    /// `open` or `quarantined`: nothing more is taken from it until an operator has looked.
    pub status: &'static str,
    pub reason: Option<String>,
}

impl From<LaneHead> for StreamView {
    fn from(head: LaneHead) -> Self {
        Self {
            stream: head.stream.0,
            lane: head.lane.as_str(),
            last_ordinal: head.last_ordinal,
            status: if head.quarantined.is_some() { "quarantined" } else { "open" },
            reason: head.quarantined,
        }
    }
}

fn view(edge: Edge, streams: Vec<LaneHead>) -> EdgeView {
    EdgeView {
        id: Id(edge.id),
        name: edge.name,
        version: edge.version,
        status: if edge.revoked { "revoked" } else { "active" },
        created_at: Time(edge.created_at),
        last_seen_at: edge.last_seen_at.map(Time),
        streams: streams.into_iter().map(StreamView::from).collect(),
    }
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
        let streams = api.store().edge_streams(edge.id).await?;
        views.push(view(edge, streams));
    }
    Ok(Json(slice.list(views, page.next)))
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
    let streams = api.store().edge_streams(id).await?;
    Ok(Json(view(edge, streams)))
}
