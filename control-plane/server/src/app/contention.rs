//! Whether sessions of one edge take its streams from each other: two nodes with one identity, of which each comes back.

use super::App;
use control_plane_store::alerts::{AlertKind, edge_subject};
use proto_model::EdgeId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many within [`WITHIN`] are no coincidence: a node that is replaced is fenced once.
const FENCES: usize = 3;
const WITHIN: Duration = Duration::from_secs(60);
const FENCING: &str = "its sessions fence each other: two nodes run with one identity; stop one of them";

/// When sessions of each edge were fenced of late.
#[derive(Default)]
pub struct Contention(Mutex<Fenced>);

#[derive(Default)]
struct Fenced(BTreeMap<EdgeId, VecDeque<Instant>>);

impl Fenced {
    /// How many there were of late, with this one.
    fn note(&mut self, edge: EdgeId, now: Instant) -> usize {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < WITHIN;
        self.0.retain(|_, fenced| fenced.back().is_some_and(recent));
        let fenced = self.0.entry(edge).or_default();
        fenced.push_back(now);
        fenced.retain(recent);
        if fenced.len() > FENCES {
            fenced.pop_front();
        }
        fenced.len()
    }
}

/// A session of an older epoch still sends: its spool was replaced while it did, which happens to an edge now and then.
fn fenced(app: &App, edge: EdgeId) {
    let of_late = app.contention.0.lock().unwrap_or_else(PoisonError::into_inner).note(edge, Instant::now());
    if of_late >= FENCES {
        raise(app, edge, FENCING.to_owned());
    }
}

/// A session is asked for in an older epoch. A node that has moved on to a new one never goes back, and who is refused
/// here stands aside until it is restarted: so this is another node or an old disk, and there is no second time to wait
/// for.
pub fn refused_epoch(app: &App, edge: EdgeId, epoch: u32) {
    let detail = format!(
        "a spool of epoch {epoch} asks for a session, and the edge writes a newer one: an old disk, or a second node; \
         stop it, and keep what it has not sent"
    );
    raise(app, edge, detail);
}

/// A session that still sends is told that it is over. A process opens a session after it has left the one before: who
/// sends in one while a newer one of the same epoch is open is another process, and stays fenced from then on. So there
/// is no second time to wait for.
pub async fn fenced_while_sending(app: &App, edge: EdgeId, epoch: u32) {
    match app.store.get_edge(edge).await {
        Ok(current) if current.epoch == epoch => raise(app, edge, FENCING.to_owned()),
        _ => fenced(app, edge),
    }
}

fn raise(app: &App, edge: EdgeId, detail: String) {
    app.alerts.raise(AlertKind::SessionContention, edge_subject(edge), detail);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_a_minute_are_no_coincidence() {
        let (mut fenced, start) = (Fenced::default(), Instant::now());
        let (one, two) = (EdgeId::from_random(1), EdgeId::from_random(2));
        let cases = [
            (one, 0, 1),
            (one, 30, 2),
            (two, 31, 1),
            (one, 59, 3),
            (one, 89, 3),
            (one, 149, 1),
            (two, 149, 1),
        ];
        for (edge, secs, expected) in cases {
            let now = start + Duration::from_secs(secs);
            assert_eq!(fenced.note(edge, now), expected, "{edge} at {secs}");
        }
        for n in 0..100 {
            fenced.note(one, start + Duration::from_millis(300_000 + n));
        }
        assert!(fenced.0[&one].len() <= FENCES);
        assert_eq!(fenced.0.len(), 1, "who is at peace is forgotten");
    }
}
