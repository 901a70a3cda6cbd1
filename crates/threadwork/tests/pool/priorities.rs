//! Classes: an order, no starvation, and inheritance by those whom others wait for.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};

use threadwork::sync::{Latch, PriorityMutex};
use threadwork::{Priority, TaskHandle, ThreadPool, blocking};

use crate::support::{Plug, block_on, pool, until};

/// What ran, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn position(&self, text: &str) -> usize {
        let entries = self.entries();
        let found = entries.iter().position(|entry| entry == text);
        found.unwrap_or_else(|| panic!("no {text} in {entries:?}"))
    }

    fn task(&self, pool: &ThreadPool, priority: Priority, text: &str) -> TaskHandle<()> {
        let (log, text) = (self.clone(), text.to_string());
        pool.task()
            .priority(priority)
            .execute(move || log.add(text))
    }
}

#[test]
fn higher_classes_first_and_in_order() {
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let log = Log::default();
    for n in 0..3 {
        drop(log.task(&pool, Priority::Low, &format!("low {n}")));
        drop(log.task(&pool, Priority::Normal, &format!("normal {n}")));
        drop(log.task(&pool, Priority::High, &format!("high {n}")));
    }
    plug.pull();
    pool.wait_all().unwrap();
    let want = ["high", "normal", "low"]
        .into_iter()
        .flat_map(|class| (0..3).map(move |n| format!("{class} {n}")));
    assert!(log.entries().into_iter().eq(want), "{:?}", log.entries());
}

/// The bound: a class is passed over 32 times, and two classes may be late at once.
#[test]
fn no_class_starves() {
    const BOUND: usize = 34;
    let pool = pool(1);
    let plug = Plug::insert(&pool);
    let log = Log::default();
    for n in 0..3 {
        drop(log.task(&pool, Priority::Low, &format!("low {n}")));
        drop(log.task(&pool, Priority::Normal, &format!("normal {n}")));
    }
    let stream = if cfg!(miri) { 120 } else { 500 };
    for _ in 0..stream {
        drop(log.task(&pool, Priority::High, "high"));
    }
    plug.pull();
    pool.wait_all().unwrap();
    for class in ["low", "normal"] {
        for n in 0..3 {
            let position = log.position(&format!("{class} {n}"));
            assert!(position <= (n + 1) * BOUND, "{class} {n} at {position}");
        }
    }
    // And they do not get more than that.
    assert!(log.position("low 2") >= 96);
}

/// A high task that is executed again and again by itself does not starve others either.
#[test]
fn a_task_that_renews_itself_starves_nobody() {
    fn renew(pool: &Arc<ThreadPool>, over: &Arc<Latch>) {
        if !over.is_open() {
            let (inner, over) = (pool.clone(), over.clone());
            drop(
                pool.task()
                    .priority(Priority::High)
                    .execute(move || renew(&inner, &over)),
            );
        }
    }
    let pool = Arc::new(pool(1));
    let over = Arc::new(Latch::new());
    renew(&pool, &over);
    let low = pool.task().priority(Priority::Low).execute({
        let over = over.clone();
        move || over.open()
    });
    low.wait().unwrap();
    pool.wait_all().unwrap();
    until(|| Arc::strong_count(&pool) == 1);
}

/// A stage for inversions: a low task holds the lock, and goes on when it is told that a
/// high one waits.
struct Stage {
    pool: Arc<ThreadPool>,
    lock: Arc<PriorityMutex<()>>,
    log: Log,
    go_on: Arc<Latch>,
}

impl Stage {
    fn new() -> Self {
        Stage {
            pool: Arc::new(
                ThreadPool::builder()
                    .pool_size(1)
                    .max_threads(4)
                    .build()
                    .unwrap(),
            ),
            lock: Arc::new(PriorityMutex::new(())),
            log: Log::default(),
            go_on: Arc::new(Latch::new()),
        }
    }

    /// A low task takes the lock, does `before`, and once a high one waits `needs`; then it
    /// unlocks. Returns when it has done `before`.
    fn hold<B, N>(&self, before: B, needs: N) -> TaskHandle<()>
    where
        B: FnOnce(&ThreadPool, &Log) + Send + 'static,
        N: FnOnce(&ThreadPool, &Log) + Send + 'static,
    {
        let ready = Arc::new(Latch::new());
        let holder = self.pool.task().priority(Priority::Low).name("holder");
        let holder = holder.execute({
            let (pool, log) = (self.pool.clone(), self.log.clone());
            let (lock, go_on, ready) = (self.lock.clone(), self.go_on.clone(), ready.clone());
            move || {
                let guard = lock.lock();
                before(&pool, &log);
                ready.open();
                // Without `blocking`: nobody else may take a task before the high one waits.
                go_on.wait();
                needs(&pool, &log);
                log.add("unlock");
                drop(guard);
            }
        });
        ready.wait();
        holder
    }

    fn queue_mediums(&self) {
        let stream = if cfg!(miri) { 40 } else { 100 };
        for _ in 0..stream {
            drop(self.log.task(&self.pool, Priority::Normal, "medium"));
        }
    }

    /// A high one waits for the lock; only then the holder goes on. Ends when all is done.
    fn wait_for_lock(self, holder: TaskHandle<()>) -> Log {
        {
            // The first poll queues it, and tells the pool, before it returns.
            let mut wait = pin!(self.lock.lock_async_as(Priority::High));
            let mut context = Context::from_waker(Waker::noop());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            self.go_on.open();
            drop(block_on(wait));
            self.log.add("high");
        }
        holder.wait().unwrap();
        self.pool.wait_all().unwrap();
        until(|| Arc::strong_count(&self.pool) == 1);
        self.log
    }
}

