//! What the advertiser's own server tells us: conversions under the highest authority, and touches.

use super::orders::checked_text;
use super::{App, clock};
use crate::error::AppError;
use control_plane_domain::intake::{
    ClickCredit, ConversionKey, ConversionReport, CustomerRef, Input, ShardKey, Source, Touch, Vouched,
};
use control_plane_store::projection::{CustomerKey, LinkTarget, Who};
use proto_model::event::Authority;
use proto_model::{AdvertiserId, Amount, DerivedId, TenantId, UnixMicros};
use proto_wire::click_id::{ClickKey, ClickKeys};

#[derive(Clone, Debug)]
pub struct NewConversion {
    pub advertiser: AdvertiserId,
    pub order_id: String,
    pub goal: String,
    pub event_id: Option<String>,
    pub amount: Option<Amount>,
    pub click_id: Option<String>,
    pub customer_id: Option<String>,
    pub coupon: Option<String>,
    /// `None` = now.
    pub occurred_at: Option<UnixMicros>,
}

/// Writes the report to the advertiser's intake; gives back the conversion's id and the ordinal.
pub async fn record(
    app: &App,
    tenant: TenantId,
    new: NewConversion,
    request_id: &str,
) -> Result<(DerivedId, u64), AppError> {
    checked_text("order_id", &new.order_id)?;
    checked_goal(&new.goal)?;
    let optional = [("event_id", &new.event_id), ("coupon", &new.coupon), ("customer_id", &new.customer_id)];
    for (field, text) in optional {
        text.as_deref().map_or(Ok(()), |text| checked_text(field, text))?;
    }
    app.store.get_advertiser(tenant, new.advertiser).await.map_err(AppError::of("advertiser"))?;
    let click = match &new.click_id {
        Some(text) => Some(open_click(app, tenant, text, Some(new.advertiser)).await?.0),
        None => None,
    };
    let now = clock::now();
    let shard = ShardKey::advertiser(tenant, new.advertiser);
    let key = ConversionKey { order_id: new.order_id, goal: new.goal, event_id: new.event_id };
    let id = key.id(tenant, new.advertiser);
    let report = ConversionReport {
        key,
        authority: Authority::Signed,
        amount: new.amount,
        click,
        customer: None,
        coupon: new.coupon,
        occurred_at: new.occurred_at.unwrap_or(now),
        source: Source::Api(request_id.to_owned()),
    };
    let ordinal = match &new.customer_id {
        None => app.store.append_intake(shard, &Input::Conversion(report), now).await?,
        Some(customer_id) => {
            let theirs =
                |customer| Input::Conversion(ConversionReport { customer: Some(customer), ..report.clone() });
            app.store.append_of_customer(shard, &key_of(tenant, customer_id), &theirs, now).await?
        }
    };
    Ok((id, ordinal))
}

/// Binds a click to a customer, in the shard of the click's advertiser.
pub async fn bind_touch(
    app: &App,
    tenant: TenantId,
    click_id: &str,
    customer_id: &str,
    bound_at: Option<UnixMicros>,
) -> Result<u64, AppError> {
    checked_text("customer_id", customer_id)?;
    let (click, advertiser) = open_click(app, tenant, click_id, None).await?;
    let now = clock::now();
    let touch = |customer| {
        let bound_at = bound_at.unwrap_or(now);
        Input::Touch(Touch { customer, click, bound_at, vouched: Vouched::Server })
    };
    let shard = ShardKey::advertiser(tenant, advertiser);
    Ok(app.store.append_of_customer(shard, &key_of(tenant, customer_id), &touch, now).await?)
}

/// Goals are written as terms write them; another one could never be paid.
fn checked_goal(goal: &str) -> Result<(), AppError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&goal.len()) && goal.bytes().all(plain) {
        return Ok(());
    }
    Err(AppError::invalid("goal", "use 1 to 64 of a-z, 0-9, `_` and `-`"))
}

/// The click behind a sealed id and the advertiser it leads to. One of another tenant does not open.
async fn open_click(
    app: &App,
    tenant: TenantId,
    text: &str,
    advertiser: Option<AdvertiserId>,
) -> Result<(ClickCredit, AdvertiserId), AppError> {
    let refused = || AppError::invalid("click_id", "this is not a click id of yours; send it unaltered");
    let records = app.store.click_keys(tenant).await?;
    let keys: Vec<(ClickKey, bool)> = records
        .into_iter()
        .map(|record| (ClickKey { key_id: record.key_id, key: record.key }, record.active))
        .collect();
    let keys = ClickKeys::try_new(tenant, &keys)
        .map_err(|error| AppError::internal("the tenant's click keys are unusable", error))?;
    let click = keys.open(text).map_err(|_| refused())?;
    let targets = app.store.links_by_id(&[(tenant, click.link)]).await?;
    let LinkTarget { partner, program, advertiser: owner, .. } =
        targets.get(&(tenant, click.link)).copied().ok_or_else(refused)?;
    if advertiser.is_some_and(|named| named != owner) {
        return Err(AppError::invalid("click_id", "this click led to another advertiser"));
    }
    Ok((ClickCredit { click, partner, program }, owner))
}

fn key_of(tenant: TenantId, customer_id: &str) -> CustomerKey {
    let who = Who::Customer(customer_id.to_owned());
    CustomerKey { tenant, who, candidate: CustomerRef(clock::random()) }
}
