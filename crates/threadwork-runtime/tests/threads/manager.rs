//! The thread manager.

use std::num::NonZero;
#[cfg(panic = "unwind")]
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use threadwork::sync::{Barrier, Latch};
use threadwork::thread::{self, Builder};
use threadwork_runtime::{JoinError, SpawnError, ThreadId, ThreadManager, ThreadStatus};

use crate::support::{Census, rounds};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

fn id(number: u64) -> ThreadId {
    ThreadId::new(NonZero::new(number).unwrap())
}

/// A latch, and something for threads to do: to wait for it.
fn gate() -> (Arc<Latch>, impl FnOnce() + Clone + Send + 'static) {
    let gate = Arc::new(Latch::new());
    let wait = {
        let gate = gate.clone();
        move || gate.wait()
    };
    (gate, wait)
}

#[test]
fn ids_count_from_one() {
    let threads = ThreadManager::new();
    let ids = [(); 3].map(|()| threads.spawn(|| ()).unwrap().id());
    assert_eq!(ids, [id(1), id(2), id(3)]);
    assert_eq!(ids[2].get(), 3);
    assert_eq!(ids[2].to_string(), "thread 3");
    let other = ThreadManager::new().spawn(|| ()).unwrap();
    assert_eq!(other.id(), id(1));
    threads.join_all().unwrap();
}

#[test]
fn a_join_returns_the_value_once() {
    let threads = ThreadManager::new();
    let handle = threads.spawn(|| String::from("done")).unwrap();
    assert_eq!(handle.join().unwrap(), "done");
    let again = [
        handle.join().map(drop),
        threads.join(handle.id()),
        handle.join_timeout(SHORT).map(drop),
        handle.detach(),
        threads.detach(handle.id()),
    ];
    for again in again {
        let Err(JoinError::AlreadyJoined { id }) = again else {
            panic!("{again:?}");
        };
        assert_eq!(id, handle.id());
    }
    assert_eq!(handle.status(), ThreadStatus::Gone);
    assert_eq!(threads.status(handle.id()), Some(ThreadStatus::Gone));
}

#[test]
fn a_join_by_id_takes_it_from_the_handle() {
    let threads = ThreadManager::new();
    let handle = threads.spawn(|| 5).unwrap();
    threads.join(handle.id()).unwrap();
    assert!(matches!(
        handle.join(),
        Err(JoinError::AlreadyJoined { .. })
    ));
}

#[test]
fn a_thread_without_a_handle_can_be_joined_by_its_id() {
    let threads = ThreadManager::new();
    let id = threads.spawn(|| 5).unwrap().id();
    threads.join(id).unwrap();
    assert!(matches!(
        threads.join(id),
        Err(JoinError::AlreadyJoined { .. })
    ));
}

#[test]
fn an_unknown_id_is_an_error() {
    let threads = ThreadManager::new();
    for unknown in [1, 2, u64::MAX] {
        let unknown = id(unknown);
        let results = [
            threads.join(unknown),
            threads.join_timeout(unknown, SHORT),
            threads.detach(unknown),
        ];
        for result in results {
            assert!(matches!(result, Err(JoinError::Unknown { id }) if id == unknown));
        }
        assert_eq!(threads.status(unknown), None);
    }
}

#[test]
fn a_timeout_leaves_the_thread_to_join() {
    let threads = ThreadManager::new();
    let (gate, wait) = gate();
    let handle = threads.spawn(wait.clone()).unwrap();
    let early = handle.join_timeout(SHORT);
    assert!(matches!(early, Err(JoinError::TimedOut { id }) if id == handle.id()));
    assert!(matches!(
        threads.join_timeout(handle.id(), SHORT),
        Err(JoinError::TimedOut { .. })
    ));
    assert!(!handle.is_finished());
    gate.open();
    handle.join_timeout(LONG).unwrap();
    assert!(handle.is_finished());
}

#[test]
fn a_thread_cannot_join_itself() {
    let threads = ThreadManager::new();
    let (sender, receiver) = mpsc::channel::<ThreadId>();
    let handle = {
        let threads = threads.clone();
        threads
            .clone()
            .spawn(move || threads.join(receiver.recv().unwrap()))
            .unwrap()
    };
    sender.send(handle.id()).unwrap();
    let own = handle.join().unwrap();
    assert!(matches!(own, Err(JoinError::Itself { id }) if id == handle.id()));
}

