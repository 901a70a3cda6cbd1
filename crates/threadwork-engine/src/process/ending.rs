//! [`Ending`]: how a process ends.
//!
//! A process *runs* until the first cause of its end is recorded; it is then *ending*. It
//! has *ended* when the last of its stores is gone; only then is there an exit status.
//!
//! # Invariants
//!
//! 1. The first cause wins, and it is recorded before anybody can observe that the
//!    process is ending.
//! 2. `stores` counts the workers that hold, or will hold, a store of the process. It
//!    reaches 0 exactly once, after the end was caused.

use crate::backtrace::Backtrace;
use crate::exit_status::{DeadlockReport, ExitStatus, LimitExceeded, Sleeper, Trap};
use crate::limits::Limit;
use crate::lock::lock;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// Threads whose backtraces the report of a deadlock has. Of the others it says where they
/// wait: a process may have thousands.
const MOST_BACKTRACES: usize = 256;

/// Why a process ends.
pub(crate) enum Cause {
    Exited(i32),
    /// With the limit that explains it, if one does.
    Trapped(Trap, Option<Limit>),
    Deadlock,
    Limit(Limit),
    /// With the reason, if there is one.
    Killed(Option<String>),
}

/// See the module's documentation.
pub(super) struct Ending {
    stores: AtomicU32,
    is_ending: AtomicBool,
    cause: Mutex<Option<Cause>>,
    /// Who slept where when all did.
    sleepers: Mutex<Vec<Sleeper>>,
    outcome: Mutex<Outcome>,
    ended: Condvar,
}

/// What a process has come to, and who wants to know.
#[derive(Default)]
struct Outcome {
    status: Option<ExitStatus>,
    /// Nobody once there is a status.
    watchers: HashMap<u64, Watcher>,
    next_watcher: u64,
}

/// Somebody who is told of the end.
enum Watcher {
    Call(OnExit),
    Wake(Waker),
}

/// What an embedder wants to be called at the end.
pub(crate) type OnExit = Box<dyn FnOnce(ExitStatus) + Send>;

impl Ending {
    /// Of a process that has one store: its main thread's.
    pub(super) fn new() -> Self {
        Self {
            stores: AtomicU32::new(1),
            is_ending: AtomicBool::new(false),
            cause: Mutex::new(None),
            sleepers: Mutex::default(),
            outcome: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        // Ordering: SeqCst; pairs with the store in `begin`: a thread that is woken
        // from a host call by what follows that store reads true.
        self.is_ending.load(Ordering::SeqCst)
    }

    /// True once it is ending; for a signal handler, which looks at nothing else.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.is_ending
    }

    /// Records the cause; false if there has been one.
    pub(super) fn begin(&self, cause: Cause) -> bool {
        let mut first = lock(&self.cause);
        // `conclude` takes the cause away, but the process stays ending.
        if first.is_some() || self.is_ending() {
            return false;
        }
        *first = Some(cause);
        // Ordering: SeqCst; see `is_ending`.
        self.is_ending.store(true, Ordering::SeqCst);
        true
    }

    /// Whether the cause is that all slept.
    pub(super) fn is_deadlock(&self) -> bool {
        matches!(*lock(&self.cause), Some(Cause::Deadlock))
    }

    /// Whether [`report`](Self::report) would show the frames of one more thread.
    pub(super) fn shows_frames(&self) -> bool {
        self.is_deadlock() && lock(&self.sleepers).len() < MOST_BACKTRACES
    }

    /// For the report of a deadlock.
    pub(super) fn report(&self, mut sleeper: Sleeper) {
        let mut sleepers = lock(&self.sleepers);
        if sleepers.len() >= MOST_BACKTRACES {
            sleeper.backtrace = Backtrace::default();
        }
        sleepers.push(sleeper);
    }

    // ---- Stores ----

