//! How an advertiser's server reports: under which names, with which words, vouched for by what.

use crate::facts::coded_enum;

coded_enum!(
    /// What a postback may say. The text is our own name of the parameter.
    PostbackField {
        ClickId = 1 "click_id",
        OrderId = 2 "order_id",
        Goal = 3 "goal",
        EventId = 4 "event_id",
        Amount = 5 "amount",
        Currency = 6 "currency",
        Coupon = 7 "coupon",
        CustomerId = 8 "customer_id",
        Status = 9 "status",
        Token = 10 "token",
        /// Unix seconds at which a signed postback was made.
        Timestamp = 11 "timestamp",
        /// Makes each signed postback another one.
        Nonce = 12 "nonce",
        Signature = 13 "signature",
    }
);

coded_enum!(
    /// Whose names an advertiser's server uses. `tid` is a click id in some systems and an order id in others,
    /// so that names belong to an advertiser and are never guessed.
    ParameterProfile {
        Tributary = 1 "tributary",
        Everflow = 2 "everflow",
        Tune = 3 "tune",
        Affise = 4 "affise",
        Voluum = 5 "voluum",
        Keitaro = 6 "keitaro",
        Cake = 7 "cake",
        Impact = 8 "impact",
        /// Ours, but for the names that the advertiser gives itself.
        Custom = 9 "custom",
    }
);

coded_enum!(
    /// What vouches for a postback.
    PostbackAuth {
        /// A static token in the URL.
        Token = 1 "token",
        /// HMAC-SHA256 with a timestamp and a nonce.
        Hmac = 2 "hmac",
        /// The address it comes from.
        IpList = 3 "ip_list",
    }
);

coded_enum!(
    /// What an advertiser says of a conversion.
    ConversionStatus {
        Approved = 1 "approved",
        Pending = 2 "pending",
        Rejected = 3 "rejected",
        /// Being looked into.
        Hold = 4 "hold",
    }
);

pub const PARAMETER_NAME_MAX: usize = 64;
/// Of one advertiser.
pub const STATUS_WORDS_MAX: usize = 32;

impl ParameterProfile {
    /// The system's own names, with what they mean here. What it has no name for keeps ours.
    pub const fn names(self) -> &'static [(&'static str, PostbackField)] {
        use PostbackField as F;
        match self {
            Self::Tributary | Self::Custom => &[],
            Self::Everflow => &[
                ("transaction_id", F::ClickId),
                ("order_id", F::OrderId),
                ("oid", F::OrderId),
                ("event_id", F::Goal),
                ("amount", F::Amount),
                ("coupon_code", F::Coupon),
                ("verification_token", F::Token),
            ],
            Self::Tune => &[
                ("transaction_id", F::ClickId),
                ("adv_sub", F::OrderId),
                ("goal_id", F::Goal),
                ("amount", F::Amount),
                ("promo_code", F::Coupon),
                ("security_token", F::Token),
            ],
            Self::Affise => &[
                ("clickid", F::ClickId),
                ("action_id", F::OrderId),
                ("goal", F::Goal),
                ("sum", F::Amount),
                ("status", F::Status),
                ("promo_code", F::Coupon),
                ("secure", F::Token),
            ],
            Self::Voluum => {
                &[("cid", F::ClickId), ("txid", F::OrderId), ("et", F::Goal), ("payout", F::Amount)]
            }
            Self::Keitaro => &[
                ("subid", F::ClickId),
                ("tid", F::OrderId),
                ("payout", F::Amount),
                ("currency", F::Currency),
                ("status", F::Status),
            ],
            Self::Cake => &[("r", F::ClickId), ("t", F::OrderId), ("e", F::Goal), ("p", F::Amount)],
            Self::Impact => &[
                ("ClickId", F::ClickId),
                ("OrderId", F::OrderId),
                ("EventTypeCode", F::Goal),
                ("ItemSubTotal1", F::Amount),
                ("CurrencyCode", F::Currency),
                ("OrderPromoCode", F::Coupon),
                ("CustomerId", F::CustomerId),
            ],
        }
    }

    /// Words that the system uses for a status beside ours.
    pub const fn statuses(self) -> &'static [(&'static str, ConversionStatus)] {
        use ConversionStatus as S;
        match self {
            Self::Affise => &[
                ("1", S::Approved),
                ("2", S::Pending),
                ("3", S::Rejected),
                ("5", S::Hold),
                ("confirmed", S::Approved),
                ("declined", S::Rejected),
            ],
            Self::Keitaro => &[("lead", S::Pending), ("sale", S::Approved), ("trash", S::Rejected)],
            Self::Impact => &[("reversed", S::Rejected)],
            _ => &[],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("`{0}` is not the name of a parameter; use 1 to 64 letters, digits, `_`, `-` and `.`")]
    Name(String),
    #[error("`{name}` would be both {} and {}; give each its own name", .one.as_str(), .other.as_str())]
    Ambiguous { name: String, one: PostbackField, other: PostbackField },
    #[error("`{0}` is not a status word; use 1 to 64 printable characters without blanks at the ends")]
    Word(String),
    #[error("the status word `{0}` stands twice")]
    WordTwice(String),
    #[error("more than {STATUS_WORDS_MAX} status words")]
    TooManyWords,
}

