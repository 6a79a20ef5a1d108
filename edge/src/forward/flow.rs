//! What is under way in one lane of one session. Pure.

use super::MAX_IN_FLIGHT;
use super::retain::Head;
use std::collections::VecDeque;

/// One batch that was sent and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub first: u64,
    pub head: Head,
    /// On the wire, about.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    /// The first ordinal of the next batch to send.
    next: u64,
    in_flight: VecDeque<Sent>,
    window: usize,
    /// The last rewind, and how many refusals of batches sent before it are still to come.
    rewound: Option<(u64, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acked {
    /// Everything up to here is committed.
    Through(Head),
    /// Nothing new.
    Known,
    /// The control plane holds other bytes than this node: its hash does not fit.
    Diverged,
    /// It has more than this session sent: a new session must settle where both ends stand.
    Ahead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Send again from here.
    Rewind(u64),
    /// A consequence of a gap that was seen already.
    Echo,
    /// It makes no sense: begin a new session.
    Confused,
}

impl Flow {
    /// The control plane has everything before `next`. Until it has acknowledged something, only one batch is under
    /// way: over a slow link a session that breaks off has then achieved the most that it can.
    pub fn new(next: u64) -> Self {
        Self { next, in_flight: VecDeque::new(), window: 1, rewound: None }
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub fn may_send(&self) -> bool {
        self.in_flight.len() < self.window
    }

    /// Batches that may be under way.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The largest batch that is under way.
    pub fn largest(&self) -> u64 {
        self.in_flight.iter().map(|sent| sent.bytes).max().unwrap_or_default()
    }

    pub fn sent(&mut self, sent: Sent) {
        self.next = sent.head.last.saturating_add(1);
        self.in_flight.push_back(sent);
    }

    /// A cumulative acknowledgement whose signature was verified.
    pub fn ack(&mut self, head: Head) -> Acked {
        let Some(at) = self.in_flight.iter().position(|sent| sent.head.last == head.last) else {
            // Batches are acknowledged as a whole: an end inside one of ours belongs to another chain.
            let oldest = self.in_flight.front().map_or(self.next, |oldest| oldest.first);
            return match head.last {
                last if last < oldest => Acked::Known,
                last if last >= self.next => Acked::Ahead,
                _ => Acked::Diverged,
            };
        };
        if self.in_flight[at].head.hash != head.hash {
            return Acked::Diverged;
        }
        self.in_flight.drain(..=at);
        self.window = MAX_IN_FLIGHT;
        self.rewound = None;
        Acked::Through(head)
    }

    /// The control plane expected another ordinal than it got. Each batch that was under way behind the
    /// gap is refused too; only the first refusal must move anything, or each would cause a resending.
    pub fn gap(&mut self, expected: u64) -> Gap {
        if let Some((to, echoes)) = &mut self.rewound
            && *to == expected
        {
            let echo = *echoes > 0;
            *echoes = echoes.saturating_sub(1);
            return if echo { Gap::Echo } else { Gap::Confused };
        }
        if expected == 0 || expected > self.next {
            return Gap::Confused;
        }
        let echoes = self.in_flight.iter().filter(|sent| sent.first > expected).count().saturating_sub(1);
        self.in_flight.clear();
        self.next = expected;
        self.rewound = Some((expected, echoes));
        Gap::Rewind(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(last: u64) -> Head {
        Head { last, hash: [u8::try_from(last % 251).unwrap(); 32] }
    }

    fn sent(first: u64) -> Sent {
        Sent { first, head: head(first + 9), bytes: first * 100 }
    }

    fn flow(batches: u64) -> Flow {
        let mut flow = Flow::new(1);
        for at in 0..batches {
            flow.sent(sent(at * 10 + 1));
        }
        flow
    }

    #[test]
    fn acknowledgements_are_cumulative_and_must_fit() {
        let mut flow = flow(4);
        assert!(!flow.may_send());
        assert_eq!(flow.ack(head(20)), Acked::Through(head(20)));
        assert_eq!((flow.in_flight(), flow.next()), (2, 41));
        assert_eq!(flow.ack(head(20)), Acked::Known);
        assert_eq!(flow.ack(head(25)), Acked::Diverged);
        assert_eq!(flow.ack(Head { hash: [9; 32], ..head(30) }), Acked::Diverged);
        assert_eq!(flow.ack(head(40)), Acked::Through(head(40)));
        assert_eq!(flow.ack(head(40)), Acked::Known, "nothing is under way");
        assert_eq!(flow.ack(head(99)), Acked::Ahead);
    }

    #[test]
    fn one_batch_goes_ahead_of_the_others() {
        let mut flow = Flow::new(1);
        assert!(flow.may_send());
        flow.sent(sent(1));
        assert!(!flow.may_send());
        assert_eq!((flow.largest(), flow.ack(head(10))), (100, Acked::Through(head(10))));
        for first in [11, 21, 31, 41] {
            assert!(flow.may_send(), "{first}");
            flow.sent(sent(first));
        }
        assert!(!flow.may_send());
        assert_eq!(flow.largest(), 4100);
    }

    #[test]
    fn one_gap_rewinds_once() {
        let mut flow = flow(4);
        // Batch 11 was lost: 21 and 31 are refused.
        assert_eq!(flow.ack(head(10)), Acked::Through(head(10)));
        assert_eq!(flow.gap(11), Gap::Rewind(11));
        assert_eq!((flow.next(), flow.in_flight()), (11, 0));
        flow.sent(sent(11));
        assert_eq!(flow.gap(11), Gap::Echo);
        assert_eq!(flow.gap(11), Gap::Confused, "the batch itself was refused");
        assert_eq!(flow.ack(head(20)), Acked::Through(head(20)));
        assert_eq!(flow.gap(5), Gap::Rewind(5), "a restored control plane may go far back");
        assert_eq!(flow.gap(77), Gap::Confused);
    }
}