    /// One more worker will hold a store. The caller keeps the process from ending
    /// meanwhile, by holding one itself.
    pub(super) fn acquire_store(&self) {
        // Ordering: Relaxed; the caller's own store keeps the count above 0.
        self.stores.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker holds its store no more; true if it was the last.
    pub(super) fn release_store(&self) -> bool {
        // Ordering: AcqRel; what each worker did comes before what follows the last.
        self.stores.fetch_sub(1, Ordering::AcqRel) == 1
    }

    // ---- The status ----

    /// The status that follows from the cause.
    pub(super) fn conclude(&self) -> ExitStatus {
        match lock(&self.cause).take() {
            Some(Cause::Exited(code)) => ExitStatus::Exited(code),
            Some(Cause::Killed(reason)) => ExitStatus::Killed { reason },
            Some(Cause::Trapped(trap, Some(limit))) => ExitStatus::LimitExceeded(LimitExceeded {
                limit,
                trap: Some(trap),
            }),
            Some(Cause::Trapped(trap, None)) => ExitStatus::Trapped(trap),
            Some(Cause::Limit(limit)) => {
                ExitStatus::LimitExceeded(LimitExceeded { limit, trap: None })
            }
            Some(Cause::Deadlock) => {
                let mut threads = std::mem::take(&mut *lock(&self.sleepers));
                threads.sort_by_key(|sleeper| sleeper.thread);
                ExitStatus::Deadlock(DeadlockReport { threads })
            }
            // Invariant 2: without a cause there is a store left.
            None => ExitStatus::Killed { reason: None },
        }
    }

    /// The process has ended.
    pub(super) fn publish(&self, status: ExitStatus) {
        let mut outcome = lock(&self.outcome);
        outcome.status = Some(status.clone());
        let watchers = std::mem::take(&mut outcome.watchers);
        drop(outcome);
        self.ended.notify_all();
        for watcher in watchers.into_values() {
            watcher.tell(&status);
        }
    }

    /// Calls `on_exit` when the process has ended; at once if it has.
    pub(super) fn on_exit(&self, on_exit: OnExit) {
        let mut outcome = lock(&self.outcome);
        match outcome.status.clone() {
            None => drop(outcome.watch(Watcher::Call(on_exit))),
            Some(status) => {
                drop(outcome);
                on_exit(status);
            }
        }
    }

    /// The status; `None` if the process has not ended: `waker` is woken then, unless it is
    /// forgotten by `key` before.
    pub(super) fn poll(&self, key: &mut Option<u64>, waker: &Waker) -> Option<ExitStatus> {
        let mut outcome = lock(&self.outcome);
        if outcome.status.is_none() {
            let watcher = Watcher::Wake(waker.clone());
            match *key {
                Some(key) => drop(outcome.watchers.insert(key, watcher)),
                None => *key = Some(outcome.watch(watcher)),
            }
        }
        outcome.status.clone()
    }

    /// Nobody asks for this one any more.
    pub(super) fn forget(&self, key: u64) {
        let forgotten = lock(&self.outcome).watchers.remove(&key);
        // The lock is free: a waker is code of somebody else's.
        drop(forgotten);
    }

    /// The status, as soon as the process has ended; `None` if `deadline` comes first.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<ExitStatus> {
        let mut outcome = lock(&self.outcome);
        while outcome.status.is_none() {
            outcome = match deadline {
                None => self
                    .ended
                    .wait(outcome)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let wait = self.ended.wait_timeout(outcome, left);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        outcome.status.clone()
    }
}

impl Outcome {
    fn watch(&mut self, watcher: Watcher) -> u64 {
        let key = self.next_watcher;
        self.next_watcher += 1;
        self.watchers.insert(key, watcher);
        key
    }
}

impl Watcher {
    fn tell(self, status: &ExitStatus) {
        // What a panic in it may have left half done is the embedder's.
        let _ = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Call(on_exit) => on_exit(status.clone()),
            Self::Wake(waker) => waker.wake(),
        }));
    }
}
