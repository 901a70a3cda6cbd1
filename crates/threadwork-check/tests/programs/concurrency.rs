//! Concurrency bugs, and their correct twins: one program, which does what its first argument names.
//!
//! Built and explored by the tests of `threadwork-check`. Each pair differs in one place.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("the name of a bug");
    let right = args.next().as_deref() == Some("right");
    match name.as_str() {
        "lost-update" => lost_update(right),
        "check-then-act" => check_then_act(right),
        "abba" => abba(right),
        "dining" => dining(right),
        "lost-wakeup" => lost_wakeup(right),
        "missing-notify" => missing_notify(right),
        "notify-one" => notify_one(right),
        "spurious" => spurious(right),
        "spin-lock" => spin_lock(right),
        "spin-forever" => spin_forever(right),
        "wrong-once" => wrong_once(right),
        "double-free" => double_free(right),
        "aba" => aba(right),
        "sleep-sync" => sleep_sync(right),
        "timeout" => timeout(right),
        "order" => order(right),
        "barrier" => barrier(right),
        "peterson" => peterson(right),
        "queue" => queue(right),
        "upgrade" => upgrade(right),
        "early-exit" => early_exit(right),
        "output" => output(right),
        _ => panic!("there is no bug `{name}`"),
    }
}

/// A counter that is loaded and stored.
fn lost_update(right: bool) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let add = move || match right {
        true => {
            COUNT.fetch_add(1, SeqCst);
        }
        false => COUNT.store(COUNT.load(SeqCst) + 1, SeqCst),
    };
    let other = thread::spawn(add);
    add();
    other.join().unwrap();
    assert_eq!(COUNT.load(SeqCst), 2);
}

/// The balance is looked at under the lock, and taken from under another one.
fn check_then_act(right: bool) {
    let account = Arc::new(Mutex::new(100_i32));
    let take = |account: Arc<Mutex<i32>>| {
        move || {
            if right {
                let mut balance = account.lock().unwrap();
                if *balance >= 100 {
                    *balance -= 100;
                }
            } else if *account.lock().unwrap() >= 100 {
                *account.lock().unwrap() -= 100;
            }
        }
    };
    let threads = [(); 2].map(|()| thread::spawn(take(Arc::clone(&account))));
    join(threads);
    assert_eq!(*account.lock().unwrap(), 0);
}

/// Two locks in two orders.
fn abba(right: bool) {
    let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
    let other = Arc::clone(&locks);
    let thread = thread::spawn(move || {
        if right {
            let _a = other.0.lock().unwrap();
            *other.1.lock().unwrap() += 1;
        } else {
            let _b = other.1.lock().unwrap();
            *other.0.lock().unwrap() += 1;
        }
    });
    {
        let _a = locks.0.lock().unwrap();
        *locks.1.lock().unwrap() += 1;
    }
    thread.join().unwrap();
}

/// Three philosophers; the last one is left-handed where it is right.
fn dining(right: bool) {
    let forks = Arc::new([(); 3].map(|()| Mutex::new(0)));
    let threads = [0, 1, 2].map(|place| {
        let forks = Arc::clone(&forks);
        thread::spawn(move || {
            let (mut first, mut second) = (place, (place + 1) % 3);
            if right && place == 2 {
                (first, second) = (second, first);
            }
            let _one = forks[first].lock().unwrap();
            *forks[second].lock().unwrap() += 1;
        })
    });
    join(threads);
}

/// The flag is set and notified without the lock: between the look and the wait.
fn lost_wakeup(right: bool) {
    let shared = Arc::new((Mutex::new(()), Condvar::new(), AtomicBool::new(false)));
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        let guard = right.then(|| other.0.lock().unwrap());
        other.2.store(true, SeqCst);
        other.1.notify_one();
        drop(guard);
    });
    let mut guard = shared.0.lock().unwrap();
    while !shared.2.load(SeqCst) {
        guard = shared.1.wait(guard).unwrap();
    }
    drop(guard);
    thread.join().unwrap();
}

/// Nobody is told when the last item is taken.
fn missing_notify(right: bool) {
    let shared = Arc::new((Mutex::new(1), Condvar::new()));
    let other = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        *other.0.lock().unwrap() -= 1;
        if right {
            other.1.notify_all();
        }
    });
    let mut count = shared.0.lock().unwrap();
    while *count > 0 {
        count = shared.1.wait(count).unwrap();
    }
    drop(count);
    thread.join().unwrap();
}

/// One of two waiters is told of what both wait for.
fn notify_one(right: bool) {
    let shared = Arc::new((Mutex::new(false), Condvar::new()));
    let threads = [(); 2].map(|()| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let mut open = shared.0.lock().unwrap();
            while !*open {
                open = shared.1.wait(open).unwrap();
            }
        })
    });
    *shared.0.lock().unwrap() = true;
    match right {
        true => shared.1.notify_all(),
        false => shared.1.notify_one(),
    }
    join(threads);
}

