//! Query strings and forms, read strictly: what is not well-formed is said to be so, never guessed at.

use proto_model::{PostbackField, Reason};
use proto_wire::limits::{SUB_ID_MAX, SUB_IDS, fits_or_empty};
use std::borrow::Cow;

/// More parameters than anybody needs.
const MAX_PAIRS: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

pub type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// The pairs of `application/x-www-form-urlencoded` text. The first pair too many is malformed and the
/// last one that is looked at.
pub fn pairs(text: &str) -> impl Iterator<Item = Result<Pair<'_>, Malformed>> {
    text.split('&').filter(|pair| !pair.is_empty()).take(MAX_PAIRS + 1).enumerate().map(|(n, pair)| {
        if n == MAX_PAIRS {
            return Err(Malformed);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

fn decode(text: &str) -> Result<Cow<'_, str>, Malformed> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = bytes.next().zip(bytes.next()).ok_or(Malformed)?;
                hex(high)? << 4 | hex(low)?
            }
            byte => byte,
        });
    }
    // Overlong forms and lone surrogates are no UTF-8 either.
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Malformed)
}

fn hex(byte: u8) -> Result<u8, Malformed> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(Malformed)
}

/// A partner's own tags on a click. A bad one is left out and named; it never costs the click.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubIds<'q> {
    /// Position 0 is `sub_id1`; empty where absent.
    pub tags: [Cow<'q, str>; SUB_IDS],
    /// The first thing that was wrong.
    pub problem: Option<Reason>,
}

impl<'q> SubIds<'q> {
    pub fn read(query: &'q str) -> Self {
        let mut found = Self::default();
        let mut given = [false; SUB_IDS];
        for pair in pairs(query) {
            let Ok((name, value)) = pair else {
                found.problem.get_or_insert(Reason::MalformedQuery);
                continue;
            };
            let Some(index) = sub_id(&name) else { continue };
            if std::mem::replace(&mut given[index], true) {
                found.problem.get_or_insert(Reason::ParameterRepeated);
            } else if let Err(reason) = checked(&value, SUB_ID_MAX) {
                found.problem.get_or_insert(reason);
            } else {
                found.tags[index] = value;
            }
        }
        found
    }

    /// Those that were checked already.
    pub fn of(tags: &'q [String]) -> Self {
        let mut found = Self::default();
        for (to, tag) in found.tags.iter_mut().zip(tags) {
            *to = Cow::Borrowed(tag);
        }
        found
    }

    pub fn texts(&self) -> [&str; SUB_IDS] {
        self.tags.each_ref().map(|tag| tag.as_ref())
    }
}

/// `sub_id1` or `sub1` is 0, up to 8.
pub fn sub_id(name: &str) -> Option<usize> {
    let digit = name.strip_prefix("sub_id").or_else(|| name.strip_prefix("sub"))?;
    match digit.as_bytes() {
        [byte @ b'1'..=b'8'] => Some(usize::from(byte - b'1')),
        _ => None,
    }
}

/// Whether `value` may be recorded as it is.
fn checked(value: &str, max: usize) -> Result<(), Reason> {
    if value.len() > max {
        Err(Reason::FieldTooLong)
    } else if fits_or_empty(value, max) {
        Ok(())
    } else {
        Err(Reason::MalformedQuery)
    }
}

/// The parameters of a conversion as they were sent. An empty one counts as absent: macros that were not
/// filled in look like that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversionParams<'q> {
    pub click_id: Option<Cow<'q, str>>,
    pub order_id: Option<Cow<'q, str>>,
    pub amount: Option<Cow<'q, str>>,
    pub currency: Option<Cow<'q, str>>,
    pub goal: Option<Cow<'q, str>>,
    pub event_id: Option<Cow<'q, str>>,
    pub coupon: Option<Cow<'q, str>>,
    pub customer_id: Option<Cow<'q, str>>,
    /// Only pages know it: no parameter sets it.
    pub visitor_id: Option<Cow<'q, str>>,
    pub status: Option<Cow<'q, str>>,
    pub token: Option<Cow<'q, str>>,
    pub timestamp: Option<Cow<'q, str>>,
    pub nonce: Option<Cow<'q, str>>,
    pub signature: Option<Cow<'q, str>>,
    /// The first thing that was wrong; the rest is kept so that a refusal can be recorded with it.
    pub problem: Option<Reason>,
}

