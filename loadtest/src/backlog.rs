//! From the answer to a sale until its commission is in the ledger, while a backlog of clicks arrives before it, beside
//! it and after it.
//!
//! The control plane has just come back. Sales go out one after the other, the next one when the last is in the ledger.
//! One counts as long as the reports still lack clicks when it is there.

use crate::compare::sync;
use crate::lag::http::{get, get_json};
use hdrhistogram::Histogram;
use http::Uri;
use serde_json::{Value, json as object};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Of the p99: "in about a second".
const GOAL: Duration = Duration::from_secs(1);
/// Between two looks at the ledger.
const PAUSE: Duration = Duration::from_millis(5);
/// What has not come by then never will; of clicks, when no more have come for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands in the address of a sale for its order.
const ORDER: &str = "{order}";

pub struct Plan {
    /// A postback of the tenant's, with its token, a click id and `{order}`.
    pub sale: String,
    /// Of the control plane, e.g. `http://127.0.0.1:7300`.
    pub api: Uri,
    pub key: String,
    /// Of the tenant, all that there are: those in the backlog, and those that were delivered before.
    pub clicks: usize,
    /// At most so many.
    pub sales: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum BacklogError {
    #[error("`{0}` is no address of a sale: it needs {{order}} in it")]
    Sale(String),
    #[error("the edge did not take a sale (is its token right?)")]
    Edge(#[source] io::Error),
    #[error("the control plane does not say what it has (is the key the tenant's?)")]
    Report(#[source] io::Error),
    #[error("the order {0} was not in the ledger after 60 s")]
    Lost(String),
    #[error("{0} clicks never came")]
    Missing(usize),
    #[error("the backlog had gone before the first sale was in the ledger: it takes more clicks")]
    Gone,
    #[error("a histogram cannot be made")]
    Histogram(#[from] hdrhistogram::CreationError),
}

#[derive(Debug)]
pub struct Backlog {
    pub clicks: usize,
    /// Clicks that had not been counted after the first sale that counts, and after the last.
    pub left: [usize; 2],
    /// In microseconds.
    pub times: Histogram<u64>,
    /// Until the reports had all clicks.
    pub drained: Duration,
}

impl Plan {
    pub fn measure(&self) -> Result<Backlog, BacklogError> {
        let (began, run) = (Instant::now(), std::process::id());
        let (mut times, mut left) = (sync::histogram()?, Vec::new());
        for number in 0..self.sales {
            let took = self.sell(&format!("sale-{run}-{number}"))?;
            match self.uncounted()? {
                0 => break,
                clicks => left.push(clicks),
            }
            times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
        let (Some(first), Some(last)) = (left.first(), left.last()) else { return Err(BacklogError::Gone) };
        let left = [*first, *last];
        self.drain()?;
        Ok(Backlog { clicks: self.clicks, left, times, drained: began.elapsed() })
    }

    /// From the answer to the commission.
    fn sell(&self, order: &str) -> Result<Duration, BacklogError> {
        let bad = || BacklogError::Sale(self.sale.clone());
        if !self.sale.contains(ORDER) {
            return Err(bad());
        }
        let sale: Uri = self.sale.replace(ORDER, order).parse().map_err(|_| bad())?;
        let path = sale.path_and_query().ok_or_else(bad)?.as_str();
        get(&sale, path, None).map_err(BacklogError::Edge)?;
        let answered = Instant::now();
        loop {
            let commissions = get_json(&self.api, &format!("/v1/commissions?order_id={order}"), &self.key);
            let commissions = commissions.map_err(BacklogError::Report)?;
            if commissions["data"].as_array().is_some_and(|found| !found.is_empty()) {
                return Ok(answered.elapsed());
            }
            if answered.elapsed() > PATIENCE {
                return Err(BacklogError::Lost(order.to_owned()));
            }
            thread::sleep(PAUSE);
        }
    }

    fn drain(&self) -> Result<(), BacklogError> {
        let (mut least, mut since) = (usize::MAX, Instant::now());
        loop {
            let left = self.uncounted()?;
            if left == 0 {
                return Ok(());
            }
            if left < least {
                (least, since) = (left, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Err(BacklogError::Missing(left));
            }
            thread::sleep(20 * PAUSE);
        }
    }

    /// Clicks of the tenant that no report has yet; an hour of one link has but a few rows.
    fn uncounted(&self) -> Result<usize, BacklogError> {
        let report = get_json(&self.api, "/v1/reports/hourly?limit=100", &self.key);
        let counted = report.and_then(|report| clicks_of(&report)).map_err(BacklogError::Report)?;
        Ok(self.clicks.saturating_sub(counted))
    }
}

/// Of all verdicts.
fn clicks_of(report: &Value) -> io::Result<usize> {
    let rows = report["data"].as_array().ok_or(io::ErrorKind::InvalidData)?;
    let clicks: u64 = rows.iter().filter_map(|row| row["clicks"].as_u64()).sum();
    Ok(usize::try_from(clicks).unwrap_or(usize::MAX))
}

impl Backlog {
    pub fn table(&self) -> String {
        let ms = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        let met = if ms(0.99) < GOAL.as_secs_f64() * 1e3 { "met" } else { "MISSED" };
        let [first, last] = self.left;
        format!(
            "{} sales while {first} to {last} of {} clicks were not counted yet, from the answer to the ledger: p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms (p99 < 1 s: {met}); all clicks counted after {:.1} s\n",
            self.times.len(),
            self.clicks,
            ms(0.5),
            ms(0.99),
            self.times.max() as f64 / 1e3,
            self.drained.as_secs_f64(),
        )
    }

    pub fn json(&self) -> Value {
        object!({
            "clicks": self.clicks,
            "sales": self.times.len(),
            "left": { "first": self.left[0], "last": self.left[1] },
            "us": crate::report::quantiles(&self.times),
            "drained_s": self.drained.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An edge and a control plane in one: a sale is in the ledger when it has been asked for twice, and with each look
    /// at the reports a click less is lacking.
    fn serve(clicks: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, counted) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                let data = match line.split([' ', '?']).nth(1).unwrap() {
                    "/v1/commissions" if asked.fetch_add(1, Ordering::Relaxed) % 2 == 0 => object!([]),
                    "/v1/commissions" => object!([{}]),
                    "/v1/reports/hourly" => {
                        object!([{ "clicks": clicks.min(counted.fetch_add(1, Ordering::Relaxed)) }])
                    }
                    _ => object!([]),
                };
                let body = object!({ "data": data }).to_string();
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").unwrap();
            }
        });
        format!("http://{address}")
    }

    fn plan(clicks: usize, sales: u32) -> Plan {
        let url = serve(clicks);
        let (sale, api) = (format!("{url}/postback/adv_1?order_id={ORDER}"), url.parse().unwrap());
        Plan { sale, api, key: "key".to_owned(), clicks, sales }
    }

    #[test]
    fn sales_count_as_long_as_clicks_are_lacking() {
        let backlog = plan(3, 100).measure().unwrap();
        assert_eq!((backlog.times.len(), backlog.left), (3, [3, 1]));
        assert!(backlog.table().starts_with("3 sales while 3 to 1 of 3 clicks"), "{}", backlog.table());
        let fewer = plan(9, 2).measure().unwrap();
        assert_eq!((fewer.times.len(), fewer.left), (2, [9, 8]));
        assert_eq!(fewer.json()["left"]["last"], 8);
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        assert!(matches!(plan(0, 9).measure(), Err(BacklogError::Gone)));
        let sale = "http://127.0.0.1:1/postback".to_owned();
        let unnamed = Plan { sale, ..plan(1, 1) }.measure();
        assert!(matches!(unnamed, Err(BacklogError::Sale(_))), "{unnamed:?}");
    }
}
