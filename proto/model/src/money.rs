//! Money in integer minor units, and rates in parts per million.

use std::fmt;

/// An ISO 4217 code that we know the minor-unit exponent of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

const TWO: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD \
CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG \
HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK \
MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS \
SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW";
const ZERO: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";

/// The largest amount accepted from outside: 10^15 minor units. Sums of millions of them fit an i64
/// only up to a point; every addition in the ledger is checked.
pub const MAX_MINOR: i64 = 1_000_000_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("unknown currency (use an ISO 4217 code such as USD or CNY)")]
    UnknownCurrency,
    #[error("not an amount (use a plain decimal such as 19.90, no sign, no separators)")]
    NotADecimal,
    #[error("more decimal places than the currency has")]
    TooPrecise,
    #[error("amount is too large")]
    TooLarge,
}

impl Currency {
    /// ISO 4217's code for "no currency": of a zero amount whose currency is not known yet.
    pub const NONE: Self = Self(*b"XXX");

    /// A currency from outside. [`Currency::NONE`] is not one.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| AmountError::UnknownCurrency)?;
        let known = [TWO, ZERO, THREE].iter().any(|list| list.split(' ').any(|code| code == text));
        if known { Ok(Self(bytes)) } else { Err(AmountError::UnknownCurrency) }
    }

    /// A currency that we wrote ourselves: also [`Currency::NONE`].
    pub fn parse_stored(text: &str) -> Result<Self, AmountError> {
        if text.as_bytes() == Self::NONE.0 { Ok(Self::NONE) } else { Self::parse(text) }
    }

    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Decimal places of the minor unit.
    pub fn exponent(self) -> u32 {
        let is_in = |list: &str| list.split(' ').any(|code| code.as_bytes() == self.0);
        if is_in(ZERO) {
            0
        } else if is_in(THREE) {
            3
        } else {
            2
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// `minor` units of `currency`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Amount {
    pub minor: i64,
    pub currency: Currency,
}

impl Amount {
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads a decimal string as partners send it: digits and at most one point, never a sign.
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, AmountError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(AmountError::NotADecimal),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
            return Err(AmountError::NotADecimal);
        }
        if whole.len() > 24 || fraction.len() > 24 {
            return Err(AmountError::TooLarge);
        }
        let exponent = usize::try_from(currency.exponent()).unwrap_or_default();
        let kept = fraction.trim_end_matches('0');
        if kept.len() > exponent {
            return Err(AmountError::TooPrecise);
        }
        let mut minor: i64 = 0;
        let padding = std::iter::repeat_n(b'0', exponent - kept.len());
        for byte in whole.bytes().chain(kept.bytes()).chain(padding) {
            minor = minor
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                .filter(|m| *m <= MAX_MINOR)
                .ok_or(AmountError::TooLarge)?;
        }
        Ok(Self { minor, currency })
    }

    /// The decimal string of this amount, e.g. `19.90` or `-0.05`.
    pub fn decimal(self) -> String {
        let exponent = self.currency.exponent();
        let sign = if self.minor < 0 { "-" } else { "" };
        let minor = self.minor.unsigned_abs();
        let unit = 10u64.pow(exponent);
        if exponent == 0 {
            return format!("{sign}{minor}");
        }
        let width = usize::try_from(exponent).unwrap_or_default();
        format!("{sign}{}.{:0width$}", minor / unit, minor % unit)
    }
}

/// Parts per million: 10 % is `Rate(100_000)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rate(pub u32);

impl Rate {
    pub const ONE: Self = Self(1_000_000);

    /// `minor * rate`, rounded half away from zero (what an invoice does). `None` on overflow, which
    /// only a rate above 100 % on an amount near the i64 range can cause.
    pub fn of(self, minor: i64) -> Option<i64> {
        let product = i128::from(minor) * i128::from(self.0);
        let half = if product < 0 { -500_000 } else { 500_000 };
        i64::try_from((product + half) / 1_000_000).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, code: &str) -> Result<i64, AmountError> {
        Amount::parse_decimal(text, Currency::parse(code)?).map(|a| a.minor)
    }

    #[test]
    fn reads_decimals() {
        let cases: &[(&str, &str, Result<i64, AmountError>)] = &[
            ("19.90", "USD", Ok(1990)),
            ("19.9", "USD", Ok(1990)),
            ("19", "USD", Ok(1900)),
            ("0.05", "CNY", Ok(5)),
            ("19.900", "USD", Ok(1990)),
            ("1500", "JPY", Ok(1500)),
            ("1500.5", "JPY", Err(AmountError::TooPrecise)),
            ("1.234", "KWD", Ok(1234)),
            ("1.234", "USD", Err(AmountError::TooPrecise)),
            ("-1", "USD", Err(AmountError::NotADecimal)),
            ("+1", "USD", Err(AmountError::NotADecimal)),
            ("1e3", "USD", Err(AmountError::NotADecimal)),
            ("NaN", "USD", Err(AmountError::NotADecimal)),
            ("1,00", "USD", Err(AmountError::NotADecimal)),
            ("1.", "USD", Err(AmountError::NotADecimal)),
            (".5", "USD", Err(AmountError::NotADecimal)),
            ("", "USD", Err(AmountError::NotADecimal)),
            ("1.2.3", "USD", Err(AmountError::NotADecimal)),
            ("١", "USD", Err(AmountError::NotADecimal)),
            ("10000000000000.01", "USD", Err(AmountError::TooLarge)),
            ("99999999999999999999999999999999", "USD", Err(AmountError::TooLarge)),
            ("1", "usd", Err(AmountError::UnknownCurrency)),
            ("1", "ZZZ", Err(AmountError::UnknownCurrency)),
            ("1", "XXX", Err(AmountError::UnknownCurrency)),
        ];
        for (text, code, expected) in cases {
            assert_eq!(&read(text, code), expected, "{text} {code}");
        }
    }

    #[test]
    fn rounds_half_away_from_zero() {
        assert_eq!(Rate(100_000).of(1995), Some(200));
        assert_eq!(Rate(100_000).of(1994), Some(199));
        assert_eq!(Rate(100_000).of(-1995), Some(-200));
        assert_eq!(Rate::ONE.of(i64::MAX), Some(i64::MAX));
        assert_eq!(Rate(2_000_000).of(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn decimals_read_back(minor in 0..MAX_MINOR, code in prop::sample::select(vec!["USD", "CNY", "JPY", "KWD"])) {
            let amount = Amount::new(minor, Currency::parse(code).unwrap());
            prop_assert_eq!(Amount::parse_decimal(&amount.decimal(), amount.currency), Ok(amount));
        }

        #[test]
        fn any_text_is_refused_or_read(text in "\\PC*") {
            let _ = Amount::parse_decimal(&text, Currency::parse("USD").unwrap());
            let _ = Currency::parse(&text);
        }
    }
}
