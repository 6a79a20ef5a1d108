//! The comparison for people and for programs.

use super::stats::Spread;
use super::{Measured, Sample, doubts};
use serde_json::{Value, json as object};

type Figure = fn(&Sample) -> f64;

struct Row {
    name: &'static str,
    key: &'static str,
    of: Figure,
    decimals: usize,
    /// Of what says nothing about a server itself there is no ratio.
    ratio: bool,
}

fn quantile(sample: &Sample, quantile: f64) -> f64 {
    sample.outcome.latency.value_at_quantile(quantile) as f64
}

const RATE: Row = Row { name: "answers/s", key: "rate", of: |s| s.outcome.rate(), decimals: 0, ratio: true };
const CPU: Row = Row { name: "CPU-us an answer", key: "cpu_us", of: |s| s.cpu_us, decimals: 2, ratio: true };
const OTHER: Row =
    Row { name: "CPU-us of others", key: "other_us", of: |s| s.other_us, decimals: 2, ratio: false };
const STEAL: Row = Row { name: "steal, %", key: "steal", of: |s| s.steal, decimals: 2, ratio: false };
const LATE: Row = Row {
    name: "sent late p99, us",
    key: "delay_p99_us",
    of: |s| s.outcome.delay.value_at_quantile(0.99) as f64,
    decimals: 0,
    ratio: false,
};

const SERVER: Row =
    Row { name: "server's core, %", key: "server_share", of: |s| s.server_share, decimals: 0, ratio: false };
const OWN: Row = Row {
    name: "generator's core, %",
    key: "own_share",
    of: |s| s.outcome.own_share(),
    decimals: 0,
    ratio: false,
};
const LAG: Row = Row {
    name: "of it our own, us",
    key: "lag_p99_us",
    of: |s| s.outcome.lag.value_at_quantile(0.99) as f64,
    decimals: 0,
    ratio: false,
};
const RESIDENT: Row = Row {
    name: "memory, MiB",
    key: "resident_mib",
    of: |s| s.resident as f64 / 1024.0,
    decimals: 1,
    ratio: false,
};

const PEAK: &[Row] = &[RATE, CPU, OTHER, SERVER, OWN, RESIDENT, STEAL];
const OPEN: &[Row] = &[
    Row { name: "p50, us", key: "p50_us", of: |s| quantile(s, 0.5), decimals: 0, ratio: true },
    Row { name: "p99, us", key: "p99_us", of: |s| quantile(s, 0.99), decimals: 0, ratio: true },
    Row { name: "p999, us", key: "p999_us", of: |s| quantile(s, 0.999), decimals: 0, ratio: true },
    CPU,
    OTHER,
    LATE,
    LAG,
    RESIDENT,
    STEAL,
];

fn spread(samples: &[Sample], row: &Row) -> Spread {
    Spread::of(samples.iter().map(row.of))
}

/// The first peer's figure over another's.
fn ratio(all: &[Vec<Sample>], other: usize, row: &Row) -> Option<Spread> {
    let (ours, theirs) = (all.first()?, all.get(other)?);
    Some(Spread::of_ratios(ours.iter().map(row.of), theirs.iter().map(row.of)))
}

fn show(spread: Spread, decimals: usize) -> String {
    let Spread { least, median, most } = spread;
    format!("{median:.decimals$} [{least:.decimals$} .. {most:.decimals$}]")
}

fn section(title: &str, measured: &Measured, all: &[Vec<Sample>], rows: &[Row]) -> String {
    let peers = &measured.comparison.peers;
    let mut text = format!("\n{title}\n{:<20}", "");
    for peer in peers {
        text += &format!("{:>30}", peer.name);
    }
    for other in peers.iter().skip(1) {
        text += &format!("{:>30}", format!("ratio to {}", other.name));
    }
    for row in rows {
        text += &format!("\n{:<20}", row.name);
        for samples in all {
            text += &format!("{:>30}", show(spread(samples, row), row.decimals));
        }
        for other in (1..peers.len()).filter(|_| row.ratio) {
            text += &format!("{:>30}", ratio(all, other, row).map_or(String::new(), |r| show(r, 2)));
        }
    }
    text + "\n"
}

pub fn table(measured: &Measured) -> String {
    let comparison = &measured.comparison;
    let mut text = format!(
        "{} rounds of {} s, in turn forth and back, {} connections; median [least .. most] of the rounds\n",
        comparison.rounds, comparison.seconds, comparison.connections
    );
    text += &section("At full speed (closed loop)", measured, &measured.peak, PEAK);
    for open in &measured.open {
        let (rate, part) = (open.rate, open.load * 100.0);
        let title = format!("At {rate} requests a second (open loop), {part:.0} % of the slowest peak");
        text += &section(&title, measured, &open.samples, OPEN);
    }
    if let Some(sync) = &measured.sync {
        let at = |quantile| sync.value_at_quantile(quantile);
        text += &format!(
            "\nwrite 16 KiB + fdatasync, alone: p50 {} us, p99 {} us, p999 {} us\n",
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
    for (number, peer) in comparison.peers.iter().enumerate() {
        text += &format!("answered in all by {}: {}\n", peer.name, measured.answered(number));
    }
    for (kind, count) in measured.errors() {
        text += &format!("error {kind}: {count}\n");
    }
    for doubt in doubts::doubts(measured) {
        text += &format!("doubt: {doubt}\n");
    }
    text
}

fn numbers(spread: Spread) -> Value {
    object!({ "least": spread.least, "median": spread.median, "most": spread.most })
}

fn rows(all: &[Vec<Sample>], number: usize, rows: &[Row]) -> Value {
    let samples = all.get(number).map_or(&[][..], Vec::as_slice);
    let figures = rows.iter().map(|row| {
        let mut figure = numbers(spread(samples, row));
        figure["rounds"] = samples.iter().map(row.of).collect();
        if number > 0 && row.ratio {
            figure["ratio"] = ratio(all, number, row).map_or(Value::Null, numbers);
        }
        (row.key.to_owned(), figure)
    });
    Value::Object(figures.collect())
}

/// `ratio` is the first peer's figure over this one's.
pub fn json(measured: &Measured) -> Value {
    let comparison = &measured.comparison;
    let peers = comparison.peers.iter().enumerate().map(|(number, peer)| {
        object!({
            "name": peer.name,
            "url": peer.url.to_string(),
            "transport": peer.transport.to_string(),
            "answered": measured.answered(number),
            "peak": rows(&measured.peak, number, PEAK),
            "open": measured.open.iter().map(|open| rows(&open.samples, number, OPEN)).collect::<Vec<_>>(),
        })
    });
    object!({
        "rounds": comparison.rounds,
        "seconds": comparison.seconds,
        "connections": comparison.connections,
        "streams": comparison.streams,
        "loads": measured.open.iter().map(|open| object!({ "part": open.load, "rate": open.rate })).collect::<Vec<_>>(),
        "peers": peers.collect::<Vec<_>>(),
        "fdatasync_us": measured.sync.as_ref().map(crate::report::quantiles),
        "errors": measured.errors(),
        "doubts": doubts::doubts(measured),
    })
}
