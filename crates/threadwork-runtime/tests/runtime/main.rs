//! What the runtime promises: one object that owns the rest, and ends it.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use threadwork::sync::Latch;
use threadwork::{Priority, TaskError};
use threadwork_runtime::{Error, RuntimeConfig, SharedMemory, ThreadRuntime};

/// Memory that Miri can afford.
fn small() -> RuntimeConfig {
    RuntimeConfig {
        memory_size: SharedMemory::PAGE,
        ..RuntimeConfig::default()
    }
}

#[test]
fn the_defaults_are_those_of_the_document() {
    let want = RuntimeConfig {
        memory_size: 16 * 1024 * 1024,
        pool_size: 4,
        max_threads: 16,
        tls_slot_size: 1024,
    };
    assert_eq!(RuntimeConfig::default(), want);
    if cfg!(miri) {
        return;
    }
    let runtime = ThreadRuntime::new().unwrap();
    assert_eq!(runtime.config(), want);
    assert_eq!(runtime.pool().pool_size(), 4);
    assert_eq!(runtime.pool().max_threads(), 16);
    assert_eq!(runtime.threads().max_threads(), 16);
    assert_eq!(runtime.tls().slot_size(), 1024);
    assert_eq!(runtime.memory().size(), 16 << 20);
    assert!(runtime.memory().is_shared());
}

#[test]
fn impossible_numbers_name_the_remedy() {
    let message = |config: RuntimeConfig| {
        let error = ThreadRuntime::with_config(config).unwrap_err();
        error.to_string()
    };
    let with = |change: fn(&mut RuntimeConfig)| {
        let mut config = small();
        change(&mut config);
        message(config)
    };
    assert!(with(|c| c.pool_size = 0).contains("set pool_size to 1 or more"));
    assert!(with(|c| c.max_threads = 0).contains("set max_threads to 4 or more"));
    assert!(with(|c| c.pool_size = 17).contains("set max_threads to 17 or more"));
    assert!(with(|c| c.memory_size = 0).contains("a multiple of 65536"));
    assert!(with(|c| c.memory_size += 1).contains("a multiple of 65536"));
    assert!(with(|c| c.tls_slot_size = 0).contains("a multiple of 8"));
    assert!(with(|c| c.tls_slot_size = 1001).contains("a multiple of 8"));
    // More than 4 GiB has no number on 32 bits.
    #[cfg(target_pointer_width = "64")]
    assert!(
        with(|c| c.memory_size = (4 << 30) + SharedMemory::PAGE).contains("4294967296 or less")
    );
    let limits = ThreadRuntime::builder()
        .config(small())
        .max_memory_size(1)
        .build();
    assert!(matches!(limits, Err(Error::Memory(_))));
}

#[test]
fn the_builder_sets_each_number() {
    let started = Arc::new(AtomicUsize::new(0));
    let exited = Arc::new(AtomicUsize::new(0));
    let runtime = ThreadRuntime::builder()
        .memory_size(SharedMemory::PAGE)
        .max_memory_size(2 * SharedMemory::PAGE)
        .pool_size(1)
        .max_threads(2)
        .tls_slot_size(64)
        .name("part")
        .stack_size(256 * 1024)
        .drop_timeout(Duration::from_secs(60))
        .on_start({
            let started = started.clone();
            move |_| _ = started.fetch_add(1, Ordering::Relaxed)
        })
        .on_exit({
            let exited = exited.clone();
            move |_| _ = exited.fetch_add(1, Ordering::Relaxed)
        })
        .build()
        .unwrap();
    let name = runtime
        .pool()
        .execute(|| std::thread::current().name().map(str::to_string));
    assert_eq!(name.wait().unwrap().as_deref(), Some("part-0"));
    assert_eq!(runtime.tls().keys(), 8);
    assert_eq!(runtime.memory().grow(1).unwrap(), 1);
    assert!(runtime.memory().grow(1).is_err());
    drop(runtime);
    assert_eq!(started.fetch_add(0, Ordering::Relaxed), 1);
    assert_eq!(exited.fetch_add(0, Ordering::Relaxed), 1);
}

/// Everything together: tasks and threads that share a memory, slots and primitives.
#[test]
fn the_parts_work_together() {
    let runtime = ThreadRuntime::with_config(small()).unwrap();
    let memory = runtime.memory().clone();
    let barrier = Arc::new(runtime.barrier(4));
    let total = Arc::new(runtime.priority_mutex(0));
    let work = {
        let (memory, barrier, total) = (memory.clone(), barrier.clone(), total.clone());
        move || {
            memory.add(64, 1_i32).unwrap();
            // Four at once: two tasks and two threads.
            threadwork::blocking(|| barrier.wait());
            assert_eq!(memory.load::<i32>(64).unwrap(), 4);
            *total.lock() += 1;
        }
    };
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let task = runtime.pool().task().priority(Priority::High);
            task.execute(work.clone())
        })
        .collect();
    let threads: Vec<_> = (0..2)
        .map(|_| runtime.threads().spawn(work.clone()).unwrap())
        .collect();
    for task in tasks {
        task.wait().unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*total.lock(), 4);
    runtime.tls().set(0, &7_u64).unwrap();
    assert_eq!(runtime.tls().get::<u64>(0), Ok(7));
}

