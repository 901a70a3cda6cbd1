//! Threads of the host and of the guest meet at one primitive.

use crate::support::{Watch, execute, memory, rust_library, until, workers_of};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use threadwork_engine::{MemoryError, SharedMemory, TaskHandle, ThreadRuntime};

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(3600);

/// A runtime of the library in Rust, for a test with so many threads of the host.
fn guests(workers: u32, hosts: u32) -> ThreadRuntime {
    workers_of(rust_library(), workers, 16)
        .host_threads(hosts)
        .process(|process| process.host_memory(1 << 16))
        .build()
        .unwrap()
}

fn start<const N: usize>(runtime: &ThreadRuntime, entry: &str, args: [u64; N]) -> TaskHandle {
    execute(runtime, entry, args.map(|arg| arg as i32))
}

/// Two words for a test that reads them under a lock.
fn words(memory: &SharedMemory) -> threadwork_engine::Object {
    memory
        .allocate(std::alloc::Layout::new::<[u64; 2]>())
        .unwrap()
}

#[test]
fn mutex() {
    let _watch = Watch::start();
    let runtime = guests(2, 2);
    let memory = runtime.memory();
    let (mutex, words) = (memory.mutex().unwrap(), words(&memory));
    let (at, times) = (words.offset(), 20_000);
    let tasks = [0, 1].map(|_| start(&runtime, "add_under_mutex", [mutex.offset(), at, times]));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..times {
                    let _guard = mutex.lock().unwrap();
                    let one: u64 = memory.read(at).unwrap();
                    assert_eq!(memory.read::<u64>(at + 8).unwrap(), one);
                    memory.write(at, one + 1).unwrap();
                    memory.write(at + 8, one + 1).unwrap();
                }
            });
        }
    });
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(memory.read::<u64>(at).unwrap(), 4 * times);
    assert!(!mutex.is_locked().unwrap());
}

#[test]
fn mutex_with_a_timeout_and_without_waiting() {
    let _watch = Watch::start();
    let memory = memory(1, 16);
    let mutex = memory.mutex().unwrap();
    let same = memory.mutex_at(mutex.offset()).unwrap();
    let guard = mutex.try_lock().unwrap().unwrap();
    assert!(same.is_locked().unwrap());
    assert!(same.try_lock().unwrap().is_none());
    let before = Instant::now();
    assert!(same.lock_timeout(SHORT).unwrap().is_none());
    assert!(before.elapsed() >= SHORT);
    thread::scope(|scope| {
        let waits = scope.spawn(|| same.lock_timeout(LONG).unwrap().is_some());
        thread::sleep(SHORT);
        drop(guard);
        assert!(waits.join().unwrap());
    });
    assert!(!mutex.is_locked().unwrap());
}

#[test]
fn reader_writer_lock() {
    let _watch = Watch::start();
    let runtime = guests(2, 2);
    let memory = runtime.memory();
    let (lock, words) = (memory.rwlock().unwrap(), words(&memory));
    let (at, times, every) = (words.offset(), 10_000, 20);
    let args = [lock.offset(), at, times, every];
    let tasks = [0, 1].map(|_| start(&runtime, "read_and_write", args));
    let written: u64 = thread::scope(|scope| {
        let hosts = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut written = 0;
                for time in 0..times {
                    if time % every == 0 {
                        let _guard = lock.write().unwrap();
                        let one: u64 = memory.read(at).unwrap();
                        memory.write(at, one + 1).unwrap();
                        memory.write(at + 8, one + 1).unwrap();
                        written += 1;
                    } else {
                        let _guard = lock.read().unwrap();
                        let one: u64 = memory.read(at).unwrap();
                        assert_eq!(memory.read::<u64>(at + 8).unwrap(), one);
                    }
                }
                written
            })
        });
        hosts.map(|host| host.join().unwrap()).iter().sum()
    });
    let by_guests: u64 = tasks
        .map(|task| u64::from(task.wait_as::<u32>().unwrap()))
        .iter()
        .sum();
    assert_eq!(memory.read::<u64>(at).unwrap(), written + by_guests);

    let (one, two) = (lock.read().unwrap(), lock.try_read().unwrap().unwrap());
    assert!(lock.try_write().unwrap().is_none());
    assert!(lock.write_timeout(SHORT).unwrap().is_none());
    drop((one, two));
    let write = lock.write_timeout(SHORT).unwrap().unwrap();
    assert!(lock.try_read().unwrap().is_none());
    assert!(lock.read_timeout(SHORT).unwrap().is_none());
    drop(write);
    assert!(lock.read_timeout(SHORT).unwrap().is_some());
}

