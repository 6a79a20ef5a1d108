//! What the keeper says to the control plane, and what the answer changes: without clocks, files or the network.

use super::{Budgets, Held, Key, Meter};
use proto_model::time::SECOND_US;
use proto_model::{Capped, ClickLease, UnixMicros};
use proto_wire::edge_v1::lease_claim::Subject;
use proto_wire::edge_v1::{LeaseClaim, LeaseGrant};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// As many as the control plane takes in one call.
pub const MAX_CLAIMS: usize = 256;
/// The least that is asked for: fewer would be spent before the answer to the next question.
const FEWEST: u64 = 32;

/// A lease that is over for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    pub key: Key,
    pub window_start: UnixMicros,
    pub spent: u64,
}

/// One that is wanted. Sent again with the same number until there is an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ask {
    number: u64,
    clicks: u64,
    ahead: bool,
    window_start: UnixMicros,
}

/// A lease of ours.
struct Open {
    key: Key,
    held: Arc<Held>,
    length_secs: u32,
}

/// What becomes durable, in this order.
#[derive(Debug)]
pub enum Note {
    /// Before a click of it is taken.
    Begun(Key, Arc<Held>),
    Over(u64, Report),
    Told(u64),
}

/// One line of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    Report(u64),
    Ask(Key),
}

#[derive(Default)]
pub struct Plan {
    open: BTreeMap<u64, Open>,
    asks: BTreeMap<Key, Ask>,
    reports: BTreeMap<u64, Report>,
}

impl Plan {
    /// A lease of before a restart that goes on.
    pub fn resume(&mut self, budgets: &Budgets, key: Key, held: Held) {
        let held = Arc::new(held);
        if let Some(meter) = budgets.meter(&key) {
            meter.held.store(Some(Arc::clone(&held)));
        }
        self.open.insert(held.number, Open { key, held, length_secs: 0 });
    }

    /// One of before a restart that is over.
    pub fn owe(&mut self, number: u64, report: Report) {
        self.reports.insert(number, report);
    }

    /// The leases that are spent.
    pub fn open(&self) -> impl Iterator<Item = (Key, &Arc<Held>)> {
        self.open.values().map(|open| (open.key, &open.held))
    }

    /// Sees to wishes, and to leases that are over or soon will be.
    pub fn look(&mut self, budgets: &Budgets, now: UnixMicros, draw: &mut impl FnMut() -> u64) -> Vec<Note> {
        let mut notes = Vec::new();
        for (number, open) in std::mem::take(&mut self.open) {
            match self.look_at(budgets, &open, now, draw) {
                None => _ = self.open.insert(number, open),
                Some(report) => {
                    self.reports.insert(number, report);
                    notes.push(Note::Over(number, report));
                }
            }
        }
        for (key, waits) in budgets.take_wishes() {
            let Some(meter) = budgets.meter(&key) else { continue };
            if waits {
                meter.wanted.store(false, Ordering::Relaxed);
            }
            if !meter.has_room(now) && (waits || meter.held.load().is_none()) {
                self.ask(key, &meter, (FEWEST, !waits), now, draw);
            }
        }
        // Of windows that are over, or of caps that are gone.
        self.asks.retain(|key, ask| {
            budgets.meter(key).is_some_and(|meter| meter.window(now).start == ask.window_start)
        });
        notes
    }

    /// The report on a lease that is over.
    fn look_at(
        &mut self,
        budgets: &Budgets,
        open: &Open,
        now: UnixMicros,
        draw: &mut impl FnMut() -> u64,
    ) -> Option<Report> {
        let Open { key, held, length_secs } = open;
        let meter = budgets.meter(key).filter(|meter| is_current(meter, held));
        let spent = held.spent();
        let ends = !held.lease.allows(spent, now);
        let early = held.lease.wants_renewal(spent, now, *length_secs);
        let idle = spent == 0;
        let over = meter.is_none() || ends || (early && idle);
        if over && let Some(meter) = &meter {
            meter.held.store(None);
        }
        let spent = if over { held.close() } else { spent };
        // A link gives back what nobody uses: another edge may have somebody for its last click.
        let wants = (early || ends) && (!idle || matches!(key.1, Capped::Offer(_)));
        if wants
            && let Some(meter) = &meter
            && meter.may_ask(now)
        {
            self.ask(*key, meter, (spent.saturating_mul(2).max(FEWEST), idle), now, draw);
        }
        over.then_some(Report { key: *key, window_start: held.lease.window.start, spent })
    }

