//! From the answer to a click until the reports count it, through real processes.
//!
//! Clicks go out at a fixed rate over a few connections, and the report is asked for again and again. It says how many
//! clicks it counts, not which: the n-th click that was answered is taken for counted when it first counts n. A report is
//! charged from its asking to its answer, so that a lag is never understated.

pub(crate) mod http;

use crate::compare::sync;
use crate::requests::{Crowd, Requests};
use ::http::Uri;
use hdrhistogram::Histogram;
use http::{Connection, get_json};
use serde_json::{Value, json as object};
use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Of the p99.
const GOAL: Duration = Duration::from_secs(1);
/// Between two reports.
const PAUSE: Duration = Duration::from_millis(5);
/// What is not counted by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Plan {
    /// Of the link, on the edge.
    pub click: Uri,
    /// Of the control plane, e.g. `http://127.0.0.1:7300`.
    pub api: Uri,
    pub key: String,
    /// Clicks a second.
    pub rate: u32,
    pub seconds: u32,
    pub connections: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum LagError {
    #[error("{0} has no host to ask")]
    Url(Uri),
    #[error("the edge did not redirect (is {url} a link of it?)")]
    Edge {
        url: Uri,
        #[source]
        source: io::Error,
    },
    #[error("the control plane gave no report (is the key the tenant's?)")]
    Report(#[source] io::Error),
    #[error("of {answered} clicks, {counted} were counted after 30 s")]
    Lost { answered: usize, counted: usize },
    #[error("a histogram cannot be made")]
    Histogram(#[from] hdrhistogram::CreationError),
}

#[derive(Debug)]
pub struct Lag {
    pub rate: u32,
    /// In microseconds.
    pub times: Histogram<u64>,
}

impl Plan {
    /// Nobody else may click on the tenant's links meanwhile.
    pub fn measure(&self) -> Result<Lag, LagError> {
        let before = self.counted()?;
        let (tell, answers) = mpsc::channel();
        let clicking: Vec<_> =
            (0..self.connections.max(1)).map(|one| self.click_on(one, tell.clone())).collect();
        drop(tell);
        let seen = self.watch(before, &clicking);
        for one in clicking {
            // They do not panic.
            one.join()
                .unwrap_or(Ok(()))
                .map_err(|source| LagError::Edge { url: self.click.clone(), source })?;
        }
        let mut answered: Vec<Instant> = answers.iter().collect();
        answered.sort_unstable();
        let times = lags(&answered, &self.to_the_end(before, answered.len(), seen?)?)?;
        Ok(Lag { rate: self.rate, times })
    }

    /// One connection's part of the clicks, each when it is due.
    fn click_on(&self, number: u32, tell: Sender<Instant>) -> thread::JoinHandle<io::Result<()>> {
        let connections = self.connections.max(1);
        let between = Duration::from_secs(1) * connections / self.rate.max(1);
        let (url, length) = (self.click.clone(), Duration::from_secs(self.seconds.into()));
        thread::spawn(move || {
            let (mut requests, mut bytes) = (Requests::new(&url, Crowd::Passing), Vec::new());
            let mut connection = Connection::open(&url)?;
            let first = Instant::now() + between * number / connections;
            let dues = (0..).map(|turn| between * turn).take_while(|due| *due < length);
            for due in dues {
                thread::sleep((first + due).saturating_duration_since(Instant::now()));
                requests.next(&mut bytes);
                connection.redirected(&bytes)?;
                if tell.send(Instant::now()).is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// What the reports count and when, as long as anybody clicks.
    fn watch<T>(&self, before: usize, clicking: &[thread::JoinHandle<T>]) -> Result<Vec<Seen>, LagError> {
        let mut seen = Vec::new();
        while clicking.iter().any(|one| !one.is_finished()) {
            thread::sleep(PAUSE);
            let clicks = self.counted()?.saturating_sub(before);
            seen.push(Seen { clicks, at: Instant::now() });
        }
        Ok(seen)
    }

    fn to_the_end(&self, before: usize, answered: usize, mut seen: Vec<Seen>) -> Result<Vec<Seen>, LagError> {
        let began = Instant::now();
        loop {
            let counted = self.counted()?.saturating_sub(before);
            seen.push(Seen { clicks: counted, at: Instant::now() });
            if counted >= answered {
                return Ok(seen);
            }
            if began.elapsed() > PATIENCE {
                return Err(LagError::Lost { answered, counted });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Clicks of the tenant, of all verdicts, of the newest hundred rows: an hour of one link has but a few.
    fn counted(&self) -> Result<usize, LagError> {
        let report =
            get_json(&self.api, "/v1/reports/hourly?limit=100", &self.key).map_err(LagError::Report)?;
        let rows =
            report["data"].as_array().ok_or_else(|| LagError::Report(io::ErrorKind::InvalidData.into()))?;
        let clicks: u64 = rows.iter().filter_map(|row| row["clicks"].as_u64()).sum();
        Ok(usize::try_from(clicks).unwrap_or(usize::MAX))
    }
}

/// A report.
#[derive(Debug, Clone, Copy)]
struct Seen {
    clicks: usize,
    at: Instant,
}

/// Both in the order of time. A click that no report counts has no lag.
fn lags(answered: &[Instant], seen: &[Seen]) -> Result<Histogram<u64>, hdrhistogram::CreationError> {
    let mut times = sync::histogram()?;
    let mut reports = seen.iter().peekable();
    for (index, answered) in answered.iter().enumerate() {
        while reports.next_if(|report| report.clicks <= index).is_some() {}
        let Some(report) = reports.peek() else { break };
        let lag = report.at.saturating_duration_since(*answered);
        times.saturating_record(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

impl Lag {
    pub fn table(&self) -> String {
        let ms = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        let met = if ms(0.99) < GOAL.as_secs_f64() * 1e3 { "met" } else { "MISSED" };
        format!(
            "{} clicks at {}/s, from the answer to the report: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms (p99 < 1 s: {met})\n",
            self.times.len(),
            self.rate,
            ms(0.5),
            ms(0.99),
            self.times.max() as f64 / 1e3,
        )
    }

    pub fn json(&self) -> Value {
        object!({ "clicks": self.times.len(), "rate": self.rate, "us": crate::report::quantiles(&self.times) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_is_counted_by_the_first_report_that_counts_as_many() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let answered = [at(0), at(10), at(20), at(30)];
        let seen = [(0, 5), (1, 40), (1, 50), (3, 90), (4, 95)];
        let seen = seen.map(|(clicks, ms)| Seen { clicks, at: at(ms) });
        let times = lags(&answered, &seen).unwrap();
        // 40, 80, 70 and 65 ms.
        assert_eq!((times.len(), times.min() / 1000, times.max() / 1000), (4, 40, 80));
        assert_eq!(lags(&answered, &seen[..4]).unwrap().len(), 3, "the last is not counted yet");
        assert!(Lag { rate: 200, times }.table().contains("4 clicks at 200/s"));
    }
}
