//! One row of the catalog as edges read it.

use super::build::BuildError;
use crate::app::settings::{self, KeptRouting, LinkSettingsBody, PostbackBody};
use control_plane_store::catalog::{Advertiser, Domain, Link, Offer, PostbackKeyRecord, Vanity};
use proto_wire::edge_v1;
use std::collections::BTreeSet;

/// Stored settings that cannot be read, or say what this version does not know.
fn unreadable<E>(of: impl ToString) -> impl FnOnce(E) -> BuildError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let of = of.to_string();
    move |error| BuildError::Settings { of, source: error.into() }
}

/// What is at its defaults is not sent: the bytes of a plain catalog are those of a version without settings.
fn unless_default<T: Default + PartialEq>(message: T) -> Option<T> {
    (message != T::default()).then_some(message)
}

pub fn offer(offer: &Offer) -> Result<edge_v1::Offer, BuildError> {
    let KeptRouting(routing) = settings::read(&offer.routing_json).map_err(unreadable(offer.id))?;
    let routing = routing.lower(offer.id).map_err(unreadable(offer.id))?;
    Ok(edge_v1::Offer {
        id: offer.id.get(),
        advertiser: offer.advertiser.get(),
        program: offer.program.get(),
        destination: offer.destination.clone(),
        click_id_parameter: offer.click_id_parameter.clone(),
        active: offer.active,
        routing: unless_default(routing),
        pause_reason: offer.pause_reason.map_or(0, |reason| reason.code().into()),
    })
}

/// Those that the offers name, each once.
pub fn time_zones(offers: &[edge_v1::Offer]) -> Vec<edge_v1::TimeZone> {
    let names = offers.iter().filter_map(|offer| offer.routing.as_ref()).map(|routing| &routing.time_zone);
    let names: BTreeSet<&String> = names.filter(|name| !name.is_empty()).collect();
    names.into_iter().filter_map(|name| settings::zone(name)).collect()
}

pub fn advertiser(
    advertiser: &Advertiser,
    keys: &[&PostbackKeyRecord],
) -> Result<edge_v1::Advertiser, BuildError> {
    let postback: PostbackBody =
        settings::read(&advertiser.postback_json).map_err(unreadable(advertiser.id))?;
    let mut postback = postback.lower().map_err(unreadable(advertiser.id))?;
    let own = keys.iter().filter(|key| key.advertiser == advertiser.id);
    let key =
        |key: &&PostbackKeyRecord| edge_v1::PostbackKey { key_id: key.key_id.into(), key: key.key.to_vec() };
    postback.keys = own.map(key).collect();
    Ok(edge_v1::Advertiser {
        id: advertiser.id.get(),
        postback_token_sha256: advertiser.postback_token_sha256.map(Vec::from).unwrap_or_default(),
        test_token_sha256: advertiser.test_token_sha256.map(Vec::from).unwrap_or_default(),
        postback: unless_default(postback),
    })
}

pub fn domain(domain: &Domain) -> edge_v1::Domain {
    edge_v1::Domain {
        host: domain.host.clone(),
        home_url: domain.home_url.clone().unwrap_or_default(),
        not_found_url: domain.not_found_url.clone().unwrap_or_default(),
        expired_url: domain.expired_url.clone().unwrap_or_default(),
    }
}

pub fn link(link: &Link) -> Result<edge_v1::Link, BuildError> {
    Ok(edge_v1::Link {
        id: link.id.get(),
        offer: link.offer.get(),
        partner: link.partner.get(),
        active: link.active,
        settings: link_settings(link)?,
    })
}

/// Nearly all links are plain, and there may be millions.
fn link_settings(link: &Link) -> Result<Option<edge_v1::LinkSettings>, BuildError> {
    if link.settings_json == "{}" && link.vanity.is_none() {
        return Ok(None);
    }
    let settings: LinkSettingsBody = settings::read(&link.settings_json).map_err(unreadable(link.id))?;
    let vanity = link
        .vanity
        .iter()
        .map(|Vanity { host, slug }| edge_v1::Vanity { host: host.clone(), slug: slug.clone() });
    let settings = edge_v1::LinkSettings { vanity: vanity.collect(), ..settings.lower() };
    Ok(unless_default(settings))
}
