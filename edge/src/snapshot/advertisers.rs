//! Advertisers, as their postbacks meet them.

use proto_model::postback::{ConversionStatus, ParameterProfile, PostbackField};
use proto_model::{ParameterNames, PostbackAuth, StatusWords, TenantId};
use proto_rules::{Cidr, Networks};
use proto_wire::edge_v1;
use proto_wire::postback::PostbackKey;

#[derive(Debug)]
pub struct AdvertiserEntry {
    pub tenant: TenantId,
    pub postback_token_sha256: Option<[u8; 32]>,
    /// A postback with this token is a test: visible, never paid.
    pub test_token_sha256: Option<[u8; 32]>,
    pub postback: Postback,
}

/// How an advertiser's server reports.
#[derive(Debug)]
pub struct Postback {
    pub parameters: ParameterNames,
    pub statuses: StatusWords,
    /// What vouches for a postback; nothing else does.
    pub auth: PostbackAuth,
    /// For [`PostbackAuth::Hmac`]; any of them will do.
    pub keys: Vec<PostbackKey>,
    /// For [`PostbackAuth::IpList`].
    pub networks: Networks,
    /// Answer 200 whatever comes of it.
    pub legacy_always_200: bool,
    /// Parameters in which this advertiser passes on the shopper's consent.
    pub consent_parameters: Vec<String>,
}

impl AdvertiserEntry {
    pub(super) fn read(tenant: TenantId, wire: &edge_v1::Advertiser, left_out: &mut usize) -> Option<Self> {
        let settings = wire.postback.clone().unwrap_or_default();
        Some(Self {
            tenant,
            postback_token_sha256: hash(&wire.postback_token_sha256),
            test_token_sha256: hash(&wire.test_token_sha256),
            postback: Postback::read(&settings, left_out)?,
        })
    }
}

fn hash(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

impl Postback {
    /// `None` when it is not known what the advertiser's words mean: a guess could make an order of a click id.
    fn read(wire: &edge_v1::PostbackSettings, left_out: &mut usize) -> Option<Self> {
        let profile = code(wire.profile, ParameterProfile::Tributary, ParameterProfile::from_code)?;
        let own = wire.parameters.iter().map(|named| {
            let field = u8::try_from(named.field).ok().and_then(PostbackField::from_code)?;
            Some((field, named.name.as_str()))
        });
        let own = own.collect::<Option<Vec<_>>>()?;
        let words = wire.statuses.iter().map(|word| {
            let status = u8::try_from(word.status).ok().and_then(ConversionStatus::from_code)?;
            Some((word.word.as_str(), status))
        });
        let words = words.collect::<Option<Vec<_>>>()?;
        let keys = some(&wire.keys, postback_key, left_out);
        let cidrs: Vec<Cidr> = some(&wire.networks, |text| text.parse().ok(), left_out);
        Some(Self {
            parameters: ParameterNames::try_new(profile, own).ok()?,
            statuses: StatusWords::try_new(profile, words).ok()?,
            auth: code(wire.auth, PostbackAuth::Token, PostbackAuth::from_code)?,
            keys,
            networks: Networks::new(&cidrs),
            legacy_always_200: wire.legacy_always_200,
            consent_parameters: wire.consent_parameters.clone(),
        })
    }
}

/// 0 stands for the default, what is unknown for nothing.
fn code<T>(code: u32, default: T, read: impl Fn(u8) -> Option<T>) -> Option<T> {
    if code == 0 { Some(default) } else { u8::try_from(code).ok().and_then(read) }
}

/// What can be read of a list; the rest is counted.
fn some<W, T>(list: &[W], read: impl Fn(&W) -> Option<T>, left_out: &mut usize) -> Vec<T> {
    let read: Vec<T> = list.iter().filter_map(read).collect();
    *left_out += list.len() - read.len();
    read
}

fn postback_key(wire: &edge_v1::PostbackKey) -> Option<PostbackKey> {
    let key: [u8; 32] = wire.key.as_slice().try_into().ok()?;
    Some(PostbackKey::new(u8::try_from(wire.key_id).ok()?, &key))
}
