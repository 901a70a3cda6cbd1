//! Operating-system threads that the engine owns and uses again.
//!
//! A worker waits for a [`Job`] in its mailbox, either in the engine's list of
//! idle workers or, with an instance ready, in that of a process (a *seat*, see
//! [`crate::seat`]).
//!
//! Invariant: a mailbox gets a job only from somebody who took the worker out of
//! the list that it was in, so it never holds more than one.

use crate::thread::ThreadState;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};
use threadwork_parking::{Cores, WakeUp};

/// How long a worker without work is kept.
const KEEP: Duration = Duration::from_secs(2);

/// What a worker of the engine's list is given to do.
pub(crate) type Errand = Box<dyn FnOnce(&Arc<Worker>) + Send>;

/// What a worker does next.
pub(crate) enum Job {
    /// Anything, for a worker of the engine's list.
    Run(Errand),
    /// Run a guest thread, for a worker with a seat.
    Thread(Arc<ThreadState>, i32),
    /// Run the task at the worker's place, for a worker of a pool.
    Task,
    /// Give up the seat.
    Leave,
}

/// An operating-system thread with a mailbox.
pub(crate) struct Worker {
    /// Set when `job` is filled, so that waiting needs no lock.
    ready: AtomicBool,
    job: Mutex<Option<Job>>,
    /// By whoever filled it.
    wake_up: WakeUp,
    thread: OnceLock<Thread>,
    cores: Arc<Cores>,
}

impl Worker {
    /// Puts a job into the mailbox of a worker that the caller took out of a list.
    pub(crate) fn give(&self, job: Job) {
        *lock(&self.job) = Some(job);
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

    /// Waits for a job, at most for `time`.
    pub(crate) fn wait(&self, time: Option<Duration>) -> Option<Job> {
        if !self.cores.spin_idle(|| self.is_ready()) {
            let deadline = time.map(|time| Instant::now() + time);
            while !self.is_ready() {
                match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                    None => thread::park(),
                    Some(Duration::ZERO) => return None,
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
        lock(&self.job).take()
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
}

struct Idle {
    workers: Vec<Arc<Worker>>,
    closed: bool,
}

impl Workers {
    pub(crate) fn new(stack_size: usize, cores: Arc<Cores>) -> Self {
        Self(Arc::new(Shared {
            idle: Mutex::new(Idle {
                workers: Vec::new(),
                closed: false,
            }),
            stack_size,
            cores,
        }))
    }

    /// Runs `job` on an idle worker, or on a new one.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub(crate) fn run(&self, job: impl FnOnce(&Arc<Worker>) + Send + 'static) -> io::Result<()> {
        let job = Job::Run(Box::new(job));
        let idle = lock(&self.0.idle).workers.pop();
        match idle {
            Some(worker) => worker.give(job),
            None => self.start(job)?,
        }
        Ok(())
    }

    fn start(&self, job: Job) -> io::Result<()> {
        let worker = Arc::new(Worker {
            ready: AtomicBool::new(true),
            job: Mutex::new(Some(job)),
            wake_up: WakeUp::new(),
            thread: OnceLock::new(),
            cores: Arc::clone(&self.0.cores),
        });
        let shared = Arc::clone(&self.0);
        // As in `give`.
        self.0.cores.acquire();
        let started = thread::Builder::new()
            .name("threadwork".to_owned())
            .stack_size(self.0.stack_size)
            .spawn(move || shared.work(&worker));
        if started.is_err() {
            self.0.cores.release();
        }
        started.map(drop)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut idle = lock(&self.0.idle);
        idle.closed = true;
        idle.workers
            .drain(..)
            .for_each(|worker| worker.give(Job::Leave));
    }
}

impl Shared {
    /// The life of a worker.
    fn work(&self, worker: &Arc<Worker>) {
        worker.thread.get_or_init(thread::current);
        let mut next = worker.wait(None);
        while let Some(Job::Run(job)) = next {
            job(worker);
            next = self.idle(worker);
        }
    }

    /// Waits in the list of idle workers; `None` when there is nothing more to do.
    fn idle(&self, worker: &Arc<Worker>) -> Option<Job> {
        {
            let mut idle = lock(&self.idle);
            if idle.closed {
                return None;
            }
            idle.workers.push(Arc::clone(worker));
        }
        worker.wait(Some(KEEP)).or_else(|| {
            let withdrawn = withdraw(&mut lock(&self.idle).workers, worker);
            // Somebody took us out of the list just now: a job is on its way.
            if withdrawn { None } else { worker.wait(None) }
        })
    }
}

/// Takes `worker` out of a list; false if somebody else did.
pub(crate) fn withdraw(list: &mut Vec<Arc<Worker>>, worker: &Arc<Worker>) -> bool {
    let place = list.iter().position(|other| Arc::ptr_eq(other, worker));
    place.map(|place| list.remove(place)).is_some()
}

/// Locks a mutex whose data is whole even if a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