#[test]
#[cfg(panic = "unwind")]
fn a_panic_reaches_who_joins() {
    let threads = ThreadManager::new();
    let divide = Builder::new().name("divide".into());
    let handle = threads
        .spawn_with(divide, || -> i32 {
            panic!("by {}", std::hint::black_box("zero"))
        })
        .unwrap();
    let error = handle.join().unwrap_err();
    assert_eq!(error.to_string(), "thread 1 `divide` panicked: by zero");
    let JoinError::Panicked(panic) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (panic.id(), panic.name(), panic.message()),
        (id(1), Some("divide"), "by zero")
    );
    assert_eq!(
        panic.into_payload().downcast_ref(),
        Some(&String::from("by zero"))
    );
    assert!(matches!(
        handle.join(),
        Err(JoinError::AlreadyJoined { .. })
    ));

    let odd = threads.spawn(|| std::panic::panic_any(7_u8)).unwrap();
    let error = threads.join(odd.id()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "thread 2 panicked: (a payload that is not a text)"
    );
}

/// Also if it is not the function that panics, but the value that nobody wanted.
#[test]
#[cfg(panic = "unwind")]
fn a_panic_of_the_value_reaches_who_joins() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let threads = ThreadManager::new();
    let (gate, wait) = gate();
    let id = threads.spawn(|| {
        wait();
        Bomb
    });
    let id = id.unwrap().id();
    gate.open();
    let error = threads.join(id).unwrap_err();
    assert_eq!(error.to_string(), "thread 1 panicked: dropped");
    assert_eq!(threads.live(), 0);
}

#[test]
fn the_status_follows_the_thread() {
    let threads = ThreadManager::new();
    let (gate, wait) = gate();
    let handle = threads
        .spawn_with(Builder::new().name("a".into()), wait.clone())
        .unwrap();
    let detached = threads.spawn(wait.clone()).unwrap();
    detached.detach().unwrap();
    let shown = |threads: &ThreadManager| -> Vec<_> {
        let all = threads.list().into_iter();
        all.map(|info| (info.id.get(), info.name, info.status))
            .collect()
    };
    let name = Some(String::from("a"));
    assert_eq!(
        shown(&threads),
        [
            (1, name.clone(), ThreadStatus::Running),
            (2, None, ThreadStatus::Detached)
        ]
    );
    assert_eq!(threads.live(), 2);
    gate.open();
    while threads.live() > 0 {
        thread::yield_now();
    }
    assert_eq!(threads.status(id(1)), Some(ThreadStatus::Finished));
    assert_eq!(threads.status(id(2)), Some(ThreadStatus::Gone));
    assert_eq!(shown(&threads), [(1, name, ThreadStatus::Finished)]);
    handle.join().unwrap();
    assert_eq!(shown(&threads), []);
}

#[test]
#[cfg(panic = "unwind")]
fn a_panic_is_a_status() {
    let threads = ThreadManager::new();
    let handle = threads.spawn(|| panic!("of the test")).unwrap();
    while !handle.is_finished() {
        thread::yield_now();
    }
    assert_eq!(handle.status(), ThreadStatus::Panicked);
    assert_eq!(threads.list()[0].status, ThreadStatus::Panicked);
    assert!(handle.join().is_err());
    assert_eq!(handle.status(), ThreadStatus::Gone);
}

#[test]
fn one_too_many_is_refused() {
    let threads = ThreadManager::with_max_threads(2);
    assert_eq!(threads.max_threads(), 2);
    let (gate, wait) = gate();
    let first = threads.spawn(wait.clone()).unwrap();
    let second = threads.spawn(wait.clone()).unwrap();
    second.detach().unwrap();
    let error = threads.spawn(|| ()).unwrap_err();
    assert!(matches!(error, SpawnError::Limit { max: 2 }));
    assert_eq!(
        error.to_string(),
        "2 threads run already, which is the limit: join some, or raise the limit"
    );
    gate.open();
    first.join().unwrap();
    // A thread that was joined, or has ended, is not counted.
    let third = threads.spawn(|| ()).unwrap();
    while !third.is_finished() {
        thread::yield_now();
    }
    threads.spawn(|| ()).unwrap().join().unwrap();
    let none = ThreadManager::with_max_threads(0);
    assert!(matches!(
        none.spawn(|| ()),
        Err(SpawnError::Limit { max: 0 })
    ));
}

#[test]
fn a_thread_that_is_not_started_is_not_counted() {
    let threads = ThreadManager::with_max_threads(1);
    let census = Census::default();
    let counted = census.birth();
    let nameless = Builder::new().name("a\0b".into());
    let error = threads.spawn_with(nameless, || drop(counted)).unwrap_err();
    assert!(matches!(error, SpawnError::System(_)));
    assert_eq!(census.living(), 0);
    assert_eq!(threads.live(), 0);
    assert_eq!(threads.list(), []);
    threads.spawn(|| ()).unwrap().join().unwrap();
}

