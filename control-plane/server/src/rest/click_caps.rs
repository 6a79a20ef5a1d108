//! How much of a cap is gone.

use super::ids::Time;
use crate::app::click_caps::CapState;
use proto_model::UnixMicros;
use utoipa::ToSchema;

/// The window of now. What is neither used nor leased is left.
#[derive(serde::Serialize, ToSchema, Default)]
#[schema(as = ClickCapState)]
pub struct CapView {
    /// Null = as many as come.
    pub limit: Option<u64>,
    /// `total`, `day` or `hour`.
    #[schema(example = "day")]
    pub window: Option<&'static str>,
    /// Null without windows; likewise the end.
    pub window_start: Option<Time>,
    pub window_end: Option<Time>,
    /// Clicks that edges have reported. They do so when they ask for more, at the latest when a lease ends.
    pub used: u64,
    /// Clicks that edges may take without asking, or have taken and not yet reported.
    pub leased: u64,
}

impl From<Option<CapState>> for CapView {
    fn from(state: Option<CapState>) -> Self {
        let Some(CapState { cap, window, usage }) = state else { return Self::default() };
        let bounded = |at: UnixMicros| (window.start.0 > 0).then_some(Time(at));
        Self {
            limit: Some(cap.limit),
            window: Some(cap.window.as_str()),
            window_start: bounded(window.start),
            window_end: bounded(window.end),
            used: usage.used,
            leased: usage.leased,
        }
    }
}
