//! How what happens to an order's money is shared among the order's conversions.
//!
//! Conversions of one goal are parts of the order (their event ids tell them apart), so an amended total
//! or a refund is split among them in proportion to their amounts, to the last minor unit. Different
//! goals are different views of the same order, and each sees all of it. What only pixels claim never
//! takes a share from what a postback confirmed.

use crate::journey::Journey;
use crate::order::{Conversion, Order};
use proto_model::event::Authority;
use proto_model::{Amount, Currency};

/// What an order's journey has left of one conversion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// The amount that still stands; `None` = nobody has stated one.
    pub(crate) net: Option<Amount>,
    /// Who stands behind that amount.
    pub(crate) basis: Option<Authority>,
    /// Why nothing is left of it, if so.
    pub(crate) gone: Option<&'static str>,
}

/// Splits `total` in proportion to `weights`; the units that rounding leaves over go to the largest
/// remainders, then to the first. All weights zero = equal shares. Nothing negative may come in.
pub(crate) fn split(total: i128, weights: &[i64]) -> Vec<i64> {
    let equal = weights.iter().all(|weight| *weight == 0);
    let weight = |index: usize| if equal { 1 } else { i128::from(weights[index]) };
    let sum: i128 = (0..weights.len()).map(weight).sum();
    if sum == 0 {
        return Vec::new();
    }
    let part = |index: usize| total * weight(index);
    let mut shares: Vec<i128> = (0..weights.len()).map(|index| part(index) / sum).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|index| (-(part(*index) % sum), *index));
    let left = total - shares.iter().sum::<i128>();
    for index in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[index] += 1;
    }
    shares.into_iter().map(|share| i64::try_from(share).unwrap_or(i64::MAX)).collect()
}

/// The standing of every conversion, in the order of `order.conversions`.
pub(crate) fn standings(order: &Order, journey: &Journey) -> Vec<Standing> {
    let all: Vec<&Conversion> = order.conversions.values().collect();
    let confirmed = |conversion: &Conversion| conversion.authority >= Authority::TokenPostback;
    let mut found = vec![Standing { net: None, basis: None, gone: None }; all.len()];
    let mut goals: Vec<&str> = all.iter().map(|conversion| conversion.key.goal.as_str()).collect();
    goals.sort_unstable();
    goals.dedup();
    for goal in goals {
        let of_goal = |index: &usize| all[*index].key.goal == goal;
        let everyone: Vec<usize> = (0..all.len()).filter(of_goal).collect();
        let (sure, claimed): (Vec<usize>, Vec<usize>) =
            everyone.iter().copied().partition(|index| confirmed(all[*index]));
        for (pool, members) in [(&sure, &sure), (&everyone, &claimed)] {
            let conversions: Vec<&Conversion> = pool.iter().map(|index| all[*index]).collect();
            for (index, standing) in pool.iter().zip(pool_standings(&conversions, journey)) {
                if members.contains(index) {
                    found[*index] = standing;
                }
            }
        }
    }
    found
}

fn pool_standings(pool: &[&Conversion], journey: &Journey) -> Vec<Standing> {
    let bases = bases(pool, journey);
    let mut standings: Vec<Standing> = bases
        .iter()
        .map(|base| Standing {
            net: base.map(|(amount, _)| amount),
            basis: base.map(|(_, authority)| authority),
            gone: journey.all_gone(),
        })
        .collect();
    let mut currencies: Vec<Currency> = bases.iter().flatten().map(|(amount, _)| amount.currency).collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in currencies {
        take_back(&mut standings, currency, journey);
    }
    for standing in &mut standings {
        if let (Some(net), Some(_)) = (&mut standing.net, standing.gone) {
            net.minor = 0;
        }
    }
    standings
}

