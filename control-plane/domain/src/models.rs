//! How the clicks that may be credited share a conversion: integers in, integers out, and nothing is lost.

use crate::order::WHOLE;
use crate::shares::split;
use crate::terms::Model;
use proto_model::PartnerId;

/// A click that may be credited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Touchpoint {
    pub(crate) partner: PartnerId,
    pub(crate) at_secs: u32,
}

/// The share of each in millionths, which add up to [`WHOLE`]. `path` is in the order of the clicks, the last one last,
/// and not empty.
pub(crate) fn shares(model: &Model, path: &[Touchpoint]) -> Vec<u32> {
    let parts = split(i128::from(WHOLE), &weights(model, path));
    parts.into_iter().map(|part| u32::try_from(part).unwrap_or(WHOLE)).collect()
}

fn weights(model: &Model, path: &[Touchpoint]) -> Vec<i64> {
    let end = path.len().saturating_sub(1);
    let only = |place: usize| (0..path.len()).map(|at| i64::from(at == place)).collect();
    match model {
        Model::Last => only(end),
        Model::First => only(0),
        Model::Linear => vec![1; path.len()],
        Model::Position { first, last } => {
            (0..path.len()).map(|at| position(at, end, *first, *last)).collect()
        }
        Model::Decay { half_life_secs } => {
            let newest = path.iter().map(|click| click.at_secs).max().unwrap_or_default();
            path.iter().map(|click| decayed(newest.saturating_sub(click.at_secs), *half_life_secs)).collect()
        }
        Model::Weights(weights) => path
            .iter()
            .map(|click| weights.get(&click.partner).map_or(0, |weight| i64::from(*weight)))
            .collect(),
    }
}

/// First and last are multiplied by the number of those between, so that these need no fractions.
fn position(at: usize, end: usize, first: u32, last: u32) -> i64 {
    let between = i64::try_from(end.saturating_sub(1)).unwrap_or(i64::MAX).max(1);
    match at {
        _ if end == 0 => 1,
        0 => i64::from(first).saturating_mul(between),
        _ if at == end => i64::from(last).saturating_mul(between),
        _ => i64::from(WHOLE.saturating_sub(first).saturating_sub(last)),
    }
}

/// `2^-(1/2)`, `2^-(1/4)` and so on, in units of `2^-32`.
const ROOTS: [u64; 8] = [
    3_037_000_499,
    3_611_622_602,
    3_938_502_375,
    4_112_874_773,
    4_202_935_003,
    4_248_701_964,
    4_271_771_996,
    4_283_353_945,
];

