//! Random numbers that a seed decides: the same everywhere, for ever.
//!
//! Invariant: the sequence of a seed never changes, or replay files that fall back to their seed
//! would lead elsewhere. (SplitMix64.)

/// A generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0 if that is 0. The bias is far below what a search notices.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in 2^`bits`.
    pub(crate) fn one_in_power(&mut self, bits: u32) -> bool {
        self.next() >> (64 - bits.clamp(1, 63)) == 0
    }

    /// An independent seed for number `number`.
    pub(crate) fn derive(seed: u64, number: u64) -> u64 {
        Self(seed ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03)).next()
    }
}
