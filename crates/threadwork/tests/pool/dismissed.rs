//! A thread that was spare for long enough, and leaves: until its hook is over it is one of the
//! pool's, with an index and a count of its own, and holds nobody up.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::thread;
use std::time::Duration;

use threadwork::sync::Latch;
use threadwork::{ThreadPool, blocking, current_worker_index};

/// A thousand times what anything here takes: without it a test that fails would hang.
const LONG: Duration = Duration::from_secs(10);

/// A pool of one worker, whose first thread to be dismissed is in its hook.
struct Leaving {
    pool: Arc<ThreadPool>,
    /// Lets the hook go on.
    go_on: Arc<Latch>,
    /// How many threads have started.
    started: Arc<AtomicUsize>,
    /// An index was two living threads' at once.
    shared_index: Arc<AtomicUsize>,
}

impl Leaving {
    /// `wait` is how the hook waits for what it is given.
    fn new(max_threads: usize, wait: fn(&Latch)) -> Self {
        let (inside, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let started = Arc::new(AtomicUsize::new(0));
        let shared_index = Arc::new(AtomicUsize::new(0));
        let indices = Arc::new(Mutex::new(BTreeSet::new()));
        let builder = ThreadPool::builder()
            .pool_size(1)
            .max_threads(max_threads)
            .keep_alive(Duration::from_millis(1))
            .drop_timeout(Duration::from_millis(5))
            .on_start({
                let (started, shared_index) = (started.clone(), shared_index.clone());
                let indices = indices.clone();
                move |index| {
                    started.fetch_add(1, Ordering::Relaxed);
                    if !indices.lock().unwrap().insert(index) {
                        shared_index.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
            .on_exit({
                let (inside, go_on) = (inside.clone(), go_on.clone());
                move |index| {
                    assert_eq!(current_worker_index(), Some(index));
                    if !inside.is_open() {
                        inside.open();
                        wait(&go_on);
                    }
                    indices.lock().unwrap().remove(&index);
                }
            });
        let leaving = Leaving {
            pool: Arc::new(builder.build().unwrap()),
            go_on,
            started,
            shared_index,
        };
        leaving.take_two_threads(&Latch::new().into());
        assert!(inside.wait_timeout(LONG), "nobody is dismissed");
        leaving
    }

    /// A task that blocks, which opens `blocks` then, until another task has run.
    fn take_two_threads(&self, blocks: &Arc<Latch>) {
        self.two_threads(blocks.clone())
            .recv_timeout(LONG)
            .expect("no other thread works");
    }

    fn two_threads(&self, blocks: Arc<Latch>) -> mpsc::Receiver<()> {
        let (done, is_done) = mpsc::channel();
        let pool: Weak<ThreadPool> = Arc::downgrade(&self.pool);
        self.pool.spawn(move || {
            let (sender, receiver) = mpsc::channel();
            if let Some(pool) = pool.upgrade() {
                pool.spawn(move || sender.send(()).unwrap());
            }
            let sent = blocking(|| {
                blocks.open();
                receiver.recv_timeout(2 * LONG)
            });
            if sent.is_ok() {
                done.send(()).unwrap();
            }
        });
        is_done
    }

    fn end(self) {
        self.go_on.open();
        self.pool.shutdown();
        assert_eq!(self.shared_index.fetch_add(0, Ordering::Relaxed), 0);
    }
}

/// Slots have records that only their worker may write to.
#[test]
fn its_index_is_its_own_until_its_hook_is_over() {
    let leaving = Leaving::new(3, Latch::wait);
    leaving.take_two_threads(&Latch::new().into());
    leaving.end();
}

/// It is counted as blocked, once, and nobody is started for that.
#[test]
fn its_hook_may_block() {
    let leaving = Leaving::new(4, |go_on| blocking(|| go_on.wait()));
    leaving.take_two_threads(&Latch::new().into());
    let started = leaving.started.clone();
    leaving.end();
    assert_eq!(started.fetch_add(0, Ordering::Relaxed), 3);
}

/// It is one of `max_threads`, so a task that blocks meanwhile may find no other. That one comes
/// when there is room.
#[test]
fn another_comes_when_its_hook_is_over() {
    let leaving = Leaving::new(2, Latch::wait);
    let blocks = Arc::new(Latch::new());
    let done = leaving.two_threads(blocks.clone());
    assert!(blocks.wait_timeout(LONG));
    leaving.go_on.open();
    done.recv_timeout(LONG).expect("nobody has come");
    leaving.end();
}

/// What a hook executes and waits for is run, by its own thread if need be.
#[test]
fn its_hook_may_wait_for_a_task() {
    let sum = Arc::new(AtomicUsize::new(0));
    let own = Arc::new(Mutex::new(Weak::<ThreadPool>::new()));
    let ended = Arc::new(Latch::new());
    let builder = ThreadPool::builder()
        .pool_size(1)
        .max_threads(2)
        .keep_alive(Duration::from_millis(1))
        .on_exit({
            let (own, sum, ended) = (own.clone(), sum.clone(), ended.clone());
            move |_| {
                // The first thread that leaves; under Miri there are others.
                let pool = mem::take(&mut *own.lock().unwrap());
                if let Some(pool) = pool.upgrade() {
                    let tasks: Vec<_> = (1..=3).map(|n| pool.execute(move || n)).collect();
                    for task in tasks {
                        sum.fetch_add(task.wait().unwrap_or(100), Ordering::Relaxed);
                    }
                    ended.open();
                }
            }
        });
    let pool = Arc::new(builder.build().unwrap());
    *own.lock().unwrap() = Arc::downgrade(&pool);
    let inner = pool.clone();
    let task = pool.execute(move || {
        let (sender, receiver) = mpsc::channel();
        inner.spawn(move || sender.send(()).unwrap());
        blocking(|| receiver.recv().unwrap());
    });
    task.wait().unwrap();
    assert!(ended.wait_timeout(LONG));
    assert_eq!(sum.fetch_add(0, Ordering::Relaxed), 6);
    pool.shutdown();
}

/// The time that dropping the pool may take is a limit for this hook, too.
#[test]
fn its_hook_does_not_hold_up_the_end() {
    let leaving = Leaving::new(2, Latch::wait);
    let (sender, receiver) = mpsc::channel();
    let (pool, go_on) = (leaving.pool, leaving.go_on);
    thread::spawn(move || {
        drop(Arc::into_inner(pool));
        sender.send(()).unwrap();
    });
    let dropped = receiver.recv_timeout(LONG);
    go_on.open();
    dropped.expect("it waits for the hook");
}
