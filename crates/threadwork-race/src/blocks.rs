//! What the program's allocator has given and taken.
//!
//! Invariant: no two live blocks overlap, nor do a live block and one that is remembered as
//! freed.

use std::collections::BTreeMap;

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) length: u64,
    /// Who has allocated it, and the name of its stack.
    pub(crate) slot: u16,
    pub(crate) site: u32,
    pub(crate) context: u32,
    /// Who has freed it, if that is so.
    pub(crate) freed: Option<(u16, u32, u32)>,
}

/// Blocks that are remembered after they were freed.
const MOST_FREED: usize = 100_000;

/// All blocks, by their addresses.
#[derive(Default)]
pub(crate) struct Blocks {
    live: BTreeMap<u64, Block>,
    freed: BTreeMap<u64, Block>,
}

impl Blocks {
    /// Notes a block that was allocated.
    pub(crate) fn add(&mut self, address: u64, block: Block) {
        let end = address.saturating_add(block.length.max(1));
        for map in [&mut self.live, &mut self.freed] {
            while let Some((&start, old)) = map.range(..end).next_back() {
                if start.saturating_add(old.length.max(1)) <= address {
                    break;
                }
                map.remove(&start);
            }
        }
        self.live.insert(address, block);
    }

    /// Takes the block that begins at an address.
    pub(crate) fn remove(&mut self, address: u64, freed: (u16, u32, u32)) -> Option<Block> {
        let block = self.live.remove(&address)?;
        if self.freed.len() >= MOST_FREED {
            self.freed.pop_first();
        }
        let freed = Some(freed);
        self.freed.insert(address, Block { freed, ..block });
        Some(block)
    }

    /// The block that begins at an address and was freed.
    pub(crate) fn freed(&self, address: u64) -> Option<Block> {
        self.freed.get(&address).copied()
    }

    /// The block with an address, alive or, if there is none, freed, and where it begins.
    pub(crate) fn find(&self, address: u64) -> Option<(u64, Block)> {
        [&self.live, &self.freed].into_iter().find_map(|map| {
            let (&start, block) = map.range(..=address).next_back()?;
            (address - start < block.length.max(1)).then_some((start, *block))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(length: u64) -> Block {
        Block {
            length,
            slot: 0,
            site: 0,
            context: 0,
            freed: None,
        }
    }

    #[test]
    fn blocks_are_found_by_any_of_their_bytes() {
        let mut blocks = Blocks::default();
        blocks.add(16, block(8));
        blocks.add(32, block(0));
        assert_eq!(blocks.find(23), Some((16, block(8))));
        assert_eq!(blocks.find(24), None);
        assert_eq!(blocks.find(32), Some((32, block(0))));
        assert_eq!(blocks.remove(17, (1, 2, 3)), None);
        assert_eq!(blocks.remove(16, (1, 2, 3)), Some(block(8)));
        assert_eq!(blocks.freed(16).unwrap().freed, Some((1, 2, 3)));
        assert_eq!(blocks.remove(16, (1, 2, 3)), None);
        // Its memory is another's.
        blocks.add(8, block(16));
        assert_eq!(blocks.freed(16), None);
        assert_eq!(blocks.find(20), Some((8, block(16))));
    }
}
