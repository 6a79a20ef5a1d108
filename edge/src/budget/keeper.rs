//! The task that keeps leases: asks, reports, and writes down what the next start must know.

use super::plan::{Line, MAX_CLAIMS, Note, Plan, Report};
use super::{Budgets, Held, Key, Moment};
use crate::forward::Backoff;
use crate::identity::ControlLink;
use crate::spool::SpoolHandle;
use crate::state::{LeaseChange, SavedLease, State};
use proto_model::{Lane, UnixMicros};
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::{LeaseClaim, LeaseGrant, LeaseRequest};
use proto_wire::keys::random;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// How often leases are looked at when nobody calls, and what was spent is written down.
const TICK: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Whoever cannot be reached is asked again at least so often: clicks go elsewhere meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("no connection to the control plane")]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane knows no leases: it is older than this edge, upgrade it")]
    Older,
    #[error("the control plane ended the call")]
    Call(#[source] Box<tonic::Status>),
    #[error("the control plane did not answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    #[error("the control plane answered {0} of {1} claims")]
    Short(usize, usize),
}

pub struct Keeper {
    budgets: Arc<Budgets>,
    link: Arc<ControlLink>,
    state: State,
    spool: SpoolHandle,
    plan: Plan,
    client: Option<EdgeServiceClient<Channel>>,
}

impl Keeper {
    /// With the leases of before, of which `saved` says what was spent. To be called before a hit is answered.
    pub fn new(
        budgets: Arc<Budgets>,
        link: Arc<ControlLink>,
        state: State,
        spool: SpoolHandle,
        saved: Vec<SavedLease>,
        now: Moment,
    ) -> Self {
        let mut plan = Plan::default();
        for saved in saved {
            let held = Held::new(saved.number, saved.lease, saved.spent);
            let key = (saved.tenant, saved.lease.subject);
            if saved.over || !held.lease.allows(held.spent(), now.at) {
                let report = Report { key, window_start: held.lease.window.start, spent: held.spent() };
                plan.owe(saved.number, report);
            } else {
                plan.resume(&budgets, key, held, now);
            }
        }
        Self { budgets, link, state, spool, plan, client: None }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut failing = false;
        let mut check_pointed = Instant::now();
        loop {
            let now = Moment::now();
            let notes = self.plan.look(&self.budgets, now, &mut || u64::from_be_bytes(random()));
            self.write_down(notes);
            if now.steady.saturating_duration_since(check_pointed) >= TICK {
                self.check_point();
                check_pointed = now.steady;
            }
            let lines = self.plan.lines();
            if lines.is_empty() {
                let _ = tokio::time::timeout(TICK, self.budgets.wake.notified()).await;
                continue;
            }
            match self.ask(&lines).await {
                Ok(()) => {
                    failing = false;
                    backoff.reset();
                }
                Err(error) => {
                    self.client = None;
                    self.budgets.answered(false);
                    if !std::mem::replace(&mut failing, true) {
                        let error = crate::with_causes(&error);
                        tracing::warn!(
                            error,
                            "no leases for click caps; capped offers count as full when theirs end"
                        );
                    }
                    tokio::time::sleep(backoff.next(random()).min(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    async fn ask(&mut self, lines: &[(Line, LeaseClaim)]) -> Result<(), LeaseError> {
        debug_assert!(lines.len() <= MAX_CLAIMS);
        let (lines, claims): (Vec<Line>, Vec<LeaseClaim>) = lines.iter().copied().unzip();
        let sent = Moment::now();
        let grants = tokio::time::timeout(ANSWER_TIMEOUT, self.call(claims)).await??;
        if grants.len() != lines.len() {
            return Err(LeaseError::Short(grants.len(), lines.len()));
        }
        let notes = self.plan.answer(&self.budgets, &lines, &grants, sent);
        self.write_down(notes);
        self.budgets.answered(true);
        Ok(())
    }

    async fn call(&mut self, claims: Vec<LeaseClaim>) -> Result<Vec<LeaseGrant>, LeaseError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => EdgeServiceClient::new(self.link.connect().await?),
        };
        let answer = client.lease(LeaseRequest { claims }).await.map_err(|status| match status.code() {
            tonic::Code::Unimplemented => LeaseError::Older,
            _ => LeaseError::Call(Box::new(status)),
        })?;
        self.client = Some(client);
        Ok(answer.into_inner().grants)
    }

    /// All at once: what has begun waits for the disk once, however many leases there are.
    fn write_down(&mut self, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let from = self.spool.status().next[Lane::Traffic];
        let change = |note: &Note| match note {
            Note::Begun(key, held) => LeaseChange::Save(self.saved(*key, held, 0, from)),
            Note::Over(number, report) => LeaseChange::End(*number, report.spent),
            Note::Told(number) => LeaseChange::Forget(*number),
        };
        let changes: Vec<LeaseChange> = notes.iter().map(change).collect();
        self.state.change_leases(&changes);
        if changes.iter().any(|change| matches!(change, LeaseChange::Save(_))) {
            self.state.flush_leases();
        }
        let now = Moment::now().at;
        for note in &notes {
            if let Note::Begun(key, held) = note {
                self.plan.begin(&self.budgets, *key, held, now);
            }
        }
    }

    /// Writes what was spent since the last time. The ordinal is read before the counters: a click in between is
    /// counted twice rather than forgotten.
    fn check_point(&mut self) {
        let from = self.spool.status().next[Lane::Traffic];
        let changed = self.plan.changed();
        let saved = changed.iter().map(|(key, held, spent)| self.saved(*key, held, *spent, from));
        let changes: Vec<LeaseChange> = saved.map(LeaseChange::Save).collect();
        self.state.change_leases(&changes);
    }

    fn saved(&self, (tenant, _): Key, held: &Held, spent: u64, from: u64) -> SavedLease {
        let stream = self.spool.streams().stream(Lane::Traffic);
        SavedLease { number: held.number, tenant, lease: held.lease, spent, stream, from, over: false }
    }
}

impl Moment {
    pub fn now() -> Self {
        Self { at: UnixMicros(crate::node::now_micros()), steady: Instant::now() }
    }
}
