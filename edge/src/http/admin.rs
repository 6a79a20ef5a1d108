//! `/livez`, `/readyz` and `/metrics`, for whoever runs this machine. The metrics are on a listener of their
//! own and name no partner, link or click.

use super::Shared;
use super::reply::{self, Reply};
use super::request::Target;
use super::worker::Answer;
use crate::metrics::{Outcome, Scrape, text};
use crate::report::{Measured, trouble};
use crate::spool::Shut;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use proto_model::Lane;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// An expiry so near is said at `/readyz`: whoever renews certificates does it long before.
const EXPIRES_SOON: i64 = 7 * 86_400;

/// What the administrators' listener answers.
pub fn reply(shared: &Arc<Shared>, method: &Method, path: &str) -> Reply {
    let target = Target::of(path);
    if *method != Method::GET && *method != Method::HEAD {
        let mut refusal = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match (target, path) {
        (Target::Live | Target::Ready, _) => shared.health(target).reply,
        (_, "/metrics") => {
            let asked = Arc::clone(shared);
            let mut page = reply::text(StatusCode::OK, text(move |scrape| asked.scrape(scrape)));
            page.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
            page
        }
        _ => reply::text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n".to_owned()),
    }
}

impl Shared {
    pub(super) fn health(&self, target: Target<'_>) -> Answer {
        let reply = match target {
            Target::Ready => {
                let missing = self.missing();
                match missing.is_empty() {
                    true => reply::text(StatusCode::OK, format!("ready\n{}", self.remarks())),
                    false => reply::text(StatusCode::SERVICE_UNAVAILABLE, missing),
                }
            }
            _ => reply::text(StatusCode::OK, "live\n".to_owned()),
        };
        Answer::new(reply, Outcome::Uncounted, None)
    }

    /// What does not keep the node from its work, but will.
    fn remarks(&self) -> String {
        let mut lines = String::new();
        if let Some(remark) = self.parts.clock.measured().and_then(Measured::remark) {
            let _ = writeln!(lines, "{remark}");
        }
        let Some(tls) = &self.tls else { return lines };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = tls.certificates.not_after().saturating_sub_unsigned(now.as_secs());
        let _ = match left {
            ..=0 => writeln!(lines, "the certificate has expired"),
            1..EXPIRES_SOON => writeln!(lines, "the certificate expires in {} hours", left / 3600),
            _ => Ok(()),
        };
        lines
    }

    /// One line for each thing that keeps this node from doing its work. A control plane that is away
    /// is none: the node is made for that.
    fn missing(&self) -> String {
        let mut lines = String::new();
        if self.stopping.load(Ordering::Relaxed) {
            lines.push_str("this node stops\n");
        }
        if self.parts.snapshot.load().is_none() {
            let error = self.parts.watch.progress().last_error.unwrap_or_default();
            let why = if error.is_empty() { "waiting for the control plane" } else { error.as_str() };
            let _ = writeln!(lines, "no snapshot yet ({why})");
        }
        lines.push_str(&trouble(&self.parts.spool.status()));
        lines
    }

    fn scrape(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        scrape.info("build", "What runs here", &[("version", env!("CARGO_PKG_VERSION"))])?;
        self.metrics.write(scrape)?;
        scrape.gauge("connections_open", "Connections open now", self.caps.open() as u64)?;
        let version = self.parts.snapshot.load().as_ref().map_or(0, |snapshot| snapshot.version);
        scrape.gauge("ready", "1 when /readyz says so", u64::from(self.missing().is_empty()))?;
        scrape.gauge("snapshot_version", "Version of the snapshot in use; 0 = none", version)?;
        let help = "Build time of the country database in Unix seconds; 0 = none";
        scrape.gauge("geo_build_seconds", help, self.geo.version())?;
        self.scrape_tls(scrape)?;
        self.scrape_watch(scrape)?;
        self.scrape_caps(scrape)?;
        let help = "1 when what was seen is not remembered over a restart";
        scrape.gauge("state_broken", help, u64::from(self.parts.state.is_broken()))?;
        self.scrape_spool(scrape)?;
        self.scrape_forward(scrape)
    }

    fn scrape_tls(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let Some(tls) = &self.tls else { return Ok(()) };
        let expiry = u64::try_from(tls.certificates.not_after()).unwrap_or_default();
        scrape.gauge(
            "certificate_expiry_seconds",
            "When the certificate expires, in Unix seconds",
            expiry,
        )?;
        let help = "New certificates that could not be used";
        scrape.counter("certificate_refused", help, tls.certificates.refused())?;
        let http3 = self.http3.as_ref().is_some_and(|switch| switch.is_on());
        scrape.gauge("http3_on", "1 while HTTP/3 is offered", u64::from(http3))
    }

    fn scrape_watch(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let watch = self.parts.watch.progress();
        let help = "1 while the control plane tells this node of new snapshots";
        scrape.gauge("snapshot_connected", help, u64::from(watch.connected))?;
        let help = "When the snapshot taken over last was made, in Unix seconds; 0 = none since the start";
        let issued = u64::try_from(watch.issued_at.secs()).unwrap_or_default();
        scrape.gauge("snapshot_issued_seconds", help, issued)?;
        scrape.counter("snapshot_errors", "Failed attempts to follow the snapshots", watch.errors)?;
        let help = "A version that was refused as older than one this node has run; 0 = none";
        scrape.gauge("snapshot_older_refused", help, watch.older_refused.unwrap_or_default())
    }

    fn scrape_caps(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let budgets = &self.parts.budgets;
        scrape.gauge("cap_leases", "Capped offers and links that clicks may go to", budgets.leases())?;
        let help = "1 unless the control plane could not be asked for clicks of capped offers";
        scrape.gauge("cap_leases_connected", help, u64::from(budgets.is_online()))?;
        let help = "Clicks that found a capped offer or link full";
        scrape.counter("cap_full", help, budgets.over())
    }

    fn scrape_spool(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let spool = self.parts.spool.status();
        scrape.gauge("spool_bytes", "Hits that wait for the control plane, in bytes", spool.bytes)?;
        let help = "1 while the log of the spool is open; hits are not spooled otherwise";
        scrape.gauge("spool_open", help, u64::from(spool.absent.is_none()))?;
        scrape.gauge("spool_max_bytes", "Bytes the spool may take", spool.max_bytes)?;
        let help =
            "Bytes that can still come, as the disk has room; clicks leave a fifth of it all to conversions";
        scrape.gauge("spool_room_bytes", help, spool.room_bytes())?;
        let help = "1 after the disk failed again to make hits durable";
        scrape.gauge("spool_poisoned", help, u64::from(spool.poisoned))?;
        let help = "Times that fdatasync failed and the spool went on in a new segment";
        scrape.counter("spool_moved", help, spool.moved)?;
        let help = "1 while clicks may be answered before they are durable";
        scrape.gauge("spool_bounded", help, u64::from(spool.window.is_some()))?;
        let help = "Clicks that a power cut would take now";
        scrape.gauge("spool_unsynced_hits", help, spool.unsynced_hits)?;
        let help = "Clicks declared to be lost perhaps, after an end in which they may have been answered and not durable";
        scrape.counter("spool_maybe_lost", help, spool.maybe_lost)?;
        scrape.counter("spool_syncs", "Calls of fdatasync", spool.syncs)?;
        let help = "1 for a lane that takes no hits, since they would never arrive, and why";
        let shut = |lane: &Lane| {
            let labels = |why: Shut| [("lane", lane.as_str()), ("reason", why.as_str())];
            spool.shut[*lane].map(|why| (labels(why), 1))
        };
        scrape.gauges("lane_shut", help, Lane::ALL.iter().filter_map(shut))?;
        let next = by_lane(spool.next.money, spool.next.traffic);
        scrape.gauges("spool_next_ordinal", "The next ordinal of each lane", next)
    }

    fn scrape_forward(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let progress = self.parts.forward.progress();
        let help = "1 while a session with the control plane is open";
        scrape.gauge("connected", help, u64::from(progress.connected))?;
        let help = "1 when another node took this identity over; nothing is sent any more";
        scrape.gauge("fenced", help, u64::from(progress.fenced))?;
        let (money, traffic) = (&progress.lanes.money, &progress.lanes.traffic);
        let help = "The last ordinal the control plane acknowledged";
        scrape.gauges("acked_ordinal", help, by_lane(money.acked, traffic.acked))?;
        let help = "1 when a lane is not sent any more and an operator must look";
        let halted = |lane: &crate::forward::LaneProgress| u64::from(lane.halted.is_some());
        scrape.gauges("lane_halted", help, by_lane(halted(money), halted(traffic)))?;
        let help = "How often a lane has come to stand still";
        scrape.counters("lane_halts", help, by_lane(money.halts, traffic.halts))?;
        let help = "Losses that were declared to the control plane: sealed batches that are gone";
        scrape.counters("gaps_declared", help, by_lane(money.gaps, traffic.gaps))?;
        let help = "Ordinals in these declarations";
        scrape.counters("lost_ordinals", help, by_lane(money.lost, traffic.lost))?;
        let help =
            "The control plane's clock minus this machine's, in seconds; absent before the first measurement";
        let offset = self.parts.clock.measured().map(Measured::offset_secs);
        scrape.decimal("clock_offset_seconds", help, offset)
    }
}

fn by_lane(money: u64, traffic: u64) -> [([(&'static str, &'static str); 1], u64); 2] {
    [([("lane", "money")], money), ([("lane", "traffic")], traffic)]
}
