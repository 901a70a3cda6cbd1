//! [`Event`]: something that a thread has done.

use super::bounds::MOST_TRACKS;

/// Something that a thread has done, from then until then by [`now`](crate::machine::now).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Its stack then, if it was looked at.
    pub(crate) stack: u32,
    pub(crate) what: What,
}

/// What it was.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The thread began to run, or goes on after a pause.
    Began,
    /// It has ended, or pauses.
    Ended,
    /// It started the thread with this track.
    Spawned(u32),
    /// It waited for a notify: at first it hovered, and then it slept from `slept` on.
    Waited {
        address: u64,
        slept: Option<u64>,
        by: Woken,
        timed_out: bool,
    },
    /// It woke so many threads.
    Notified {
        address: u64,
        woken: u32,
        mark: Woken,
    },
    /// It was in a host call that can take long.
    HostCall,
    /// It made a memory larger by so many pages.
    Grew(u64),
}

/// By whom a thread was woken: the mark that one notify leaves. 0 is nobody, or the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Woken(pub(crate) u64);

impl Woken {
    /// Of a track, the notifier's stack, and how many such marks it has left.
    pub(super) fn new(track: u32, stack: u32, number: u32) -> Self {
        const { assert!(MOST_TRACKS < 1 << 20) };
        let [track, stack, number] = [track + 1, stack & 0xF_FFFF, number & 0xFF_FFFF];
        Self(u64::from(track) << 44 | u64::from(stack) << 24 | u64::from(number))
    }

    /// The notifier's track and its stack.
    pub(crate) fn by(self) -> Option<(u32, u32)> {
        let track = ((self.0 >> 44) as u32).checked_sub(1)?;
        Some((track, (self.0 >> 24) as u32 & 0xF_FFFF))
    }
}
