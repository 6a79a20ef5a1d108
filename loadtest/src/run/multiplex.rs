//! HTTP/2 and HTTP/3: the same schedule as the other engine's, with many requests at once on each connection, on
//! one thread of tokio.

use super::sender::{Dialer, Sender};
use super::tls::Tls;
use super::{Load, LoadError, Outcome, Plan};
use crate::requests::Requests;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// tokio's timers are whole milliseconds long; for what is due sooner the pacer looks at the clock again and again.
const SPIN: Duration = Duration::from_millis(2);
/// For goodbyes at the end.
const LAST_WORD: Duration = Duration::from_millis(500);

pub(super) fn run(plan: &Plan, address: SocketAddr, tls: Option<Tls>) -> Result<Outcome, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(LoadError::Poll)?.block_on(drive(plan, address, tls))
}

async fn drive(plan: &Plan, address: SocketAddr, tls: Option<Tls>) -> Result<Outcome, LoadError> {
    let dialer = Dialer::new(plan, address, tls)?;
    let mut first = Vec::new();
    for _ in 0..plan.connections {
        // One that fails is tried again, and counted, when the clock runs.
        first.push(timeout(plan.timeout, dialer.connect()).await.ok().and_then(Result::ok));
    }
    let shared = Arc::new(Shared::new(plan, dialer)?);
    let mut lanes = JoinSet::new();
    for sender in first {
        lanes.spawn(lane(shared.clone(), sender));
    }
    let pacer = tokio::spawn(pace(shared.clone()));
    let end = plan.length() + plan.timeout;
    let _ = timeout(end, async { while lanes.join_next().await.is_some() {} }).await;
    pacer.abort();
    let elapsed = shared.start.elapsed();
    lanes.shutdown().await;
    let _ = timeout(LAST_WORD, shared.dialer.hang_up()).await;
    let mut state = shared.state();
    let mut outcome = state.outcome.clone();
    outcome.failed("timeout", state.under_way);
    if let Load::Open(schedule) = plan.load {
        outcome.failed("unsent", schedule.total().saturating_sub(std::mem::take(&mut state.started)));
    }
    outcome.elapsed = elapsed;
    Ok(outcome)
}

struct Shared {
    plan: Plan,
    dialer: Dialer,
    start: Instant,
    /// A permit for each request that is due and not yet taken.
    due: Semaphore,
    state: Mutex<State>,
}

struct State {
    requests: Requests,
    outcome: Outcome,
    started: u64,
    under_way: u64,
}

/// All requests on one connection fail together when it is lost; it is then made anew.
#[derive(PartialEq, Eq)]
enum End {
    Over,
    Lost,
}

impl Shared {
    fn new(plan: &Plan, dialer: Dialer) -> Result<Self, LoadError> {
        let requests = Requests::new(&plan.url, plan.crowd);
        let state = State { requests, outcome: Outcome::new()?, started: 0, under_way: 0 };
        let (due, state) = (Semaphore::new(0), Mutex::new(state));
        Ok(Self { plan: plan.clone(), dialer, start: Instant::now(), due, state })
    }

    /// Never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next request and says when it was due; `None` = there is none left.
    async fn next_turn(&self) -> Option<Instant> {
        match self.plan.load {
            Load::Peak { .. } => {
                let now = Instant::now();
                (now - self.start < self.plan.length()).then_some(now)
            }
            Load::Open(schedule) => {
                self.due.acquire().await.ok()?.forget();
                let mut state = self.state();
                state.started += 1;
                Some(self.start + schedule.due(state.started - 1))
            }
        }
    }

    /// A turn with which nothing could be done, for whoever comes next.
    fn give_back(&self) {
        if let Load::Open(_) = self.plan.load {
            self.state().started -= 1;
            self.due.add_permits(1);
        }
    }

    async fn ask(&self, sender: &mut Sender, due: Instant, free: Instant) -> End {
        let at = Instant::now();
        let next = {
            let mut state = self.state();
            state.outcome.sent(at - due, at - due.max(free));
            state.under_way += 1;
            state.requests.next_request()
        };
        let result = match next {
            Ok((request, counts)) => match timeout(self.plan.timeout, sender.ask(request)).await {
                Ok(answer) => answer.map(|answer| (answer, counts)),
                Err(_) => Err("timeout"),
            },
            Err(_) => Err("garbled"),
        };
        let mut state = self.state();
        state.under_way -= 1;
        match result {
            Ok((answer, counts)) => {
                state.outcome.answer(&answer, self.plan.expect, counts.then(|| due.elapsed()));
                End::Over
            }
            Err(kind) => {
                state.outcome.failed(kind, 1);
                if kind == "closed" { End::Lost } else { End::Over }
            }
        }
    }
}

/// Hands out permits as requests become due.
async fn pace(shared: Arc<Shared>) {
    let Load::Open(schedule) = shared.plan.load else { return };
    let mut given = 0;
    while given < schedule.total() {
        let now = shared.start.elapsed();
        while given < schedule.total() && schedule.due(given) <= now {
            shared.due.add_permits(1);
            given += 1;
        }
        match schedule.due(given).checked_sub(now + SPIN) {
            Some(long) if given < schedule.total() => sleep(long).await,
            _ => tokio::task::yield_now().await,
        }
    }
    while shared.due.available_permits() > 0 {
        sleep(SPIN).await;
    }
    shared.due.close();
}

/// One connection after another, until the run is over.
async fn lane(shared: Arc<Shared>, mut sender: Option<Sender>) {
    loop {
        let connected = match sender.take() {
            Some(sender) => Ok(sender),
            None => timeout(shared.plan.timeout, shared.dialer.connect()).await.unwrap_or(Err("timeout")),
        };
        let end = match connected {
            Ok(sender) => {
                shared.state().outcome.connections.made += 1;
                all_streams(&shared, sender).await
            }
            Err(kind) => {
                // The request that would have gone out is the one that failed.
                let turn = shared.next_turn().await;
                shared.state().outcome.failed(kind, u64::from(turn.is_some()));
                // At full speed a dead server would be asked a million times: there a connection fails once.
                let again = turn.is_some() && matches!(shared.plan.load, Load::Open(_));
                if again { End::Lost } else { End::Over }
            }
        };
        if end == End::Over {
            return;
        }
    }
}

async fn all_streams(shared: &Arc<Shared>, sender: Sender) -> End {
    let mut streams = JoinSet::new();
    for _ in 0..shared.plan.streams {
        streams.spawn(stream(shared.clone(), sender.clone()));
    }
    // The others must not keep it.
    drop(sender);
    let ends = streams.join_all().await;
    if ends.contains(&End::Lost) { End::Lost } else { End::Over }
}

/// One request after another on a connection that others share.
async fn stream(shared: Arc<Shared>, mut sender: Sender) -> End {
    let mut free = shared.start;
    loop {
        let Some(due) = shared.next_turn().await else { return End::Over };
        if sender.ready().await.is_err() {
            shared.give_back();
            return End::Lost;
        }
        if shared.ask(&mut sender, due, free).await == End::Lost {
            return End::Lost;
        }
        free = Instant::now();
    }
}
