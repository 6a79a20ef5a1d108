//! Writes MaxMind DB files (format 2.0). The same networks and records give the same bytes, whatever the order in
//! which the networks came: the tree is pruned and numbered anew before it is written.

mod encode;
mod tree;

use encode::Data;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use tree::Tree;

const SEPARATOR: [u8; 16] = [0; 16];

/// What a record is made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    Text(String),
    Uint32(u32),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What the file says of itself, and how it is laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// 24, 28 or 32 bits; `None` = the fewest that hold the tree.
    pub record_bits: Option<u16>,
    /// `false` = a tree of 32 levels that has no place for IPv6.
    pub ipv6: bool,
    /// Unix seconds.
    pub build_epoch: u64,
    pub database_type: &'static str,
    pub description: &'static str,
}

/// Names a record of the writer that made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordId(u32);

pub struct Writer {
    layout: Layout,
    tree: Tree,
    ids: BTreeMap<Value, RecordId>,
    data: Data,
}

impl Writer {
    pub fn new(layout: Layout) -> Self {
        Self { layout, tree: Tree::default(), ids: BTreeMap::new(), data: Data::default() }
    }

    /// Equal records are one.
    pub fn record(&mut self, value: &Value) -> io::Result<RecordId> {
        if let Some(id) = self.ids.get(value) {
            return Ok(*id);
        }
        let offset = self.data.add(value)?;
        let id = RecordId(u32::try_from(offset).map_err(|_| invalid("too many records".to_owned()))?);
        self.ids.insert(value.clone(), id);
        Ok(id)
    }

    /// The whole network says `record` from now on, whatever parts of it said before.
    pub fn insert(&mut self, network: Network, record: RecordId) -> io::Result<()> {
        let Network { mut bits, mut length } = network;
        if !self.layout.ipv6 {
            let (Some(short), true) = (length.checked_sub(Network::IPV4_LEVELS), bits >> 32 == 0) else {
                return Err(invalid("an IPv6 network has no place in an IPv4 tree".to_owned()));
            };
            (bits, length) = (bits << Network::IPV4_LEVELS, short);
        }
        self.tree.insert(bits, length, record.0)
    }

    pub fn finish(self, out: &mut impl Write) -> io::Result<()> {
        let Self { layout, tree, data, .. } = self;
        let tree = tree.pruned();
        let bits = match layout.record_bits {
            Some(bits) => bits,
            None => tree.bits_needed(data.len()),
        };
        tree.write(out, bits)?;
        out.write_all(&SEPARATOR)?;
        out.write_all(data.bytes())?;
        out.write_all(&encode::metadata(&layout, bits, tree.len())?)?;
        out.flush()
    }
}

/// A prefix in a tree of 128 levels, where IPv4 stands under ::/96.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Network {
    /// From the top of the word; those beyond `length` are 0.
    bits: u128,
    length: u32,
}

impl Network {
    const IPV4_LEVELS: u32 = 96;

    /// `None` when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u32) -> Option<Self> {
        let (bits, length) = match address {
            IpAddr::V4(v4) if prefix <= 32 => (u128::from(v4.to_bits()), prefix + Self::IPV4_LEVELS),
            IpAddr::V6(v6) if prefix <= 128 => (v6.to_bits(), prefix),
            _ => return None,
        };
        let kept = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Some(Self { bits: bits & kept, length })
    }

    pub fn length(self) -> u32 {
        self.length
    }

    /// The fewest networks that make up the range, from its start to its end.
    pub(crate) fn of_range(start: u128, end: u128) -> impl Iterator<Item = Self> {
        let mut next = Some(start).filter(|start| *start <= end);
        std::iter::from_fn(move || {
            let bits = next?;
            // As large as the alignment of the start and the rest of the range allow.
            let room = (end - bits).checked_add(1).map_or(128, u128::ilog2);
            let width = bits.trailing_zeros().min(room);
            let last = bits | 1u128.checked_shl(width).map_or(u128::MAX, |size| size - 1);
            next = last.checked_add(1).filter(|start| *start <= end);
            Some(Self { bits, length: 128 - width })
        })
    }
}

/// Where an address stands in a tree of 128 levels.
pub(crate) fn position(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests;
