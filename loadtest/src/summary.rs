//! All figures of a run of bench.sh in one table, beside the goals.

mod rows;

use rows::{Figure, Goal, ROWS, Row};
use serde_json::{Value, json as object};
use std::io;
use std::path::Path;

/// One line of the table. `None` where nothing was measured.
#[derive(Clone, PartialEq, Debug)]
struct Line {
    name: String,
    peer: &'static str,
    ours: f64,
    theirs: Option<f64>,
    /// Ours over theirs: least, median, most of the rounds.
    ratio: Option<[f64; 3]>,
    goal: String,
    met: Option<bool>,
    doubts: usize,
}

pub struct Summary {
    about: String,
    lines: Vec<Line>,
    missing: Vec<&'static str>,
}

impl Summary {
    /// From the JSON files that `compare`, `idle` and `start` wrote into `dir`; what is not there is left out.
    pub fn read(dir: &Path, about: String) -> io::Result<Self> {
        let mut summary = Self { about, lines: Vec::new(), missing: Vec::new() };
        for row in ROWS {
            let file = match std::fs::read(dir.join(format!("{}.json", row.file))) {
                Ok(bytes) => serde_json::from_slice(&bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Null,
                Err(error) => return Err(error),
            };
            match line(row, &file) {
                Some(line) => summary.lines.push(line),
                None => summary.missing.push(row.name),
            }
        }
        Ok(summary)
    }

    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<44}{:>12}{:>12} {:<15}{:>24}  goal\n",
            "measure", "ours", "peer's", "(which)", "ratio"
        );
        for line in &self.lines {
            let theirs = line.theirs.map_or(String::new(), show);
            let ratio = line.ratio.map_or(String::new(), |[least, median, most]| {
                format!("{} [{} .. {}]", show(median), show(least), show(most))
            });
            let met = line.met.map_or("", |met| if met { ": met" } else { ": MISSED" });
            let doubt = if line.doubts > 0 { " (?)" } else { "" };
            text += &format!(
                "{:<44}{:>12}{theirs:>12} {:<15}{ratio:>24}  {}{met}{doubt}\n",
                line.name,
                show(line.ours),
                line.peer,
                line.goal
            );
        }
        if self.lines.iter().any(|line| line.doubts > 0) {
            text += "(?) = something stands against this figure: see `doubt` in its own table\n";
        }
        if !self.missing.is_empty() {
            text += &format!("not measured: {}\n", self.missing.join("; "));
        }
        text
    }

    pub fn json(&self) -> Value {
        let lines = self.lines.iter().map(|line| {
            object!({
                "measure": line.name,
                "peer": line.peer,
                "ours": line.ours,
                "theirs": line.theirs,
                "ratio": line.ratio.map(|[least, median, most]| {
                    object!({ "least": least, "median": median, "most": most })
                }),
                "goal": line.goal,
                "met": line.met,
                "doubts": line.doubts,
            })
        });
        object!({ "about": self.about, "measures": lines.collect::<Vec<_>>(), "not_measured": self.missing })
    }
}

fn show(figure: f64) -> String {
    match figure {
        x if x >= 1_000.0 => format!("{x:.0}"),
        x if x >= 100.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

fn line(row: &Row, file: &Value) -> Option<Line> {
    let (ours, theirs, ratio) = figures(row, file)?;
    let median = ratio.map(|[_, median, _]| median);
    let (goal, met) = match row.goal {
        Goal::None => (String::new(), None),
        Goal::RatioAtMost(most) => (format!("<= {most:.2}"), median.map(|ratio| ratio <= most)),
        Goal::RatioAtLeast(least) => (format!(">= {least:.2}"), median.map(|ratio| ratio >= least)),
        Goal::AtMost(most) => (format!("<= {most:.0}"), Some(ours <= most)),
        Goal::PeerAndTwoSyncs => {
            let most = theirs? + 2.0 * file.pointer("/fdatasync_us/p99")?.as_f64()?;
            (format!("<= peer + 2 fdatasync = {most:.0}"), Some(ours <= most))
        }
    };
    let doubts = file["doubts"].as_array().map_or(0, Vec::len);
    Some(Line { name: row.name.to_owned(), peer: row.peer, ours, theirs, ratio, goal, met, doubts })
}

type Figures = (f64, Option<f64>, Option<[f64; 3]>);

/// Ours, theirs, ratio.
fn figures(row: &Row, file: &Value) -> Option<Figures> {
    let peers = file["peers"].as_array();
    let first = peers.and_then(|peers| peers.first());
    let peer = || peers?.iter().find(|peer| peer["name"] == row.peer);
    match row.figure {
        Figure::Peak(key) => pair(&first?["peak"][key], &peer()?["peak"][key]),
        Figure::PerCpu => {
            let (ours, theirs, ratio) = pair(&first?["peak"]["cpu_us"], &peer()?["peak"]["cpu_us"])?;
            let [least, median, most] = ratio?;
            Some((1e6 / ours, theirs.map(|us| 1e6 / us), Some([1.0 / most, 1.0 / median, 1.0 / least])))
        }
        Figure::Open { percent, key } => {
            let loads = file["loads"].as_array()?;
            let is =
                |load: &Value| load["part"].as_f64().is_some_and(|part| (part * 100.0).round() == percent);
            let at = loads.iter().position(is)?;
            pair(&first?["open"][at][key], &peer()?["open"][at][key])
        }
        Figure::IdleBytes => {
            let of = |peer: &Value| peer["bytes_each"].as_f64();
            let (ours, theirs) = (of(first?)?, of(peer()?)?);
            Some((ours, Some(theirs), Some([ours / theirs; 3])))
        }
        Figure::StartMs => Some((file["ms"]["median"].as_f64()?, None, None)),
        Figure::Growth => {
            let first = first?;
            let runs = |figures: &Value| figures["resident_mib"]["rounds"].as_array().cloned();
            let before = runs(&first["peak"])?.first()?.as_f64()?;
            let later = first["open"].as_array()?.last().and_then(runs)?;
            let after = later.last()?.as_f64()?;
            Some((after, Some(before), Some([after / before; 3])))
        }
    }
}

/// The ratio stands with the other's figures.
fn pair(ours: &Value, theirs: &Value) -> Option<Figures> {
    let ratio = |key: &str| theirs["ratio"][key].as_f64();
    let spread = ratio("least").zip(ratio("median")).zip(ratio("most"));
    let spread = spread.map(|((least, median), most)| [least, median, most]);
    Some((ours["median"].as_f64()?, Some(theirs["median"].as_f64()?), spread))
}

#[cfg(test)]
mod tests;
