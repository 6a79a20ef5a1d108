//! What the keeper says to the control plane, and what the answer changes: without clocks, files or the network.

use super::meter::Held;
use super::{Budgets, Key, Moment};
use proto_model::time::SECOND_US;
use proto_model::{CapWindow, Capped, ClickLease, UnixMicros};
use proto_wire::edge_v1::lease_claim::Subject;
use proto_wire::edge_v1::{LeaseClaim, LeaseGrant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// As many as the control plane takes in one call.
pub const MAX_CLAIMS: usize = 256;
/// The least that is asked for: fewer would be spent before the answer to the next question.
const FEWEST: u64 = 32;
/// How long before a window begins its first lease is asked for. The control plane takes any clock for right that is
/// off by less than a minute.
const AHEAD_SECS: i64 = 5;

/// A lease that is over for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    pub key: Key,
    pub window_start: UnixMicros,
    pub spent: u64,
}

/// Whose lease is wanted, and of which window.
type Wanted = (Key, UnixMicros);

/// One that is wanted. Sent again with the same number until there is an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ask {
    number: u64,
    clicks: u64,
    ahead: bool,
}

/// A lease of ours.
struct Open {
    key: Key,
    held: Arc<Held>,
    length_secs: u32,
    /// By the clock that nobody sets.
    ends: Instant,
    /// How much of it is written down as spent.
    saved: Option<u64>,
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
    Ask(Key, UnixMicros),
}

#[derive(Default)]
pub struct Plan {
    open: BTreeMap<u64, Open>,
    asks: BTreeMap<Wanted, Ask>,
    reports: BTreeMap<u64, Report>,
    /// When it was looked at last.
    looked: Option<UnixMicros>,
}

impl Plan {
    /// A lease of before a restart that goes on. Only the clock that can be set has gone on meanwhile.
    pub fn resume(&mut self, budgets: &Budgets, key: Key, held: Held, now: Moment) {
        let held = Arc::new(held);
        if let Some(meter) = budgets.meter(&key) {
            meter.place(&held, now.at);
        }
        let left = held.lease.expires_at.0.saturating_sub(now.at.0);
        let ends = now.steady + Duration::from_micros(u64::try_from(left).unwrap_or_default());
        self.open.insert(held.number, Open { key, held, length_secs: 0, ends, saved: None });
    }

    /// One of before a restart that is over.
    pub fn owe(&mut self, number: u64, report: Report) {
        self.reports.insert(number, report);
    }

    /// The leases of which something was spent since this was called, and how much of them is.
    pub fn changed(&mut self) -> Vec<(Key, Arc<Held>, u64)> {
        let mut changed = Vec::new();
        for open in self.open.values_mut() {
            let spent = open.held.spent();
            if open.saved.replace(spent) != Some(spent) {
                changed.push((open.key, Arc::clone(&open.held), spent));
            }
        }
        changed
    }