/// An `if` where there has to be a `while`: two consumers, and items that come one by one.
fn spurious(right: bool) {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let threads = [(); 2].map(|()| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let mut items = shared.0.lock().unwrap();
            if right {
                while *items == 0 {
                    items = shared.1.wait(items).unwrap();
                }
            } else if *items == 0 {
                items = shared.1.wait(items).unwrap();
            }
            assert!(*items > 0, "there is nothing to take");
            *items -= 1;
        })
    });
    for _ in 0..2 {
        *shared.0.lock().unwrap() += 1;
        shared.1.notify_all();
    }
    join(threads);
}

struct Spin {
    taken: AtomicBool,
    count: UnsafeCell<u32>,
}

// SAFETY: the lock is for that; where it is wrong, there is one operating-system thread.
unsafe impl Sync for Spin {}

/// A spin lock that looks and takes in two steps.
fn spin_lock(right: bool) {
    static LOCK: Spin = Spin {
        taken: AtomicBool::new(false),
        count: UnsafeCell::new(0),
    };
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    let work = move || {
        if right {
            while LOCK.taken.compare_exchange(false, true, SeqCst, SeqCst).is_err() {}
        } else {
            while LOCK.taken.load(SeqCst) {}
            LOCK.taken.store(true, SeqCst);
        }
        assert_eq!(INSIDE.fetch_add(1, SeqCst), 0, "two threads are inside");
        // SAFETY: as above.
        unsafe { *LOCK.count.get() += 1 };
        INSIDE.fetch_sub(1, SeqCst);
        LOCK.taken.store(false, SeqCst);
    };
    let other = thread::spawn(work);
    work();
    other.join().unwrap();
}

/// Both threads spin until the other one has been where it never comes.
fn spin_forever(right: bool) {
    static READY: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    let work = move |own: usize| {
        if right {
            READY[own].store(true, SeqCst);
        }
        while !READY[1 - own].load(SeqCst) {}
        READY[own].store(true, SeqCst);
    };
    let other = thread::spawn(move || work(1));
    work(0);
    other.join().unwrap();
}

/// Double-checked initialization that says too early that it is done.
fn wrong_once(right: bool) {
    static STATE: AtomicU32 = AtomicU32::new(0);
    static VALUE: AtomicU32 = AtomicU32::new(0);
    let get = move || {
        if STATE.compare_exchange(0, 1, SeqCst, SeqCst).is_ok() {
            VALUE.store(42, SeqCst);
            STATE.store(2, SeqCst);
        } else if right {
            while STATE.load(SeqCst) != 2 {}
        }
        assert_eq!(VALUE.load(SeqCst), 42);
    };
    let other = thread::spawn(get);
    get();
    other.join().unwrap();
}

/// A count of references that is lowered and looked at in two steps.
fn double_free(right: bool) {
    static REFERENCES: AtomicUsize = AtomicUsize::new(2);
    static FREED: AtomicU32 = AtomicU32::new(0);
    let release = move || {
        let is_last = match right {
            true => REFERENCES.fetch_sub(1, SeqCst) == 1,
            false => {
                REFERENCES.fetch_sub(1, SeqCst);
                REFERENCES.load(SeqCst) == 0
            }
        };
        if is_last {
            FREED.fetch_add(1, SeqCst);
        }
    };
    let other = thread::spawn(release);
    release();
    other.join().unwrap();
    assert_eq!(FREED.load(SeqCst), 1);
}

/// A stack of indices without a tag: what a pop has seen on top is there again, and its next one is not.
fn aba(right: bool) {
    const NONE: u32 = 0xff;
    static TOP: AtomicU32 = AtomicU32::new(0);
    static NEXT: [AtomicU32; 3] = [AtomicU32::new(1), AtomicU32::new(2), AtomicU32::new(NONE)];
    static TAKEN: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    let tag = move |top: u32| if right { (top & !0xff).wrapping_add(0x100) } else { 0 };
    let pop = move || loop {
        let top = TOP.load(SeqCst);
        let place = top & 0xff;
        if place == NONE {
            return None;
        }
        let next = NEXT[place as usize].load(SeqCst);
        if TOP.compare_exchange(top, next | tag(top), SeqCst, SeqCst).is_ok() {
            assert_eq!(TAKEN[place as usize].swap(1, SeqCst), 0, "taken twice");
            return Some(place);
        }
    };
    let push = move |place: u32| {
        TAKEN[place as usize].store(0, SeqCst);
        loop {
            let top = TOP.load(SeqCst);
            NEXT[place as usize].store(top & 0xff, SeqCst);
            if TOP.compare_exchange(top, place | tag(top), SeqCst, SeqCst).is_ok() {
                return;
            }
        }
    };
    let other = thread::spawn(move || {
        let first = pop();
        let _second = pop();
        if let Some(first) = first {
            push(first);
        }
        pop();
    });
    pop();
    pop();
    other.join().unwrap();
}

