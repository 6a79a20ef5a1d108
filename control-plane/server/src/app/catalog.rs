//! Tenants, advertisers, programs, offers, partners: validated here, stored by the store.

pub use super::links::set_link_active;

use super::settings::{self, KeptRouting, RoutingBody};
use super::{App, clock};
use crate::error::AppError;
use control_plane_domain::order::WHOLE;
use control_plane_domain::terms::{GoalPlan, Hold, Model, OfferTerms, Plan};
use control_plane_store::StoreError;
use control_plane_store::catalog::{
    Advertiser, ClickKeyRecord, Link, Offer, OfferChange, Partner, Program, Tenant,
};
use proto_model::{AdvertiserId, OfferId, PartnerId, PauseReason, ProgramId, Rate, TenantId, UnixMicros};
use proto_wire::keys::sha256;

/// Ten years: longer than any window that is sold, and far from overflowing a click's seconds.
const MAX_WINDOW_SECS: i64 = 10 * 366 * 86_400;
const MAX_GOALS: usize = 32;
/// How far an edge's clock may run behind ours.
const EDGE_CLOCK_SECS: i64 = 300;
const MAX_HOLD_DAYS: u32 = 3_660;
const MAX_HALF_LIFE_SECS: u32 = 3_660 * 86_400;
const MAX_WEIGHTS: usize = 1_000;

/// Terms as an operator writes them; the version is given when they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermsDraft {
    /// `None` = from now on.
    pub valid_from: Option<UnixMicros>,
    pub window_secs: i64,
    pub goals: Vec<GoalPlan>,
    pub hold: Hold,
    pub model: Model,
    pub trust_pixel: bool,
}

#[derive(Clone, Debug)]
pub struct NewOffer {
    pub program: ProgramId,
    pub name: String,
    pub destination: String,
    /// `None` = `click_id`.
    pub click_id_parameter: Option<String>,
    pub terms: TermsDraft,
}

/// 1 to 200 characters, none of them a control character, not only blanks.
pub fn checked_name(name: &str) -> Result<&str, AppError> {
    let trimmed = name.trim();
    let length = trimmed.chars().count();
    if length == 0 || length > 200 || trimmed.chars().any(char::is_control) {
        return Err(AppError::invalid("name", "use 1 to 200 printable characters"));
    }
    Ok(trimmed)
}

/// An absolute http(s) URL with a host and no credentials; browsers are sent there.
pub fn checked_url(field: &'static str, text: &str) -> Result<String, AppError> {
    settings::checked_page("", text).map_err(|error| AppError::invalid(field, error.message))
}

fn checked_click_id_parameter(text: Option<&str>) -> Result<String, AppError> {
    let name = text.unwrap_or("click_id");
    let fits = (1..=32).contains(&name.len());
    if !fits || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(AppError::invalid("click_id_parameter", "use 1 to 32 letters, digits or underscores"));
    }
    Ok(name.to_owned())
}

fn checked_terms(draft: &TermsDraft) -> Result<(), AppError> {
    if !(1..=MAX_WINDOW_SECS).contains(&draft.window_secs) {
        return Err(AppError::invalid("window_secs", "use 1 second to ten years"));
    }
    if draft.hold.days.is_some_and(|days| days > MAX_HOLD_DAYS) {
        return Err(AppError::invalid("hold", "use at most 3660 days"));
    }
    if draft.goals.is_empty() || draft.goals.len() > MAX_GOALS {
        return Err(AppError::invalid("goals", "name 1 to 32 goals, for instance `sale`"));
    }
    for (index, goal) in draft.goals.iter().enumerate() {
        checked_goal(goal)?;
        if draft.goals[..index].iter().any(|other| other.goal == goal.goal) {
            return Err(AppError::invalid("goals", format!("goal `{}` stands twice", goal.goal)));
        }
    }
    checked_model(&draft.model)
}

fn checked_model(model: &Model) -> Result<(), AppError> {
    let wrong = |message: String| Err(AppError::invalid("attribution", message));
    match model {
        Model::Last | Model::First | Model::Linear => Ok(()),
        Model::Position { first, last } if first.saturating_add(*last) > WHOLE => {
            wrong("first and last click must not have more than all (1) together".to_owned())
        }
        Model::Decay { half_life_secs } if !(1..=MAX_HALF_LIFE_SECS).contains(half_life_secs) => {
            wrong("use a half-life of 1 second to ten years".to_owned())
        }
        Model::Weights(weights) if weights.len() > MAX_WEIGHTS => {
            wrong(format!("name at most {MAX_WEIGHTS} partners"))
        }
        Model::Position { .. } | Model::Decay { .. } | Model::Weights(_) => Ok(()),
    }
}