#[test]
fn barrier() {
    let _watch = Watch::start();
    let runtime = guests(3, 2);
    let memory = runtime.memory();
    let (parties, phases) = (5, 500);
    let barrier = memory.barrier(parties).unwrap();
    let counter = memory.cache_aligned(0_u32).unwrap();
    let args = [
        barrier.offset(),
        counter.offset(),
        parties.into(),
        phases.into(),
    ];
    let tasks = [0, 1, 2].map(|_| start(&runtime, "pass_barrier", args));
    let led: u32 = thread::scope(|scope| {
        let hosts = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut led = 0;
                for phase in 1..=phases {
                    counter.add(1);
                    led += u32::from(barrier.wait().unwrap().is_leader());
                    assert_eq!(counter.load(), phase * parties);
                    barrier.wait().unwrap();
                }
                led
            })
        });
        hosts.map(|host| host.join().unwrap()).iter().sum()
    });
    let by_guests: u32 = tasks
        .map(|task| task.wait_as::<u32>().unwrap())
        .iter()
        .sum();
    assert_eq!(led + by_guests, phases);
    assert!(barrier.wait_timeout(SHORT).unwrap().is_none());
    assert!(barrier.wait_timeout(SHORT).unwrap().is_none());
}

#[test]
fn semaphore() {
    let _watch = Watch::start();
    let runtime = guests(2, 2);
    let memory = runtime.memory();
    let semaphore = memory.semaphore(3).unwrap();
    let counter = memory.cache_aligned(0_u32).unwrap();
    let times = 5000;
    let args = |permits| [semaphore.offset(), counter.offset(), permits, times];
    let tasks = [1, 2].map(|permits| start(&runtime, "take_permits", args(permits)));
    let most = AtomicU32::new(0);
    thread::scope(|scope| {
        for permits in [1, 3] {
            let (semaphore, counter, most) = (&semaphore, &counter, &most);
            scope.spawn(move || {
                for _ in 0..times {
                    let permit = semaphore.acquire(permits).unwrap();
                    assert_eq!(permit.permits(), permits);
                    most.fetch_max(counter.add(permits) + permits, Ordering::Relaxed);
                    counter.sub(permits);
                }
            });
        }
    });
    let by_guests = tasks.map(|task| task.wait_as::<u32>().unwrap());
    let most = by_guests.into_iter().max().max(Some(most.into_inner()));
    assert_eq!((most, semaphore.available().unwrap()), (Some(3), 3));

    let two = semaphore.try_acquire(2).unwrap().unwrap();
    assert!(semaphore.try_acquire(2).unwrap().is_none());
    assert!(semaphore.acquire_timeout(2, SHORT).unwrap().is_none());
    two.forget();
    assert_eq!(semaphore.available().unwrap(), 1);
    semaphore.release(2).unwrap();
    assert!(semaphore.acquire_timeout(3, SHORT).unwrap().is_some());
    assert!(matches!(
        semaphore.acquire(1 << 30),
        Err(MemoryError::Damaged { .. })
    ));
    assert!(matches!(
        semaphore.release(1 << 30),
        Err(MemoryError::Damaged { .. })
    ));
    assert_eq!(semaphore.available().unwrap(), 3);
}

