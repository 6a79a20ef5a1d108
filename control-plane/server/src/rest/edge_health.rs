//! How an edge is doing: what it reports of itself, and what is known of its streams here.

use super::ids::Time;
use crate::app::edge_health::{CLOCK_ALERT, CLOCK_WARNING, SILENT, unacked_for};
use control_plane_store::edge_reports::EdgeReport;
use control_plane_store::fleet::LaneHead;
use proto_model::UnixMicros;
use proto_model::time::SECOND_US;
use utoipa::ToSchema;

/// The edge's newest report.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = EdgeReport)]
pub struct ReportView {
    pub received_at: Time,
    /// How far the control plane's clock is ahead of the edge's; negative = the edge's is ahead.
    pub clock_skew_ms: i64,
    /// `ok`, `warning` (more than 2 s) or `alert` (more than a minute): hits are dated by the edge's clock.
    #[schema(example = "ok")]
    pub clock: &'static str,
    pub epoch: u32,
    /// Of the links, offers and rules that it works with.
    pub snapshot_version: u64,
    pub spool: SpoolView,
}

#[derive(serde::Serialize, ToSchema)]
#[schema(as = EdgeSpool)]
pub struct SpoolView {
    /// Log and sealed batches.
    pub bytes: u64,
    /// What they may take.
    pub limit_bytes: u64,
    /// What the file system still has; null = unknown.
    pub free_bytes: Option<u64>,
    /// Why hits are not taken, or not stored before they are answered; null = all is well.
    pub trouble: Option<String>,
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
    /// How often the edge has declared batches of it as lost.
    pub gaps: u64,
    /// The ordinals that were lost with them.
    pub lost_ordinals: u64,
    /// Null = the edge does not report on this stream.
    pub edge: Option<LaneView>,
}

/// One lane, as the edge reports it.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = EdgeLane)]
pub struct LaneView {
    /// The last ordinal that was given out.
    pub spooled_ordinal: u64,
    pub sealed_ordinal: u64,
    pub acked_ordinal: u64,
    /// Ordinals that are spooled and not acknowledged.
    pub lag: u64,
    /// For how long the oldest of them waits; 0 = none does.
    pub oldest_unacked_secs: i64,
    /// Why the lane stands still; null = it does not.
    pub halted: Option<String>,
}

fn told(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub fn clock_state(offset: i64) -> &'static str {
    match offset.saturating_abs() {
        far if far > CLOCK_ALERT => "alert",
        far if far > CLOCK_WARNING => "warning",
        _ => "ok",
    }
}

/// `online` when it has reported within a minute, `silent` when it has not, `unknown` when it never has.
pub fn connection(report: Option<&EdgeReport>, now: UnixMicros) -> &'static str {
    match report {
        None => "unknown",
        Some(report) if now.0.saturating_sub(report.received_at.0) <= SILENT => "online",
        Some(_) => "silent",
    }
}

impl From<EdgeReport> for ReportView {
    fn from(report: EdgeReport) -> Self {
        Self {
            received_at: Time(report.received_at),
            clock_skew_ms: report.clock_offset / 1_000,
            clock: clock_state(report.clock_offset),
            epoch: report.epoch,
            snapshot_version: report.snapshot_version,
            spool: SpoolView {
                bytes: report.spool_bytes,
                limit_bytes: report.spool_limit,
                free_bytes: report.spool_free,
                trouble: told(report.spool_trouble),
            },
        }
    }
}

impl StreamView {
    pub fn of(head: LaneHead, report: Option<&EdgeReport>, now: UnixMicros) -> Self {
        let lane = report.and_then(|report| {
            let lane = report.lanes.iter().find(|lane| lane.stream == head.stream)?;
            Some(LaneView {
                spooled_ordinal: lane.spooled,
                sealed_ordinal: lane.sealed,
                acked_ordinal: lane.acked,
                lag: lane.spooled.saturating_sub(lane.acked),
                oldest_unacked_secs: unacked_for(report, lane, now) / SECOND_US,
                halted: told(lane.halted.clone()),
            })
        });
        Self {
            stream: head.stream.0,
            lane: head.lane.as_str(),
            last_ordinal: head.last_ordinal,
            status: if head.quarantined.is_some() { "quarantined" } else { "open" },
            reason: head.quarantined,
            gaps: head.lost.gaps,
            lost_ordinals: head.lost.ordinals,
            edge: lane,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_shown_before_it_alerts() {
        let cases = [(0, "ok"), (2, "ok"), (-3, "warning"), (60, "warning"), (61, "alert"), (-61, "alert")];
        for (secs, expected) in cases {
            assert_eq!(clock_state(secs * SECOND_US), expected, "{secs}");
        }
        assert_eq!(clock_state(i64::MIN), "alert");
    }
}