    fn ask(
        &mut self,
        key: Key,
        meter: &Meter,
        (clicks, ahead): (u64, bool),
        now: UnixMicros,
        draw: &mut impl FnMut() -> u64,
    ) {
        let window_start = meter.window(now).start;
        match self.asks.get_mut(&key) {
            Some(ask) if ask.window_start == window_start => ask.ahead &= ahead,
            _ => {
                let number = (draw() >> 1).max(1);
                self.asks.insert(key, Ask { number, clicks, ahead, window_start });
            }
        }
    }

    /// What to say now: reports first, since they make room.
    pub fn lines(&self) -> Vec<(Line, LeaseClaim)> {
        let reports = self.reports.iter().map(|(number, report)| {
            let claim = claim(report.key, report.window_start);
            (Line::Report(*number), LeaseClaim { lease: *number, spent: report.spent, ..claim })
        });
        let asks = self.asks.iter().map(|(key, ask)| {
            let claim = claim(*key, ask.window_start);
            let (next, wanted, ahead) = (ask.number, ask.clicks, ask.ahead);
            (Line::Ask(*key), LeaseClaim { next, wanted, ahead, ..claim })
        });
        reports.chain(asks).take(MAX_CLAIMS).collect()
    }

    /// `sent_at` is from when a lease counts. The caller makes the notes durable, and only then calls
    /// [`Plan::begin`].
    pub fn answer(
        &mut self,
        budgets: &Budgets,
        lines: &[Line],
        grants: &[LeaseGrant],
        sent_at: UnixMicros,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        for (line, grant) in lines.iter().zip(grants) {
            match line {
                Line::Report(number) => {
                    self.reports.remove(number);
                    notes.push(Note::Told(*number));
                }
                Line::Ask(key) => notes.extend(self.granted(budgets, *key, grant, sent_at)),
            }
        }
        notes
    }

    fn granted(
        &mut self,
        budgets: &Budgets,
        key: Key,
        grant: &LeaseGrant,
        sent_at: UnixMicros,
    ) -> Option<Note> {
        let ask = self.asks.remove(&key)?;
        let until = sent_at.plus_secs(grant.lasts_secs.into());
        if grant.granted == 0 {
            // Who waits may still be given what is not given ahead.
            if !ask.ahead
                && let Some(meter) = budgets.meter(&key)
            {
                // The next window is another budget.
                let until = until.min(meter.window(sent_at).end);
                meter.not_before.store(until.0, Ordering::Relaxed);
            }
            return None;
        }
        let window = budgets.meter(&key).map(|meter| meter.window(sent_at));
        let Some(window) = window.filter(|window| window.start == ask.window_start) else {
            let report = Report { key, window_start: ask.window_start, spent: 0 };
            self.reports.insert(ask.number, report);
            return None;
        };
        let lease = ClickLease { subject: key.1, window, granted: grant.granted, expires_at: until };
        let held = Arc::new(Held::new(ask.number, lease, 0));
        let length_secs = grant.lasts_secs;
        self.open.insert(ask.number, Open { key, held: Arc::clone(&held), length_secs });
        Some(Note::Begun(key, held))
    }

    /// From now on clicks are taken of it; the one before it is reported on next time.
    pub fn begin(&self, budgets: &Budgets, key: Key, held: &Arc<Held>) {
        if let Some(meter) = budgets.meter(&key) {
            meter.held.store(Some(Arc::clone(held)));
        }
    }
}

fn is_current(meter: &Meter, held: &Arc<Held>) -> bool {
    meter.held.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, held))
}

fn claim((tenant, subject): Key, window_start: UnixMicros) -> LeaseClaim {
    let subject = match subject {
        Capped::Offer(id) => Subject::Offer(id.get()),
        Capped::Link(id) => Subject::Link(id.get()),
    };
    LeaseClaim {
        tenant: tenant.get(),
        subject: Some(subject),
        window_start_secs: window_start.0.div_euclid(SECOND_US),
        ..LeaseClaim::default()
    }
}