impl<'q> ConversionParams<'q> {
    /// Reads the query, then the form, under our own names; a parameter in both is repeated.
    pub fn read(query: &'q str, form: &'q [u8]) -> Self {
        Self::read_as(PostbackField::parse, query, form)
    }

    /// As [`ConversionParams::read`], under the names that an advertiser uses.
    pub fn read_as(field: impl Fn(&str) -> Option<PostbackField>, query: &'q str, form: &'q [u8]) -> Self {
        let mut params = Self::default();
        params.take(&field, query);
        match std::str::from_utf8(form) {
            Ok(form) => params.take(&field, form),
            Err(_) => params.report(Reason::MalformedQuery),
        }
        params
    }

    fn take(&mut self, field: &impl Fn(&str) -> Option<PostbackField>, text: &'q str) {
        for pair in pairs(text) {
            let Ok((name, value)) = pair else {
                self.report(Reason::MalformedQuery);
                continue;
            };
            let Some(field) = field(&name) else { continue };
            let (slot, max) = self.slot(field);
            if slot.is_some() {
                self.report(Reason::ParameterRepeated);
                continue;
            }
            match checked(&value, max) {
                Ok(()) => *slot = Some(value),
                Err(reason) => self.report(reason),
            }
        }
        self.drop_empty();
    }

    fn report(&mut self, reason: Reason) {
        self.problem.get_or_insert(reason);
    }

    fn slot(&mut self, field: PostbackField) -> (&mut Option<Cow<'q, str>>, usize) {
        use proto_wire::limits::{COUPON_MAX, CUSTOMER_ID_MAX, EVENT_ID_MAX, GOAL_MAX, ORDER_ID_MAX};
        match field {
            // These are read, not recorded; the bounds only keep work small. A click id of the wrong length is
            // an invalid click id, so its bound is generous.
            PostbackField::ClickId => (&mut self.click_id, 4096),
            PostbackField::Amount => (&mut self.amount, 64),
            PostbackField::Currency => (&mut self.currency, 64),
            PostbackField::Status => (&mut self.status, 64),
            PostbackField::Token => (&mut self.token, 512),
            PostbackField::Timestamp => (&mut self.timestamp, 64),
            PostbackField::Nonce => (&mut self.nonce, 64),
            PostbackField::Signature => (&mut self.signature, 128),
            PostbackField::OrderId => (&mut self.order_id, ORDER_ID_MAX),
            PostbackField::Goal => (&mut self.goal, GOAL_MAX),
            PostbackField::EventId => (&mut self.event_id, EVENT_ID_MAX),
            PostbackField::Coupon => (&mut self.coupon, COUPON_MAX),
            PostbackField::CustomerId => (&mut self.customer_id, CUSTOMER_ID_MAX),
        }
    }

    pub fn get(&self, field: PostbackField) -> Option<&str> {
        match field {
            PostbackField::ClickId => self.click_id.as_deref(),
            PostbackField::Amount => self.amount.as_deref(),
            PostbackField::Currency => self.currency.as_deref(),
            PostbackField::Status => self.status.as_deref(),
            PostbackField::Token => self.token.as_deref(),
            PostbackField::Timestamp => self.timestamp.as_deref(),
            PostbackField::Nonce => self.nonce.as_deref(),
            PostbackField::Signature => self.signature.as_deref(),
            PostbackField::OrderId => self.order_id.as_deref(),
            PostbackField::Goal => self.goal.as_deref(),
            PostbackField::EventId => self.event_id.as_deref(),
            PostbackField::Coupon => self.coupon.as_deref(),
            PostbackField::CustomerId => self.customer_id.as_deref(),
        }
    }

