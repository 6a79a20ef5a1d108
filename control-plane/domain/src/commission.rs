//! What a conversion earns: flat or a percentage, in integers.

use crate::journey::is_usable;
use crate::order::Arithmetic;
use crate::terms::Plan;
use proto_model::Amount;

/// What a plan makes of what stands of a conversion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Worth {
    Known(Arithmetic),
    /// A percentage of an amount that nobody has stated.
    AwaitingAmount,
    /// Outside what the ledger takes: a rate far above 100 % on an amount near the limit, or terms that
    /// state a negative amount.
    OutOfRange,
}

pub(crate) fn worth(plan: &Plan, net: Option<Amount>) -> Worth {
    let arithmetic = match (plan, net) {
        (Plan::Flat(result), _) => Some(Arithmetic::Flat { result: *result }),
        (Plan::Percentage(_), None) => return Worth::AwaitingAmount,
        (Plan::Percentage(rate), Some(base)) => rate.of(base.minor).map(|minor| {
            let result = Amount::new(minor, base.currency);
            Arithmetic::Percentage { base, rate: *rate, result }
        }),
    };
    match arithmetic.filter(|arithmetic| is_usable(arithmetic.result())) {
        Some(arithmetic) => Worth::Known(arithmetic),
        None => Worth::OutOfRange,
    }
}

impl Arithmetic {
    /// What it comes to.
    pub const fn result(&self) -> Amount {
        match self {
            Self::Flat { result } | Self::Percentage { result, .. } => *result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_model::money::MAX_MINOR;
    use proto_model::{Currency, Rate};

    #[test]
    fn computes_in_minor_units() {
        let usd = Currency::parse("USD").unwrap();
        let jpy = Currency::parse("JPY").unwrap();
        let flat = Plan::Flat(Amount::new(500, jpy));
        let percent = |ppm| Plan::Percentage(Rate(ppm));
        let cases = [
            (flat.clone(), Some(Amount::new(1990, usd)), Some(Amount::new(500, jpy))),
            (flat, None, Some(Amount::new(500, jpy))),
            (percent(100_000), Some(Amount::new(1995, usd)), Some(Amount::new(200, usd))),
            (percent(100_000), Some(Amount::new(1994, usd)), Some(Amount::new(199, usd))),
            (percent(1), Some(Amount::new(499_999, usd)), Some(Amount::new(0, usd))),
            (percent(1), Some(Amount::new(500_000, usd)), Some(Amount::new(1, usd))),
            (percent(0), Some(Amount::new(1994, usd)), Some(Amount::new(0, usd))),
            (percent(1_000_000), Some(Amount::new(MAX_MINOR, usd)), Some(Amount::new(MAX_MINOR, usd))),
            (percent(1_000_001), Some(Amount::new(MAX_MINOR, usd)), None),
            (percent(u32::MAX), Some(Amount::new(i64::MAX, usd)), None),
            (Plan::Flat(Amount::new(-1, usd)), None, None),
        ];
        for (plan, net, expected) in cases {
            let found = match worth(&plan, net) {
                Worth::Known(arithmetic) => Some(arithmetic.result()),
                _ => None,
            };
            assert_eq!(found, expected, "{plan:?} of {net:?}");
        }
        assert_eq!(worth(&percent(1), None), Worth::AwaitingAmount);
    }
}
