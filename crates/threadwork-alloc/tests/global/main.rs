//! The allocator as the program's own: std, its collections and its threads live in it.

#![cfg(not(loom))]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc;
use std::thread;

use threadwork_alloc::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

const ROUNDS: usize = if cfg!(miri) { 2 } else { 200 };

#[test]
fn collections_live_in_it() {
    let before = ALLOCATOR.stats();
    assert!(before.used > 0, "the test itself lives in it: {before:?}");
    let mut map = HashMap::new();
    let mut tree = BTreeMap::new();
    for n in 0..ROUNDS as u64 * 10 {
        map.entry(n % 97)
            .or_insert_with(Vec::new)
            .push(n.to_string());
        tree.insert(
            n.wrapping_mul(0x9e37_79b9) % 1_000,
            vec![n as u8; (n % 300) as usize],
        );
        if n % 3 == 0 {
            map.remove(&(n % 89));
            tree.pop_first();
        }
    }
    assert!(
        tree.iter()
            .all(|(_, bytes)| bytes.iter().all(|byte| *byte == bytes[0]))
    );
    assert!(
        map.values()
            .flatten()
            .all(|text| text.parse::<u64>().is_ok())
    );
}

#[test]
fn boxes_are_dropped_by_other_threads() {
    let (sender, receiver) = mpsc::channel::<Box<[usize]>>();
    thread::scope(|scope| {
        for index in 0..4 {
            let sender = sender.clone();
            scope.spawn(move || {
                for n in 0..ROUNDS * 10 {
                    sender
                        .send(vec![index; 1 + n % 200].into_boxed_slice())
                        .unwrap();
                }
            });
        }
        drop(sender);
        scope.spawn(move || {
            for boxed in receiver {
                assert!(boxed.iter().all(|value| *value == boxed[0]));
            }
        });
    });
}

#[test]
fn zero_sized_values_need_nothing() {
    let boxes: Vec<Box<()>> = (0..100).map(|_| Box::new(())).collect();
    assert_eq!(boxes.len(), 100);
}

#[test]
#[cfg_attr(miri, ignore = "Miri ends where there is no memory")]
fn too_much_is_an_error() {
    let mut bytes: Vec<u8> = Vec::new();
    assert!(bytes.try_reserve(isize::MAX as usize).is_err());
    bytes.try_reserve(1_000).unwrap();
    let mut words: Vec<u64> = vec![1; 1_000];
    assert!(words.try_reserve(isize::MAX as usize / 8 - 1_000).is_err());
    assert_eq!(words.iter().sum::<u64>(), 1_000);
}

#[test]
fn threads_of_std_leave_their_heaps() {
    for _ in 0..ROUNDS {
        let text = thread::spawn(|| {
            thread_local!(static WORDS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) });
            WORDS.with_borrow_mut(|words| words.push("dropped when the thread ends".to_string()));
            format!("from {:?}", thread::current().id())
        })
        .join()
        .unwrap();
        assert!(text.starts_with("from "));
    }
    // As many as there were threads at one time: the harness' and these.
    assert!(ALLOCATOR.stats().heaps < 40, "{:?}", ALLOCATOR.stats());
}

/// WebAssembly aborts.
#[test]
#[cfg(panic = "unwind")]
fn panics_unwind_through_it() {
    let result = thread::spawn(|| {
        let _held = vec![String::from("dropped"); 10];
        std::panic::panic_any(vec![1, 2, 3]);
    })
    .join();
    assert_eq!(
        *result.unwrap_err().downcast::<Vec<i32>>().unwrap(),
        [1, 2, 3]
    );
}

/// A process forks while other threads allocate: the child has the allocator to itself.
#[test]
#[cfg(all(unix, not(miri)))]
fn a_child_that_was_forked_allocates() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    /// Takes slabs and gives them back, again and again.
    fn churn(seed: usize, over: &AtomicBool) {
        const SIZES: [usize; 4] = [9_000, 16_000, 24_000, 30_000];
        let mut n = seed;
        while !over.load(Ordering::Relaxed) {
            let list: Vec<Vec<u8>> = (0..60)
                .map(|_| {
                    n = n.wrapping_mul(31).wrapping_add(17);
                    Vec::with_capacity(SIZES[n % SIZES.len()])
                })
                .collect();
            std::hint::black_box(&list);
        }
    }

    fn child() -> ! {
        let blocks: Vec<Vec<u8>> = [1, 24, 100, 700, 3_000, 9_000, 30_000, 100_000]
            .iter()
            .flat_map(|&size| (0..40).map(move |_| vec![1; size]))
            .collect();
        drop(blocks);
        // SAFETY: it ends the child at once, without what the parent would do at its end.
        unsafe { libc::_exit(0) }
    }

    fn ends_well(pid: libc::pid_t) -> bool {
        let start = Instant::now();
        let mut status = 0;
        // SAFETY: it is our own child.
        while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0 {
            if start.elapsed() > Duration::from_secs(10) {
                // SAFETY: as above.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                // SAFETY: as above.
                unsafe { libc::waitpid(pid, &raw mut status, 0) };
                return false;
            }
            thread::sleep(Duration::from_micros(200));
        }
        status == 0
    }

    let over = AtomicBool::new(false);
    let bad = thread::scope(|scope| {
        for seed in 0..6 {
            let over = &over;
            scope.spawn(move || churn(seed, over));
        }
        let forks = match std::env::var_os("THREADWORK_FULL") {
            Some(_) => 600,
            None => 100,
        };
        let bad = (0..forks).find(|_| {
            // SAFETY: the child allocates, which is what this is about, and ends.
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0, "no fork");
            if pid == 0 {
                child();
            }
            !ends_well(pid)
        });
        over.store(true, Ordering::Relaxed);
        bad
    });
    assert_eq!(bad, None, "this child hung or failed");
}