    fn drop_empty(&mut self) {
        for field in PostbackField::ALL {
            let (slot, _) = self.slot(*field);
            if slot.as_deref() == Some("") {
                *slot = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_strictly() {
        let cases: &[(&str, Result<&str, Malformed>)] = &[
            ("plain", Ok("plain")),
            ("a+b%20c", Ok("a b c")),
            ("%E4%B8%AD", Ok("中")),
            ("%2", Err(Malformed)),
            ("%", Err(Malformed)),
            ("%zz", Err(Malformed)),
            ("%+1", Err(Malformed)),
            ("%FF", Err(Malformed)),
            ("%C0%AF", Err(Malformed)),
            ("%ED%A0%80", Err(Malformed)),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).as_deref(), expected.as_ref().map(|text| *text), "{text}");
        }
    }

    #[test]
    fn reads_sub_ids() {
        let long = format!("sub1={}", "x".repeat(257));
        let cases: &[(&str, &[&str], Option<Reason>)] = &[
            ("", &[], None),
            ("sub_id1=a&sub3=c%20d&other=1", &["a", "", "c d"], None),
            ("sub_id8=z", &["", "", "", "", "", "", "", "z"], None),
            ("sub_id9=z&sub_id0=z&sub_id11=z&sub=z", &[], None),
            ("sub1=a&sub_id1=b", &["a"], Some(Reason::ParameterRepeated)),
            ("sub1=%0d%0aSet-Cookie:x&sub2=b", &["", "b"], Some(Reason::MalformedQuery)),
            ("sub1=%ff&sub2=b", &["", "b"], Some(Reason::MalformedQuery)),
            ("sub1=a&x=%", &["a"], Some(Reason::MalformedQuery)),
            (&long, &[], Some(Reason::FieldTooLong)),
            ("sub1=&sub2=", &[], None),
            ("&&=&a", &[], None),
        ];
        for (query, tags, problem) in cases {
            let found = SubIds::read(query);
            let mut expected = [""; SUB_IDS];
            expected[..tags.len()].copy_from_slice(tags);
            assert_eq!((found.texts(), found.problem), (expected, *problem), "{query}");
        }
    }

    #[test]
    fn reads_conversions() {
        let params = ConversionParams::read("order_id=A1&coupon=&utm=x", b"amount=19.90&currency=USD");
        let expected = ConversionParams {
            order_id: Some("A1".into()),
            amount: Some("19.90".into()),
            currency: Some("USD".into()),
            ..Default::default()
        };
        assert_eq!(params, expected);
        let many = "a=1&".repeat(200);
        let cases: &[(&str, &[u8], Reason)] = &[
            ("order_id=A&order_id=B", b"", Reason::ParameterRepeated),
            ("order_id=A", b"order_id=A", Reason::ParameterRepeated),
            ("token=a&token=b", b"", Reason::ParameterRepeated),
            ("order_id=%00", b"", Reason::MalformedQuery),
            ("order_id=A&x=%f", b"", Reason::MalformedQuery),
            ("order_id=A", b"\xff", Reason::MalformedQuery),
            (&many, b"", Reason::MalformedQuery),
            (
                "goal=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                b"",
                Reason::FieldTooLong,
            ),
        ];
        for (query, form, problem) in cases {
            assert_eq!(ConversionParams::read(query, form).problem, Some(*problem), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(query in "\\PC{0,200}", form: Vec<u8>) {
            let sub_ids = SubIds::read(&query);
            prop_assert!(sub_ids.texts().iter().all(|tag| !tag.chars().any(char::is_control)));
            let params = ConversionParams::read(&query, &form);
            let recorded = [params.order_id, params.goal, params.customer_id];
            let clean = |text: &Cow<'_, str>| !text.is_empty() && !text.chars().any(char::is_control);
            prop_assert!(recorded.iter().flatten().all(clean));
        }

        #[test]
        fn what_was_encoded_is_decoded(value in "\\PC{1,40}") {
            let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("sub1", &value).finish();
            let found = SubIds::read(&query);
            prop_assert_eq!(found.texts()[0], value);
        }
    }
}