/// What each conversion is of the order's total, before anything went back, and who says so.
fn bases(pool: &[&Conversion], journey: &Journey) -> Vec<Option<(Amount, Authority)>> {
    let own = |conversion: &&Conversion| {
        let authority = conversion.amount_authority.unwrap_or(Authority::Pixel);
        conversion.amount.map(|amount| (amount, authority))
    };
    let mut bases: Vec<Option<(Amount, Authority)>> = pool.iter().map(own).collect();
    let mut currencies: Vec<Option<Currency>> =
        bases.iter().flatten().map(|(amount, _)| Some(amount.currency)).collect();
    currencies.sort_unstable();
    currencies.dedup();
    if currencies.is_empty() {
        currencies.push(None);
    }
    // Which currency an unstated part is in can only be told when there is one.
    let single = currencies.len() == 1;
    for currency in currencies {
        apportion(&mut bases, currency, single, journey);
    }
    bases
}

/// Gives the parts that are known in `currency` what an amendment left of them, and those of which
/// nothing is known the rest of the total.
fn apportion(
    bases: &mut [Option<(Amount, Authority)>],
    currency: Option<Currency>,
    single: bool,
    journey: &Journey,
) {
    let amended = journey.amended.of(currency);
    let Some(total) = amended.or(journey.stated.of(currency)) else { return };
    let unknown: Vec<usize> = (0..bases.len()).filter(|index| single && bases[*index].is_none()).collect();
    let of_currency = |(amount, _): (Amount, Authority)| amount.currency == total.currency;
    let known: Vec<usize> = (0..bases.len()).filter(|index| bases[*index].is_some_and(of_currency)).collect();
    let amounts: Vec<i64> = known.iter().map(|index| bases[*index].map_or(0, |(a, _)| a.minor)).collect();
    let rest = i128::from(total.minor) - amounts.iter().map(|minor| i128::from(*minor)).sum::<i128>();
    let mut assign = |indices: &[usize], shares: Vec<i64>| {
        for (index, share) in indices.iter().zip(shares) {
            bases[*index] = Some((Amount::new(share, total.currency), Authority::Signed));
        }
    };
    // An amended total replaces the parts, unless parts that nobody has stated explain the difference.
    if amended.is_some() && (unknown.is_empty() || rest < 0) {
        assign(&known, split(i128::from(total.minor), &amounts));
    }
    assign(&unknown, split(rest.max(0), &vec![0; unknown.len()]));
}

/// Takes what went back in `currency` from the standings in that currency.
fn take_back(standings: &mut [Standing], currency: Currency, journey: &Journey) {
    let mut affected: Vec<&mut Standing> =
        standings.iter_mut().filter(|s| s.net.is_some_and(|net| net.currency == currency)).collect();
    let weights: Vec<i64> = affected.iter().map(|s| s.net.map_or(0, |net| net.minor)).collect();
    let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    let (back, why) = journey.went_back(currency, whole);
    if whole == 0 || back == 0 {
        return;
    }
    for ((standing, weight), share) in affected.iter_mut().zip(&weights).zip(split(back, &weights)) {
        let left = (*weight - share).max(0);
        standing.net = Some(Amount::new(left, currency));
        if left == 0 && *weight > 0 {
            standing.gone = standing.gone.or(Some(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_to_the_last_unit() {
        let cases: &[(i128, &[i64], &[i64])] = &[
            (10, &[1, 1, 1], &[4, 3, 3]),
            (100, &[60, 40], &[60, 40]),
            (5, &[0, 0], &[3, 2]),
            (7, &[0, 9], &[0, 7]),
            (0, &[3, 4], &[0, 0]),
            (1, &[1, 999], &[0, 1]),
            (9, &[], &[]),
        ];
        for (total, weights, expected) in cases {
            assert_eq!(split(*total, weights), *expected, "{total} by {weights:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_gives_more_than_they_have(
            weights in prop::collection::vec(0..1_000_000_000_000_000i64, 1..9), per_mille in 0..=1000i128,
        ) {
            let whole: i128 = weights.iter().map(|w| i128::from(*w)).sum();
            let total = whole * per_mille / 1000;
            let shares = split(total, &weights);
            prop_assert_eq!(shares.iter().map(|s| i128::from(*s)).sum::<i128>(), total);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(share <= weight);
            }
        }
    }
}
