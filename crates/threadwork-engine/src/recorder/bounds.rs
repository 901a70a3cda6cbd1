//! What a recorder keeps at most.

/// Threads that are told apart. All that start after these are one.
pub(super) const MOST_TRACKS: u32 = 1 << 16;

/// Different stacks. All others are one.
pub(super) const MOST_STACKS: usize = 1 << 18;

/// Samples whose time is kept, the newest.
pub(super) const MOST_SAMPLES: usize = 1 << 21;

/// Events of the timeline, the newest.
pub(super) const MOST_EVENTS: usize = 1 << 20;

/// Pairs of who waits and who wakes. All others are one.
pub(super) const MOST_PAIRS: usize = 1 << 18;

/// Events that a thread has before it hands them over itself.
pub(super) const FULL: usize = 1 << 14;
