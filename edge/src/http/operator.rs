//! `/livez`, `/readyz` and `/metrics`, for whoever runs this machine.

use super::Shared;
use super::reply;
use super::request::Target;
use super::worker::Answer;
use crate::metrics::{Outcome, sample, sample_lanes};
use http::StatusCode;
use std::fmt::Write;

impl Shared {
    pub(super) fn operator_page(&self, target: Target<'_>) -> Answer {
        let reply = match target {
            Target::Metrics => reply::text(StatusCode::OK, self.metrics_text()),
            Target::Ready => {
                let missing = self.missing();
                match missing.is_empty() {
                    true => reply::text(StatusCode::OK, "ready\n".to_owned()),
                    false => reply::text(StatusCode::SERVICE_UNAVAILABLE, missing),
                }
            }
            _ => reply::text(StatusCode::OK, "live\n".to_owned()),
        };
        Answer::new(reply, Outcome::Uncounted, None)
    }

    /// One line for each thing that keeps this node from doing its work. A control plane that is away
    /// is none: the node is made for that.
    fn missing(&self) -> String {
        let mut lines = String::new();
        if self.parts.snapshot.load().is_none() {
            let error = self.parts.watch.progress().last_error.unwrap_or_default();
            let why = if error.is_empty() { "waiting for the control plane" } else { error.as_str() };
            let _ = writeln!(lines, "no snapshot yet ({why})");
        }
        let spool = self.parts.spool.status();
        if spool.poisoned {
            lines.push_str("the spool's disk failed (restart the node; replace the disk if it repeats)\n");
        } else if !spool.has_room() {
            let _ = writeln!(lines, "the spool is full ({} of {} bytes)", spool.bytes, spool.max_bytes);
        }
        lines
    }

    fn metrics_text(&self) -> String {
        let mut out = String::with_capacity(8 * 1024);
        self.metrics.write(&mut out);
        let version = self.parts.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.version);
        let ready = u64::from(self.missing().is_empty());
        sample(&mut out, "tributary_edge_ready", "gauge", "1 when /readyz says so.", ready);
        let help = "Version of the snapshot in use; 0 = none.";
        sample(&mut out, "tributary_edge_snapshot_version", "gauge", help, version);
        self.watch_text(&mut out);
        let help = "Build time of the country database in Unix seconds; 0 = none.";
        sample(&mut out, "tributary_edge_geo_build_seconds", "gauge", help, self.geo.version());
        self.spool_text(&mut out);
        self.forward_text(&mut out);
        out
    }

    fn watch_text(&self, out: &mut String) {
        let watch = self.parts.watch.progress();
        let help = "1 while the control plane tells this node of new snapshots.";
        sample(out, "tributary_edge_snapshot_connected", "gauge", help, u64::from(watch.connected));
        let help = "When the snapshot taken over last was made, in Unix seconds; 0 = none since the start.";
        let issued = u64::try_from(watch.issued_at.secs()).unwrap_or_default();
        sample(out, "tributary_edge_snapshot_issued_seconds", "gauge", help, issued);
        let help = "Failed attempts to follow the snapshots.";
        sample(out, "tributary_edge_snapshot_errors_total", "counter", help, watch.errors);
        let help = "A version that was refused as older than one this node has run; 0 = none.";
        let older = watch.older_refused.unwrap_or_default();
        sample(out, "tributary_edge_snapshot_older_refused", "gauge", help, older);
    }

    fn spool_text(&self, out: &mut String) {
        let spool = self.parts.spool.status();
        let help = "Hits that wait for the control plane, in bytes.";
        sample(out, "tributary_edge_spool_bytes", "gauge", help, spool.bytes);
        let help = "Bytes the spool may take.";
        sample(out, "tributary_edge_spool_max_bytes", "gauge", help, spool.max_bytes);
        let help = "1 after the disk failed to make hits durable.";
        sample(out, "tributary_edge_spool_poisoned", "gauge", help, u64::from(spool.poisoned));
        let help = "Calls of fdatasync.";
        sample(out, "tributary_edge_spool_syncs_total", "counter", help, spool.syncs);
        let help = "The next ordinal of each lane.";
        let next = spool.next;
        sample_lanes(out, "tributary_edge_spool_next_ordinal", "gauge", help, next.money, next.traffic);
    }

    fn forward_text(&self, out: &mut String) {
        let progress = self.parts.forward.progress();
        let help = "1 while a session with the control plane is open.";
        sample(out, "tributary_edge_connected", "gauge", help, u64::from(progress.connected));
        let help = "1 when another node took this identity over; nothing is sent any more.";
        sample(out, "tributary_edge_fenced", "gauge", help, u64::from(progress.fenced));
        let (money, traffic) = (&progress.lanes.money, &progress.lanes.traffic);
        let help = "The last ordinal the control plane acknowledged.";
        sample_lanes(out, "tributary_edge_acked_ordinal", "gauge", help, money.acked, traffic.acked);
        let help = "1 when a lane is not sent any more and an operator must look.";
        let halted = |lane: &crate::forward::LaneProgress| u64::from(lane.halted.is_some());
        sample_lanes(out, "tributary_edge_lane_halted", "gauge", help, halted(money), halted(traffic));
    }
}