async fn known_partners(app: &App, tenant: TenantId, model: &Model) -> Result<(), AppError> {
    let Model::Weights(weights) = model else { return Ok(()) };
    for partner in weights.keys() {
        match app.store.get_partner(tenant, *partner).await {
            Ok(_) => {}
            Err(StoreError::NotFound) => {
                return Err(AppError::invalid("attribution", format!("there is no partner {partner}")));
            }
            Err(error) => return Err(AppError::Store(error)),
        }
    }
    Ok(())
}

fn checked_goal(goal: &GoalPlan) -> Result<(), AppError> {
    let fits = (1..=64).contains(&goal.goal.len());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if !fits || !goal.goal.bytes().all(plain) {
        return Err(AppError::invalid("goals", "a goal has 1 to 64 of a-z, 0-9, `_` and `-`"));
    }
    match &goal.plan {
        Plan::Flat(amount) if !(0..=proto_model::money::MAX_MINOR).contains(&amount.minor) => {
            Err(AppError::invalid("goals", "a flat commission must not be negative or above 10^15"))
        }
        Plan::Percentage(rate) if *rate > Rate::ONE => {
            Err(AppError::invalid("goals", "a percentage must not be above 100 (1000000 ppm)"))
        }
        Plan::Flat(_) | Plan::Percentage(_) => Ok(()),
    }
}

pub async fn create_tenant(app: &App, name: &str, fallback_url: Option<&str>) -> Result<Tenant, AppError> {
    let fallback_url = fallback_url.map(|text| checked_url("fallback_url", text)).transpose()?;
    let id = TenantId::from_random(clock::random_u64());
    let now = clock::now();
    let tenant = Tenant { id, name: checked_name(name)?.to_owned(), fallback_url, created_at: now };
    let key = ClickKeyRecord { tenant: id, key_id: 1, key: clock::random(), active: true, created_at: now };
    app.store.create_tenant(&tenant, &key).await?;
    Ok(tenant)
}

pub async fn set_fallback_url(
    app: &App,
    tenant: TenantId,
    fallback_url: Option<&str>,
) -> Result<Tenant, AppError> {
    let url = fallback_url.map(|text| checked_url("fallback_url", text)).transpose()?;
    app.store.set_fallback_url(tenant, url.as_deref()).await.map_err(AppError::of("tenant"))
}

/// The advertiser, and its postback token: shown once, stored as a hash.
pub async fn create_advertiser(
    app: &App,
    tenant: TenantId,
    name: &str,
) -> Result<(Advertiser, String), AppError> {
    let token = super::keys::secret_text("tbp_");
    let advertiser = Advertiser {
        tenant,
        id: AdvertiserId::from_random(clock::random_u64()),
        name: checked_name(name)?.to_owned(),
        postback_token_sha256: Some(sha256(token.as_bytes())),
        test_token_sha256: None,
        postback_json: "{}".to_owned(),
        created_at: clock::now(),
    };
    app.store.create_advertiser(&advertiser).await.map_err(AppError::of("tenant"))?;
    Ok((advertiser, token))
}

pub async fn create_program(
    app: &App,
    tenant: TenantId,
    advertiser: AdvertiserId,
    name: &str,
) -> Result<Program, AppError> {
    app.store.get_advertiser(tenant, advertiser).await.map_err(AppError::of("advertiser"))?;
    let program = Program {
        tenant,
        id: ProgramId::from_random(clock::random_u64()),
        advertiser,
        name: checked_name(name)?.to_owned(),
        created_at: clock::now(),
    };
    app.store.create_program(&program).await.map_err(AppError::of("advertiser"))?;
    Ok(program)
}

/// Clicks carry whole seconds, so that terms begin with a whole second too. An offer's first terms begin a
/// little earlier: no click can be older than the offer, and clocks of edges may run behind.
fn terms_of(draft: &TermsDraft, offer: OfferId, program: ProgramId, version: u32) -> OfferTerms {
    let early = if version == 1 { EDGE_CLOCK_SECS } else { 0 };
    OfferTerms {
        offer,
        program,
        version,
        valid_from: draft.valid_from.unwrap_or(UnixMicros::from_secs(clock::now().secs() - early)),
        window_secs: draft.window_secs,
        goals: draft.goals.clone(),
        hold: draft.hold,
        model: draft.model.clone(),
        trust_pixel: draft.trust_pixel,
    }
}