/// `2^-(age / half_life)` in units of `2^-32`, to 1/256 of a half-life. No library decides about money by its rounding.
fn decayed(age_secs: u32, half_life_secs: u32) -> i64 {
    let steps = u64::from(age_secs) * 256 / u64::from(half_life_secs.max(1));
    let (halves, steps) = (steps / 256, steps % 256);
    let whole = u32::try_from(halves).ok().and_then(|halves| (1u64 << 32).checked_shr(halves)).unwrap_or(0);
    let roots = ROOTS.iter().enumerate().filter(|(bit, _)| steps & (128 >> bit) != 0);
    let weight = roots.fold(whole, |weight, (_, root)| (weight * root) >> 32);
    i64::try_from(weight).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u32 = 86_400;

    fn path(clicks: &[(u64, u32)]) -> Vec<Touchpoint> {
        let click =
            |&(partner, day)| Touchpoint { partner: PartnerId::new(partner).unwrap(), at_secs: day * DAY };
        clicks.iter().map(click).collect()
    }

    #[test]
    fn shares_out_to_the_last_millionth() {
        let u = Model::Position { first: 400_000, last: 400_000 };
        let decay = Model::Decay { half_life_secs: 7 * DAY };
        let learned =
            Model::Weights([(PartnerId::new(1).unwrap(), 300), (PartnerId::new(2).unwrap(), 100)].into());
        let three: &[(u64, u32)] = &[(1, 0), (2, 7), (3, 14)];
        type Case<'a> = (&'a Model, &'a [(u64, u32)], &'a [u32]);
        let cases: &[Case<'_>] = &[
            (&Model::Last, three, &[0, 0, 1_000_000]),
            (&Model::First, three, &[1_000_000, 0, 0]),
            (&Model::Linear, three, &[333_334, 333_333, 333_333]),
            (&Model::Linear, &[(1, 0)], &[1_000_000]),
            (&u, &[(1, 0)], &[1_000_000]),
            (&u, &[(1, 0), (2, 1)], &[500_000, 500_000]),
            (&Model::Position { first: 100_000, last: 300_000 }, &[(1, 0), (2, 1)], &[250_000, 750_000]),
            (&u, three, &[400_000, 200_000, 400_000]),
            (&u, &[(1, 0), (2, 1), (3, 2), (4, 3)], &[400_000, 100_000, 100_000, 400_000]),
            // 1/4, 1/2, 1.
            (&decay, three, &[142_857, 285_714, 571_429]),
            // Long ago is nothing, and two in one second are alike.
            (&decay, &[(1, 0), (2, 3000)], &[0, 1_000_000]),
            (&decay, &[(1, 5), (2, 5)], &[500_000, 500_000]),
            (&learned, &[(1, 0), (2, 1)], &[750_000, 250_000]),
            (&learned, &[(1, 0), (2, 1), (1, 2)], &[428_572, 142_857, 428_571]),
            (&learned, three, &[750_000, 250_000, 0]),
            // Nobody whom it knows.
            (&learned, &[(8, 0), (9, 1)], &[500_000, 500_000]),
        ];
        for (model, clicks, expected) in cases {
            assert_eq!(shares(model, &path(clicks)), *expected, "{model:?} of {clicks:?}");
        }
    }

    pub(crate) fn model() -> impl Strategy<Value = Model> {
        let position = (0..=WHOLE, 0..=WHOLE)
            .prop_map(|(first, last)| Model::Position { first, last: last.min(WHOLE - first) });
        let weights = prop::collection::btree_map(
            (1..6u64).prop_map(|n| PartnerId::new(n).unwrap()),
            any::<u32>(),
            0..4,
        );
        prop_oneof![
            Just(Model::Last),
            Just(Model::First),
            Just(Model::Linear),
            position,
            any::<u32>().prop_map(|half_life_secs| Model::Decay { half_life_secs }),
            weights.prop_map(Model::Weights),
        ]
    }

    /// The square of the first root is a half, that of each other one the root before it, to the last digits.
    #[test]
    fn roots_are_roots() {
        let squares = ROOTS.map(|root| (root * root) >> 32);
        let expected = [1 << 31].into_iter().chain(ROOTS);
        for (square, expected) in squares.into_iter().zip(expected) {
            assert!(square.abs_diff(expected) <= 2, "{square} {expected}");
        }
        assert_eq!(decayed(DAY, 2 * DAY), 3_037_000_499);
    }

    proptest! {
        #[test]
        fn all_of_it_is_shared_out(
            model in model(), mut clicks in prop::collection::vec((1..6u64, any::<u32>()), 1..200),
        ) {
            clicks.sort_by_key(|(_, at)| *at);
            let path: Vec<Touchpoint> = clicks
                .iter()
                .map(|(partner, at_secs)| Touchpoint { partner: PartnerId::new(*partner).unwrap(), at_secs: *at_secs })
                .collect();
            let shares = shares(&model, &path);
            prop_assert_eq!(shares.len(), path.len());
            prop_assert_eq!(shares.iter().map(|share| u64::from(*share)).sum::<u64>(), u64::from(WHOLE));
        }

        /// Half as much after each half-life, and never more for an older click.
        #[test]
        fn decay_is_what_it_is_called(age in 0..400 * DAY, half_life in 3600..90 * DAY) {
            prop_assert!((decayed(age, half_life) - 2 * decayed(age + half_life, half_life)).abs() <= 18);
            prop_assert!(decayed(age + 1, half_life) <= decayed(age, half_life));
        }
    }
}
