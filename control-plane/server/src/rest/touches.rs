//! Touches: the advertiser's server binds a click to a customer.

use super::auth::Tenant;
use super::body::Body;
use super::ids::Time;
use super::{Api, Reply};
use crate::app::conversions;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use utoipa::ToSchema;

#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTouch {
    /// As it reached the landing page.
    click_id: String,
    /// Your own id of the customer; stored apart and erasable.
    customer_id: String,
    /// Now by default.
    bound_at: Option<Time>,
}

#[derive(serde::Serialize, ToSchema)]
pub struct TouchAccepted {
    /// `accepted`: conversions after it in the intake will see it.
    pub status: &'static str,
    pub intake_ordinal: u64,
}

/// Bind a click to a customer
///
/// Your server vouches for it: it counts like a click id that the conversion carries, and before whatever a page says.
#[utoipa::path(post, path = "/v1/touches", tag = "tracking", request_body = NewTouch,
    responses((status = 202, description = "Written to the intake", body = TouchAccepted)))]
pub async fn bind_touch(
    State(api): State<Api>,
    Tenant(tenant): Tenant,
    Body(touch): Body<NewTouch>,
) -> Reply<(StatusCode, Json<TouchAccepted>)> {
    let bound_at = touch.bound_at.map(|time| time.0);
    let intake_ordinal =
        conversions::bind_touch(api.app(), tenant, &touch.click_id, &touch.customer_id, bound_at).await?;
    Ok((StatusCode::ACCEPTED, Json(TouchAccepted { status: "accepted", intake_ordinal })))
}
