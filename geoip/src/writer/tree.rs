//! The search tree: one bit of the address at each level.

use super::{SEPARATOR, invalid};
use std::io::{self, Write};

/// What one side of a node leads to, in one word: a tree has millions of them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot(u32);

enum Leads {
    Nowhere,
    /// To a node, never the root.
    Node(usize),
    /// To an offset in the data section.
    Data(u32),
}

impl Slot {
    const EMPTY: Self = Self(0);
    const DATA: u32 = 1 << 31;

    fn node(index: usize) -> io::Result<Self> {
        let index = u32::try_from(index).ok().filter(|index| *index < Self::DATA);
        index.map(Self).ok_or_else(|| invalid("too many networks".to_owned()))
    }

    fn data(offset: u32) -> io::Result<Self> {
        if offset < Self::DATA {
            Ok(Self(Self::DATA | offset))
        } else {
            Err(invalid("too many records".to_owned()))
        }
    }

    fn leads(self) -> Leads {
        match self.0 {
            0 => Leads::Nowhere,
            word if word & Self::DATA != 0 => Leads::Data(word & !Self::DATA),
            word => Leads::Node(word as usize),
        }
    }
}

pub(super) struct Tree {
    nodes: Vec<[Slot; 2]>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![[Slot::EMPTY; 2]] }
    }
}

impl Tree {
    pub fn insert(&mut self, bits: u128, length: u32, offset: u32) -> io::Result<()> {
        let data = Slot::data(offset)?;
        let Some(last) = length.checked_sub(1) else {
            self.nodes[0] = [data; 2];
            return Ok(());
        };
        let side = |level: u32| usize::from(bits >> (127 - level) & 1 == 1);
        let mut at = 0;
        for level in 0..last {
            let slot = self.nodes[at][side(level)];
            at = match slot.leads() {
                Leads::Node(next) => next,
                // Both halves of a new node go on saying what the slot above them said.
                _ => {
                    let next = self.nodes.len();
                    self.nodes[at][side(level)] = Slot::node(next)?;
                    self.nodes.push([slot; 2]);
                    next
                }
            };
        }
        self.nodes[at][side(last)] = data;
        Ok(())
    }

    /// The smallest tree that says the same, numbered from the top to the bottom and from left to right.
    pub fn pruned(&self) -> Self {
        let mut small = Self { nodes: Vec::with_capacity(self.nodes.len()) };
        small.take_over(self, 0);
        small
    }

    /// Copies a node and what is below it. A tree has at most 128 levels, so that this goes no deeper.
    fn take_over(&mut self, from: &Self, node: usize) -> Slot {
        let at = self.nodes.len();
        self.nodes.push([Slot::EMPTY; 2]);
        let sides = from.nodes[node].map(|slot| match slot.leads() {
            Leads::Node(next) => self.take_over(from, next),
            _ => slot,
        });
        let alike = sides[0] == sides[1] && !matches!(sides[0].leads(), Leads::Node(_));
        if alike && at != 0 {
            self.nodes.truncate(at);
            return sides[0];
        }
        self.nodes[at] = sides;
        // Not larger than the tree it is copied from, whose numbers fit.
        Slot(u32::try_from(at).unwrap_or_default())
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn bits_needed(&self, data_len: usize) -> u16 {
        let largest = self.len() + SEPARATOR.len() + data_len;
        if largest < 1 << 24 {
            24
        } else if largest < 1 << 28 {
            28
        } else {
            32
        }
    }

    pub fn write(&self, out: &mut impl Write, record_bits: u16) -> io::Result<()> {
        let count = self.len();
        let value = |slot: Slot| {
            let wide = match slot.leads() {
                Leads::Nowhere => count,
                Leads::Node(index) => index,
                Leads::Data(offset) => count + SEPARATOR.len() + offset as usize,
            };
            let fits = u32::try_from(wide).ok().filter(|value| u64::from(*value) < 1 << record_bits);
            fits.ok_or_else(|| invalid(format!("too many networks for records of {record_bits} bits")))
        };
        for [left, right] in &self.nodes {
            let (l, r) = (value(*left)?.to_be_bytes(), value(*right)?.to_be_bytes());
            match record_bits {
                24 => out.write_all(&[l[1], l[2], l[3], r[1], r[2], r[3]])?,
                // The middle byte holds the top four bits of both.
                28 => out.write_all(&[l[1], l[2], l[3], l[0] << 4 | r[0], r[1], r[2], r[3]])?,
                32 => out.write_all(&[l, r].concat())?,
                other => return Err(invalid(format!("records have 24, 28 or 32 bits, not {other}"))),
            }
        }
        Ok(())
    }
}
