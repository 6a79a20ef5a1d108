//! What a link has of its own, as JSON.

use super::page::{checked_page, host_of};
use super::routing::RoutingBody;
use crate::app::rules_json::{BodyError, refuse};
use crate::rest::ids::Time;
use proto_model::{HostList, UnixMicros};
use proto_wire::edge_v1;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Written as a whole: what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = LinkSettings)]
pub struct LinkSettingsBody {
    /// Its clicks are visible and never paid.
    pub test: bool,
    /// From then on it is answered like a dead link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// After so many clicks it is answered like a dead link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_clicks: Option<u64>,
    /// Instead of the offer's own; on one of the offer's `deep_link_hosts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://shop.example/mowers?from={sub1}")]
    pub destination: Option<String>,
}

impl LinkSettingsBody {
    /// Everything, at the moment of writing; `routing` and `destination` are the offer's.
    pub fn check(&self, routing: &RoutingBody, destination: &str, now: UnixMicros) -> Result<(), BodyError> {
        if self.expires_at.is_some_and(|end| end.0 <= now) {
            return Err(refuse("/expires_at", "use a time in the future"));
        }
        if self.max_clicks == Some(0) {
            return Err(refuse("/max_clicks", "use at least 1; pause the link if it shall get no clicks"));
        }
        let Some(page) = &self.destination else { return Ok(()) };
        let page = checked_page("/destination", page)?;
        let host = host_of(&page).unwrap_or_default();
        let hosts = routing.deep_link_hosts.iter().map(String::as_str);
        let own = host_of(destination).filter(|own| hosts.clone().any(|listed| listed == own));
        let listed = HostList::try_new(hosts.filter(|listed| own.as_deref() != Some(*listed)));
        let https =
            page.starts_with("https:") || destination.starts_with("http:") && own.as_ref() == Some(&host);
        if https && (own.as_ref() == Some(&host) || listed.is_ok_and(|listed| listed.allows(&host))) {
            return Ok(());
        }
        let message = format!("`{host}` is not among the offer's deep_link_hosts, or the page is not https");
        Err(refuse("/destination", message))
    }

    /// What edges read, its name aside.
    pub fn lower(&self) -> edge_v1::LinkSettings {
        edge_v1::LinkSettings {
            test: self.test,
            expires_at_secs: self.expires_at.map_or(0, |end| end.0.secs()),
            max_clicks: self.max_clicks.unwrap_or_default(),
            destination: self.destination.clone().unwrap_or_default(),
            vanity: Vec::new(),
        }
    }
}
