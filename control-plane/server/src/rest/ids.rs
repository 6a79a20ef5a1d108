//! Ids, times and amounts as they stand in JSON.

use super::problem::Problem;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use jiff::Timestamp;
use proto_model::money::MAX_MINOR;
use proto_model::{
    AdvertiserId, Amount, Currency, DerivedId, EdgeId, LinkId, OfferId, PartnerId, ProgramId, TenantId,
    UnixMicros,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

pub const CONVERSION: &str = "cnv";
pub const COMMISSION: &str = "cms";
pub const LEDGER_TRANSACTION: &str = "ltx";
pub const STATEMENT: &str = "stm";
pub const PAYOUT: &str = "pay";
pub const CREDIT: &str = "crd";
pub const SIGNAL: &str = "sig";

/// An entity id with what a person calls the entity.
pub trait EntityId: FromStr<Err = proto_model::id::IdError> + Display + Copy + Send + Sync + 'static {
    const WHAT: &'static str;
    const SCHEMA: &'static str;
    const PATTERN: &'static str;
}

macro_rules! entity_ids {
    ($($id:ty, $what:literal, $schema:literal, $pattern:literal;)+) => {
        $(impl EntityId for $id {
            const WHAT: &'static str = $what;
            const SCHEMA: &'static str = $schema;
            const PATTERN: &'static str = $pattern;
        })+
    };
}

entity_ids! {
    TenantId, "tenant", "TenantId", "^tnt_[0-9a-hjkmnp-tv-z]{7}$";
    AdvertiserId, "advertiser", "AdvertiserId", "^adv_[0-9a-hjkmnp-tv-z]{8}$";
    ProgramId, "program", "ProgramId", "^prg_[0-9a-hjkmnp-tv-z]{8}$";
    OfferId, "offer", "OfferId", "^off_[0-9a-hjkmnp-tv-z]{8}$";
    PartnerId, "partner", "PartnerId", "^ptn_[0-9a-hjkmnp-tv-z]{8}$";
    LinkId, "link", "LinkId", "^lnk_[0-9a-hjkmnp-tv-z]{8}$";
    EdgeId, "edge", "EdgeId", "^edg_[0-9a-hjkmnp-tv-z]{8}$";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<T>(pub T);

pub type TenantRef = Id<TenantId>;
pub type AdvertiserRef = Id<AdvertiserId>;
pub type ProgramRef = Id<ProgramId>;
pub type OfferRef = Id<OfferId>;
pub type PartnerRef = Id<PartnerId>;
pub type LinkRef = Id<LinkId>;
pub type EdgeRef = Id<EdgeId>;

impl<T: EntityId> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: EntityId> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

impl<T: EntityId> PartialSchema for Id<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(T::PATTERN)).into()
    }
}

impl<T: EntityId> ToSchema for Id<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::SCHEMA)
    }
}

/// The one id in the path. What is not an id names nothing: 404, like an id of somebody else.
pub struct PathId<T>(pub T);

impl<T: EntityId, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_text(parts, state).await?;
        text.parse().map(Self).map_err(|_| Problem::not_found(T::WHAT))
    }
}

/// The one free text in the path.
pub struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_text(parts, state).await.map(Self)
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let params =
        RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("resource"))?;
    params.iter().next().map(|(_, value)| value.to_owned()).ok_or_else(|| Problem::not_found("resource"))
}

/// A derived id from a path.
pub fn derived(text: &str, prefix: &'static str, what: &str) -> Result<DerivedId, Problem> {
    DerivedId::parse(text, prefix).map_err(|_| Problem::not_found(what))
}

/// RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub UnixMicros);

impl Time {
    pub fn text(self) -> String {
        Timestamp::from_microsecond(self.0.0).map_or_else(|_| "invalid".to_owned(), |at| at.to_string())
    }

    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let at = text
            .parse::<Timestamp>()
            .map_err(|_| "expected an RFC 3339 time such as 2026-01-31T08:00:00Z")?;
        let micros = at.as_microsecond();
        // A plausible century keeps every later sum of times inside an i64.
        let plausible = (0..=4_102_444_800_000_000).contains(&micros);
        if plausible { Ok(Self(UnixMicros(micros))) } else { Err("expected a time from 1970 to 2100") }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

/// Money in integer minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Amount)]
pub struct AmountView {
    /// Minor units: 1990 is 19.90 USD.
    #[schema(example = 1990)]
    pub amount: i64,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub currency: String,
}

impl From<Amount> for AmountView {
    fn from(amount: Amount) -> Self {
        Self::of(amount.minor, amount.currency)
    }
}

impl AmountView {
    pub fn of(minor: i64, currency: Currency) -> Self {
        Self { amount: minor, currency: currency.code().to_owned() }
    }

    /// An amount as it may come from outside: not negative, not absurd.
    pub fn read(&self, pointer: &str) -> Result<Amount, Problem> {
        let currency = Currency::parse(&self.currency).map_err(|error| {
            Problem::invalid_field(&format!("{pointer}/currency"), "invalid_currency", error.to_string())
        })?;
        if !(0..=MAX_MINOR).contains(&self.amount) {
            let message = format!("expected 0 to {MAX_MINOR} minor units");
            return Err(Problem::invalid_field(&format!("{pointer}/amount"), "invalid_amount", message));
        }
        Ok(Amount::new(self.amount, currency))
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
