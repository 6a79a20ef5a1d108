//! Whether a fence may be this node's own doing. Pure: time comes in.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// What was written may still arrive so long after this node has given it up: a kernel goes on sending what it was given.
const LATE: Duration = Duration::from_secs(600);

/// Openings that were written and not answered. One that arrives behind a later one opens a session that nobody uses, and
/// fences the one in use. So each of them explains one fence, and no more: two nodes with one identity would otherwise
/// fence each other for ever.
#[derive(Debug, Default)]
pub(super) struct Opens {
    given_up: VecDeque<Instant>,
}

impl Opens {
    pub fn given_up(&mut self, now: Instant) {
        self.forget_late(now);
        self.given_up.push_back(now);
    }

    /// A session is open, or has been heard of again. Whatever fences it arrives later than now, maybe long before that
    /// shows: only with the next batch.
    pub fn answered(&mut self, now: Instant) {
        self.forget_late(now);
    }

    /// Whether the session may have been fenced by one of them.
    pub fn explain_fence(&mut self) -> bool {
        self.given_up.pop_front().is_some()
    }

    fn forget_late(&mut self, now: Instant) {
        self.given_up.retain(|at| now.saturating_duration_since(*at) < LATE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_opening_explains_one_fence_of_a_session_that_it_may_have_come_behind() {
        // When openings were given up, when the session opened, and how many fences that explains.
        let cases: [(&[u64], u64, usize); 6] = [
            (&[], 5, 0),
            (&[0], 5, 1),
            (&[0, 10, 20], 25, 3),
            (&[0], 599, 1),
            (&[0], 600, 0),
            (&[0, 10, 590], 609, 2),
        ];
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        for (given_up, opened, fences) in cases {
            let mut opens = Opens::default();
            given_up.iter().for_each(|secs| opens.given_up(at(*secs)));
            opens.answered(at(opened));
            let explained = (0..9).filter(|_| opens.explain_fence()).count();
            assert_eq!(explained, fences, "{given_up:?}, {opened}");
        }
    }
}
