//! Threads that are started and joined, for the benchmarks of the web host. Each function is
//! timed here, inside, so that what the host needs for the call does not count.
//!
//! Every thread adds to [`seen`], so that a host that loses threads is found out.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, Builder};
use std::time::Instant;

static SEEN: AtomicU32 = AtomicU32::new(0);
static BEATS: AtomicU32 = AtomicU32::new(0);

/// How many threads have run.
#[unsafe(no_mangle)]
pub extern "C" fn seen() -> u32 {
    // Ordering: joins order what is read after them; pollers read nothing else.
    SEEN.load(Ordering::Relaxed)
}

fn note() {
    // Ordering: a count; see `seen`.
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// Starts `threads` threads, which all meet with the caller before they end; the count of them.
#[unsafe(no_mangle)]
pub extern "C" fn meet(threads: usize) -> usize {
    let barrier = Arc::new(Barrier::new(threads + 1));
    let started: Vec<_> = (0..threads)
        .map_while(|_| {
            let barrier = barrier.clone();
            Builder::new()
                .spawn(move || {
                    note();
                    barrier.wait()
                })
                .ok()
        })
        .collect();
    assert_eq!(started.len(), threads, "a thread was refused");
    barrier.wait();
    started
        .into_iter()
        .filter_map(|thread| thread.join().ok())
        .count()
}

/// Starts and joins `count` threads, one after another: nanoseconds for each.
#[unsafe(no_mangle)]
pub extern "C" fn spawn_join(count: u32) -> f64 {
    let begin = Instant::now();
    for _ in 0..count {
        if let Ok(thread) = Builder::new().spawn(note) {
            let _ = thread.join();
        }
    }
    begin.elapsed().as_nanos() as f64 / f64::from(count)
}

/// Starts a thread that nobody joins.
#[unsafe(no_mangle)]
pub extern "C" fn spawn() {
    drop(Builder::new().spawn(note));
}

/// A thread that starts and joins a thread that does, `depth` of them: nanoseconds for each.
#[unsafe(no_mangle)]
pub extern "C" fn nested(depth: u32) -> f64 {
    fn go(depth: u32) {
        if depth > 0
            && let Ok(thread) = Builder::new().spawn(move || {
                note();
                go(depth - 1)
            })
        {
            let _ = thread.join();
        }
    }
    let begin = Instant::now();
    go(depth);
    begin.elapsed().as_nanos() as f64 / f64::from(depth)
}

/// Starts `threads` threads that compute for ever; the address of a word that changes while any
/// of them does.
#[unsafe(no_mangle)]
pub extern "C" fn beat(threads: u32) -> *const AtomicU32 {
    for _ in 0..threads {
        thread::spawn(|| {
            loop {
                // Ordering: it only has to change.
                BEATS.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    &raw const BEATS
}
