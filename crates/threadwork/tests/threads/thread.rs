//! Starting threads, and what they know of themselves.

use std::io;
use std::time::{Duration, Instant};

use threadwork::thread::{self, Builder};

#[test]
fn a_thread_returns_its_value() {
    assert_eq!(thread::spawn(|| 6 * 7).join().unwrap(), 42);
    let data = [1, 2, 3];
    let sum: i32 = thread::scope(|scope| scope.spawn(|| data.iter().sum()).join().unwrap());
    assert_eq!(sum, 6);
}

#[test]
fn a_builder_names_it() {
    let own_name = || thread::current().name().map(str::to_owned);
    let named = Builder::new()
        .name("reader".into())
        .spawn(own_name)
        .unwrap();
    assert_eq!(named.join().unwrap().as_deref(), Some("reader"));
    assert_eq!(
        Builder::new().spawn(own_name).unwrap().join().unwrap(),
        None
    );
}

#[test]
fn a_scoped_thread_borrows() {
    let mut count = 0;
    thread::scope(|scope| {
        let builder = Builder::new().name("borrower".into());
        builder.spawn_scoped(scope, || count += 1).unwrap();
    });
    assert_eq!(count, 1);
}

#[test]
fn a_name_with_a_zero_byte_is_an_error() {
    let error = Builder::new().name("a\0b".into()).spawn(|| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// More stack than there is memory: an error, not the end. (Miri has no stacks.)
#[test]
#[cfg(not(miri))]
fn a_stack_that_cannot_be_is_an_error() {
    let most = isize::MAX as usize;
    for bytes in [most - 65_535, most / 2 + 1] {
        assert!(
            Builder::new().stack_size(bytes).spawn(|| ()).is_err(),
            "{bytes}"
        );
    }
}

#[test]
#[cfg(panic = "unwind")]
fn a_panic_reaches_who_joins() {
    let payload = thread::spawn(|| panic!("of the test")).join().unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"of the test"));
}

#[test]
fn a_thread_can_be_parked_and_sleep() {
    let start = Instant::now();
    let sleeper = thread::spawn(|| {
        thread::sleep(Duration::from_millis(5));
        thread::yield_now();
        thread::park();
    });
    sleeper.thread().unpark();
    sleeper.join().unwrap();
    thread::park_timeout(Duration::from_millis(1));
    assert!(start.elapsed() >= Duration::from_millis(5));
}

/// Under the engine it is the number of cores, which it tells by a variable; std knows
/// nothing in a guest.
#[test]
fn parallelism_is_what_the_host_says() {
    let known = thread::available_parallelism().map_or(1, |count| count.get());
    let told = std::env::var("THREADWORK_PARALLELISM").ok();
    match (told, std::thread::available_parallelism()) {
        (Some(told), _) => assert_eq!(known.to_string(), told),
        (None, Ok(cores)) => assert_eq!(known, cores.get()),
        (None, Err(_)) => assert!(known >= 1),
    }
}

/// Natively the system looks after the stack.
#[test]
#[cfg(not(target_family = "wasm"))]
fn natively_nothing_is_known_of_the_stack() {
    assert_eq!(thread::stack_size(), None);
    assert_eq!(thread::stack_remaining(), None);
    thread::check_stack();
}

#[cfg(target_family = "wasm")]
mod guest {
    use super::*;

    /// What the frames of `deep` take, and what is left at its bottom.
    #[inline(never)]
    fn deep(levels: u32) -> usize {
        let frame = std::hint::black_box([levels as u8; 1000]);
        let left = match levels {
            0 => thread::stack_remaining().unwrap(),
            _ => deep(levels - 1),
        };
        std::hint::black_box(&frame);
        left
    }

    #[test]
    fn a_stack_is_as_large_as_it_was_asked_for() {
        for kibibytes in [64, 1024] {
            let builder = Builder::new().stack_size(kibibytes * 1024);
            let (size, left) = builder
                .spawn(|| {
                    (
                        thread::stack_size().unwrap(),
                        thread::stack_remaining().unwrap(),
                    )
                })
                .unwrap()
                .join()
                .unwrap();
            // libc keeps a little of it for itself.
            assert!(
                size <= kibibytes * 1024 && size > kibibytes * 1024 - 1024,
                "{size}"
            );
            assert!(left < size && left > size - 8 * 1024, "{left} of {size}");
        }
    }

    #[test]
    fn what_remains_shrinks_with_each_frame() {
        let builder = Builder::new().stack_size(256 * 1024);
        let (shallow, deeper) = builder
            .spawn(|| (deep(0), deep(100)))
            .unwrap()
            .join()
            .unwrap();
        assert!(shallow - deeper >= 100 * 1000, "{shallow} and {deeper}");
    }

    /// A recursion that asks stops in time, on any thread, and the guard is untouched.
    #[test]
    fn who_asks_does_not_overflow() {
        fn recurse() -> u32 {
            let frame = std::hint::black_box([1_u8; 300]);
            let below = match thread::stack_remaining().unwrap() > 4096 {
                true => recurse(),
                false => 0,
            };
            below + u32::from(std::hint::black_box(frame)[0])
        }
        let builder = Builder::new().stack_size(64 * 1024);
        let depth = builder
            .spawn(|| {
                let depth = recurse();
                thread::check_stack();
                depth
            })
            .unwrap();
        assert!((100..300).contains(&depth.join().unwrap()));
        // Not one of ours: without a guard, but known.
        let depth = std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(recurse);
        assert!(depth.unwrap().join().unwrap() > 100);
    }
}
