//! Thread-local variables: made when first used, one for each thread, and their
//! destructors have run by the time the thread is joined.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

const THREADS: usize = 8;

static MADE: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);
static VALUES_SEEN_BY_DROP: AtomicUsize = AtomicUsize::new(0);

struct Tracked(Cell<usize>);

impl Tracked {
    fn new() -> Self {
        MADE.fetch_add(1, SeqCst);
        Self(Cell::new(0))
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, SeqCst);
        VALUES_SEEN_BY_DROP.fetch_add(self.0.get(), SeqCst);
    }
}

thread_local! {
    static TRACKED: Tracked = Tracked::new();
    static COUNTER: Cell<usize> = const { Cell::new(7) };
    static TEXT: RefCell<String> = RefCell::new(String::from("fresh"));
    static OUTER: Outer = const { Outer };
    static INNER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Uses another thread-local variable in its destructor.
struct Outer;

impl Drop for Outer {
    fn drop(&mut self) {
        let was_there = INNER.try_with(|inner| inner.borrow_mut().push(1)).is_ok();
        OUTER_REACHED_INNER.fetch_add(usize::from(was_there), SeqCst);
    }
}

static OUTER_REACHED_INNER: AtomicUsize = AtomicUsize::new(0);

fn main() {
    nothing_is_made_before_its_use();
    every_thread_has_its_own();
    destructors_have_run_by_join();
    destructors_have_run_by_the_end_of_a_scope_of_joins();
    a_destructor_may_use_another_variable();
    the_main_thread_kept_its_own();
    println!("ok tls-destructors");
}

fn nothing_is_made_before_its_use() {
    thread::spawn(|| ()).join().unwrap();
    assert_eq!(MADE.load(SeqCst), 0);
    assert_eq!(DROPPED.load(SeqCst), 0);
}

fn every_thread_has_its_own() {
    COUNTER.set(1000);
    TEXT.set(String::from("main's"));
    let threads: Vec<_> = (0..THREADS)
        .map(|me| {
            thread::spawn(move || {
                assert_eq!(COUNTER.get(), 7, "a new thread starts from the initial value");
                assert_eq!(TEXT.with_borrow(String::clone), "fresh");
                for _ in 0..1_000 {
                    COUNTER.set(COUNTER.get() + me);
                    TEXT.with_borrow_mut(|text| *text = format!("{me}"));
                    thread::yield_now();
                }
                assert_eq!(TEXT.with_borrow(String::clone), format!("{me}"));
                COUNTER.get()
            })
        })
        .collect();
    for (me, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), 7 + 1_000 * me);
    }
}

fn destructors_have_run_by_join() {
    for value in 1..=100 {
        let before = DROPPED.load(SeqCst);
        thread::spawn(move || TRACKED.with(|tracked| tracked.0.set(value))).join().unwrap();
        assert_eq!(DROPPED.load(SeqCst), before + 1, "joined before the destructor ran");
    }
    assert_eq!(MADE.load(SeqCst), 100);
    assert_eq!(VALUES_SEEN_BY_DROP.load(SeqCst), 5050, "a destructor saw a stranger's value");
}

fn destructors_have_run_by_the_end_of_a_scope_of_joins() {
    let before = DROPPED.load(SeqCst);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| TRACKED.with(|tracked| tracked.0.set(0))))
            .collect();
        // The scope's own end does not wait for destructors; a join does.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(DROPPED.load(SeqCst), before + THREADS);
}

fn a_destructor_may_use_another_variable() {
    thread::spawn(|| OUTER.with(|_| ())).join().unwrap();
    assert_eq!(OUTER_REACHED_INNER.load(SeqCst), 1);
}

fn the_main_thread_kept_its_own() {
    assert_eq!(COUNTER.get(), 1000);
    assert_eq!(TEXT.with_borrow(String::clone), "main's");
}
