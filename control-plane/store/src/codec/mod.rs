//! Domain values as JSON columns: mirrors of the domain's types that serde may see.
//!
//! Every value reads back equal to what was written (tested by property). An unknown field or word is an
//! error, never ignored: a row half understood would be a wrong amount.

#[cfg(test)]
mod golden;
mod input;
mod order;
mod parts;
mod terms;

pub(crate) use input::{input_from_json, input_to_json};
pub(crate) use order::{
    amount_source_from_json, amount_source_to_json, arithmetic_from_json, arithmetic_to_json,
    conflicts_from_json, conflicts_to_json, decision_from_json, decision_to_json, events_from_json,
    events_to_json,
};
pub(crate) use parts::{bound_from_json, bound_to_json};
pub(crate) use terms::{Basis, basis_from_json, basis_to_json, terms_from_json, terms_to_json};

use crate::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn write<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::corrupt("value", error))
}

pub(crate) fn read<T: DeserializeOwned>(what: &'static str, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::corrupt(what, error))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

pub(crate) fn unhex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], StoreError> {
    let error = || StoreError::corrupt(what, "not the hex text expected");
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(error());
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(error);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).map_err(|_| error())?;
    }
    Ok(bytes)
}

/// The domain's constant with this text.
pub(crate) fn reason(text: &str) -> Result<&'static str, StoreError> {
    control_plane_domain::reason::parse(text).ok_or_else(|| StoreError::corrupt("reason", text))
}