#[test]
#[cfg(panic = "unwind")]
#[cfg_attr(miri, ignore = "it leaks")]
fn a_thread_that_is_not_started_is_not_counted_whatever_it_holds() {
    let threads = ThreadManager::with_max_threads(1);
    let nameless = Builder::new().name("a\0b".into());
    let bomb = Bomb;
    let spawn = || threads.spawn_with(nameless, move || drop(bomb)).map(drop);
    // That is for whoever has called: the closure was his.
    let panic = std::panic::catch_unwind(AssertUnwindSafe(spawn)).unwrap_err();
    std::mem::forget(panic);
    assert_eq!(threads.live(), 0);
    threads.spawn(|| ()).unwrap().join().unwrap();
}

/// They are dropped with the manager.
#[test]
#[cfg(panic = "unwind")]
fn nobody_is_hit_by_panics_that_nobody_asks_for() {
    let threads = ThreadManager::new();
    for _ in 0..2 {
        let _ = threads.spawn(|| std::panic::panic_any(Bomb)).unwrap();
    }
    while threads
        .list()
        .iter()
        .any(|thread| thread.status == ThreadStatus::Running)
    {
        thread::yield_now();
    }
    // Or by one of the threads, which hold it for a moment longer.
    drop(threads);
}

#[test]
fn as_many_as_allowed_run_and_no_more() {
    let threads = ThreadManager::with_max_threads(3);
    for _ in 0..rounds(100) {
        let handles: Vec<_> = (0..3).map(|n| threads.spawn(move || n).unwrap()).collect();
        let sum: i32 = handles.iter().map(|handle| handle.join().unwrap()).sum();
        assert_eq!(sum, 3);
        assert_eq!(threads.live(), 0);
    }
}

#[test]
fn join_all_waits_for_all() {
    let threads = ThreadManager::new();
    let census = Census::default();
    let (gate, wait) = gate();
    // The first that `join_all` comes to, while it runs.
    let wait_too = wait.clone();
    let kept = threads
        .spawn(move || {
            wait_too();
            thread::sleep(Duration::from_millis(500));
            7
        })
        .unwrap();
    for _ in 0..4 {
        let (inside, census) = (threads.clone(), census.clone());
        let counted = census.birth();
        let wait = wait.clone();
        let start = move || {
            wait();
            // One more, of which nobody knows but the manager.
            let counted_too = census.birth();
            let _ = inside.spawn(move || drop(counted_too)).unwrap();
            drop(counted);
        };
        let _ = threads.spawn(start).unwrap();
    }
    gate.open();
    threads.join_all().unwrap();
    assert_eq!(census.living(), 0);
    // What has a handle is still there for it.
    assert_eq!(threads.list().len(), 1);
    assert_eq!(kept.join().unwrap(), 7);
    assert_eq!(threads.list(), []);
    threads.join_all().unwrap();
}

/// A thread that waits for all others does not wait for itself.
#[test]
fn join_all_from_inside_leaves_out_the_caller() {
    let threads = ThreadManager::new();
    let inside = threads.clone();
    let handle = threads
        .spawn(move || {
            let _ = inside.spawn(|| ()).unwrap();
            inside.join_all().is_ok()
        })
        .unwrap();
    assert!(handle.join().unwrap());
}

#[test]
#[cfg(panic = "unwind")]
fn join_all_returns_the_panics() {
    let threads = ThreadManager::new();
    for number in 1..=4 {
        let _ = threads
            .spawn(move || assert!(number % 2 == 0, "odd: {number}"))
            .unwrap();
    }
    let panics = threads.join_all().unwrap_err();
    let said: Vec<_> = panics
        .iter()
        .map(|panic| (panic.id().get(), panic.message()))
        .collect();
    assert_eq!(said, [(1, "odd: 1"), (3, "odd: 3")]);
    threads.join_all().unwrap();
}

/// Panics as it is dropped, and so does the payload of that panic, and so on. It has no size: to
/// leak one leaks nothing.
#[cfg(panic = "unwind")]
struct Bomb;

#[cfg(panic = "unwind")]
impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new(Bomb));
    }
}

/// Nobody joins them: what they leave behind is dropped by the threads themselves.
#[test]
#[cfg(panic = "unwind")]
fn what_detached_threads_leave_may_panic_when_dropped() {
    let threads = ThreadManager::new();
    let (gate, wait) = gate();
    let wait_too = wait.clone();
    let ends: [Box<dyn FnOnce() -> Bomb + Send>; 2] = [
        Box::new(move || {
            wait();
            Bomb
        }),
        Box::new(move || {
            wait_too();
            std::panic::resume_unwind(Box::new(Bomb))
        }),
    ];
    for end in ends {
        threads.spawn(end).unwrap().detach().unwrap();
    }
    gate.open();
    while threads.live() > 0 {
        thread::yield_now();
    }
    assert_eq!(threads.list(), []);
    assert_eq!(threads.spawn(|| 2).unwrap().join().unwrap(), 2);
}

