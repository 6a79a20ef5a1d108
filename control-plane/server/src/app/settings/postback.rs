//! How an advertiser's server reports, as JSON.

use crate::app::rules_json::{BodyError, refuse};
use proto_model::postback::{ConversionStatus, ParameterProfile, PostbackField};
use proto_model::{ParameterNames, PostbackAuth, StatusWords};
use proto_rules::Cidr;
use proto_wire::edge_v1;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

const MAX_NETWORKS: usize = 64;
const MAX_CONSENT: usize = 8;

/// Written as a whole: what is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = PostbackSettings)]
pub struct PostbackBody {
    /// Whose names the server uses: `tributary`, `everflow`, `tune`, `affise`, `voluum`, `keitaro`, `cake`,
    /// `impact` or `custom`.
    #[schema(example = "tune")]
    pub profile: String,
    /// Its own names, by what they mean: they come before the profile's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"order_id": "ref"}))]
    pub parameters: BTreeMap<String, String>,
    /// Its own words for a status: `approved`, `pending`, `rejected` or `hold`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"paid": "approved"}))]
    pub statuses: BTreeMap<String, String>,
    /// What vouches for a postback: `token`, `hmac` or `ip_list`. Nothing else does then.
    #[schema(example = "token")]
    pub auth: String,
    /// For `ip_list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["203.0.113.0/24"]))]
    pub networks: Vec<String>,
    /// Answer 200 whatever comes of it, for servers that take anything else for an outage.
    pub legacy_always_200: bool,
    /// Parameters in which this advertiser passes on the shopper's consent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["gdpr", "gdpr_consent"]))]
    pub consent_parameters: Vec<String>,
}

impl Default for PostbackBody {
    fn default() -> Self {
        Self {
            profile: ParameterProfile::Tributary.as_str().to_owned(),
            parameters: BTreeMap::new(),
            statuses: BTreeMap::new(),
            auth: PostbackAuth::Token.as_str().to_owned(),
            networks: Vec::new(),
            legacy_always_200: false,
            consent_parameters: Vec::new(),
        }
    }
}

impl PostbackBody {
    pub fn auth(&self) -> Result<PostbackAuth, BodyError> {
        PostbackAuth::parse(&self.auth).ok_or_else(|| refuse("/auth", "use one of token, hmac and ip_list"))
    }

    /// What edges read, the keys aside.
    pub fn lower(&self) -> Result<edge_v1::PostbackSettings, BodyError> {
        let profile = self.profile()?;
        let parameters = self.own_parameters()?;
        let names = parameters.iter().map(|(field, name)| (*field, *name));
        ParameterNames::try_new(profile, names).map_err(|error| refuse("/parameters", error.to_string()))?;
        let statuses = self.own_statuses()?;
        StatusWords::try_new(profile, statuses.iter().copied())
            .map_err(|error| refuse("/statuses", error.to_string()))?;
        let auth = self.auth()?;
        self.check_networks(auth)?;
        self.check_consent()?;
        Ok(edge_v1::PostbackSettings {
            profile: if profile == ParameterProfile::Tributary { 0 } else { profile.code().into() },
            parameters: parameters
                .into_iter()
                .map(|(field, name)| edge_v1::ParameterName {
                    field: field.code().into(),
                    name: name.to_owned(),
                })
                .collect(),
            statuses: statuses
                .into_iter()
                .map(|(word, status)| edge_v1::StatusWord {
                    word: word.to_owned(),
                    status: status.code().into(),
                })
                .collect(),
            auth: if auth == PostbackAuth::Token { 0 } else { auth.code().into() },
            keys: Vec::new(),
            networks: self.networks.clone(),
            legacy_always_200: self.legacy_always_200,
            consent_parameters: self.consent_parameters.clone(),
        })
    }

    fn profile(&self) -> Result<ParameterProfile, BodyError> {
        ParameterProfile::parse(&self.profile).ok_or_else(|| {
            let known: Vec<_> = ParameterProfile::ALL.iter().map(|profile| profile.as_str()).collect();
            refuse("/profile", format!("use one of {}", known.join(", ")))
        })
    }

