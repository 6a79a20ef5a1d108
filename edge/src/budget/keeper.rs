//! The task that keeps leases: asks, reports, and writes down what the next start must know.

use super::plan::{Line, MAX_CLAIMS, Note, Plan, Report};
use super::{Budgets, Held, Key};
use crate::forward::Backoff;
use crate::identity::ControlLink;
use crate::spool::SpoolHandle;
use crate::state::{SavedLease, State};
use proto_model::{Lane, UnixMicros};
use proto_wire::edge_v1::edge_service_client::EdgeServiceClient;
use proto_wire::edge_v1::{LeaseClaim, LeaseGrant, LeaseRequest};
use proto_wire::keys::random;
use std::sync::Arc;
use std::time::Duration;
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
        now: UnixMicros,
    ) -> Self {
        let mut plan = Plan::default();
        for saved in saved {
            let held = Held::new(saved.number, saved.lease, saved.spent);
            let key = (saved.tenant, saved.lease.subject);
            if saved.over || !held.lease.allows(held.spent(), now) {
                let report = Report { key, window_start: held.lease.window.start, spent: held.spent() };
                plan.owe(saved.number, report);
            } else {
                plan.resume(&budgets, key, held);
            }
        }
        Self { budgets, link, state, spool, plan, client: None }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut failing = false;
        loop {
            let notes = self.plan.look(&self.budgets, now(), &mut || u64::from_be_bytes(random()));
            self.write_down(notes);
            let lines = self.plan.lines();
            if lines.is_empty() {
                let _ = tokio::time::timeout(TICK, self.budgets.wake.notified()).await;
                self.check_point();
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
                    self.check_point();
                }
            }
        }
    }

    async fn ask(&mut self, lines: &[(Line, LeaseClaim)]) -> Result<(), LeaseError> {
        debug_assert!(lines.len() <= MAX_CLAIMS);
        let (lines, claims): (Vec<Line>, Vec<LeaseClaim>) = lines.iter().copied().unzip();
        let sent_at = now();
        let grants = tokio::time::timeout(ANSWER_TIMEOUT, self.call(claims)).await??;
        if grants.len() != lines.len() {
            return Err(LeaseError::Short(grants.len(), lines.len()));
        }
        let notes = self.plan.answer(&self.budgets, &lines, &grants, sent_at);
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

    fn write_down(&mut self, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::Begun(key, held) => {
                    self.save(key, &held, false);
                    self.state.flush_leases();
                    self.plan.begin(&self.budgets, key, &held);
                }
                Note::Over(number, report) => self.state.end_lease(number, report.spent),
                Note::Told(number) => self.state.forget_lease(number),
            }
        }
    }

    fn check_point(&self) {
        for (key, held) in self.plan.open() {
            self.save(key, held, false);
        }
    }

    /// The ordinal is read before the counter: a click in between is counted twice rather than forgotten.
    fn save(&self, (tenant, _): Key, held: &Held, over: bool) {
        let stream = self.spool.streams().stream(Lane::Traffic);
        let from = self.spool.status().next[Lane::Traffic];
        let (number, lease, spent) = (held.number, held.lease, held.spent());
        self.state.save_lease(&SavedLease { number, tenant, lease, spent, stream, from, over });
    }
}

fn now() -> UnixMicros {
    UnixMicros(crate::node::now_micros())
}
