//! The outcome for people and for programs.

use crate::run::{Load, Outcome, Plan};
use hdrhistogram::Histogram;
use serde_json::{Value, json as object};

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

pub(crate) fn quantiles(histogram: &Histogram<u64>) -> Value {
    let mut values: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, q)| ((*name).to_owned(), histogram.value_at_quantile(*q).into()))
        .collect();
    values.insert("max".to_owned(), histogram.max().into());
    values.into()
}

/// One object; all times in microseconds.
pub fn json(plan: &Plan, outcome: &Outcome) -> Value {
    let (rate, planned) = match plan.load {
        Load::Open(schedule) => (Some(schedule.rate), Some(schedule.total())),
        Load::Peak { .. } => (None, None),
    };
    object!({
        "url": plan.url.to_string(),
        "rate": rate,
        "planned": planned,
        "transport": plan.transport.to_string(),
        "connections": plan.connections,
        "streams": plan.streams,
        "connections_made": outcome.connections.made,
        "connections_resumed": outcome.connections.resumed,
        "own_share": outcome.own_share(),
        "answers_per_second": outcome.rate(),
        "answered": outcome.answered(),
        "elapsed_us": u64::try_from(outcome.elapsed.as_micros()).unwrap_or(u64::MAX),
        "latency_us": quantiles(&outcome.latency),
        "delay_us": quantiles(&outcome.delay),
        "lag_us": quantiles(&outcome.lag),
        "lagged": outcome.lagged(),
        "statuses": outcome.statuses.iter().map(|(s, n)| (s.to_string(), (*n).into())).collect::<serde_json::Map<_, _>>(),
        "errors": outcome.errors,
    })
}

pub fn table(plan: &Plan, outcome: &Outcome) -> String {
    let load = match plan.load {
        Load::Open(schedule) => format!("{} requests planned at {}/s", schedule.total(), schedule.rate),
        Load::Peak { .. } => "as fast as it goes".to_owned(),
    };
    let mut text = format!(
        "{} ({})\n{load} over {} connections, {} answered in {:.1} s ({:.0}/s)\n\n{:<28}",
        plan.url,
        plan.transport,
        plan.connections,
        outcome.answered(),
        outcome.elapsed.as_secs_f64(),
        outcome.rate(),
        "microseconds"
    );
    for (name, _) in QUANTILES {
        text += &format!("{name:>10}");
    }
    text += &format!("{:>10}\n", "max");
    let histograms = [
        ("latency (due to answered)", &outcome.latency),
        ("delay (due to sent)", &outcome.delay),
        ("of it the generator's own", &outcome.lag),
    ];
    for (name, histogram) in histograms {
        text += &format!("{name:<28}");
        for (_, quantile) in QUANTILES {
            text += &format!("{:>10}", histogram.value_at_quantile(quantile));
        }
        text += &format!("{:>10}\n", histogram.max());
    }
    let connections = outcome.connections;
    text += &format!("\ngenerator: {:.0} % of a core\n", outcome.own_share());
    text += &format!("connections answered on: {}, {} resumed\n\n", connections.made, connections.resumed);
    if outcome.lagged() && matches!(plan.load, Load::Open(_)) {
        text +=
            "doubt: the generator lagged more than 1 ms (p99); these latencies are not the server's alone\n";
    }
    for (status, count) in &outcome.statuses {
        text += &format!("status {status:<21}{count:>10}\n");
    }
    for (kind, count) in &outcome.errors {
        text += &format!("error {kind:<22}{count:>10}\n");
    }
    text
}