/// Which parameter means what, for one advertiser.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParameterNames(Box<[(Box<str>, PostbackField)]>);

impl ParameterNames {
    /// The advertiser's own names come before the profile's, and those before ours.
    pub fn try_new<'a>(
        profile: ParameterProfile,
        own: impl IntoIterator<Item = (PostbackField, &'a str)>,
    ) -> Result<Self, ParameterError> {
        let mut names: Vec<(Box<str>, PostbackField)> = Vec::new();
        for (field, name) in own {
            if !is_parameter(name) {
                return Err(ParameterError::Name(name.to_owned()));
            }
            if let Some((_, one)) = names.iter().find(|(taken, _)| **taken == *name) {
                return Err(ParameterError::Ambiguous { name: name.to_owned(), one: *one, other: field });
            }
            names.push((name.into(), field));
        }
        add(&mut names, profile.names());
        let ours: Vec<_> = PostbackField::ALL.iter().map(|field| (field.as_str(), *field)).collect();
        add(&mut names, &ours);
        names.sort_unstable();
        Ok(Self(names.into()))
    }

    pub fn field(&self, name: &str) -> Option<PostbackField> {
        let at = self.0.binary_search_by(|(held, _)| (**held).cmp(name)).ok()?;
        self.0.get(at).map(|(_, field)| *field)
    }

    /// In the order of the alphabet.
    pub fn all(&self) -> impl Iterator<Item = (&str, PostbackField)> {
        self.0.iter().map(|(name, field)| (&**name, *field))
    }
}

/// Names of fields that have none yet, as far as they are free.
fn add(names: &mut Vec<(Box<str>, PostbackField)>, more: &[(&'static str, PostbackField)]) {
    let named: Vec<_> = names.iter().map(|(_, field)| *field).collect();
    for (name, field) in more {
        if !named.contains(field) && !names.iter().any(|(taken, _)| **taken == **name) {
            names.push(((*name).into(), *field));
        }
    }
}

fn is_parameter(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=PARAMETER_NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// Which word stands for which status, for one advertiser. Words are compared without case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusWords(Box<[(Box<str>, ConversionStatus)]>);

impl StatusWords {
    /// The advertiser's own words come before the profile's, and those before ours.
    pub fn try_new<'a>(
        profile: ParameterProfile,
        own: impl IntoIterator<Item = (&'a str, ConversionStatus)>,
    ) -> Result<Self, ParameterError> {
        let mut words: Vec<(Box<str>, ConversionStatus)> = Vec::new();
        for (word, status) in own {
            let fits = (1..=PARAMETER_NAME_MAX).contains(&word.len()) && word.trim() == word;
            if !fits || word.chars().any(char::is_control) {
                return Err(ParameterError::Word(word.to_owned()));
            }
            let word = word.to_ascii_lowercase();
            if words.iter().any(|(taken, _)| **taken == *word) {
                return Err(ParameterError::WordTwice(word));
            }
            if words.len() == STATUS_WORDS_MAX {
                return Err(ParameterError::TooManyWords);
            }
            words.push((word.into(), status));
        }
        let ours = ConversionStatus::ALL.iter().map(|status| (status.as_str(), *status));
        for (word, status) in profile.statuses().iter().copied().chain(ours) {
            if !words.iter().any(|(taken, _)| **taken == *word) {
                words.push((word.into(), status));
            }
        }
        words.sort_unstable();
        Ok(Self(words.into()))
    }

    pub fn status(&self, word: &str) -> Option<ConversionStatus> {
        let word = word.to_ascii_lowercase();
        let at = self.0.binary_search_by(|(held, _)| (**held).cmp(word.as_str())).ok()?;
        self.0.get(at).map(|(_, status)| *status)
    }
}

#[cfg(test)]
#[path = "postback_tests.rs"]
mod tests;
