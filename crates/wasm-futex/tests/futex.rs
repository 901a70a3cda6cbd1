//! What every target with threads promises. Runs natively, under Miri, and as
//! `wasm32-wasip1-threads`.
#![cfg(any(not(target_family = "wasm"), wasm_futex_threads))]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wasm_futex::{
    WaitResult, can_block, notify, notify_ptr, notify64, notify64_ptr, now, set_can_block, wait32,
    wait64,
};

const MOMENT: Duration = Duration::from_millis(2);

/// Timeouts that never pass: none, and those that overflow some way of counting time.
const FOR_EVER: [Option<Duration>; 5] = [
    None,
    Some(Duration::MAX),
    Some(Duration::from_secs(u64::MAX / 2)),
    Some(Duration::from_nanos(i64::MAX as u64 + 1)),
    // 1 µs more than the nanoseconds that 64 bits can count.
    Some(Duration::new(18_446_744_073, 709_552_616)),
];

/// How often to repeat: less often in Miri, which is a thousand times slower.
const fn rounds(count: u32) -> u32 {
    if cfg!(miri) { count / 200 } else { count }
}

/// One test for both widths: `wait` waits while the word is 0.
trait Word: Sync + Default {
    fn set(&self, value: bool);
    fn is_set(&self) -> bool;
    fn wait(&self, timeout: Option<Duration>) -> WaitResult;
    fn notify(&self, count: u32) -> u32;
}

impl Word for AtomicU32 {
    fn set(&self, value: bool) {
        self.store(u32::from(value), Ordering::Release);
    }
    fn is_set(&self) -> bool {
        self.load(Ordering::Acquire) != 0
    }
    fn wait(&self, timeout: Option<Duration>) -> WaitResult {
        wait32(self, 0, timeout)
    }
    fn notify(&self, count: u32) -> u32 {
        notify(self, count)
    }
}

impl Word for AtomicU64 {
    fn set(&self, value: bool) {
        self.store(u64::from(value) << 32, Ordering::Release);
    }
    fn is_set(&self) -> bool {
        self.load(Ordering::Acquire) != 0
    }
    fn wait(&self, timeout: Option<Duration>) -> WaitResult {
        wait64(self, 0, timeout)
    }
    fn notify(&self, count: u32) -> u32 {
        notify64(self, count)
    }
}

/// Notifies until `count` waiters have been woken.
fn wake<W: Word>(word: &W, count: u32) {
    let mut woken = 0;
    while woken < count {
        woken += word.notify(count - woken);
        thread::sleep(MOMENT);
    }
}

/// Wakes everybody when a test fails, which would otherwise hang when it joins them.
struct Release<'w, W: Word>(&'w W);

impl<W: Word> Drop for Release<'_, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            for _ in 0..500 {
                self.0.notify(u32::MAX);
                thread::sleep(MOMENT);
            }
        }
    }
}

// Waits that do not sleep

#[test]
fn an_unequal_word_is_not_waited_for() {
    for timeout in FOR_EVER.into_iter().chain([Some(Duration::ZERO)]) {
        assert_eq!(wait32(&AtomicU32::new(1), 0, timeout), WaitResult::NotEqual);
        assert_eq!(wait64(&AtomicU64::new(1), 0, timeout), WaitResult::NotEqual);
    }
}

#[test]
fn all_bits_are_compared() {
    for bit in 0..32 {
        let result = wait32(&AtomicU32::new(1 << bit), 0, None);
        assert_eq!(result, WaitResult::NotEqual);
    }
    for bit in 0..64 {
        let result = wait64(&AtomicU64::new(1 << bit), 0, None);
        assert_eq!(result, WaitResult::NotEqual);
    }
    let moment = Some(Duration::ZERO);
    let result = wait32(&AtomicU32::new(u32::MAX), u32::MAX, moment);
    assert_eq!(result, WaitResult::TimedOut);
    let result = wait64(&AtomicU64::new(u64::MAX), u64::MAX, moment);
    assert_eq!(result, WaitResult::TimedOut);
}

// Timeouts

