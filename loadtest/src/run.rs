//! Sends the requests and measures.

use crate::schedule::Schedule;
use hdrhistogram::Histogram;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

/// Latencies above one minute count as one minute.
const MAX_LATENCY_US: u64 = 60_000_000;

#[derive(Clone, Debug)]
pub struct Plan {
    /// `http://host:port/path`; the same for every request.
    pub url: Uri,
    pub schedule: Schedule,
    /// Each carries one request at a time; what is due while all are busy waits, and its wait counts.
    pub connections: u32,
    pub timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("`{0}` is not an http:// address with a host; TLS is not measured here")]
    Url(Uri),
    #[error("rate, seconds and connections must be at least 1")]
    Nothing,
    #[error("cannot make a histogram")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("a connection's task failed")]
    Task(#[from] tokio::task::JoinError),
}

/// Times in microseconds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From due to the last byte of the answer, of answered requests.
    pub latency: Histogram<u64>,
    /// From due to sent: what of the latency is waiting for a free connection or for this generator.
    pub delay: Histogram<u64>,
    pub statuses: BTreeMap<u16, u64>,
    /// By kind: `connect`, `send`, `timeout`, `unsent` (still waiting when the run was over).
    pub errors: BTreeMap<&'static str, u64>,
    pub elapsed: Duration,
}

impl Outcome {
    fn new() -> Result<Self, LoadError> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?;
        let delay = latency.clone();
        let (statuses, errors) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { latency, delay, statuses, errors, elapsed: Duration::ZERO })
    }

    fn absorb(&mut self, other: Self) {
        // All have the same bounds, so that adding cannot fail.
        let _ = self.latency.add(&other.latency);
        let _ = self.delay.add(&other.delay);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }
}

type Sender = SendRequest<Empty<Bytes>>;
type Due = Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>;

pub async fn run(plan: Plan) -> Result<Outcome, LoadError> {
    let (Some("http"), Some(_)) = (plan.url.scheme_str(), plan.url.host()) else {
        return Err(LoadError::Url(plan.url));
    };
    if plan.schedule.total() == 0 || plan.connections == 0 {
        return Err(LoadError::Nothing);
    }
    let (queue, due) = mpsc::unbounded_channel();
    let due: Due = Arc::new(Mutex::new(due));
    let start = Instant::now();
    let give_up = start + plan.schedule.length() + plan.timeout;
    let schedule = plan.schedule;
    // A thread of its own: timers of the runtime are a millisecond coarse.
    std::thread::spawn(move || {
        for (_, at) in schedule.requests() {
            let at = start + at;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if queue.send(at).is_err() {
                break;
            }
        }
    });
    let plan = Arc::new(plan);
    let tasks: Vec<_> = (0..plan.connections)
        .map(|_| tokio::spawn(connection(Arc::clone(&plan), Arc::clone(&due), give_up)))
        .collect();
    let mut outcome = Outcome::new()?;
    for task in tasks {
        outcome.absorb(task.await??);
    }
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

async fn connection(plan: Arc<Plan>, due: Due, give_up: Instant) -> Result<Outcome, LoadError> {
    let mut outcome = Outcome::new()?;
    let mut sender = None;
    loop {
        // The guard must go before the request, or the other connections would wait for its answer.
        let next = due.lock().await.recv().await;
        let Some(due) = next else { return Ok(outcome) };
        if Instant::now() >= give_up {
            *outcome.errors.entry("unsent").or_default() += 1;
            continue;
        }
        outcome.delay.saturating_record(micros_since(due));
        let answer = tokio::time::timeout(plan.timeout, request(&plan.url, &mut sender)).await;
        match answer.unwrap_or(Err("timeout")) {
            Ok(status) => {
                outcome.latency.saturating_record(micros_since(due));
                *outcome.statuses.entry(status.as_u16()).or_default() += 1;
            }
            Err(kind) => {
                sender = None;
                *outcome.errors.entry(kind).or_default() += 1;
            }
        }
    }
}

fn micros_since(due: Instant) -> u64 {
    u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Redirects are not followed: the answer is what is measured.
async fn request(url: &Uri, slot: &mut Option<Sender>) -> Result<StatusCode, &'static str> {
    let open = slot.take().filter(|sender| !sender.is_closed());
    let mut sender = match open {
        Some(sender) => sender,
        None => connect(url).await.map_err(|_| "connect")?,
    };
    sender.ready().await.map_err(|_| "send")?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let host = url.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path).header("host", host).header("user-agent", "tributary-loadtest");
    let request = request.body(Empty::new()).map_err(|_| "send")?;
    let answer = sender.send_request(request).await.map_err(|_| "send")?;
    let status = answer.status();
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| "send")?;
    }
    *slot = Some(sender);
    Ok(status)
}

async fn connect(url: &Uri) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its errors come back through the sender.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests;
