//! Keys of conversions on their way into the database: in blocks, since a record for each would cost more than
//! the conversion itself.

use super::seen::{Seen, SeenKey};

/// Keys of a block. Small, since the last block is written again until it is full.
const BLOCK: usize = 256;

/// The newest block, and what is not in the database yet.
pub(super) struct Saved {
    /// Full blocks that are kept.
    blocks: u64,
    number: u64,
    block: Vec<u8>,
}

impl Saved {
    /// Reads what is there into `seen`, the oldest first.
    pub fn load(tree: &sled::Tree, entries: usize, seen: &Seen) -> sled::Result<Self> {
        let blocks = u64::try_from(entries.div_ceil(BLOCK)).unwrap_or(u64::MAX);
        let mut saved = Self { blocks, number: 0, block: Vec::new() };
        for entry in tree.iter() {
            let (number, block) = entry?;
            for key in block.chunks_exact(SeenKey::LEN).filter_map(SeenKey::from_slice) {
                seen.insert(key);
            }
            saved.number = super::read_u64(&number).unwrap_or(saved.number);
            saved.block = block.to_vec();
        }
        Ok(saved)
    }

    pub fn add(&mut self, tree: &sled::Tree, keys: &[SeenKey]) -> sled::Result<()> {
        for key in keys {
            if self.block.len() >= BLOCK * SeenKey::LEN {
                self.write(tree)?;
                self.number += 1;
                self.block.clear();
                if let Some(oldest) = self.number.checked_sub(self.blocks) {
                    tree.remove(oldest.to_be_bytes())?;
                }
            }
            self.block.extend_from_slice(key.bytes());
        }
        self.write(tree)
    }

    fn write(&self, tree: &sled::Tree) -> sled::Result<()> {
        tree.insert(self.number.to_be_bytes(), self.block.as_slice()).map(|_| ())
    }
}