pub async fn create_offer(app: &App, tenant: TenantId, new: NewOffer) -> Result<Offer, AppError> {
    checked_terms(&new.terms)?;
    known_partners(app, tenant, &new.terms.model).await?;
    let program = app.store.get_program(tenant, new.program).await.map_err(AppError::of("program"))?;
    let offer = Offer {
        tenant,
        id: OfferId::from_random(clock::random_u64()),
        program: program.id,
        advertiser: program.advertiser,
        name: checked_name(&new.name)?.to_owned(),
        destination: checked_url("destination", &new.destination)?,
        click_id_parameter: checked_click_id_parameter(new.click_id_parameter.as_deref())?,
        active: true,
        pause_reason: None,
        routing_json: "{}".to_owned(),
        terms_version: 1,
        created_at: clock::now(),
    };
    let terms = terms_of(&new.terms, offer.id, offer.program, 1);
    app.store.create_offer(&offer, &terms).await.map_err(AppError::of("program"))?;
    Ok(offer)
}

/// What changes on an offer; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct OfferPatch {
    pub destination: Option<String>,
    pub active: Option<bool>,
    /// Only with `active` off.
    pub pause_reason: Option<PauseReason>,
    /// As a whole.
    pub routing: Option<RoutingBody>,
}

pub async fn change_offer(
    app: &App,
    tenant: TenantId,
    id: OfferId,
    patch: OfferPatch,
) -> Result<Offer, AppError> {
    let destination =
        patch.destination.as_deref().map(|text| checked_url("destination", text)).transpose()?;
    let routing_json = match &patch.routing {
        Some(routing) => {
            let offer = app.store.get_offer(tenant, id).await.map_err(AppError::of("offer"))?;
            let destination = destination.as_ref().unwrap_or(&offer.destination);
            check_routing(app, &offer, routing, destination).await?;
            Some(settings::written(&KeptRouting(routing.clone()))?)
        }
        None => None,
    };
    if patch.pause_reason.is_some() && patch.active != Some(false) {
        return Err(AppError::invalid("pause_reason", "send it together with status `paused`"));
    }
    let OfferPatch { active, pause_reason, .. } = patch;
    let change = OfferChange { destination, active, pause_reason, routing_json, ..OfferChange::default() };
    app.store.update_offer(tenant, id, &change).await.map_err(AppError::of("offer"))
}

async fn check_routing(
    app: &App,
    offer: &Offer,
    routing: &RoutingBody,
    destination: &str,
) -> Result<(), AppError> {
    routing.check(destination, clock::now()).map_err(settings::within("/routing"))?;
    let lowered = routing.lower(offer.id).map_err(settings::within("/routing"))?;
    if !super::snapshot::routing_fits(&lowered) {
        let message = "the sets are too large to be carried to the edges".to_owned();
        return Err(AppError::InvalidAt { pointer: "/routing/sets".to_owned(), message });
    }
    for (pointer, other) in routing.offers() {
        if let Err(StoreError::NotFound) = app.store.get_offer(offer.tenant, other).await {
            let message = format!("there is no offer {other}");
            return Err(AppError::InvalidAt { pointer: format!("/routing{pointer}"), message });
        }
    }
    Ok(())
}

/// New terms of an offer, in force for clicks from `valid_from` on, which is not past: what a click earns was agreed
/// before it. The version rises by one.
pub async fn put_terms(
    app: &App,
    tenant: TenantId,
    offer: OfferId,
    draft: &TermsDraft,
) -> Result<OfferTerms, AppError> {
    checked_terms(draft)?;
    if draft.valid_from.is_some_and(|from| from.secs() < clock::now().secs()) {
        let message =
            "is past: new terms never change what earlier clicks earn (leave it out for now)".to_owned();
        return Err(AppError::InvalidAt { pointer: "/valid_from".to_owned(), message });
    }
    known_partners(app, tenant, &draft.model).await?;
    let offer = app.store.get_offer(tenant, offer).await.map_err(AppError::of("offer"))?;
    // The store refuses the version when another author was faster.
    let terms = terms_of(draft, offer.id, offer.program, offer.terms_version.saturating_add(1));
    app.store
        .put_terms(tenant, offer.advertiser, &terms, clock::now())
        .await
        .map_err(AppError::of("offer"))?;
    Ok(terms)
}

pub async fn create_partner(app: &App, tenant: TenantId, name: &str) -> Result<Partner, AppError> {
    let partner = Partner {
        tenant,
        id: PartnerId::from_random(clock::random_u64()),
        name: checked_name(name)?.to_owned(),
        created_at: clock::now(),
    };
    app.store.create_partner(&partner).await.map_err(AppError::of("tenant"))?;
    Ok(partner)
}

/// A link without a name.
pub async fn create_link(
    app: &App,
    tenant: TenantId,
    offer: OfferId,
    partner: PartnerId,
) -> Result<Link, AppError> {
    super::links::create_link(app, tenant, offer, partner, None).await
}