#[test]
fn a_timeout_of_zero_has_passed() {
    fn check<W: Word>() {
        assert_eq!(
            W::default().wait(Some(Duration::ZERO)),
            WaitResult::TimedOut
        );
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

#[test]
fn a_timeout_is_not_early() {
    fn check<W: Word>() {
        for timeout in [1, 1_000, 1_000_000, 30_000_001].map(Duration::from_nanos) {
            let begin = Instant::now();
            assert_eq!(W::default().wait(Some(timeout)), WaitResult::TimedOut);
            assert!(begin.elapsed() >= timeout);
            // Generous: it is the difference between microseconds and milliseconds.
            assert!(begin.elapsed() < timeout + Duration::from_secs(20));
        }
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

#[test]
fn a_wait_for_ever_ends_when_notified() {
    fn check<W: Word>() {
        for timeout in FOR_EVER {
            let word = W::default();
            thread::scope(|scope| {
                let _release = Release(&word);
                let waiter = scope.spawn(|| word.wait(timeout));
                thread::sleep(10 * MOMENT);
                assert!(!waiter.is_finished(), "{timeout:?}");
                wake(&word, 1);
                assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
            });
        }
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

// Counts

#[test]
fn a_notify_of_nobody_counts_nobody() {
    for count in [0, 1, u32::MAX] {
        assert_eq!(notify(&AtomicU32::new(0), count), 0);
        assert_eq!(notify64(&AtomicU64::new(0), count), 0);
    }
}

#[test]
fn a_notify_wakes_exactly_as_many_as_asked() {
    const WAITERS: u32 = 5;

    /// Whether all waiters slept by the time of the first notify. Panics if more were woken
    /// than asked.
    fn attempt<W: Word>(count: u32, patience: Duration) -> bool {
        let word = W::default();
        let returned = AtomicU32::new(0);
        let wait = || {
            assert_eq!(word.wait(None), WaitResult::Woken);
            returned.fetch_add(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            let _release = Release(&word);
            for _ in 0..WAITERS {
                scope.spawn(wait);
            }
            thread::sleep(patience);
            assert_eq!(word.notify(0), 0);
            let woken = word.notify(count);
            assert!(woken <= count.min(WAITERS));
            while returned.load(Ordering::SeqCst) < woken {
                thread::sleep(MOMENT);
            }
            thread::sleep(patience);
            assert_eq!(returned.load(Ordering::SeqCst), woken);

            let rest = WAITERS - woken;
            let all_slept = word.notify(u32::MAX) == rest && woken == count.min(WAITERS);
            while returned.load(Ordering::SeqCst) < WAITERS {
                word.notify(u32::MAX);
                thread::sleep(MOMENT);
            }
            all_slept
        })
    }

    fn check<W: Word>() {
        for count in [0, 1, 3, WAITERS, u32::MAX] {
            // Whether a thread sleeps cannot be seen: more time, if it was too short.
            let patience = [20, 200, 2000].map(Duration::from_millis);
            assert!(
                patience
                    .into_iter()
                    .any(|patience| attempt::<W>(count, patience))
            );
        }
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

/// Timeouts and notifies race for the same waiters: whoever was counted has been woken, and
/// nobody else.
#[test]
fn counts_are_honest_when_timeouts_race() {
    fn check<W: Word>() {
        const WAITERS: u32 = 3;
        let word = W::default();
        let woken = AtomicU32::new(0);
        let waiting = AtomicU32::new(WAITERS);
        let wait = || {
            for round in 0..rounds(2000) {
                let timeout = Duration::from_micros(u64::from(round % 80));
                if word.wait(Some(timeout)) == WaitResult::Woken {
                    woken.fetch_add(1, Ordering::SeqCst);
                }
            }
            waiting.fetch_sub(1, Ordering::SeqCst);
        };
        let counted = thread::scope(|scope| {
            for _ in 0..WAITERS {
                scope.spawn(wait);
            }
            let mut counted = 0;
            while waiting.load(Ordering::SeqCst) > 0 {
                counted += word.notify(2);
                thread::yield_now();
            }
            counted
        });
        assert_eq!(counted, woken.into_inner());
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

// Queues

#[test]
fn a_notify_wakes_nobody_at_the_next_word() {
    fn check<W: Word>() {
        let words: [W; 3] = Default::default();
        thread::scope(|scope| {
            let _release = Release(&words[1]);
            let waiter = scope.spawn(|| words[1].wait(None));
            thread::sleep(50 * MOMENT);
            assert_eq!(words[0].notify(u32::MAX), 0);
            assert_eq!(words[2].notify(u32::MAX), 0);
            wake(&words[1], 1);
            assert_eq!(waiter.join().unwrap(), WaitResult::Woken);
        });
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

#[test]
fn a_word_that_is_gone_can_be_notified() {
    let narrow = Box::new(AtomicU32::new(0));
    let wide = Box::new(AtomicU64::new(0));
    let addresses = (&raw const *narrow, &raw const *wide);
    drop((narrow, wide));
    assert_eq!(notify_ptr(addresses.0, u32::MAX), 0);
    assert_eq!(notify64_ptr(addresses.1, u32::MAX), 0);
}

// Stress

/// Two threads take turns: a lost wake-up is a hang.
#[test]
fn turns_are_taken() {
    let turn = AtomicU32::new(0);
    let play = |me: u32| {
        for _ in 0..rounds(10_000) {
            while turn.load(Ordering::Acquire) != me {
                wait32(&turn, 1 - me, None);
            }
            turn.store(1 - me, Ordering::Release);
            notify(&turn, 1);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(1));
    });
    assert_eq!(turn.into_inner(), 0);
}

#[test]
fn turns_are_taken_with_wide_words() {
    // The turn is in the upper half, which a comparison of 32 bits would not see.
    const UNIT: u64 = 1 << 32;
    let turn = AtomicU64::new(0);
    let play = |me: u64| {
        for _ in 0..rounds(10_000) {
            while turn.load(Ordering::Acquire) != me {
                wait64(&turn, UNIT - me, None);
            }
            turn.store(UNIT - me, Ordering::Release);
            notify64(&turn, 1);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(UNIT));
    });
    assert_eq!(turn.into_inner(), 0);
}

/// The word changes at every moment of a thread's falling asleep.
#[test]
fn a_change_on_the_brink_of_sleep_is_noticed() {
    fn check<W: Word>() {
        const DELAYS: u32 = 250;
        let word = W::default();
        let round = AtomicU32::new(0);
        let wait = || {
            for next in 1..=rounds(20_000) {
                round.store(next, Ordering::Release);
                while !word.is_set() {
                    let result = word.wait(Some(Duration::from_secs(10)));
                    assert_ne!(result, WaitResult::TimedOut, "a wake-up was lost");
                }
                word.set(false);
            }
        };
        thread::scope(|scope| {
            let waiter = scope.spawn(wait);
            for next in 1..=rounds(20_000) {
                while round.load(Ordering::Acquire) < next && !waiter.is_finished() {
                    thread::yield_now();
                }
                for _ in 0..next % DELAYS {
                    // A load is of the same order of time on all targets.
                    let _ = round.load(Ordering::SeqCst);
                    std::hint::spin_loop();
                }
                word.set(true);
                word.notify(1);
            }
        });
    }
    check::<AtomicU32>();
    check::<AtomicU64>();
}

/// The lock in three states of Drepper's "Futexes are tricky": it notifies one waiter for
/// each unlock, so that one lost wake-up stops everybody.
#[test]
fn no_wakeup_is_lost() {
    const UNLOCKED: u32 = 0;
    const LOCKED: u32 = 1;
    const CONTENDED: u32 = 2;
    let lock = AtomicU32::new(UNLOCKED);
    let inside = AtomicBool::new(false);
    let total = AtomicU32::new(0);
    let count = || {
        for _ in 0..rounds(10_000) {
            let free =
                lock.compare_exchange(UNLOCKED, LOCKED, Ordering::Acquire, Ordering::Relaxed);
            if free.is_err() {
                while lock.swap(CONTENDED, Ordering::Acquire) != UNLOCKED {
                    wait32(&lock, CONTENDED, None);
                }
            }
            assert!(!inside.swap(true, Ordering::Relaxed));
            total.store(total.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            inside.store(false, Ordering::Relaxed);
            if lock.swap(UNLOCKED, Ordering::Release) == CONTENDED {
                notify(&lock, 1);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(count);
        }
    });
    assert_eq!(total.into_inner(), 4 * rounds(10_000));
}

// Threads that may not block

#[test]
fn permission_belongs_to_the_thread() {
    assert!(can_block());
    set_can_block(false);
    assert!(!can_block());
    thread::scope(|scope| assert!(scope.spawn(can_block).join().unwrap()));
    set_can_block(true);
    assert!(can_block());
}

#[test]
fn a_poll_times_out_not_early() {
    fn check<W: Word>() {
        for timeout in [0, 1_000, 30_000_001].map(Duration::from_nanos) {
            let begin = Instant::now();
            assert_eq!(W::default().wait(Some(timeout)), WaitResult::TimedOut);
            assert!(begin.elapsed() >= timeout);
        }
    }
    thread::spawn(|| {
        set_can_block(false);
        check::<AtomicU32>();
        check::<AtomicU64>();
    })
    .join()
    .unwrap();
}

#[test]
fn a_poll_sees_a_change_and_no_notify() {
    for timeout in FOR_EVER {
        let narrow = AtomicU32::new(0);
        let wide = AtomicU64::new(0);
        let poll = || {
            set_can_block(false);
            assert_eq!(wait32(&narrow, 0, timeout), WaitResult::NotEqual);
            assert_eq!(wait64(&wide, 0, timeout), WaitResult::NotEqual);
        };
        thread::scope(|scope| {
            let poller = scope.spawn(poll);
            for _ in 0..10 {
                assert_eq!(notify(&narrow, u32::MAX), 0);
                assert_eq!(notify64(&wide, u32::MAX), 0);
                thread::sleep(MOMENT);
            }
            assert!(!poller.is_finished(), "{timeout:?}");
            narrow.store(1, Ordering::Relaxed);
            thread::sleep(5 * MOMENT);
            assert!(!poller.is_finished(), "{timeout:?}");
            wide.store(1 << 32, Ordering::Relaxed);
        });
    }
}

// The clock

#[test]
fn the_clock_goes_forward() {
    let mut last = now().expect("these targets have a clock");
    for _ in 0..rounds(10_000) {
        let next = now().unwrap();
        assert!(next >= last);
        last = next;
    }
    thread::sleep(10 * MOMENT);
    assert!(now().unwrap() - last >= 10 * MOMENT);
    // The same for all threads.
    let elsewhere = thread::spawn(now).join().unwrap().unwrap();
    assert!(elsewhere >= last + 10 * MOMENT);
    assert!(elsewhere <= now().unwrap());
}
