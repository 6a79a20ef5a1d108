//! The intake's inputs.

use super::parts::{self, AmountJson, ClickJson, SourceJson};
use super::terms::TermsJson;
use super::{hex, read, write};
use crate::StoreError;
use control_plane_domain::intake::{
    ConversionKey, ConversionReport, Input, OrderEvent, OrderEventKind, PartnerCredit, Settled, Touch,
    Vouched,
};
use proto_model::UnixMicros;
use serde::{Deserialize, Serialize};

pub(crate) fn input_to_json(input: &Input) -> Result<String, StoreError> {
    write(&InputJson::of(input))
}

pub(crate) fn input_from_json(json: &str) -> Result<Input, StoreError> {
    read::<InputJson>("intake item", json)?.value()
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum InputJson {
    Terms(TermsJson),
    Conversion(Box<ReportJson>),
    Touch(TouchJson),
    OrderEvent(OrderEventJson),
    HoldElapsed { order_id: String },
    PartnerCredit(CreditJson),
    ClosePeriod { through: i64 },
    Settled { order_id: String, commission: String, statement: String },
}

impl InputJson {
    fn of(input: &Input) -> Self {
        match input {
            Input::Terms(terms) => Self::Terms(TermsJson::of(terms)),
            Input::Conversion(report) => Self::Conversion(Box::new(ReportJson::of(report))),
            Input::Touch(touch) => Self::Touch(TouchJson::of(touch)),
            Input::OrderEvent(event) => Self::OrderEvent(OrderEventJson::of(event)),
            Input::HoldElapsed { order_id } => Self::HoldElapsed { order_id: order_id.clone() },
            Input::PartnerCredit(credit) => Self::PartnerCredit(CreditJson::of(credit)),
            Input::ClosePeriod { through } => Self::ClosePeriod { through: through.0 },
            Input::Settled(settled) => Self::Settled {
                order_id: settled.order_id.clone(),
                commission: hex(&settled.commission.0),
                statement: hex(&settled.statement.0),
            },
        }
    }

    fn value(self) -> Result<Input, StoreError> {
        Ok(match self {
            Self::Terms(terms) => Input::Terms(terms.value()?),
            Self::Conversion(report) => Input::Conversion(report.value()?),
            Self::Touch(touch) => Input::Touch(touch.value()?),
            Self::OrderEvent(event) => Input::OrderEvent(event.value()?),
            Self::HoldElapsed { order_id } => Input::HoldElapsed { order_id },
            Self::PartnerCredit(credit) => Input::PartnerCredit(credit.value()?),
            Self::ClosePeriod { through } => Input::ClosePeriod { through: UnixMicros(through) },
            Self::Settled { order_id, commission, statement } => Input::Settled(Settled {
                order_id,
                commission: parts::derived(&commission)?,
                statement: parts::derived(&statement)?,
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportJson {
    order_id: String,
    goal: String,
    event_id: Option<String>,
    authority: String,
    amount: Option<AmountJson>,
    click: Option<ClickJson>,
    customer: Option<String>,
    coupon: Option<String>,
    occurred_at: i64,
    source: SourceJson,
}

impl ReportJson {
    fn of(report: &ConversionReport) -> Self {
        Self {
            order_id: report.key.order_id.clone(),
            goal: report.key.goal.clone(),
            event_id: report.key.event_id.clone(),
            authority: report.authority.as_str().to_owned(),
            amount: AmountJson::of_opt(report.amount),
            click: report.click.as_ref().map(ClickJson::of),
            customer: report.customer.map(parts::customer_text),
            coupon: report.coupon.clone(),
            occurred_at: report.occurred_at.0,
            source: SourceJson::of(&report.source),
        }
    }

    fn value(self) -> Result<ConversionReport, StoreError> {
        Ok(ConversionReport {
            key: ConversionKey { order_id: self.order_id, goal: self.goal, event_id: self.event_id },
            authority: parts::authority(&self.authority)?,
            amount: AmountJson::value_opt(self.amount.as_ref())?,
            click: self.click.map(|click| click.value()).transpose()?,
            customer: self.customer.as_deref().map(parts::customer).transpose()?,
            coupon: self.coupon,
            occurred_at: UnixMicros(self.occurred_at),
            source: self.source.value(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TouchJson {
    customer: String,
    click: ClickJson,
    bound_at: i64,
    /// Absent = a server, as in all that was written before this was told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouched: Option<String>,
}

impl TouchJson {
    fn of(touch: &Touch) -> Self {
        Self {
            customer: parts::customer_text(touch.customer),
            click: ClickJson::of(&touch.click),
            bound_at: touch.bound_at.0,
            vouched: match touch.vouched {
                Vouched::Server => None,
                Vouched::Page => Some(touch.vouched.as_str().to_owned()),
            },
        }
    }

    fn value(self) -> Result<Touch, StoreError> {
        Ok(Touch {
            customer: parts::customer(&self.customer)?,
            click: self.click.value()?,
            bound_at: UnixMicros(self.bound_at),
            vouched: match &self.vouched {
                None => Vouched::Server,
                Some(word) => parts::word("vouched", word, Vouched::parse)?,
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderEventJson {
    order_id: String,
    event_id: String,
    event: String,
    amount: Option<AmountJson>,
    occurred_at: i64,
    source: SourceJson,
}

impl OrderEventJson {
    fn of(event: &OrderEvent) -> Self {
        Self {
            order_id: event.order_id.clone(),
            event_id: event.event_id.clone(),
            event: event.kind.as_str().to_owned(),
            amount: AmountJson::of_opt(event.amount),
            occurred_at: event.occurred_at.0,
            source: SourceJson::of(&event.source),
        }
    }

    fn value(self) -> Result<OrderEvent, StoreError> {
        Ok(OrderEvent {
            kind: parts::word("order event", &self.event, OrderEventKind::parse)?,
            amount: AmountJson::value_opt(self.amount.as_ref())?,
            order_id: self.order_id,
            event_id: self.event_id,
            occurred_at: UnixMicros(self.occurred_at),
            source: self.source.value(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreditJson {
    id: String,
    commission: String,
    advertiser: u64,
    order_id: String,
    partner: u64,
    amount: AmountJson,
}

impl CreditJson {
    fn of(credit: &PartnerCredit) -> Self {
        Self {
            id: hex(&credit.id.0),
            commission: hex(&credit.commission.0),
            advertiser: credit.advertiser.get(),
            order_id: credit.order_id.clone(),
            partner: credit.partner.get(),
            amount: AmountJson::of(credit.amount),
        }
    }

    fn value(self) -> Result<PartnerCredit, StoreError> {
        Ok(PartnerCredit {
            id: parts::derived(&self.id)?,
            commission: parts::derived(&self.commission)?,
            advertiser: parts::id("advertiser", self.advertiser)?,
            order_id: self.order_id,
            partner: parts::id("partner", self.partner)?,
            amount: self.amount.value()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{bound_from_json, bound_to_json};
    use super::*;

    const CLICK: &str = r#"{"tenant":1,"link":2,"offer":3,"partner":4,"program":5,"at_secs":6,"address":{"stream":7,"ordinal":8},"country":"DE","device":"mobile","verdict":"allow","rule_set_version":9,"flags":0}"#;
    const CUSTOMER: &str = "01010101010101010101010101010101";

    fn touch_json(rest: &str) -> String {
        format!(r#"{{"kind":"touch","customer":"{CUSTOMER}","click":{CLICK},"bound_at":10{rest}}}"#)
    }

    /// What versions wrote that did not tell pages from servers, and what they read to this day: a server's touch. A
    /// page's touch they refuse, so that they decide nothing by it: they would take it for a server's.
    #[test]
    fn what_was_written_before_pages_were_told_apart_is_a_servers() {
        let page = format!(r#"{{"page":{CLICK}}}"#);
        let cases = [
            (Vouched::Server, touch_json(""), CLICK),
            (Vouched::Page, touch_json(r#","vouched":"page""#), page.as_str()),
        ];
        for (vouched, item, row) in cases {
            let input = input_from_json(&item).unwrap();
            let Input::Touch(touch) = &input else { panic!("{input:?}") };
            assert_eq!(touch.vouched, vouched);
            assert_eq!(input_to_json(&input).unwrap(), item, "byte for byte");
            assert_eq!(bound_from_json(row).unwrap(), (touch.click, vouched));
            assert_eq!(bound_to_json(&touch.click, vouched).unwrap(), row, "byte for byte");
        }
    }

    #[test]
    fn what_nobody_has_written_is_refused() {
        for rest in [r#","vouched":"nobody""#, r#","vouched":1"#, r#","more":1"#] {
            assert!(input_from_json(&touch_json(rest)).is_err(), "{rest}");
        }
        let more = format!(r#"{{"page":{CLICK},"more":1}}"#);
        let server = format!(r#"{{"server":{CLICK}}}"#);
        for row in ["{}", "[]", r#"{"page":{}}"#, &more, &server, &CLICK.replace("\"link\"", "\"lunk\"")] {
            assert!(bound_from_json(row).is_err(), "{row}");
        }
    }
}