#[test]
fn condition_variable() {
    let _watch = Watch::start();
    let runtime = guests(2, 1);
    let memory = runtime.memory();
    let (mutex, changed) = (memory.mutex().unwrap(), memory.condvar().unwrap());
    let turn = memory.cache_aligned(0_u32).unwrap();
    let times = 1000;
    let tasks = [0, 1].map(|me| {
        let args = [
            mutex.offset(),
            changed.offset(),
            turn.offset(),
            me,
            3,
            times,
        ];
        start(&runtime, "take_turns", args)
    });
    for _ in 0..times {
        let mut guard = mutex.lock().unwrap();
        while turn.load() != 2 {
            guard = changed.wait(guard).unwrap();
        }
        turn.store(0);
        drop(guard);
        changed.notify_all().unwrap();
    }
    for task in tasks {
        task.wait().unwrap();
    }
    let guard = mutex.lock().unwrap();
    let (guard, notified) = changed.wait_timeout(guard, SHORT).unwrap();
    assert!(!notified && mutex.is_locked().unwrap());
    drop(guard);
    assert!(!mutex.is_locked().unwrap());
    // One is woken, and one only.
    let woken = AtomicU32::new(0);
    thread::scope(|scope| {
        let wait = || {
            let (guard, notified) = changed.wait_timeout(mutex.lock().unwrap(), LONG).unwrap();
            woken.fetch_add(u32::from(notified), Ordering::SeqCst);
            drop(guard);
        };
        let waits = [scope.spawn(wait), scope.spawn(wait)];
        until(|| {
            changed.notify_one().unwrap();
            woken.load(Ordering::SeqCst) >= 1
        });
        until(|| {
            changed.notify_all().unwrap();
            woken.load(Ordering::SeqCst) == 2
        });
        for wait in waits {
            wait.join().unwrap();
        }
    });
}

#[test]
fn latch() {
    let _watch = Watch::start();
    let runtime = guests(2, 2);
    let memory = runtime.memory();
    let (latch, word) = (
        memory.latch().unwrap(),
        memory.cache_aligned(0_u64).unwrap(),
    );
    let args = [latch.offset(), word.offset()];
    let tasks = [0, 1].map(|_| start(&runtime, "wait_for_latch", args));
    assert!(!latch.wait_timeout(SHORT).unwrap() && !latch.is_open().unwrap());
    thread::scope(|scope| {
        let waits = scope.spawn(|| latch.wait());
        word.store(77);
        latch.open().unwrap();
        waits.join().unwrap().unwrap();
    });
    for task in tasks {
        assert_eq!(task.wait_as::<u64>().unwrap(), 77);
    }
    assert!(latch.is_open().unwrap() && latch.wait_timeout(SHORT).unwrap());
}

// ---- Ends ----

/// Threads of the host that wait for what never comes are told so when the program ends.
#[test]
fn whatever_waits_ends_with_the_program() {
    let _watch = Watch::start();
    let runtime = guests(1, 0);
    let memory = runtime.memory();
    let mutex = memory.mutex().unwrap();
    let other = memory.mutex().unwrap();
    let lock = memory.rwlock().unwrap();
    let barrier = memory.barrier(3).unwrap();
    let semaphore = memory.semaphore(0).unwrap();
    let condvar = memory.condvar().unwrap();
    let latch = memory.latch().unwrap();
    std::mem::forget(mutex.lock().unwrap());
    std::mem::forget(lock.write().unwrap());
    thread::scope(|scope| {
        let waits: Vec<(&str, thread::ScopedJoinHandle<'_, Option<MemoryError>>)> = vec![
            ("lock", scope.spawn(|| mutex.lock().err())),
            (
                "lock_timeout",
                scope.spawn(|| mutex.lock_timeout(LONG).err()),
            ),
            ("read", scope.spawn(|| lock.read().err())),
            (
                "read_timeout",
                scope.spawn(|| lock.read_timeout(LONG).err()),
            ),
            ("write", scope.spawn(|| lock.write().err())),
            ("barrier", scope.spawn(|| barrier.wait().err())),
            (
                "barrier_timeout",
                scope.spawn(|| barrier.wait_timeout(LONG).err()),
            ),
            ("acquire", scope.spawn(|| semaphore.acquire(1).err())),
            ("acquire 2", scope.spawn(|| semaphore.acquire(2).err())),
            (
                "condvar",
                scope.spawn(|| condvar.wait(other.lock().unwrap()).err()),
            ),
            ("latch", scope.spawn(|| latch.wait().err())),
            (
                "latch_timeout",
                scope.spawn(|| latch.wait_timeout(LONG).err()),
            ),
        ];
        thread::sleep(Duration::from_millis(50));
        runtime.shutdown_now();
        for (name, wait) in waits {
            assert_eq!(wait.join().unwrap(), Some(MemoryError::Ended), "{name}");
        }
    });
    // What does not have to wait still works.
    drop(other.lock().unwrap());
    assert_eq!(mutex.lock().err(), Some(MemoryError::Ended));
}

