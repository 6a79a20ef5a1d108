//! Personal values: salted commitments in signed bytes, values in a sidecar that can be erased.
//!
//! A commitment is
//! `sha256("tributary-commit-v1\0" || stream (be32) || ordinal (be64) || class (1) || salt (16) || value)`.
//! The salt stands only in the sidecar. With it gone, nobody can find the value by trying likely ones,
//! yet the signed event is as it was, so the chain and everything computed from it still verify.

use crate::edge_v1::{Event, PersonalNetwork, PersonalSubject, PersonalTags, PersonalVisitor, SidecarEntry};
use crate::keys::sha256_of;
use crate::limits::{
    CUSTOMER_ID_MAX, IP_PREFIX_MAX, REFERRER_MAX, SUB_ID_MAX, SUB_IDS, USER_AGENT_MAX, VISITOR_ID_MAX, clean,
    fits, fits_or_empty,
};
use prost::Message;
use proto_model::StreamNo;
use proto_model::event::{Network, Personal, PersonalClass};

pub const SALT_LEN: usize = 16;
pub(crate) const COMMIT_DOMAIN: &[u8] = b"tributary-commit-v1\0";

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PersonalError {
    #[error("personal class {0} is unknown (is the edge newer than the control plane?)")]
    UnknownClass(u32),
    #[error("the personal value of class {} is not the expected message", class.as_str())]
    Decode {
        class: PersonalClass,
        #[source]
        source: prost::DecodeError,
    },
    #[error("the personal field {0} is too long or holds control characters")]
    Field(&'static str),
}

/// The values to commit to, one per class that holds anything. Texts that describe the hit are cleaned to
/// their limits; ids of customers and visitors are not, since another id is another person: check them where they
/// come in.
pub fn encode(personal: &Personal) -> Vec<(PersonalClass, Vec<u8>)> {
    let mut out = Vec::with_capacity(PersonalClass::ALL.len());
    if let Some(network) = &personal.network {
        let message = PersonalNetwork {
            ip_prefix: clean(&network.ip_prefix, IP_PREFIX_MAX).into_owned(),
            ip_hash: network.ip_hash.to_vec(),
            user_agent: clean(&network.user_agent, USER_AGENT_MAX).into_owned(),
            referrer: clean(&network.referrer, REFERRER_MAX).into_owned(),
        };
        out.push((PersonalClass::Network, message.encode_to_vec()));
    }
    if let Some(customer_id) = personal.customer_id.as_ref().filter(|id| !id.is_empty()) {
        let message = PersonalSubject { customer_id: customer_id.clone() };
        out.push((PersonalClass::Subject, message.encode_to_vec()));
    }
    let mut sub_ids: Vec<String> =
        personal.sub_ids.iter().take(SUB_IDS).map(|tag| clean(tag, SUB_ID_MAX).into_owned()).collect();
    while sub_ids.last().is_some_and(String::is_empty) {
        sub_ids.pop();
    }
    if !sub_ids.is_empty() {
        out.push((PersonalClass::Tags, PersonalTags { sub_ids }.encode_to_vec()));
    }
    if let Some(visitor_id) = personal.visitor_id.as_ref().filter(|id| !id.is_empty()) {
        let message = PersonalVisitor { visitor_id: visitor_id.clone() };
        out.push((PersonalClass::Visitor, message.encode_to_vec()));
    }
    out
}

/// Reads values back; a class that was erased is simply absent. `sub_ids` has no trailing empty ones.
pub fn decode<'a>(
    values: impl IntoIterator<Item = (PersonalClass, &'a [u8])>,
) -> Result<Personal, PersonalError> {
    let mut personal = Personal::default();
    for (class, value) in values {
        match class {
            PersonalClass::Network => personal.network = Some(decode_network(value)?),
            PersonalClass::Subject => {
                let PersonalSubject { customer_id } = read(class, value)?;
                personal.customer_id = Some(checked(customer_id, CUSTOMER_ID_MAX, "customer_id", fits)?);
            }
            PersonalClass::Tags => {
                let PersonalTags { sub_ids } = read(class, value)?;
                if sub_ids.len() > SUB_IDS || !sub_ids.iter().all(|tag| fits_or_empty(tag, SUB_ID_MAX)) {
                    return Err(PersonalError::Field("sub_ids"));
                }
                personal.sub_ids = sub_ids;
            }
            PersonalClass::Visitor => {
                let PersonalVisitor { visitor_id } = read(class, value)?;
                personal.visitor_id = Some(checked(visitor_id, VISITOR_ID_MAX, "visitor_id", fits)?);
            }
        }
    }
    Ok(personal)
}

fn decode_network(value: &[u8]) -> Result<Network, PersonalError> {
    let PersonalNetwork { ip_prefix, ip_hash, user_agent, referrer } = read(PersonalClass::Network, value)?;
    Ok(Network {
        ip_prefix: checked(ip_prefix, IP_PREFIX_MAX, "ip_prefix", fits_or_empty)?,
        ip_hash: ip_hash.try_into().map_err(|_| PersonalError::Field("ip_hash"))?,
        user_agent: checked(user_agent, USER_AGENT_MAX, "user_agent", fits_or_empty)?,
        referrer: checked(referrer, REFERRER_MAX, "referrer", fits_or_empty)?,
    })
}

fn read<T: Message + Default>(class: PersonalClass, value: &[u8]) -> Result<T, PersonalError> {
    T::decode(value).map_err(|source| PersonalError::Decode { class, source })
}

fn checked(
    text: String,
    max: usize,
    name: &'static str,
    ok: fn(&str, usize) -> bool,
) -> Result<String, PersonalError> {
    if ok(&text, max) { Ok(text) } else { Err(PersonalError::Field(name)) }
}

pub fn commit(
    stream: StreamNo,
    ordinal: u64,
    class: PersonalClass,
    salt: &[u8; SALT_LEN],
    value: &[u8],
) -> [u8; 32] {
    sha256_of(&[COMMIT_DOMAIN, &stream.0.to_be_bytes(), &ordinal.to_be_bytes(), &[class.code()], salt, value])
}

/// The class of an entry as it stands on the wire.
pub fn class_from_wire(class: u32) -> Result<PersonalClass, PersonalError> {
    let known = u8::try_from(class).ok().and_then(PersonalClass::from_code);
    known.ok_or(PersonalError::UnknownClass(class))
}

/// True when `event`, as signed in `stream`, commits to exactly this entry.
pub fn verify_entry(event: &Event, stream: StreamNo, entry: &SidecarEntry) -> bool {
    let (Ok(class), Ok(salt)) =
        (class_from_wire(entry.personal_class), <&[u8; SALT_LEN]>::try_from(entry.salt.as_slice()))
    else {
        return false;
    };
    let digest = commit(stream, entry.ordinal, class, salt, &entry.value);
    entry.ordinal == event.ordinal
        && event.commitments.iter().any(|c| c.personal_class == entry.personal_class && c.digest == digest)
}
