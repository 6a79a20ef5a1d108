//! Numbers about the fleet in the OpenMetrics format, for who has an operator's key. Nothing is kept for it: each scrape
//! asks the database.

use super::{Api, Reply};
use crate::app::edge_health::unacked_for;
use crate::app::{App, clock};
use crate::error::AppError;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control_plane_store::alerts::AlertKind;
use control_plane_store::edge_reports::{EdgeReport, LaneReport};
use control_plane_store::gaps::WatchedLane;
use http::header;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, text::encode,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use proto_model::{EdgeId, Lane, UnixMicros};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(EncodeLabelSet, Clone, PartialEq, Eq, Hash, Debug)]
struct OfEdge {
    edge: String,
}

#[derive(EncodeLabelSet, Clone, PartialEq, Eq, Hash, Debug)]
struct OfLane {
    edge: String,
    lane: &'static str,
}

#[derive(EncodeLabelSet, Clone, PartialEq, Eq, Hash, Debug)]
struct OfKind {
    kind: String,
}

#[derive(EncodeLabelSet, Clone, PartialEq, Eq, Hash, Debug)]
struct WithOutcome {
    outcome: &'static str,
}

/// All that a scrape shows, as it was when it was asked for.
#[derive(Debug)]
struct Numbers {
    now: UnixMicros,
    reports: Vec<(EdgeId, EdgeReport)>,
    watched: Vec<WatchedLane>,
    alerts: BTreeMap<String, u64>,
    outcomes: Vec<(&'static str, u64)>,
    unprojected: u64,
}

/// The fleet in numbers
///
/// In the OpenMetrics format; docs/fleet.md lists them.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, description = "OpenMetrics",
    body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(api): State<Api>) -> Reply<Response> {
    let text = render(numbers(api.app()).await?).map_err(|error| AppError::internal("no metrics", error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

async fn numbers(app: &App) -> Result<Numbers, AppError> {
    let store = &app.store;
    let mut alerts: BTreeMap<String, u64> =
        AlertKind::ALL.iter().map(|kind| (kind.as_str().to_owned(), 0)).collect();
    alerts.extend(store.open_alerts().await?);
    // Looked at first: what comes in between counts as waiting.
    let projected = store.projected_through().await?;
    Ok(Numbers {
        now: clock::now(),
        reports: store.edge_reports().await?,
        watched: store.watched_lanes().await?,
        alerts,
        outcomes: app.outcomes.all().map(|(outcome, count)| (outcome.as_str(), count)).collect(),
        unprojected: store.given_through().await?.saturating_sub(projected),
    })
}

fn render(numbers: Numbers) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(numbers));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn seconds(micros: i64) -> f64 {
    let size = std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
    if micros < 0 { -size } else { size }
}

/// Writes one family of numbers after another.
struct Scrape<'e>(DescriptorEncoder<'e>);

impl Scrape<'_> {
    fn gauge(&mut self, (name, help): (&str, &str), value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        (name, help): (&str, &str),
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        (name, help): (&str, &str),
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
        }
        Ok(())
    }
}

impl Numbers {
    fn edges<V>(&self, value: impl Fn(&EdgeReport) -> Option<V>) -> impl Iterator<Item = (OfEdge, V)> {
        self.reports
            .iter()
            .filter_map(move |(edge, report)| Some((OfEdge { edge: edge.to_string() }, value(report)?)))
    }

    fn lanes<V>(&self, value: impl Fn(&EdgeReport, &LaneReport) -> V) -> impl Iterator<Item = (OfLane, V)> {
        let lanes = self.reports.iter().flat_map(|(edge, report)| {
            // One sample a series, whatever an edge reports.
            let mut seen = BTreeSet::new();
            let lanes = report.lanes.iter().filter(move |lane| seen.insert(lane.lane.code()));
            lanes.map(move |lane| (*edge, report, lane))
        });
        lanes.map(move |(edge, report, lane)| (of_lane(edge, lane.lane), value(report, lane)))
    }

    fn watched(&self, value: impl Fn(&WatchedLane) -> u64) -> impl Iterator<Item = (OfLane, u64)> {
        self.watched.iter().map(move |lane| (of_lane(lane.edge, lane.lane), value(lane)))
    }

    fn reported(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let lag = ("tributary_edge_lag_events", "Ordinals that are spooled and not acknowledged");
        scrape.gauges(lag, self.lanes(|_, lane| lane.spooled.saturating_sub(lane.acked)))?;
        let oldest = ("tributary_edge_oldest_unacked_seconds", "For how long the oldest of them waits");
        scrape.gauges(oldest, self.lanes(|report, lane| seconds(unacked_for(report, lane, self.now))))?;
        let halted = ("tributary_edge_halted", "Whether the lane stands still on the edge");
        scrape.gauges(halted, self.lanes(|_, lane| u64::from(!lane.halted.is_empty())))?;
        let bytes = ("tributary_edge_spool_bytes", "Log and sealed batches");
        scrape.gauges(bytes, self.edges(|report| Some(report.spool_bytes)))?;
        let limit = ("tributary_edge_spool_limit_bytes", "What they may take");
        scrape.gauges(limit, self.edges(|report| Some(report.spool_limit)))?;
        let free = ("tributary_edge_disk_free_bytes", "What the edge's file system still has");
        scrape.gauges(free, self.edges(|report| report.spool_free))?;
        let skew = ("tributary_edge_clock_skew_seconds", "How far our clock is ahead of the edge's");
        scrape.gauges(skew, self.edges(|report| Some(seconds(report.clock_offset))))?;
        let age = |report: &EdgeReport| seconds(self.now.0.saturating_sub(report.received_at.0).max(0));
        let last = ("tributary_edge_last_report_seconds", "Since the edge's newest report");
        scrape.gauges(last, self.edges(|report| Some(age(report))))
    }

    fn known_here(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let quarantined = ("tributary_stream_quarantined", "Whether nothing is taken from the stream");
        scrape.gauges(quarantined, self.watched(|lane| u64::from(lane.quarantined)))?;
        let gaps = ("tributary_stream_gaps", "Gaps that the edge has declared");
        scrape.gauges(gaps, self.watched(|lane| lane.lost.gaps))?;
        let lost = ("tributary_stream_lost_ordinals", "Ordinals that the edge has declared lost");
        scrape.gauges(lost, self.watched(|lane| lane.lost.ordinals))?;
        let alerts = self.alerts.iter().map(|(kind, open)| (OfKind { kind: kind.clone() }, *open));
        scrape.gauges(("tributary_alerts_open", "Alerts that nobody has acknowledged"), alerts)?;
        let outcomes = self.outcomes.iter().map(|(outcome, count)| (WithOutcome { outcome }, *count));
        scrape.counters(("tributary_batches", "Batches and gaps that came to this process"), outcomes)?;
        let waiting = ("tributary_unprojected_batches", "Batches that the projector has not come to");
        scrape.gauge(waiting, self.unprojected)
    }
}

fn of_lane(edge: EdgeId, lane: Lane) -> OfLane {
    OfLane { edge: edge.to_string(), lane: lane.as_str() }
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape(encoder);
        self.reported(&mut scrape)?;
        self.known_here(&mut scrape)
    }
}
