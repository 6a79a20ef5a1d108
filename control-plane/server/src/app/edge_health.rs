//! What an edge reports of itself, and how far its clock is from ours.

use super::{App, clock};
use crate::error::AppError;
use control_plane_store::alerts::{AlertKind, edge_subject};
use control_plane_store::edge_reports::{EdgeReport, LaneReport};
use control_plane_store::fleet::Edge;
use proto_model::time::SECOND_US;
use proto_model::{StreamNo, UnixMicros};
use proto_wire::convert::lane_from_wire;
use proto_wire::edge_v1::{self, ReportRequest};

/// A clock that is further off is worth a look.
pub const CLOCK_WARNING: i64 = 2 * SECOND_US;
/// And one that is this far raises an alert: hits are dated by it.
pub const CLOCK_ALERT: i64 = 60 * SECOND_US;
/// An edge reports every few seconds; one that has not for this long is away.
pub const SILENT: i64 = 60 * SECOND_US;
/// One that comes sooner after the last tells nothing new, and is not written.
const PAUSE: i64 = SECOND_US;
/// More than there are: an edge of a newer version may have others.
const LANES: usize = 8;

pub async fn take_report(app: &App, edge: &Edge, report: &ReportRequest) -> Result<UnixMicros, AppError> {
    let now = clock::now();
    // A spool that was replaced speaks of streams that are nobody's any more.
    if report.epoch < edge.epoch {
        return Ok(now);
    }
    let read = read(report, now);
    if read.clock_offset.saturating_abs() > CLOCK_ALERT {
        let seconds = read.clock_offset / SECOND_US;
        let detail = format!(
            "the control plane's clock is {seconds} s ahead of the edge's: set both by NTP; hits are dated by the edge's"
        );
        app.alerts.raise(AlertKind::ClockSkew, edge_subject(edge.id), detail);
    }
    let last = app.store.edge_report(edge.id).await?;
    if last.is_some_and(|last| is_too_soon(last.received_at, now)) {
        return Ok(now);
    }
    app.store.put_edge_report(edge.id, &report.version, &read).await.map_err(AppError::of("edge"))?;
    Ok(now)
}

/// A last one from the future is of a clock that was put back: it does not silence an edge.
fn is_too_soon(last: UnixMicros, now: UnixMicros) -> bool {
    (0..PAUSE).contains(&now.0.saturating_sub(last.0))
}

fn read(report: &ReportRequest, now: UnixMicros) -> EdgeReport {
    // Without a measurement the way of the report counts as skew.
    let clock_offset = report.clock_offset_micros.unwrap_or_else(|| now.0.saturating_sub(report.now_micros));
    let spool = report.spool.clone().unwrap_or_default();
    EdgeReport {
        received_at: now,
        clock_offset,
        epoch: report.epoch,
        snapshot_version: report.snapshot_version,
        spool_bytes: spool.bytes,
        spool_limit: spool.limit_bytes,
        spool_free: (spool.free_bytes > 0).then_some(spool.free_bytes),
        spool_trouble: spool.trouble,
        lanes: report.lanes.iter().take(LANES).filter_map(read_lane).collect(),
    }
}

fn read_lane(lane: &edge_v1::LaneReport) -> Option<LaneReport> {
    Some(LaneReport {
        lane: lane_from_wire(lane.lane).ok()?,
        stream: StreamNo(lane.stream),
        spooled: lane.spooled_ordinal,
        sealed: lane.sealed_ordinal,
        acked: lane.acked_ordinal,
        oldest_unacked_at: (lane.oldest_unacked_at_micros > 0)
            .then_some(UnixMicros(lane.oldest_unacked_at_micros)),
        halted: lane.halted.clone(),
    })
}

/// For how long the oldest hit waits that is not acknowledged, in microseconds of our clock; 0 = none waits.
pub fn unacked_for(report: &EdgeReport, lane: &LaneReport, now: UnixMicros) -> i64 {
    let at = lane.oldest_unacked_at.map(|at| at.0.saturating_add(report.clock_offset));
    at.map_or(0, |at| now.0.saturating_sub(at).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_edge_has_measured_counts_before_what_a_report_suggests() {
        let now = UnixMicros(1_000 * SECOND_US);
        let cases = [(None, 990, 10), (Some(-3), 990, -3), (Some(0), 0, 0), (None, 1_030, -30)];
        for (measured, edge_secs, expected) in cases {
            let report = ReportRequest {
                now_micros: edge_secs * SECOND_US,
                clock_offset_micros: measured.map(|secs: i64| secs * SECOND_US),
                ..ReportRequest::default()
            };
            assert_eq!(read(&report, now).clock_offset, expected * SECOND_US, "{measured:?} {edge_secs}");
        }
        let absurd = ReportRequest { now_micros: i64::MIN, ..ReportRequest::default() };
        assert_eq!(read(&absurd, now).clock_offset, i64::MAX);
    }

    #[test]
    fn a_report_right_after_another_is_not_written() {
        let last = UnixMicros(1_000 * SECOND_US);
        for (after, soon) in [(0, true), (999_999, true), (SECOND_US, false), (-1, false), (i64::MAX, false)]
        {
            assert_eq!(is_too_soon(last, UnixMicros(last.0.saturating_add(after))), soon, "{after}");
        }
    }

    #[test]
    fn ages_are_told_by_our_clock() {
        let now = UnixMicros(1_000 * SECOND_US);
        // The oldest hit by the edge's clock, how far ours is ahead, how long it waits.
        for (oldest, offset, expected) in [(990, 0, 10), (990, 5, 5), (990, -5, 15), (990, 20, 0), (0, 0, 0)]
        {
            let lane = edge_v1::LaneReport {
                lane: 2,
                oldest_unacked_at_micros: oldest * SECOND_US,
                ..edge_v1::LaneReport::default()
            };
            let report = ReportRequest {
                clock_offset_micros: Some(offset * SECOND_US),
                lanes: vec![lane],
                ..ReportRequest::default()
            };
            let read = read(&report, now);
            assert_eq!(unacked_for(&read, &read.lanes[0], now), expected * SECOND_US, "{oldest} {offset}");
        }
    }
}
