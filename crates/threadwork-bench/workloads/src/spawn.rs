//! Starting threads, and waiting for their end.

use std::thread;
use std::time::Instant;

use crate::Measured;

/// One operation: an empty thread is started and joined. `threads` of them are
/// alive at a time.
pub(crate) fn spawn_join(threads: u32, iterations: u64) -> Measured {
    let mut answer = 0;
    let start = Instant::now();
    while answer < iterations {
        let batch = u64::from(threads).min(iterations - answer);
        let handles: Vec<_> = (0..batch).map(|_| thread::spawn(|| 1)).collect();
        answer += handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or(0))
            .sum::<u64>();
    }
    Measured::new(start.elapsed(), iterations, answer)
}
