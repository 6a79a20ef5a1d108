//! Alerts on their way to the database. What happens in the path of a batch is only counted there, and written soon
//! after: the first at once, what follows of the same kind and subject once a minute, however much that is.

use super::health::Status;
use super::{App, clock};
use crate::error::{AppError, chain};
use crate::supervise::Stop;
use control_plane_store::alerts::{AlertKind, Raised};
use proto_model::UnixMicros;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The part in the health report.
pub const PART: &str = "alerts";
const LOOK: Duration = Duration::from_secs(1);
/// Between two writes of one alert.
const PAUSE: Duration = Duration::from_secs(60);
/// Kinds and subjects that are told apart.
const MOST: usize = 4_096;
const OTHERS: &str = "others";

#[derive(Default)]
pub struct Alerts(Mutex<Waiting>);

impl Alerts {
    pub fn raise(&self, kind: AlertKind, subject: String, detail: String) {
        self.waiting().raise(Raised { kind, subject, detail, count: 1, at: clock::now() });
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was raised and is not written yet. Pure: time comes in.
#[derive(Default)]
struct Waiting(BTreeMap<(AlertKind, String), Counted>);

struct Counted {
    /// Since it was last written.
    count: u64,
    /// Of the last one.
    detail: String,
    at: UnixMicros,
    written: Option<Instant>,
}

impl Counted {
    fn is_due(&self, now: Instant) -> bool {
        self.count > 0 && self.written.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE)
    }
}

impl Waiting {
    fn raise(&mut self, raised: Raised) {
        let Raised { kind, mut subject, detail, count, at } = raised;
        if self.0.len() >= MOST && !self.0.contains_key(&(kind, subject.clone())) {
            OTHERS.clone_into(&mut subject);
        }
        let nothing = || Counted { count: 0, detail: String::new(), at, written: None };
        let counted = self.0.entry((kind, subject)).or_insert_with(nothing);
        counted.count = counted.count.saturating_add(count);
        (counted.detail, counted.at) = (detail, at);
    }

    /// Takes what is to be written now, and forgets what has been quiet.
    fn take_due(&mut self, now: Instant) -> Vec<Raised> {
        self.0.retain(|_, counted| {
            counted.count > 0 || counted.written.is_some_and(|at| now.saturating_duration_since(at) < PAUSE)
        });
        let due = self.0.iter_mut().filter(|(_, counted)| counted.is_due(now));
        due.map(|((kind, subject), counted)| {
            counted.written = Some(now);
            let (count, detail) = (std::mem::take(&mut counted.count), counted.detail.clone());
            Raised { kind: *kind, subject: subject.clone(), detail, count, at: counted.at }
        })
        .collect()
    }

    /// What could not be written; due again as if it was last tried at `tried`, `None` = with the next look.
    fn put_back(&mut self, raised: Raised, tried: Option<Instant>) {
        let key = (raised.kind, raised.subject.clone());
        match self.0.get_mut(&key) {
            // What has come meanwhile is newer.
            Some(counted) if counted.count > 0 => counted.count = counted.count.saturating_add(raised.count),
            _ => self.raise(raised),
        }
        if let Some(counted) = self.0.get_mut(&key) {
            counted.written = tried;
        }
    }

    /// All of it, when there is no later.
    fn take_all(&mut self) -> Vec<Raised> {
        for counted in self.0.values_mut() {
            counted.written = None;
        }
        self.take_due(Instant::now())
    }
}

/// Writes what is due, until the process is asked to stop. What is raised from then on is for [`write_rest`].
pub async fn run(app: Arc<App>, mut stop: Stop) -> Result<(), AppError> {
    app.health.set(PART, Status::Ok);
    loop {
        let due = app.alerts.waiting().take_due(Instant::now());
        write(&app, due).await;
        if !stop.sleep(LOOK).await {
            write_rest(&app).await;
            return Ok(());
        }
    }
}

/// All of it, once nobody is left who could raise more.
pub async fn write_rest(app: &App) {
    let rest = app.alerts.waiting().take_all();
    write(app, rest).await;
}

async fn write(app: &App, due: Vec<Raised>) {
    let mut due = due.into_iter();
    while let Some(raised) = due.next() {
        match app.store.raise_alert(&raised).await {
            Ok(()) => {}
            Err(error) if error.is_temporary() => {
                tracing::debug!("alerts are not written yet: {}", chain(&error));
                // One after another would fail for the same reason.
                std::iter::once(raised)
                    .chain(due)
                    .for_each(|raised| app.alerts.waiting().put_back(raised, None));
                break;
            }
            // Of this one alone, as far as anybody knows: it must not hold up the others, nor be lost.
            Err(error) => {
                let (kind, subject, count) = (raised.kind.as_str(), &raised.subject, raised.count);
                let (what, why) = (&raised.detail, chain(&error));
                tracing::error!(kind, subject, count, "an alert cannot be written ({what}): {why}");
                app.alerts.waiting().put_back(raised, Some(Instant::now()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(subject: &str, detail: &str) -> Raised {
        let (subject, detail) = (subject.to_owned(), detail.to_owned());
        Raised { kind: AlertKind::BatchRefused, subject, detail, count: 1, at: UnixMicros(1) }
    }

    fn seen(due: &[Raised]) -> Vec<(&str, u64, &str)> {
        due.iter().map(|raised| (raised.subject.as_str(), raised.count, raised.detail.as_str())).collect()
    }

    #[test]
    fn a_flood_is_written_once_a_minute_and_nothing_of_it_is_lost() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        waiting.raise(refused("a", "first"));
        assert_eq!(seen(&waiting.take_due(at(0))), [("a", 1, "first")]);
        for _ in 0..100_000 {
            waiting.raise(refused("a", "again"));
        }
        waiting.raise(refused("b", "another"));
        assert_eq!(seen(&waiting.take_due(at(1))), [("b", 1, "another")], "others do not wait for it");
        assert!(waiting.take_due(at(59)).is_empty());
        assert_eq!(seen(&waiting.take_due(at(60))), [("a", 100_000, "again")]);
        assert!(waiting.take_due(at(200)).is_empty());
        assert!(waiting.0.is_empty(), "what is quiet is forgotten");
    }

    #[test]
    fn what_could_not_be_written_waits() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.raise(refused("a", "first"));
        let due = waiting.take_due(now).remove(0);
        waiting.raise(refused("a", "second"));
        waiting.put_back(due, None);
        let due = waiting.take_due(now);
        assert_eq!(seen(&due), [("a", 2, "second")]);
        waiting.put_back(due.into_iter().next().unwrap(), None);
        let due = waiting.take_due(now);
        assert_eq!(seen(&due), [("a", 2, "second")]);
        // One that will hardly be better in a second waits for its minute.
        waiting.put_back(due.into_iter().next().unwrap(), Some(now));
        assert!(waiting.take_due(now + LOOK).is_empty());
        assert_eq!(seen(&waiting.take_due(now + PAUSE)), [("a", 2, "second")]);
        waiting.raise(refused("a", "third"));
        assert_eq!(seen(&waiting.take_all()), [("a", 1, "third")], "at the end nothing waits for its minute");
    }

    #[test]
    fn subjects_without_end_take_no_room_without_end() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for n in 0..3 * MOST {
            waiting.raise(refused(&n.to_string(), "x"));
        }
        assert!(waiting.0.len() <= MOST + 1);
        let due = waiting.take_due(now);
        assert_eq!(due.iter().map(|raised| raised.count).sum::<u64>(), 3 * MOST as u64);
        assert!(due.iter().any(|raised| raised.subject == OTHERS));
    }
}
