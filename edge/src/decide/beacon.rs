//! What `/t.js` sends to `POST /e`: one JSON object, as plain text so that browsers ask no permission first.

use super::params::ConversionParams;
use proto_model::Reason;
use proto_wire::limits::{
    COUPON_MAX, CUSTOMER_ID_MAX, EVENT_ID_MAX, GOAL_MAX, ORDER_ID_MAX, REFERRER_MAX, SUB_ID_MAX, SUB_IDS,
    VISITOR_ID_MAX, fits_or_empty,
};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The largest message; a browser sends no beacon beyond 64 KiB, and ours have a dozen short fields.
pub const MAX_BODY: usize = 16 * 1024;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beacon {
    /// A page that partners link to directly: a click without a redirect.
    Click(DirectClick),
    /// Whose click it was: a touch is born.
    Touch(Touch),
    Conversion(Box<Conversion>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectClick {
    pub link: String,
    /// Position 0 is `sub_id1`; as long as the last one given.
    pub sub_ids: Vec<String>,
    /// Where the visitor came from; the header names the page itself.
    pub referrer: String,
    pub consent: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    pub advertiser: String,
    pub click_id: String,
    pub visitor_id: Option<String>,
    pub customer_id: Option<String>,
    pub consent: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    pub advertiser: String,
    pub params: ConversionParams<'static>,
    pub consent: Option<bool>,
}

/// Unknown fields are left alone: a page may run a newer script than the edge serves.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    advertiser: Option<String>,
    link: Option<String>,
    click_id: Option<String>,
    visitor_id: Option<String>,
    customer_id: Option<String>,
    order_id: Option<Text>,
    amount: Option<String>,
    currency: Option<String>,
    goal: Option<String>,
    event_id: Option<Text>,
    coupon: Option<String>,
    referrer: Option<String>,
    consent: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

/// A page writes an order number with quotes or without. An amount is always a text: no float comes near money.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(u64),
}

impl Text {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl Beacon {
    pub fn read(body: &[u8]) -> Result<Self, Reason> {
        let message: Message = serde_json::from_slice(body).map_err(|_| Reason::MalformedBody)?;
        match message.kind.as_str() {
            "click" => message.click(),
            "touch" => message.touch(),
            "conversion" => message.conversion(),
            _ => Err(Reason::MalformedBody),
        }
    }
}

impl Message {
    fn consent(&self) -> Option<bool> {
        match self.consent.as_deref() {
            Some("granted") => Some(true),
            Some(_) => Some(false),
            None => None,
        }
    }

    fn click(self) -> Result<Beacon, Reason> {
        let consent = self.consent();
        let mut sub_ids = Vec::new();
        for (name, value) in &self.more {
            let Some(index) = super::params::sub_id(name) else { continue };
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Number(number) => number.to_string(),
                _ => return Err(Reason::MalformedBody),
            };
            let value = checked(value, SUB_ID_MAX)?;
            sub_ids.resize(sub_ids.len().max(index + 1).min(SUB_IDS), String::new());
            if let Some(place) = sub_ids.get_mut(index) {
                *place = value;
            }
        }
        let link = checked(self.link.ok_or(Reason::UnknownLink)?, 64)?;
        let referrer =
            proto_wire::limits::clean(&self.referrer.unwrap_or_default(), REFERRER_MAX).into_owned();
        Ok(Beacon::Click(DirectClick { link, sub_ids, referrer, consent }))
    }

    fn touch(self) -> Result<Beacon, Reason> {
        let consent = self.consent();
        let visitor_id = optional(self.visitor_id, VISITOR_ID_MAX)?;
        let customer_id = optional(self.customer_id, CUSTOMER_ID_MAX)?;
        if visitor_id.is_none() && customer_id.is_none() {
            return Err(Reason::MalformedBody);
        }
        Ok(Beacon::Touch(Touch {
            advertiser: checked(self.advertiser.ok_or(Reason::UnknownAdvertiser)?, 64)?,
            click_id: checked(self.click_id.ok_or(Reason::InvalidClickId)?, 4096)?,
            visitor_id,
            customer_id,
            consent,
        }))
    }

    fn conversion(self) -> Result<Beacon, Reason> {
        let consent = self.consent();
        let mut problem = None;
        let mut take = |text: Option<String>, max| {
            optional(text, max).unwrap_or_else(|reason| {
                problem.get_or_insert(reason);
                None
            })
        };
        let mut take = |text, max| take(text, max).map(Cow::Owned);
        let params = ConversionParams {
            click_id: take(self.click_id, 4096),
            order_id: take(self.order_id.map(Text::into_text), ORDER_ID_MAX),
            amount: take(self.amount, 64),
            currency: take(self.currency, 64),
            goal: take(self.goal, GOAL_MAX),
            event_id: take(self.event_id.map(Text::into_text), EVENT_ID_MAX),
            coupon: take(self.coupon, COUPON_MAX),
            customer_id: take(self.customer_id, CUSTOMER_ID_MAX),
            visitor_id: take(self.visitor_id, VISITOR_ID_MAX),
            ..ConversionParams::default()
        };
        let advertiser = checked(self.advertiser.ok_or(Reason::UnknownAdvertiser)?, 64)?;
        let params = ConversionParams { problem, ..params };
        Ok(Beacon::Conversion(Box::new(Conversion { advertiser, params, consent })))
    }
}

/// Empty counts as absent.
fn optional(text: Option<String>, max: usize) -> Result<Option<String>, Reason> {
    text.filter(|text| !text.is_empty()).map(|text| checked(text, max)).transpose()
}

fn checked(text: String, max: usize) -> Result<String, Reason> {
    if text.len() > max {
        Err(Reason::FieldTooLong)
    } else if fits_or_empty(&text, max) {
        Ok(text)
    } else {
        Err(Reason::MalformedBody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_script_sends() {
        let click = br#"{"type":"click","link":"lnk_1","sub1":"a","sub_id3":7,"referrer":"https://b.example/\u0007","advertiser":"adv_1","consent":"denied"}"#;
        let expected = DirectClick {
            link: "lnk_1".into(),
            sub_ids: vec!["a".into(), String::new(), "7".into()],
            referrer: "https://b.example/ ".into(),
            consent: Some(false),
        };
        assert_eq!(Beacon::read(click), Ok(Beacon::Click(expected)));
        let touch =
            br#"{"type":"touch","advertiser":"adv_1","click_id":"c","visitor_id":"v","consent":"granted"}"#;
        let expected = Touch {
            advertiser: "adv_1".into(),
            click_id: "c".into(),
            visitor_id: Some("v".into()),
            customer_id: None,
            consent: Some(true),
        };
        assert_eq!(Beacon::read(touch), Ok(Beacon::Touch(expected)));
        let conversion = br#"{"type":"conversion","advertiser":"adv_1","order_id":1001,"amount":"19.90","currency":"USD","goal":""}"#;
        let Ok(Beacon::Conversion(conversion)) = Beacon::read(conversion) else { panic!("a conversion") };
        assert_eq!(conversion.params.order_id.as_deref(), Some("1001"));
        assert_eq!(conversion.params.amount.as_deref(), Some("19.90"));
        assert_eq!(
            (conversion.params.goal, conversion.params.problem, conversion.consent),
            (None, None, None)
        );
    }

    #[test]
    fn refuses_the_rest() {
        let long = format!(r#"{{"type":"click","link":"{}"}}"#, "x".repeat(65));
        let deep = format!(r#"{{"type":"click","link":"l","x":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
        let cases: &[(&[u8], Reason)] = &[
            (b"", Reason::MalformedBody),
            (b"[]", Reason::MalformedBody),
            (b"{}", Reason::MalformedBody),
            (br#"{"type":"sale"}"#, Reason::MalformedBody),
            (br#"{"type":"click","type":"click"}"#, Reason::MalformedBody),
            (br#"{"type":"click"}"#, Reason::UnknownLink),
            (br#"{"type":"click","link":"l","sub1":{}}"#, Reason::MalformedBody),
            (br#"{"type":"click","link":"l","sub1":"a\u0000"}"#, Reason::MalformedBody),
            (br#"{"type":"touch","advertiser":"a","click_id":"c"}"#, Reason::MalformedBody),
            (br#"{"type":"touch","advertiser":"a","visitor_id":"v"}"#, Reason::InvalidClickId),
            (br#"{"type":"conversion","order_id":"1"}"#, Reason::UnknownAdvertiser),
            (br#"{"type":"conversion","advertiser":"a","order_id":{}}"#, Reason::MalformedBody),
            (br#"{"type":"conversion","advertiser":"a","amount":19.9}"#, Reason::MalformedBody),
            (br#"{"type":"conversion","advertiser":"a","order_id":1.5}"#, Reason::MalformedBody),
            (b"\xff", Reason::MalformedBody),
            (long.as_bytes(), Reason::FieldTooLong),
            (deep.as_bytes(), Reason::MalformedBody),
        ];
        for (body, expected) in cases {
            assert_eq!(Beacon::read(body), Err(*expected), "{}", String::from_utf8_lossy(body));
        }
        let body = br#"{"type":"conversion","advertiser":"a","order_id":"1","coupon":"a\nb"}"#;
        let Ok(Beacon::Conversion(conversion)) = Beacon::read(body) else {
            panic!("kept, so that it is refused on record")
        };
        assert_eq!(conversion.params.problem, Some(Reason::MalformedBody));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body: Vec<u8>, text in "\\PC{0,40}") {
            let _ = Beacon::read(&body);
            let body = serde_json::json!({"type": "conversion", "advertiser": text, "order_id": text, "amount": text});
            let _ = Beacon::read(body.to_string().as_bytes());
        }
    }
}
