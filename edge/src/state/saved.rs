//! Small records on their way into the database: in blocks, since an entry for each would cost more than the hit
//! itself.

/// Bytes of a record.
pub(super) const RECORD: usize = 16;
/// Records of a block. Small, since the last block is written again until it is full.
const BLOCK: usize = 256;

/// The newest block, and what is not in the database yet.
pub(super) struct Saved {
    /// Full blocks that are kept.
    blocks: u64,
    number: u64,
    block: Vec<u8>,
}

impl Saved {
    /// Where there is no database.
    pub fn nowhere() -> Self {
        Self { blocks: 0, number: 0, block: Vec::new() }
    }

    /// Hands what is there to `take`, the oldest first.
    pub fn load(
        tree: &sled::Tree,
        entries: usize,
        mut take: impl FnMut(&[u8; RECORD]),
    ) -> sled::Result<Self> {
        let blocks = u64::try_from(entries.div_ceil(BLOCK)).unwrap_or(u64::MAX);
        let mut saved = Self { blocks, number: 0, block: Vec::new() };
        for entry in tree.iter() {
            let (number, block) = entry?;
            block.as_chunks().0.iter().for_each(&mut take);
            saved.number = super::read_u64(&number).unwrap_or(saved.number);
            saved.block = block.to_vec();
        }
        Ok(saved)
    }

    pub fn add(&mut self, tree: &sled::Tree, records: &[[u8; RECORD]]) -> sled::Result<()> {
        for record in records {
            if self.block.len() >= BLOCK * RECORD {
                self.write(tree)?;
                self.number += 1;
                self.block.clear();
                if let Some(oldest) = self.number.checked_sub(self.blocks) {
                    tree.remove(oldest.to_be_bytes())?;
                }
            }
            self.block.extend_from_slice(record);
        }
        self.write(tree)
    }

    /// Everything is gone.
    pub fn clear(&mut self, tree: &sled::Tree) -> sled::Result<()> {
        tree.clear()?;
        (self.number, self.block) = (0, Vec::new());
        Ok(())
    }

    fn write(&self, tree: &sled::Tree) -> sled::Result<()> {
        tree.insert(self.number.to_be_bytes(), self.block.as_slice()).map(|_| ())
    }
}
