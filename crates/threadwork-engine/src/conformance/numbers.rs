//! Numbers that look random, and how many of them to try.

/// Numbers that are the same on every run and every machine.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// SplitMix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// How many seeds to try: all of them with `THREADWORK_FULL=1`.
pub(super) fn seeds(sampled: u64, full: u64) -> std::ops::Range<u64> {
    let all = std::env::var("THREADWORK_FULL").is_ok_and(|value| value == "1");
    0..if all { full } else { sampled }
}