    /// Sees to wishes, and to leases that are over or soon will be.
    pub fn look(&mut self, budgets: &Budgets, now: Moment, draw: &mut impl FnMut() -> u64) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.looked.replace(now.at).is_some_and(|before| now.at < before) {
            forget_pauses(budgets);
        }
        for (number, open) in std::mem::take(&mut self.open) {
            match self.look_at(budgets, &open, now, draw) {
                None => _ = self.open.insert(number, open),
                Some(report) => {
                    self.reports.insert(number, report);
                    notes.push(Note::Over(number, report));
                }
            }
        }
        let now = now.at;
        for (key, waits) in budgets.take_wishes() {
            let Some(meter) = budgets.meter(&key) else { continue };
            if waits {
                meter.wanted.store(false, Ordering::Relaxed);
            }
            if !meter.has_room(now) && (waits || meter.held.load().is_none()) {
                self.ask((key, meter.window(now).start), (FEWEST, !waits), draw);
            }
        }
        self.look_ahead(budgets, now, draw);
        // Of windows that are over, or of caps that are gone.
        self.asks.retain(|(key, start), _| {
            budgets.meter(key).is_some_and(|meter| meter.window_from(*start, now).is_some())
        });
        notes
    }

    /// The report on a lease that is over.
    fn look_at(
        &mut self,
        budgets: &Budgets,
        open: &Open,
        now: Moment,
        draw: &mut impl FnMut() -> u64,
    ) -> Option<Report> {
        let Open { key, held, length_secs, ends, .. } = open;
        let Moment { at: now, steady } = now;
        let meter = budgets.meter(key);
        if let Some(meter) = &meter {
            meter.roll(now);
        }
        let meter = meter.filter(|meter| meter.has(held));
        let spent = held.spent();
        let ends = !held.lease.allows(spent, now) || steady >= *ends;
        let begun = held.has_begun(now);
        let early = begun && held.lease.wants_renewal(spent, now, *length_secs);
        let idle = spent == 0;
        let over = meter.is_none() || ends || (early && idle);
        if over && let Some(meter) = &meter {
            meter.remove(held);
        }
        let spent = if over { held.close() } else { spent };
        // A link gives back what nobody uses: another edge may have somebody for its last click.
        let wants = begun && (early || ends) && (!idle || matches!(key.1, Capped::Offer(_)));
        if wants
            && let Some(meter) = &meter
            && meter.may_ask(now)
        {
            self.ask((*key, meter.window(now).start), (spent.saturating_mul(2).max(FEWEST), idle), draw);
        }
        over.then_some(Report { key: *key, window_start: held.lease.window.start, spent })
    }

    /// A day or an hour begins with a lease, so that its first clicks do not wait for one. Looks at all windows only when
    /// one is about to end, or the caps have changed.
    fn look_ahead(&mut self, budgets: &Budgets, now: UnixMicros, draw: &mut impl FnMut() -> u64) {
        if now.0 < budgets.look_ahead_at.load(Ordering::Relaxed) {
            return;
        }
        let mut again = i64::MAX;
        for (key, meter) in budgets.table.load().iter() {
            if meter.cap.window == CapWindow::Total || meter.cap.limit == 0 {
                continue;
            }
            let end = meter.window(now).end;
            let early = end.plus_secs(-AHEAD_SECS);
            if now < early {
                again = again.min(early.0);
                continue;
            }
            again = again.min(end.0);
            if meter.next.load().is_none() {
                let spent = meter.held.load().as_ref().map_or(0, |held| held.spent());
                self.ask((*key, end), (spent.saturating_mul(2).max(FEWEST), true), draw);
            }
        }
        budgets.look_ahead_at.store(again, Ordering::Relaxed);
    }

    fn ask(&mut self, wanted: Wanted, (clicks, ahead): (u64, bool), draw: &mut impl FnMut() -> u64) {
        let new = || Ask { number: (draw() >> 1).max(1), clicks, ahead };
        self.asks.entry(wanted).or_insert_with(new).ahead &= ahead;
    }

    /// What to say now. Where somebody waits goes first, after what is reported of the same offer or link, since that
    /// makes room; what nobody waits for comes last.
    pub fn lines(&self) -> Vec<(Line, LeaseClaim)> {
        let waiting: BTreeSet<Key> =
            self.asks.iter().filter(|(_, ask)| !ask.ahead).map(|((key, _), _)| *key).collect();
        let reports = self.reports.iter().map(|(number, report)| {
            let claim = claim(report.key, report.window_start);
            let claim = LeaseClaim { lease: *number, spent: report.spent, ..claim };
            ((u8::from(!waiting.contains(&report.key)), report.key, 0), (Line::Report(*number), claim))
        });
        let asks = self.asks.iter().map(|((key, start), ask)| {
            let (next, wanted, ahead) = (ask.number, ask.clicks, ask.ahead);
            let claim = LeaseClaim { next, wanted, ahead, ..claim(*key, *start) };
            ((if ahead { 2 } else { 0 }, *key, 1), (Line::Ask(*key, *start), claim))
        });
        let mut lines: Vec<((u8, Key, u8), _)> = reports.chain(asks).collect();
        lines.sort_by_key(|(place, _)| *place);
        lines.into_iter().map(|(_, line)| line).take(MAX_CLAIMS).collect()
    }

    /// `sent` is from when a lease counts. The caller makes the notes durable, and only then calls [`Plan::begin`].
    pub fn answer(
        &mut self,
        budgets: &Budgets,
        lines: &[Line],
        grants: &[LeaseGrant],
        sent: Moment,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        for (line, grant) in lines.iter().zip(grants) {
            match line {
                Line::Report(number) => {
                    self.reports.remove(number);
                    notes.push(Note::Told(*number));
                }
                Line::Ask(key, start) => notes.extend(self.granted(budgets, (*key, *start), grant, sent)),
            }
        }
        notes
    }

    fn granted(
        &mut self,
        budgets: &Budgets,
        wanted: Wanted,
        grant: &LeaseGrant,
        sent: Moment,
    ) -> Option<Note> {
        let ask = self.asks.remove(&wanted)?;
        let (key, window_start) = wanted;
        let until = sent.at.plus_secs(grant.lasts_secs.into());
        let meter = budgets.meter(&key);
        if grant.granted == 0 {
            // Who waits may still be given what is not given ahead.
            if !ask.ahead
                && let Some(meter) = meter
            {
                // The next window is another budget.
                let until = until.min(meter.window(sent.at).end);
                meter.not_before.store(until.0, Ordering::Relaxed);
            }
            return None;
        }
        let Some(window) = meter.and_then(|meter| meter.window_from(window_start, sent.at)) else {
            self.reports.insert(ask.number, Report { key, window_start, spent: 0 });
            return None;
        };
        let lease = ClickLease { subject: key.1, window, granted: grant.granted, expires_at: until };
        let held = Arc::new(Held::new(ask.number, lease, 0));
        let length_secs = grant.lasts_secs;
        let ends = sent.steady + Duration::from_secs(length_secs.into());
        let open = Open { key, held: Arc::clone(&held), length_secs, ends, saved: Some(0) };
        self.open.insert(ask.number, open);
        Some(Note::Begun(key, held))
    }

    /// From now on clicks are taken of it; the one before it is reported on next time.
    pub fn begin(&self, budgets: &Budgets, key: Key, held: &Arc<Held>, now: UnixMicros) {
        if let Some(meter) = budgets.meter(&key) {
            meter.place(held, now);
        }
    }
}

/// The clock was set back. What holds until a certain time by it might hold for as long as it was set back.
fn forget_pauses(budgets: &Budgets) {
    budgets.look_ahead_at.store(i64::MIN, Ordering::Relaxed);
    budgets.table.load().values().for_each(|meter| meter.not_before.store(i64::MIN, Ordering::Relaxed));
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
