//! What a report says. Pure: what was seen comes in.

use super::Measured;
use crate::forward::Progress;
use crate::lanes::PerLane;
use crate::spool::{SpoolStatus, Streams};
use proto_model::Lane;
use proto_wire::convert::lane_to_wire;
use proto_wire::edge_v1::{LaneReport, ReportRequest, SpoolReport};
use std::fmt::Write;

/// What the node sees of itself.
pub(super) struct Seen {
    pub now_micros: i64,
    pub measured: Option<Measured>,
    pub snapshot_version: u64,
    pub streams: Streams,
    pub progress: Progress,
    pub spool: SpoolStatus,
    /// 0 = unknown.
    pub free_bytes: u64,
}

/// When hits were first seen to wait whose time nobody has told.
#[derive(Debug, Default)]
pub(super) struct Waiting(PerLane<Option<(u64, i64)>>);

impl Waiting {
    /// When the oldest hit was spooled that is not acknowledged; 0 = all are. `known` is what the forwarder has read
    /// of it. What it has not read yet, since it stands still, came before it was first seen here.
    fn since(&mut self, lane: Lane, (acked, spooled): (u64, u64), known: i64, now: i64) -> i64 {
        let first_seen = &mut self.0[lane];
        if spooled <= acked {
            *first_seen = None;
            return 0;
        }
        let since = first_seen.filter(|(of, _)| *of == acked).map_or(now, |(_, since)| since);
        *first_seen = Some((acked, since));
        if known > 0 { known } else { since }
    }
}

/// `None` for a node that stands aside for another of its name: that one reports.
pub(super) fn request(seen: Seen, waiting: &mut Waiting) -> Option<ReportRequest> {
    let Seen { now_micros, measured, snapshot_version, streams, progress, spool, free_bytes } = seen;
    let lane = |lane: &Lane| {
        let (lane, progress) = (*lane, &progress.lanes[*lane]);
        let spooled = spool.next[lane].saturating_sub(1);
        let reach = (progress.acked, spooled);
        LaneReport {
            lane: lane_to_wire(lane).into(),
            stream: streams.stream(lane).0,
            spooled_ordinal: spooled,
            sealed_ordinal: progress.sealed,
            acked_ordinal: progress.acked,
            oldest_unacked_at_micros: waiting.since(lane, reach, progress.oldest_micros, now_micros),
            halted: progress.halted.clone().unwrap_or_default(),
        }
    };
    let lanes = Lane::ALL.iter().map(lane).collect();
    let trouble = trouble(&spool).trim_end().replace('\n', "; ");
    let (bytes, limit_bytes) = (spool.bytes, spool.limit);
    (!progress.fenced).then(|| ReportRequest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now_micros,
        clock_offset_micros: measured.map(|measured| measured.offset_micros),
        round_trip_micros: measured.map_or(0, |measured| measured.round_trip_micros),
        snapshot_version,
        epoch: streams.epoch,
        lanes,
        spool: Some(SpoolReport { bytes, limit_bytes, free_bytes, trouble }),
    })
}

