//! Medians and what surrounds them. Medians, since one disturbed round must not move the result.

/// In which order the peers have their turn: forth in one round, back in the next.
pub fn order(peers: usize, round: u32) -> Vec<usize> {
    let forth = 0..peers;
    if round.is_multiple_of(2) { forth.collect() } else { forth.rev().collect() }
}

/// Smallest, median and largest.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    /// Of nothing, all are 0.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        // With an even number of values the middle lies between two.
        Self { least: at(0), median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), most: at(last) }
    }

    /// Of `ours / theirs`, round by round: what disturbed a whole round cancels out. A round in which
    /// theirs is 0 says nothing.
    pub fn of_ratios(ours: impl IntoIterator<Item = f64>, theirs: impl IntoIterator<Item = f64>) -> Self {
        let rounds = ours.into_iter().zip(theirs).filter(|(_, theirs)| *theirs > 0.0);
        Self::of(rounds.map(|(ours, theirs)| ours / theirs))
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_forth_and_back() {
        assert_eq!((order(2, 0), order(2, 1), order(2, 2)), (vec![0, 1], vec![1, 0], vec![0, 1]));
        assert_eq!(order(3, 7), [2, 1, 0]);
        assert!(order(0, 0).is_empty());
    }

    #[test]
    fn medians() {
        let cases: [(&[f64], f64, f64, f64); 6] = [
            (&[], 0.0, 0.0, 0.0),
            (&[7.0], 7.0, 7.0, 7.0),
            (&[4.0, 1.0], 1.0, 2.5, 4.0),
            (&[9.0, 1.0, 2.0], 1.0, 2.0, 9.0),
            (&[1.0, 100.0, 2.0, 3.0], 1.0, 2.5, 100.0),
            (&[f64::NAN, 1.0, f64::INFINITY], 1.0, 1.0, 1.0),
        ];
        for (values, least, middle, most) in cases {
            let spread = Spread { least, median: middle, most };
            assert_eq!(Spread::of(values.iter().copied()), spread, "{values:?}");
            assert_eq!(median(values.iter().copied()), middle, "{values:?}");
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was half as fast in the second round; the ratio does not notice.
        let spread = Spread::of_ratios([80.0, 40.0, 90.0], [100.0, 50.0, 100.0]);
        assert_eq!(spread, Spread { least: 0.8, median: 0.8, most: 0.9 });
        // The medians' ratio would have said the same of 10/100, 100/10, 50/50.
        let spread = Spread::of_ratios([10.0, 100.0, 50.0], [100.0, 10.0, 50.0]);
        assert_eq!(spread, Spread { least: 0.1, median: 1.0, most: 10.0 });
        assert_eq!(Spread::of_ratios([1.0, 3.0], [0.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of_ratios([1.0, 3.0], [2.0]).most, 0.5);
    }
}
