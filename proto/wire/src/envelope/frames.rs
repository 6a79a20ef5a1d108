//! Takes a message of the form `repeated X x = 1` apart before decoding it. An empty `X` takes two bytes
//! on the wire and hundreds decoded, so the number of items is checked first.

use super::{EnvelopeError, at_most};
use prost::Message;
use prost::encoding::decode_varint;

/// Field 1, length-delimited.
const ITEM_KEY: u64 = 0x0a;

pub fn split<'a>(
    what: &'static str,
    mut raw: &'a [u8],
    most: usize,
    longest: usize,
) -> Result<Vec<&'a [u8]>, EnvelopeError> {
    let mut items = Vec::new();
    while !raw.is_empty() {
        let malformed = |source| EnvelopeError::Decode { what, source };
        if decode_varint(&mut raw).map_err(malformed)? != ITEM_KEY {
            return Err(EnvelopeError::NotARepetition { what });
        }
        let len = decode_varint(&mut raw).map_err(malformed)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        at_most(what, len, longest)?;
        let (item, rest) = raw.split_at_checked(len).ok_or(EnvelopeError::NotARepetition { what })?;
        items.push(item);
        at_most(what, items.len(), most)?;
        raw = rest;
    }
    Ok(items)
}

pub fn decode<T: Message + Default>(what: &'static str, items: &[&[u8]]) -> Result<Vec<T>, EnvelopeError> {
    items
        .iter()
        .map(|item| T::decode(*item))
        .collect::<Result<_, _>>()
        .map_err(|source| EnvelopeError::Decode { what, source })
}
