//! Allocates on several threads in many sizes, each block with its own pattern, while the
//! host may allocate in the same memory.
//!
//! ```text
//! heap [THREADS] [MIB]   4 threads that keep 24 MiB each
//! ```
//!
//! Prints `ready` when it begins. Threads keep what they have allocated until the input
//! ends; then each looks whether its blocks are what it has written.

use std::io::{self, Read};
use std::sync::RwLock;
use std::thread;

use conformance::{arg_or, mix, say};

fn main() {
    let (threads, most) = (arg_or(1, 4_u64), arg_or(2, 24_usize) << 20);
    let until_told = RwLock::new(());
    let held = until_told.write().unwrap();
    thread::scope(|scope| {
        let until_told = &until_told;
        let workers: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || fill(number, most, until_told)))
            .collect();
        say("ready");
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        drop(held);
        let bad: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert_eq!(bad, 0, "blocks that somebody else has written to");
    });
    say("ok heap");
}

/// Allocates `most` bytes; how many blocks are not what they were, when it is told to look.
fn fill(thread: u64, most: usize, until_told: &RwLock<()>) -> usize {
    let pattern = |number: usize| (thread as usize * 60 + number % 60) as u8 + 1;
    let mut blocks = Vec::new();
    let mut total = 0;
    while total < most {
        let number = blocks.len();
        let size = 1000 + (mix(thread << 32 | number as u64) % 100_000) as usize;
        blocks.push(vec![pattern(number); size]);
        total += size;
    }
    let _told = until_told.read().unwrap();
    let is_bad =
        |(number, block): &(usize, &Vec<u8>)| block.iter().any(|byte| *byte != pattern(*number));
    blocks.iter().enumerate().filter(is_bad).count()
}