    fn own_parameters(&self) -> Result<Vec<(PostbackField, &str)>, BodyError> {
        let mut own = Vec::with_capacity(self.parameters.len());
        for (field, name) in &self.parameters {
            let Some(known) = PostbackField::parse(field) else {
                let fields: Vec<_> = PostbackField::ALL.iter().map(|field| field.as_str()).collect();
                let message = format!("`{field}` is not a field; use one of {}", fields.join(", "));
                return Err(refuse("/parameters", message));
            };
            own.push((known, name.as_str()));
        }
        Ok(own)
    }

    fn own_statuses(&self) -> Result<Vec<(&str, ConversionStatus)>, BodyError> {
        let mut own = Vec::with_capacity(self.statuses.len());
        for (word, status) in &self.statuses {
            let Some(known) = ConversionStatus::parse(status) else {
                let message = format!("`{word}` stands for one of approved, pending, rejected and hold");
                return Err(refuse("/statuses", message));
            };
            own.push((word.as_str(), known));
        }
        Ok(own)
    }

    /// Half the internet is no list: a slip of the prefix would let anybody report sales.
    fn check_networks(&self, auth: PostbackAuth) -> Result<(), BodyError> {
        if self.networks.len() > MAX_NETWORKS {
            return Err(refuse("/networks", "name at most 64 networks"));
        }
        if auth == PostbackAuth::IpList && self.networks.is_empty() {
            return Err(refuse("/networks", "`ip_list` needs at least one network"));
        }
        for (index, text) in self.networks.iter().enumerate() {
            let at = format!("/networks/{index}");
            let network: Cidr =
                text.parse().map_err(|error: proto_rules::CidrError| refuse(&at, error.to_string()))?;
            let least = if network.address().is_ipv4() { 8 } else { 16 };
            if network.prefix() < least {
                return Err(refuse(at, format!("use a prefix of at least {least}")));
            }
        }
        Ok(())
    }

    fn check_consent(&self) -> Result<(), BodyError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let fits = |name: &String| (1..=64).contains(&name.len()) && name.bytes().all(plain);
        if self.consent_parameters.len() > MAX_CONSENT || !self.consent_parameters.iter().all(fits) {
            let message = "use at most 8 names of 1 to 64 letters, digits, `_`, `-` and `.`";
            return Err(refuse("/consent_parameters", message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn lower(body: &Value) -> Result<edge_v1::PostbackSettings, String> {
        let body: PostbackBody = serde_json::from_value(body.clone()).map_err(|error| error.to_string())?;
        body.lower().map_err(|error| error.to_string())
    }

    #[test]
    fn settings_become_what_edges_read() {
        assert_eq!(lower(&json!({})).unwrap(), edge_v1::PostbackSettings::default());
        let wire = lower(&json!({
            "profile": "tune", "parameters": { "order_id": "ref" }, "statuses": { "paid": "approved" },
            "auth": "ip_list", "networks": ["203.0.113.0/24"], "consent_parameters": ["gdpr"],
        }))
        .unwrap();
        assert_eq!((wire.profile, wire.auth), (3, 3));
        assert_eq!(wire.parameters[0], edge_v1::ParameterName { field: 2, name: "ref".into() });
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let cases = [
            (json!({ "profile": "hasoffers" }), "/profile: use one of tributary, everflow"),
            (json!({ "parameters": { "order": "x" } }), "/parameters: `order` is not a field"),
            (json!({ "parameters": { "order_id": "x", "click_id": "x" } }), "/parameters: `x` would be both"),
            (json!({ "statuses": { "ok": "good" } }), "/statuses: `ok` stands for one of"),
            (json!({ "auth": "none" }), "/auth: use one of"),
            (json!({ "auth": "ip_list" }), "/networks: `ip_list` needs"),
            (json!({ "networks": ["0.0.0.0/0"] }), "/networks/0: use a prefix of at least 8"),
            (json!({ "networks": ["203.0.113.7/24"] }), "/networks/0: "),
            (json!({ "consent_parameters": ["a b"] }), "/consent_parameters: "),
            (json!({ "secret": "x" }), "unknown field"),
        ];
        for (body, expected) in cases {
            let error = lower(&body).unwrap_err();
            assert!(error.contains(expected), "{body}\n  gave {error}");
        }
    }
}