#[test]
fn join_all_does_not_wait_for_the_detached() {
    let threads = ThreadManager::new();
    let (gate, wait) = gate();
    let handle = threads.spawn(wait.clone()).unwrap();
    threads.detach(handle.id()).unwrap();
    threads.join_all().unwrap();
    assert_eq!(threads.live(), 1);
    gate.open();
    while threads.live() > 0 {
        thread::yield_now();
    }
}

#[test]
fn a_thread_finds_itself_in_the_list() {
    let threads = ThreadManager::new();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Whoever starts a thread has to wait for those who look at the list, and the thread has not.
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = threads.list();
                }
            });
        }
        for number in 1..=u64::from(rounds(2_000)) {
            let inside = threads.clone();
            let handle = threads.spawn(move || inside.status(id(number))).unwrap();
            let found = handle.join().unwrap();
            if found != Some(ThreadStatus::Running) || number == u64::from(rounds(2_000)) {
                is_over.store(true, Ordering::Relaxed);
                assert_eq!(found, Some(ThreadStatus::Running));
            }
        }
    });
}

/// Dropping the manager ends nothing.
#[test]
fn threads_outlive_the_manager() {
    let (gate, wait) = gate();
    let handle = ThreadManager::new().spawn(wait).unwrap();
    gate.open();
    handle.join().unwrap();
}

/// One of those who join at the same time gets the value.
#[test]
fn one_joiner_wins() {
    let threads = ThreadManager::new();
    for _ in 0..rounds(200) {
        let handle = threads.spawn(|| 1).unwrap();
        let barrier = Barrier::new(3);
        let sum: i32 = thread::scope(|scope| {
            let joiners = [(); 3].map(|()| {
                scope.spawn(|| {
                    barrier.wait();
                    match handle.join() {
                        Ok(value) => value,
                        Err(JoinError::AlreadyJoined { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    }
                })
            });
            joiners
                .map(|joiner| joiner.join().unwrap())
                .into_iter()
                .sum()
        });
        assert_eq!(sum, 1);
        assert_eq!(threads.list(), []);
    }
}

/// To detach and to end at the same time leaves nothing behind.
#[test]
fn a_detached_thread_is_forgotten() {
    let threads = ThreadManager::new();
    for _ in 0..rounds(300) {
        threads.spawn(|| ()).unwrap().detach().unwrap();
    }
    while threads.live() > 0 {
        thread::yield_now();
    }
    assert_eq!(threads.list(), []);
}

/// A thread-local may take as long as it likes: then the thread is joined later.
#[test]
fn a_timeout_is_one_for_thread_locals_too() {
    thread_local! {
        static LOCAL: std::cell::RefCell<Option<Waits>> = const { std::cell::RefCell::new(None) };
    }
    struct Waits(Arc<Latch>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    let threads = ThreadManager::new();
    let gate = Arc::new(Latch::new());
    let waits = Waits(gate.clone());
    let handle = threads.spawn(|| {
        LOCAL.with(|local| *local.borrow_mut() = Some(waits));
        7
    });
    let handle = handle.unwrap();
    while !handle.is_finished() {
        thread::yield_now();
    }
    let (sender, receiver) = mpsc::channel();
    let joins = thread::spawn(move || {
        let early = handle.join_timeout(SHORT);
        sender.send(()).unwrap();
        (early, handle)
    });
    let joined = receiver.recv_timeout(LONG / 6);
    gate.open();
    joined.expect("the join has no limit");
    let (early, handle) = joins.join().unwrap();
    assert!(matches!(early, Err(JoinError::TimedOut { id }) if id == handle.id()));
    assert_eq!(handle.join_timeout(LONG).unwrap(), 7);
}

/// When a join returns, the thread's own thread-locals are gone, too.
#[test]
fn a_join_waits_for_thread_locals() {
    thread_local! {
        static LOCAL: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
    }
    struct Late(Option<crate::support::Counted>);
    impl Drop for Late {
        fn drop(&mut self) {
            thread::sleep(SHORT);
            drop(self.0.take());
        }
    }
    let threads = ThreadManager::new();
    let census = Census::default();
    let counted = census.birth();
    let handle = threads
        .spawn(|| LOCAL.with(|local| *local.borrow_mut() = Some(Late(Some(counted)))))
        .unwrap();
    handle.join().unwrap();
    assert_eq!(census.living(), 0);
}
