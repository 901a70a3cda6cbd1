//! Operating-system threads that the engine owns and uses again.
//!
//! A worker runs closures. In between it sleeps in the engine's list of idle workers; a
//! closure may have it sleep in a list of its own, with work of another kind.
//!
//! Invariant: a worker is woken only by somebody who took it out of the list that it was
//! in, after having put what it is woken for where it looks; so there is never more than
//! one thing there. And there are never more workers than the engine may have: a guest that
//! starts threads without end is refused before the system has none left for the program
//! around it.

use super::os_thread;
use crate::lock::lock;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use threadwork_parking::{Cores, WakeUp};

/// How long a worker without work is kept.
const KEEP: Duration = Duration::from_secs(2);

/// What a worker of the engine's list is woken for; woken without one, it ends.
type Closure = Box<dyn FnOnce(&Arc<Worker>) + Send>;

/// An operating-system thread that can be woken.
pub(crate) struct Worker {
    /// Set by whoever wakes it.
    ready: AtomicBool,
    closure: Mutex<Option<Closure>>,
    /// By whoever wakes it.
    wake_up: WakeUp,
    thread: OnceLock<Thread>,
    cores: Arc<Cores>,
}

impl Worker {
    /// Wakes a worker that the caller took out of a list: it sees all that the caller did
    /// before.
    pub(crate) fn wake(&self) {
        self.wake_up.leave();
        // On behalf of the worker, which wants a core from now on: nobody should spin on
        // the one that it waits for.
        self.cores.acquire();
        // Ordering: Release; pairs with the acquire in `is_ready`.
        self.ready.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Sleeps until it is woken, at most for `time`; false if nobody did.
    pub(crate) fn sleep(&self, time: Option<Duration>) -> bool {
        if !self.cores.spin_idle(|| self.is_ready()) {
            let deadline = time.map(|time| Instant::now() + time);
            while !self.is_ready() {
                match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                    None => thread::park(),
                    Some(Duration::ZERO) => return false,
                    Some(left) => thread::park_timeout(left),
                }
            }
            self.wake_up.take_up(&self.cores);
        }
        // What the worker does next counts for itself.
        self.cores.release();
        // Ordering: Relaxed; the next store of true comes after the caller has put
        // itself into a list again, under that list's lock.
        self.ready.store(false, Ordering::Relaxed);
        true
    }

    fn give(&self, closure: Closure) {
        *lock(&self.closure) = Some(closure);
        self.wake();
    }

    fn take(&self) -> Option<Closure> {
        lock(&self.closure).take()
    }

    fn is_ready(&self) -> bool {
        // Ordering: Acquire; pairs with the release in `give`.
        self.ready.load(Ordering::Acquire)
    }
}

/// The engine's workers. Dropping it ends those that are idle; the others end when
/// their process does.
pub(crate) struct Workers(Arc<Shared>);

struct Shared {
    idle: Mutex<Idle>,
    stack_size: usize,
    cores: Arc<Cores>,
    /// Workers that exist, and how many may.
    live: AtomicU32,
    most: u32,
}

struct Idle {
    workers: Vec<Arc<Worker>>,
    closed: bool,
}

impl Workers {
    /// At most `most` of them, with so many bytes of stack.
    pub(crate) fn new(stack_size: usize, most: u32, cores: Arc<Cores>) -> Self {
        Self(Arc::new(Shared {
            idle: Mutex::new(Idle {
                workers: Vec::new(),
                closed: false,
            }),
            stack_size,
            cores,
            live: AtomicU32::new(0),
            most,
        }))
    }

    /// How many there are, and how many of them are idle.
    pub(crate) fn count(&self) -> (u32, u32) {
        let idle = lock(&self.0.idle).workers.len();
        // Ordering: Relaxed; a snapshot.
        let live = self.0.live.load(Ordering::Relaxed);
        (live, u32::try_from(idle).unwrap_or(u32::MAX).min(live))
    }

    /// Runs `closure` on an idle worker, or on a new one.
    ///
    /// # Errors
    ///
    /// If the system has no thread left, or the engine may have no more.
    pub(crate) fn run(
        &self,
        closure: impl FnOnce(&Arc<Worker>) + Send + 'static,
    ) -> io::Result<()> {
        let closure = Box::new(closure);
        let idle = lock(&self.0.idle).workers.pop();
        match idle {
            Some(worker) => worker.give(closure),
            None => self.start(closure)?,
        }
        Ok(())
    }

    fn start(&self, closure: Closure) -> io::Result<()> {
        let counted = Counted::new(&self.0)?;
        let worker = Arc::new(Worker {
            ready: AtomicBool::new(true),
            closure: Mutex::new(Some(closure)),
            wake_up: WakeUp::new(),
            thread: OnceLock::new(),
            cores: Arc::clone(&self.0.cores),
        });
        let shared = Arc::clone(&self.0);
        // As in `Worker::wake`.
        self.0.cores.acquire();
        let started = os_thread::spawn("threadwork", self.0.stack_size, move || {
            shared.work(&worker);
            drop(counted);
        });
        if started.is_err() {
            self.0.cores.release();
        }
        started
    }
}

/// A worker that counts, until it is dropped.
struct Counted(Arc<Shared>);

impl Counted {
    /// # Errors
    ///
    /// If there are as many as there may be.
    fn new(shared: &Arc<Shared>) -> io::Result<Self> {
        // Ordering: Relaxed; nothing is read because of the number.
        let live = shared.live.fetch_add(1, Ordering::Relaxed);
        // From here on, dropping it counts it out again.
        let counted = Self(Arc::clone(shared));
        match live < shared.most {
            true => Ok(counted),
            false => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "the engine has the {} worker threads that it may have \
                     (EngineBuilder::max_workers)",
                    shared.most
                ),
            )),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Ordering: Relaxed; as above.
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut idle = lock(&self.0.idle);
        idle.closed = true;
        idle.workers.drain(..).for_each(|worker| worker.wake());
    }
}

impl Shared {
    /// The life of a worker.
    fn work(&self, worker: &Arc<Worker>) {
        worker.thread.get_or_init(thread::current);
        let mut woken = worker.sleep(None);
        while woken && let Some(closure) = worker.take() {
            closure(worker);
            woken = self.idle(worker);
        }
    }

    /// Sleeps in the list of idle workers; false when there is nothing more to do.
    fn idle(&self, worker: &Arc<Worker>) -> bool {
        {
            let mut idle = lock(&self.idle);
            if idle.closed {
                return false;
            }
            idle.workers.push(Arc::clone(worker));
        }
        worker.sleep(Some(KEEP)) || {
            let withdrawn = withdraw(&mut lock(&self.idle).workers, worker);
            // Somebody took us out of the list just now, and is about to wake us.
            !withdrawn && worker.sleep(None)
        }
    }
}

/// Takes `item` out of a list; false if somebody else did.
pub(crate) fn withdraw<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>) -> bool {
    let at = list.iter().position(|other| Arc::ptr_eq(other, item));
    at.map(|at| list.remove(at)).is_some()
}
