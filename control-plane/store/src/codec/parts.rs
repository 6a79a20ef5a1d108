//! What inputs and orders have in common.

use super::{hex, read, unhex, write};
use crate::StoreError;
use crate::row::Id;
use control_plane_domain::intake::{ClickCredit, CustomerRef, Source, Vouched};
use proto_model::event::Authority;
use proto_model::{
    Address, Amount, ClickFacts, ClickFlags, Country, Currency, DerivedId, DeviceClass, StreamNo, VerdictKind,
};
use serde::{Deserialize, Serialize};

pub(super) fn id<T: Id>(what: &'static str, value: u64) -> Result<T, StoreError> {
    i64::try_from(value)
        .ok()
        .and_then(T::from_column)
        .ok_or_else(|| StoreError::corrupt(what, format!("{value} is not an id")))
}

pub(super) fn derived(text: &str) -> Result<DerivedId, StoreError> {
    unhex("id", text).map(DerivedId)
}

pub(super) fn customer_text(customer: CustomerRef) -> String {
    hex(&customer.0)
}

pub(super) fn customer(text: &str) -> Result<CustomerRef, StoreError> {
    unhex("customer", text).map(CustomerRef)
}

pub(super) fn word<T>(
    what: &'static str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| StoreError::corrupt(what, text))
}

pub(super) fn authority(text: &str) -> Result<Authority, StoreError> {
    word("authority", text, Authority::parse)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AmountJson {
    minor: i64,
    currency: String,
}

impl AmountJson {
    pub fn of(amount: Amount) -> Self {
        Self { minor: amount.minor, currency: amount.currency.code().to_owned() }
    }

    pub fn value(&self) -> Result<Amount, StoreError> {
        let currency =
            Currency::parse_stored(&self.currency).map_err(|error| StoreError::corrupt("currency", error))?;
        Ok(Amount::new(self.minor, currency))
    }

    pub fn of_opt(amount: Option<Amount>) -> Option<Self> {
        amount.map(Self::of)
    }

    pub fn value_opt(json: Option<&Self>) -> Result<Option<Amount>, StoreError> {
        json.map(Self::value).transpose()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressJson {
    stream: u32,
    ordinal: u64,
}

impl AddressJson {
    fn of(address: Address) -> Self {
        Self { stream: address.stream.0, ordinal: address.ordinal }
    }

    fn value(&self) -> Address {
        Address { stream: StreamNo(self.stream), ordinal: self.ordinal }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceJson {
    Journal(AddressJson),
    Api(String),
}

impl SourceJson {
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Journal(address) => Self::Journal(AddressJson::of(*address)),
            Source::Api(request) => Self::Api(request.clone()),
        }
    }

    pub fn value(self) -> Source {
        match self {
            Self::Journal(address) => Source::Journal(address.value()),
            Self::Api(request) => Source::Api(request),
        }
    }
}

/// A click as opened from its id, with what its link stood for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickJson {
    tenant: u64,
    link: u64,
    offer: u64,
    partner: u64,
    program: u64,
    at_secs: u32,
    address: AddressJson,
    country: String,
    device: String,
    verdict: String,
    rule_set_version: u32,
    flags: u8,
}

impl ClickJson {
    pub fn of(credit: &ClickCredit) -> Self {
        let click = &credit.click;
        Self {
            tenant: u64::from(click.tenant.get()),
            link: click.link.get(),
            offer: click.offer.get(),
            partner: credit.partner.get(),
            program: credit.program.get(),
            at_secs: click.at_secs,
            address: AddressJson::of(click.address),
            country: click.country.code().to_owned(),
            device: click.device.as_str().to_owned(),
            verdict: click.verdict.as_str().to_owned(),
            rule_set_version: click.rule_set_version,
            flags: click.flags.0,
        }
    }

    pub fn value(&self) -> Result<ClickCredit, StoreError> {
        let click = ClickFacts {
            tenant: id("tenant", self.tenant)?,
            link: id("link", self.link)?,
            offer: id("offer", self.offer)?,
            at_secs: self.at_secs,
            address: self.address.value(),
            country: Country::parse(&self.country),
            device: word("device", &self.device, DeviceClass::parse)?,
            verdict: word("verdict", &self.verdict, VerdictKind::parse)?,
            rule_set_version: self.rule_set_version,
            flags: ClickFlags(self.flags),
        };
        Ok(ClickCredit {
            click,
            partner: id("partner", self.partner)?,
            program: id("program", self.program)?,
        })
    }
}

/// A click that is bound to a customer, with who vouches for it: for a server it stands as it always has, so that what
/// older versions have written is a server's, and what servers write they can read.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BoundJson {
    Page(PageJson),
    Server(ClickJson),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageJson {
    page: ClickJson,
}

pub(crate) fn bound_to_json(click: &ClickCredit, vouched: Vouched) -> Result<String, StoreError> {
    let click = ClickJson::of(click);
    write(&match vouched {
        Vouched::Page => BoundJson::Page(PageJson { page: click }),
        Vouched::Server => BoundJson::Server(click),
    })
}

pub(crate) fn bound_from_json(json: &str) -> Result<(ClickCredit, Vouched), StoreError> {
    Ok(match read("bound click", json)? {
        BoundJson::Page(PageJson { page }) => (page.value()?, Vouched::Page),
        BoundJson::Server(click) => (click.value()?, Vouched::Server),
    })
}
