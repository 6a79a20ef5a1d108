//! What tenants set up about clicks and postbacks, as JSON: checked when it is written, lowered to what edges
//! read when a snapshot is built. The database keeps the JSON.

mod kept;
mod link;
mod page;
mod postback;
mod routes;
mod routing;
mod zones;

pub use kept::KeptRouting;
pub use link::LinkSettingsBody;
pub use page::{checked_host, checked_page, host_of};
pub use postback::PostbackBody;
pub use routes::RouteBody;
pub use routing::{CapBody, PreviewBody, RoutingBody};
pub use zones::{offset_at, zone};

use super::rules_json::BodyError;
use crate::error::AppError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the database keeps.
pub fn written<T: Serialize>(settings: &T) -> Result<String, AppError> {
    serde_json::to_string(settings).map_err(|error| AppError::internal("settings cannot be written", error))
}

/// What the database has kept. An older version may have written it: what is absent has its default.
pub fn read<T: DeserializeOwned>(json: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(json)
}

/// The pointer of a setting that stands in a larger body.
pub fn within(outer: &'static str) -> impl FnOnce(BodyError) -> AppError {
    move |BodyError { pointer, message }| AppError::InvalidAt {
        pointer: format!("{outer}{pointer}"),
        message,
    }
}