/// Acceptance test 32. A low holder needs a queued sub-task to be done before it unlocks; a
/// stream of medium ones is queued; a high one waits for the lock. The sub-task runs
/// before the stream.
#[test]
fn priority_inversion() {
    let stage = Stage::new();
    let (sender, receiver) = mpsc::channel();
    let holder = stage.hold(
        move |pool, log| {
            let log = log.clone();
            drop(pool.task().priority(Priority::Low).execute(move || {
                log.add("part");
                sender.send(()).unwrap();
            }));
        },
        // The pool does not see what the holder waits for.
        move |_, _| blocking(|| receiver.recv().unwrap()),
    );
    stage.queue_mediums();
    let log = stage.wait_for_lock(holder);
    assert_eq!(log.position("part"), 0, "{:?}", log.entries());
}

/// Without the high one the sub-task is as low as any: what the test above sees is
/// inheritance.
#[test]
fn nobody_inherits_where_nobody_waits() {
    let stage = Stage::new();
    let (sender, receiver) = mpsc::channel();
    let holder = stage.hold(
        move |pool, log| {
            let log = log.clone();
            drop(pool.task().priority(Priority::Low).execute(move || {
                log.add("part");
                sender.send(()).unwrap();
            }));
        },
        move |_, _| blocking(|| receiver.recv().unwrap()),
    );
    stage.queue_mediums();
    stage.go_on.open();
    holder.wait().unwrap();
    assert_eq!(stage.log.position("part"), 32, "{:?}", stage.log.entries());
}

/// A holder that waits for the handle of its part runs it at once, itself.
#[test]
fn a_holder_that_waits_for_a_handle() {
    let stage = Stage::new();
    let holder = stage.hold(
        |_, _| {},
        |pool, log| log.task(pool, Priority::Low, "part").wait().unwrap(),
    );
    stage.queue_mediums();
    let log = stage.wait_for_lock(holder);
    assert_eq!(log.position("part"), 0);
}

/// What the holder makes after it was raised begins as high as it is.
#[test]
fn parts_that_are_made_later_inherit() {
    let stage = Stage::new();
    let holder = stage.hold(
        |_, _| {},
        |pool, log| {
            let (sender, receiver) = mpsc::channel();
            let log = log.clone();
            drop(pool.task().priority(Priority::Low).execute(move || {
                log.add("part");
                sender.send(()).unwrap();
            }));
            blocking(|| receiver.recv().unwrap());
        },
    );
    stage.queue_mediums();
    let log = stage.wait_for_lock(holder);
    assert_eq!(log.position("part"), 0);
}

/// A part that runs already passes the raise on to its own parts, and to what it waits for.
#[test]
fn parts_of_parts_inherit() {
    let stage = Stage::new();
    let (sender, receiver) = mpsc::channel();
    let (part_runs, resumed) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let holder = stage.hold(
        {
            let pool = stage.pool.clone();
            move |_, log| {
                let (inner, log) = (pool.clone(), log.clone());
                let (runs, holder_resumed) = (part_runs.clone(), resumed.clone());
                let part = pool.task().priority(Priority::Low).execute(move || {
                    let (done, finished) = mpsc::channel();
                    let last = log.clone();
                    drop(inner.task().priority(Priority::Low).execute(move || {
                        last.add("part of part");
                        done.send(()).unwrap();
                    }));
                    runs.open();
                    // Then the holder counts as active, so nobody takes this one's place.
                    holder_resumed.wait();
                    blocking(|| finished.recv().unwrap());
                    log.add("part");
                    sender.send(()).unwrap();
                });
                drop(part);
                // Another thread begins the part meanwhile.
                blocking(|| part_runs.wait());
                resumed.open();
            }
        },
        move |_, _| blocking(|| receiver.recv().unwrap()),
    );
    stage.queue_mediums();
    let log = stage.wait_for_lock(holder);
    assert_eq!(log.position("part of part"), 0, "{:?}", log.entries());
}

/// When nobody waits any more the holder's tasks are as low as before.
#[test]
fn inheritance_ends_with_the_wait() {
    let stage = Stage::new();
    let holder = stage.pool.task().priority(Priority::Low).execute({
        let (pool, log) = (stage.pool.clone(), stage.log.clone());
        let (lock, go_on) = (stage.lock.clone(), stage.go_on.clone());
        move || {
            let guard = lock.lock();
            go_on.wait();
            drop(guard);
            // The unlock has told the pool.
            drop(log.task(&pool, Priority::Low, "after"));
            for _ in 0..10 {
                drop(log.task(&pool, Priority::Normal, "medium"));
            }
        }
    });
    until(|| stage.lock.is_locked());
    let log = stage.wait_for_lock(holder);
    let mut tasks = log.entries().into_iter().filter(|entry| entry != "high");
    assert_eq!(tasks.next_back().as_deref(), Some("after"));
}

/// Who waits for a task lends it its class, without any lock.
#[test]
fn a_waiter_raises_what_it_waits_for() {
    let pool = Arc::new(
        ThreadPool::builder()
            .pool_size(1)
            .max_threads(2)
            .build()
            .unwrap(),
    );
    let plug = Plug::insert(&pool);
    let log = Log::default();
    let mut low = log.task(&pool, Priority::Low, "low");
    for _ in 0..50 {
        drop(log.task(&pool, Priority::Normal, "medium"));
    }
    assert_eq!(low.priority(), Priority::Low);
    // With a timeout it does not run it itself.
    let high = pool.task().priority(Priority::High).execute(move || {
        low.wait_timeout(std::time::Duration::from_secs(3600))
            .unwrap()
            .unwrap();
        assert_eq!(low.priority(), Priority::High);
    });
    plug.pull();
    high.wait().unwrap();
    assert_eq!(log.position("low"), 0, "{:?}", log.entries());
    pool.wait_all().unwrap();
}