/// Why the spool takes no hits, a line each; empty = it does.
pub(crate) fn trouble(spool: &SpoolStatus) -> String {
    let mut lines = String::new();
    if let Some(why) = &spool.absent {
        let _ = writeln!(lines, "the spool cannot be opened; trying again ({why})");
    } else if spool.poisoned {
        lines.push_str("the spool's disk failed (restart the node; replace the disk if it repeats)\n");
    } else if spool.moving {
        lines.push_str("the spool's disk failed; it goes on in a new segment in a moment\n");
    } else if !spool.has_room() {
        let _ = writeln!(lines, "the spool is full ({} of {} bytes)", spool.bytes, spool.limit);
        if spool.limit < spool.max_bytes {
            lines.push_str("the spool's disk has no more room (make some, or get the control plane back)\n");
        }
    }
    for lane in Lane::ALL {
        if let Some(why) = spool.shut[*lane] {
            let _ = writeln!(lines, "the lane {} takes no hits: {why}", lane.as_str());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::SimulatedDisk;
    use crate::spool::{Shut, SpoolConfig, SpoolHandle};
    use proto_model::{EdgeId, StreamNo};
    use std::path::Path;
    use std::sync::Arc;

    fn seen() -> Seen {
        let streams =
            Streams { edge: EdgeId::new(7).unwrap(), epoch: 2, money: StreamNo(3), traffic: StreamNo(4) };
        let disk = Arc::new(SimulatedDisk::default());
        let handle = SpoolHandle::absent(disk, Path::new("/log"), SpoolConfig::default(), streams);
        let next = PerLane { money: 4, traffic: 21 };
        let (absent, bytes, limit, max_bytes) = (None, 10, 900, 1000);
        let spool = SpoolStatus { absent, bytes, limit, max_bytes, next, ..handle.status() };
        let mut progress = Progress::default();
        progress.lanes.money.acked = 3;
        (progress.lanes.traffic.sealed, progress.lanes.traffic.acked) = (12, 8);
        progress.lanes.traffic.oldest_micros = 55;
        let (now_micros, measured) = (100, None);
        Seen { now_micros, measured, snapshot_version: 9, streams, progress, spool, free_bytes: 77 }
    }

    #[test]
    fn says_how_far_each_lane_is_and_what_is_wrong() {
        let mut waiting = Waiting::default();
        let report = request(seen(), &mut waiting).unwrap();
        assert_eq!((report.now_micros, report.snapshot_version, report.epoch), (100, 9, 2));
        assert_eq!((report.clock_offset_micros, report.round_trip_micros), (None, 0));
        let spool = SpoolReport { bytes: 10, limit_bytes: 900, free_bytes: 77, trouble: String::new() };
        assert_eq!(report.spool, Some(spool));
        let (money, traffic) = (&report.lanes[0], &report.lanes[1]);
        assert_eq!((money.stream, money.spooled_ordinal, money.oldest_unacked_at_micros), (3, 3, 0));
        let reach = (traffic.spooled_ordinal, traffic.sealed_ordinal, traffic.acked_ordinal);
        assert_eq!((traffic.stream, reach, traffic.oldest_unacked_at_micros), (4, (20, 12, 8), 55));

        let mut ill = seen();
        ill.measured = Some(Measured { offset_micros: -5, round_trip_micros: 4 });
        ill.progress.lanes.money.halted = Some("quarantine".into());
        ill.spool.shut.money = Some(Shut::Refused);
        ill.spool.bytes = 900;
        let report = request(ill, &mut waiting).unwrap();
        assert_eq!((report.clock_offset_micros, report.round_trip_micros), (Some(-5), 4));
        assert_eq!(report.lanes[0].halted, "quarantine");
        let trouble = report.spool.unwrap().trouble;
        assert!(trouble.starts_with("the spool is full (900 of 900 bytes); the spool's disk"), "{trouble}");
        assert!(trouble.contains("; the lane money takes no hits: ") && !trouble.contains('\n'), "{trouble}");
    }

    #[test]
    fn a_node_that_stands_aside_says_nothing() {
        let mut aside = seen();
        aside.progress.fenced = true;
        assert_eq!(request(aside, &mut Waiting::default()), None);
    }

    #[test]
    fn what_nobody_has_read_waits_since_it_was_seen() {
        let mut waiting = Waiting::default();
        let mut since = |reach, known, now| waiting.since(Lane::Money, reach, known, now);
        assert_eq!(since((5, 5), 0, 10), 0);
        assert_eq!(since((5, 8), 0, 20), 20);
        assert_eq!(since((5, 9), 0, 30), 20, "the same hit");
        assert_eq!(since((5, 9), 17, 40), 17, "it was read");
        assert_eq!(since((7, 9), 0, 50), 50, "another");
        assert_eq!(since((9, 9), 0, 60), 0);
        assert_eq!(since((9, 10), 0, 70), 70);
    }
}