/// A barrier whose last party was ended between its arrival and the gate: a host that
/// gives up must not wait for it.
#[test]
fn a_barrier_that_nobody_will_open_ends_with_the_program() {
    let _watch = Watch::start();
    let runtime = guests(1, 0);
    let memory = runtime.memory();
    let barrier = memory.barrier(2).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| barrier.wait_timeout(LONG));
        until(|| memory.load::<u64>(barrier.offset()).unwrap() == 1);
        // Arrived, and gone.
        memory.add(barrier.offset(), 1_u64).unwrap();
        thread::sleep(Duration::from_millis(20));
        runtime.shutdown_now();
        assert_eq!(waits.join().unwrap(), Err(MemoryError::Ended));
    });
}

// ---- A guest that means harm ----

/// Nonsense in the words of an object is an error, or a wait that can be ended; never a
/// panic, and never anything of the host's.
#[test]
fn nonsense_does_not_harm_the_host() {
    let _watch = Watch::start();
    quiet_here();
    let memory = memory(1, 16);
    let object = memory
        .allocate(std::alloc::Layout::new::<[u128; 4]>())
        .unwrap();
    let at = object.offset();
    let mut seed = 42_u64;
    for round in 0..5000 {
        let words: Vec<u8> = (0..16)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                match round % 4 {
                    0 => seed as u8,
                    1 => (seed as u8 % 4) * 85,
                    2 => u8::from(seed.is_multiple_of(8)),
                    _ => u8::MAX - u8::from(seed.is_multiple_of(8)),
                }
            })
            .collect();
        let scramble = || memory.write_bytes(at, &words).unwrap();
        let none = Duration::ZERO;
        scramble();
        let _ = memory.mutex_at(at).unwrap().lock_timeout(none);
        scramble();
        let lock = memory.rwlock_at(at).unwrap();
        let _ = lock.try_read();
        let _ = lock.read_timeout(none);
        scramble();
        let _ = lock.write_timeout(none);
        scramble();
        let semaphore = memory.semaphore_at(at).unwrap();
        let _ = semaphore.acquire_timeout(2, none);
        let _ = semaphore.release(1);
        scramble();
        let _ = memory.latch_at(at).unwrap().wait_timeout(none);
        scramble();
        let mutex = memory.mutex_at(at + 32).unwrap();
        let guard = mutex.try_lock().unwrap().unwrap();
        let condvar = memory.condvar_at(at).unwrap();
        let _ = condvar.notify_all();
        // A guard that is not what it was.
        memory.write(at + 32, seed as u32).unwrap();
        drop(guard);
        memory.write(at + 32, 0_u32).unwrap();
        let _ = condvar.wait_timeout(mutex.try_lock().unwrap().unwrap(), none);
        memory.write(at + 32, 0_u32).unwrap();
    }
}

/// Panics of the calling thread are not printed.
fn quiet_here() {
    let (me, hook) = (thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().id() != me {
            hook(panic);
        }
    }));
}
