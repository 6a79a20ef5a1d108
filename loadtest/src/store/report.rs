//! The figures for people and for programs.

use super::meter::Sample;
use crate::compare::stats::Spread;
use hdrhistogram::Histogram;
use serde_json::{Value, json as object};
use std::fmt::Write as _;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Goal {
    /// Events a second and core, of the first peer.
    PerCore(f64),
    /// Of the first peer's rate to the last one's.
    Ratio(f64),
}

pub struct Section {
    pub title: String,
    pub unit: &'static str,
    /// The last one is what the others are compared with.
    pub peers: Vec<&'static str>,
    pub samples: Vec<Vec<Sample>>,
    pub goal: Option<Goal>,
}

pub struct Latency {
    pub what: String,
    pub rows: usize,
    pub times: Histogram<u64>,
    pub goal_us: u64,
}

fn show(spread: Spread, decimals: usize) -> String {
    let Spread { least, median, most } = spread;
    format!("{median:.decimals$} [{least:.decimals$} .. {most:.decimals$}]")
}

impl Section {
    fn of(&self, peer: usize, figure: fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.get(peer).into_iter().flatten().map(figure))
    }

    fn ratio(&self, peer: usize) -> Spread {
        let rates = |peer: usize| self.samples.get(peer).into_iter().flatten().map(Sample::rate);
        Spread::of_ratios(rates(peer), rates(self.peers.len().saturating_sub(1)))
    }

    fn verdict(&self) -> String {
        let (name, found, goal) = match self.goal {
            None => return String::new(),
            Some(Goal::PerCore(goal)) => ("a core", self.of(0, Sample::per_core).median, goal),
            Some(Goal::Ratio(goal)) => ("of bare inserts", self.ratio(0).median, goal),
        };
        let met = if found >= goal { "met" } else { "missed" };
        let decimals = if goal < 10.0 { 2 } else { 0 };
        format!("goal: {goal:.decimals$} {name}; here {found:.decimals$}: {met}\n")
    }

    pub fn table(&self) -> String {
        let mut text = format!("\n{}\n", self.title);
        let heads = [format!("{}/s", self.unit), "a core".to_owned(), "CPU-us, ours".to_owned()];
        let last = format!("rate to {}", self.peers.last().copied().unwrap_or_default());
        let _ = write!(text, "{:<16}", "");
        for head in heads.iter().map(String::as_str).chain(["CPU-us, database's", &last]) {
            let _ = write!(text, "{head:>28}");
        }
        for (peer, name) in self.peers.iter().enumerate() {
            let _ = write!(text, "\n{name:<16}");
            let figures = [
                show(self.of(peer, Sample::rate), 0),
                show(self.of(peer, Sample::per_core), 0),
                show(self.of(peer, Sample::own_us), 2),
                show(self.of(peer, Sample::server_us), 2),
                show(self.ratio(peer), 2),
            ];
            for figure in figures {
                let _ = write!(text, "{figure:>28}");
            }
        }
        text.push('\n');
        text + &self.verdict()
    }

    pub fn json(&self) -> Value {
        let rounds = |samples: &Vec<Sample>| -> Vec<Value> {
            let one = |s: &Sample| object!({ "events": s.events, "seconds": s.seconds, "cpu_own": s.own, "cpu_database": s.server });
            samples.iter().map(one).collect()
        };
        let peers: serde_json::Map<String, Value> = self
            .peers
            .iter()
            .zip(&self.samples)
            .map(|(name, samples)| ((*name).to_owned(), rounds(samples).into()))
            .collect();
        object!({ "title": self.title, "unit": self.unit, "peers": peers })
    }
}

pub fn latencies(title: &str, all: &[Latency]) -> String {
    let mut text =
        format!("\n{title}\n{:<36}{:>8}{:>12}{:>12}{:>12}\n", "", "rows", "p50, ms", "p99, ms", "");
    for one in all {
        let at = |quantile| one.times.value_at_quantile(quantile);
        let met = if at(0.99) <= one.goal_us { "met" } else { "missed" };
        let ms = |us: u64| us as f64 / 1_000.0;
        let _ = writeln!(
            text,
            "{:<36}{:>8}{:>12.2}{:>12.2}{:>12}",
            one.what,
            one.rows,
            ms(at(0.5)),
            ms(at(0.99)),
            met
        );
    }
    text
}

pub fn latencies_json(all: &[Latency]) -> Value {
    let one = |one: &Latency| object!({ "what": one.what, "rows": one.rows, "us": crate::report::quantiles(&one.times) });
    all.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_said_to_be_met_or_missed() {
        let sample = |seconds| Sample { events: 100.0, seconds, own: 0.5, server: 0.5 };
        let section = |goal| Section {
            title: "Money".into(),
            unit: "sales",
            peers: vec!["engine", "bare"],
            samples: vec![vec![sample(2.0)], vec![sample(1.0)]],
            goal: Some(goal),
        };
        let cases = [
            (Goal::Ratio(0.5), "goal: 0.50 of bare inserts; here 0.50: met"),
            (Goal::Ratio(0.6), "goal: 0.60 of bare inserts; here 0.50: missed"),
            (Goal::PerCore(100.0), "goal: 100 a core; here 100: met"),
            (Goal::PerCore(101.0), "goal: 101 a core; here 100: missed"),
        ];
        for (goal, line) in cases {
            let table = section(goal).table();
            assert!(table.contains(line), "{line} in {table}");
            assert!(table.contains("50 [50 .. 50]"));
        }
        assert_eq!(section(Goal::Ratio(0.5)).json()["peers"]["bare"][0]["events"], 100.0);
    }
}
