//! What a reply is about that names no lane. Pure.

use proto_model::Lane;
use std::collections::VecDeque;

/// The batches of a session that were not answered yet, of both lanes, as they were sent. A control plane names the lane
/// of whatever it refuses. One of an earlier version may not, and takes batches one after another: a reply without a name
/// is about the first of them.
#[derive(Debug, Default)]
pub(super) struct Order(VecDeque<(Lane, u64)>);

impl Order {
    /// `last` is the last ordinal of the batch.
    pub fn sent(&mut self, lane: Lane, last: u64) {
        self.0.push_back((lane, last));
    }

    /// Acknowledgements are cumulative.
    pub fn acknowledged(&mut self, lane: Lane, through: u64) {
        self.0.retain(|(of, last)| *of != lane || *last > through);
    }

    /// A refusal that names its lane.
    pub fn refused(&mut self, lane: Lane) {
        if let Some(at) = self.0.iter().position(|(of, _)| *of == lane) {
            self.0.remove(at);
        }
    }

    /// The lane of a refusal that names none.
    pub fn refused_unnamed(&mut self) -> Option<Lane> {
        self.0.pop_front().map(|(lane, _)| lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_without_a_name_is_about_the_oldest_batch() {
        let (money, traffic) = (Lane::Money, Lane::Traffic);
        let mut order = Order::default();
        for (lane, last) in [(money, 5), (traffic, 9), (traffic, 20), (money, 8), (traffic, 30)] {
            order.sent(lane, last);
        }
        order.acknowledged(money, 5);
        assert_eq!(order.refused_unnamed(), Some(traffic));
        order.refused(traffic);
        assert_eq!(order.refused_unnamed(), Some(money));
        order.sent(traffic, 40);
        order.acknowledged(traffic, 40);
        assert_eq!(order.refused_unnamed(), None, "nothing is left");
    }
}
