//! A wait for what will be there in a moment.

use std::hint;
use std::thread;

/// So many rounds double the pause; later ones give way to other threads.
const PAUSES: u32 = 3;
/// After so many it is time to sleep.
const ROUNDS: u32 = 10;

/// How long somebody spins, longer each time.
#[derive(Debug, Default)]
pub struct SpinWait {
    round: u32,
}

impl SpinWait {
    /// Not yet.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins again.
    #[inline]
    pub fn reset(&mut self) {
        self.round = 0;
    }

    /// Waits a little, and says whether to go on; false: it is time to sleep.
    #[inline]
    pub fn spin(&mut self) -> bool {
        if self.round >= ROUNDS {
            return false;
        }
        self.round += 1;
        if self.round <= PAUSES {
            pause(self.round);
        } else {
            thread::yield_now();
        }
        true
    }

    /// Waits a little, and gives way to nobody: for who is known to be quick.
    #[inline]
    pub fn spin_no_yield(&mut self) {
        self.round = ROUNDS.min(self.round + 1);
        pause(self.round);
    }
}

fn pause(round: u32) {
    for _ in 0..1_u32 << round {
        hint::spin_loop();
    }
}