#[test]
fn a_factory_for_each_primitive() {
    let runtime = ThreadRuntime::with_config(RuntimeConfig {
        pool_size: 1,
        ..small()
    })
    .unwrap();
    assert_eq!(*runtime.mutex(1).lock(), 1);
    assert_eq!(*runtime.priority_mutex(1).lock(), 1);
    assert_eq!(*runtime.rwlock(1).read(), 1);
    runtime.condvar().notify_one();
    assert!(runtime.barrier(1).wait().is_leader());
    assert_eq!(runtime.semaphore(2).available(), 2);
    let latch = runtime.latch();
    latch.open();
    latch.wait();
    runtime.wait_group().wait();
    let parker = runtime.parker();
    parker.unpark();
    parker.park();
    runtime.once().call_once(|| ());
    assert_eq!(*runtime.once_lock().get_or_init(|| 1), 1);
    assert_eq!(*runtime.lazy_lock(|| 1), 1);
    let (sender, receiver) = runtime.channel(1);
    sender.send(1).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(*runtime.thread_local().get_or(|| 1), 1);
    assert_eq!(*runtime.cache_aligned(1), 1);
}

/// Tasks and threads that run are waited for; what is queued is not run.
#[test]
fn drop_ends_everything() {
    let runtime = ThreadRuntime::with_config(RuntimeConfig {
        pool_size: 1,
        ..small()
    })
    .unwrap();
    let started = Arc::new(Latch::new());
    let ended = Arc::new(AtomicUsize::new(0));
    // Its closure is dropped when it is cancelled, which the end of the runtime begins with.
    let in_queue = Arc::new(());
    let dropped = Arc::downgrade(&in_queue);
    let work = {
        let (started, ended) = (started.clone(), ended.clone());
        move || {
            started.open();
            while dropped.strong_count() > 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(20));
            ended.fetch_add(1, Ordering::Relaxed);
        }
    };
    let runs = runtime.pool().execute(work.clone());
    started.wait();
    let queued = runtime.pool().execute(move || drop(in_queue));
    let thread = runtime.threads().spawn(work).unwrap();
    drop(runtime);
    assert_eq!(ended.fetch_add(0, Ordering::Relaxed), 2);
    runs.wait().unwrap();
    assert!(matches!(queued.wait(), Err(TaskError::Cancelled)));
    // Its handle is as good as before.
    thread.join().unwrap();
}

/// And what does not end is left alone in the end.
#[test]
fn drop_does_not_wait_for_ever() {
    let runtime = ThreadRuntime::builder()
        .config(RuntimeConfig {
            pool_size: 1,
            ..small()
        })
        .drop_timeout(Duration::from_millis(10))
        .build()
        .unwrap();
    let go_on = Arc::new(Latch::new());
    let started = Arc::new(threadwork::sync::Barrier::new(3));
    let work = {
        let (started, go_on) = (started.clone(), go_on.clone());
        move || {
            started.wait();
            go_on.wait();
        }
    };
    let task = runtime.pool().execute(work.clone());
    let thread = runtime.threads().spawn(work).unwrap();
    started.wait();
    drop(runtime);
    assert!(!task.is_finished());
    go_on.open();
    task.wait().unwrap();
    thread.join().unwrap();
}

/// Nor for a thread's thread-locals.
#[test]
fn drop_does_not_wait_for_thread_locals_for_ever() {
    struct Waits(Arc<Latch>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    thread_local! {
        static WAITS: RefCell<Option<Waits>> = const { RefCell::new(None) };
    }
    let runtime = ThreadRuntime::builder()
        .config(small())
        .drop_timeout(Duration::from_millis(10))
        .build()
        .unwrap();
    let go_on = Arc::new(Latch::new());
    let waits = Waits(go_on.clone());
    let thread = runtime.threads().spawn(|| WAITS.set(Some(waits))).unwrap();
    while !thread.is_finished() {
        std::thread::yield_now();
    }
    // Who has a handle may join it later.
    drop(thread);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        sender.send(()).unwrap();
    });
    let dropped = receiver.recv_timeout(Duration::from_secs(10));
    go_on.open();
    dropped.expect("it waits for the thread-local");
}

/// A thread of the runtime's may be the one that drops it.
#[test]
fn its_own_thread_drops_it() {
    let runtime = Arc::new(ThreadRuntime::with_config(small()).unwrap());
    let inner = runtime.clone();
    let thread = runtime.threads().spawn(move || {
        while Arc::strong_count(&inner) > 1 {
            std::thread::yield_now();
        }
        drop(inner);
    });
    let thread = thread.unwrap();
    drop(runtime);
    thread.join().unwrap();
}

#[test]
fn runtimes_come_and_go() {
    let rounds = if cfg!(miri) { 2 } else { 200 };
    for n in 0..rounds {
        let runtime = ThreadRuntime::with_config(RuntimeConfig {
            pool_size: 2,
            ..small()
        })
        .unwrap();
        assert_eq!(runtime.pool().execute(move || n).wait().unwrap(), n);
    }
}
