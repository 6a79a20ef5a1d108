//! The figures for people and for programs.

use super::peers::Peer;
use super::{Run, Section};
use crate::compare::stats::Spread;
use serde_json::{Value, json as object};
use std::fmt::Write as _;

/// Of the raw log's rate, and of sled's.
const OF_RAW: f64 = 0.7;
const OF_SLED: f64 = 5.0;

pub struct Measured {
    pub record_bytes: usize,
    pub sections: Vec<Section>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    fn cpu_us(&self) -> f64 {
        self.cpu * 1e6 / self.records as f64
    }

    fn p99(&self) -> f64 {
        self.waits.value_at_quantile(0.99) as f64
    }
}

fn show(spread: Spread, decimals: usize) -> String {
    let Spread { least, median, most } = spread;
    format!("{median:.decimals$} [{least:.decimals$} .. {most:.decimals$}]")
}

impl Section {
    fn of(&self, peer: usize, figure: fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.get(peer).into_iter().flatten().map(figure))
    }

    /// The spool's rate to this peer's.
    fn ratio(&self, peer: usize) -> Spread {
        let rates = |peer: usize| self.runs.get(peer).into_iter().flatten().map(Run::rate);
        Spread::of_ratios(rates(0), rates(peer))
    }

    fn goal(peer: Peer) -> Option<f64> {
        match peer {
            Peer::Spool | Peer::RawOverZeros => None,
            Peer::Raw => Some(OF_RAW),
            Peer::Sled => Some(OF_SLED),
        }
    }

    fn table(&self) -> String {
        let mut text = format!("\n{} waiting\n{:<16}", self.waiting, "");
        for head in ["records/s", "p99, us", "CPU-us a record", "spool / this"] {
            let _ = write!(text, "{head:>28}");
        }
        for (index, peer) in Peer::ALL.into_iter().enumerate() {
            let ratio = self.ratio(index);
            let figures = [
                show(self.of(index, Run::rate), 0),
                show(self.of(index, Run::p99), 0),
                show(self.of(index, Run::cpu_us), 2),
                show(ratio, 2),
            ];
            let _ = write!(text, "\n{:<16}", peer.name());
            for figure in figures {
                let _ = write!(text, "{figure:>28}");
            }
            if let Some(goal) = Self::goal(peer) {
                let met = if ratio.median >= goal { "met" } else { "MISSED" };
                let _ = write!(text, "  >= {goal:.1}: {met}");
            }
        }
        text.push('\n');
        text
    }

    fn json(&self) -> Value {
        let one = |run: &Run| {
            let (records, seconds, cpu) = (run.records, run.seconds, run.cpu);
            object!({ "records": records, "seconds": seconds, "cpu": cpu, "us": crate::report::quantiles(&run.waits) })
        };
        let rounds = |runs: &Vec<Run>| runs.iter().map(one).collect::<Vec<Value>>();
        let peers: serde_json::Map<String, Value> = Peer::ALL
            .iter()
            .zip(&self.runs)
            .map(|(peer, runs)| (peer.name().to_owned(), rounds(runs).into()))
            .collect();
        object!({ "waiting": self.waiting, "peers": peers })
    }
}

impl Measured {
    pub fn table(&self) -> String {
        let title = format!("Records of {} bytes, each waited for until it is durable\n", self.record_bytes);
        title + &self.sections.iter().map(Section::table).collect::<String>()
    }

    pub fn json(&self) -> Value {
        let sections: Vec<Value> = self.sections.iter().map(Section::json).collect();
        object!({ "record_bytes": self.record_bytes, "sections": sections })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::sync;

    #[test]
    fn goals_are_said_to_be_met_or_missed() {
        let run = |records| {
            let waits = sync::histogram().unwrap();
            vec![Run { records, seconds: 1.0, cpu: 0.5, waits }]
        };
        let section = |raw, sled| Section { waiting: 64, runs: vec![run(700), run(raw), run(1), run(sled)] };
        let cases = [(1_000, 140, ["0.7: met", "5.0: met"]), (1_001, 141, ["0.7: MISSED", "5.0: MISSED"])];
        for (raw, sled, goals) in cases {
            let table = section(raw, sled).table();
            assert!(goals.iter().all(|goal| table.contains(goal)), "{goals:?} in {table}");
        }
        assert_eq!(section(1, 1).json()["peers"]["spool"][0]["records"], 700);
    }
}