/// It sleeps until the other one must be done.
fn sleep_sync(right: bool) {
    static DONE: AtomicBool = AtomicBool::new(false);
    let other = thread::spawn(|| DONE.store(true, SeqCst));
    if right {
        other.join().unwrap();
    } else {
        thread::sleep(Duration::from_secs(1));
    }
    assert!(DONE.load(SeqCst));
}

/// A wait that is over by time is taken for one that was answered.
fn timeout(right: bool) {
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        // Whoever has given up does not listen.
        let _ = sender.send(7);
    });
    let answer = receiver.recv_timeout(Duration::from_secs(1));
    match right {
        true => _ = answer,
        false => assert_eq!(answer, Ok(7)),
    }
    other.join().unwrap();
}

/// The flag is raised before the value is there.
fn order(right: bool) {
    static VALUE: AtomicU32 = AtomicU32::new(0);
    static READY: AtomicBool = AtomicBool::new(false);
    let other = thread::spawn(move || {
        if right {
            VALUE.store(1, SeqCst);
            READY.store(true, SeqCst);
        } else {
            READY.store(true, SeqCst);
            VALUE.store(1, SeqCst);
        }
    });
    if READY.load(SeqCst) {
        assert_eq!(VALUE.load(SeqCst), 1);
    }
    other.join().unwrap();
}

/// A barrier by hand whose count is reset by the last one, or not.
fn barrier(right: bool) {
    let threads = 2;
    let turns = Arc::new(AtomicU32::new(0));
    let generation = Arc::new(AtomicU32::new(0));
    let std = Arc::new(Barrier::new(threads));
    let work = {
        let (turns, generation) = (Arc::clone(&turns), Arc::clone(&generation));
        move || {
            for _ in 0..2 {
                if right {
                    std.wait();
                    continue;
                }
                // What is read after it has come may be the next generation already.
                let last = turns.fetch_add(1, SeqCst) + 1 == threads as u32;
                let seen = generation.load(SeqCst);
                if last {
                    turns.store(0, SeqCst);
                    generation.fetch_add(1, SeqCst);
                } else {
                    while generation.load(SeqCst) == seen {}
                }
            }
        }
    };
    let other = thread::spawn(work.clone());
    work();
    other.join().unwrap();
}

/// Peterson's lock, with the two steps of its entry in the wrong order.
fn peterson(right: bool) {
    static WANTS: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    static TURN: AtomicUsize = AtomicUsize::new(0);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    let work = move |own: usize| {
        if right {
            WANTS[own].store(true, SeqCst);
            TURN.store(1 - own, SeqCst);
        } else {
            TURN.store(1 - own, SeqCst);
            WANTS[own].store(true, SeqCst);
        }
        while WANTS[1 - own].load(SeqCst) && TURN.load(SeqCst) == 1 - own {}
        assert_eq!(INSIDE.fetch_add(1, SeqCst), 0, "two threads are inside");
        INSIDE.fetch_sub(1, SeqCst);
        WANTS[own].store(false, SeqCst);
    };
    let other = thread::spawn(move || work(1));
    work(0);
    other.join().unwrap();
}

/// A ring for one producer and two consumers, who take the place and move on in two steps.
fn queue(right: bool) {
    static HEAD: AtomicUsize = AtomicUsize::new(0);
    static TAKEN: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    let take = move || {
        let place = match right {
            true => HEAD.fetch_add(1, SeqCst),
            false => {
                let place = HEAD.load(SeqCst);
                HEAD.store(place + 1, SeqCst);
                place
            }
        };
        if let Some(taken) = TAKEN.get(place) {
            assert_eq!(taken.swap(1, SeqCst), 0, "taken twice");
        }
    };
    let threads = [(); 2].map(|()| thread::spawn(take));
    join(threads);
}

/// A reader becomes a writer by letting go in between.
fn upgrade(right: bool) {
    let lock = Arc::new(RwLock::new(0));
    let add = |lock: Arc<RwLock<u32>>| {
        move || {
            if right {
                *lock.write().unwrap() += 1;
            } else {
                let value = *lock.read().unwrap();
                *lock.write().unwrap() = value + 1;
            }
        }
    };
    let threads = [(); 2].map(|()| thread::spawn(add(Arc::clone(&lock))));
    join(threads);
    assert_eq!(*lock.read().unwrap(), 2);
}

/// The main thread does not wait for what the others have to write.
fn early_exit(right: bool) {
    static WRITTEN: AtomicBool = AtomicBool::new(false);
    let other = thread::spawn(|| WRITTEN.store(true, SeqCst));
    if right {
        other.join().unwrap();
    }
    std::process::exit(if WRITTEN.load(SeqCst) { 0 } else { 3 });
}

/// The order of two lines is nobody's.
fn output(right: bool) {
    let other = thread::spawn(move || {
        if !right {
            println!("one");
        }
    });
    if right {
        println!("one");
    }
    if right {
        other.join().unwrap();
        println!("two");
    } else {
        println!("two");
        other.join().unwrap();
    }
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}
