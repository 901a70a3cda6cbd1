//! One task: a closure, and what became of it, in one allocation.
//!
//! The queue and the worker know a task as a [`TaskRef`], whatever its type; who waits
//! for it has the other reference, an [`Outcome`], which knows the type of the result.
//!
//! # Protocol
//!
//! | bits of `state` | name | meaning |
//! |---|---|---|
//! | 0 | `CLAIMED` | somebody has got the closure: nobody else will |
//! | 1 | `DONE` | it is over: the result is there, or a bit says why there is none |
//! | 2 | `WAITED` | somebody may sleep until it is over |
//! | 3 | `POPPED` | the queue has let go of it |
//! | 4 | `CANCELLED` | over, and never ran |
//! | 5 | `REFUSED` | over, and was never queued |
//! | 6 | `DETACHED` | nobody waits for the result, nor will |
//! | 7 | `ADOPTED` | its parent knows it, and may outlive it |
//! | 8, 9 | class | the [`Priority`] that it is queued at, or was raised to |
//! | 10..32 | slot | one more than the slot of the worker that runs it; zero on a visit |
//!
//! A task is *queued* (none of the first two), *running* (`CLAIMED`), or *over* (both).
//! Four parties may take the closure: the worker that pops the task, a worker (of another pool,
//! perhaps) that waits for it and runs it itself, a worker that is sent ahead because the task was raised,
//! and whoever cancels it. Each does so by setting `CLAIMED` in a queued task, so exactly
//! one gets it. To cancel sets `CLAIMED`, `DONE` and `CANCELLED` in one step: a task
//! that was cancelled is over at once, and what is left of it in the queue is a stale entry.
//!
//! *Counted once.* A pool counts a task as finished when it is over and its entry is out
//! of the queue, whichever comes last: until then something of it is left to do.
//! `POPPED` and `DONE` are set in the same word, so one of the two sees the other.
//!
//! *The result* belongs to the outcome once `DONE` is set. It is dropped with the task, so
//! by the worker if nobody has the outcome any more. A parent that knows the task would
//! keep it, so the outcome of a task that was adopted sets `DETACHED` when it is dropped;
//! if that comes before `DONE`, whoever runs the task drops the result.
//!
//! # No wake-up is lost
//!
//! A waiter sleeps on a value with `WAITED` and without `DONE` only. The exchange that
//! sets `DONE` comes before the futex compares, and the waiter does not sleep, or after,
//! and it saw `WAITED` and notifies everybody.
//!
//! # Orderings
//!
//! Whoever sees `DONE` acquires it, and with it the result. To claim need not acquire:
//! who has a reference got it after the closure was written, through the queue or with
//! the handle. The class and the slot are in the same word so that a raise either finds
//! the slot of the worker that runs the task, or is found by it.

use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use threadwork_sync::{Futex as _, Patience, Priority, Resumed, Step, System, Waiter};

use super::name::{TaskId, TaskName};
use crate::boundary;
use crate::error::{TaskError, TaskPanic};
use crate::primitive::{AtomicPtr, AtomicU32, UnsafeCell};

const CLAIMED: u32 = 1;
const DONE: u32 = 1 << 1;
const WAITED: u32 = 1 << 2;
const POPPED: u32 = 1 << 3;
const CANCELLED: u32 = 1 << 4;
const REFUSED: u32 = 1 << 5;
const DETACHED: u32 = 1 << 6;
const ADOPTED: u32 = 1 << 7;
const CLASS_SHIFT: u32 = 8;
const CLASS: u32 = 3 << CLASS_SHIFT;
const SLOT_SHIFT: u32 = 10;

/// The place of a worker in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerSlot(u32);

impl WorkerSlot {
    /// The most slots that a pool may have: they are packed with other things.
    pub(crate) const MOST: usize = 0xffff;

    /// The slot with this index, which is below [`MOST`](Self::MOST).
    pub(crate) fn new(index: usize) -> Self {
        debug_assert!(index < Self::MOST);
        WorkerSlot(index as u32)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    fn of(state: u32) -> Option<Self> {
        (state >> SLOT_SHIFT).checked_sub(1).map(WorkerSlot)
    }

    fn bits(self) -> u32 {
        (self.0 + 1) << SLOT_SHIFT
    }
}

fn class_of(state: u32) -> Priority {
    match (state & CLASS) >> CLASS_SHIFT {
        0 => Priority::Low,
        1 => Priority::Normal,
        _ => Priority::High,
    }
}

fn class_bits(class: Priority) -> u32 {
    (class as u32) << CLASS_SHIFT
}

/// What everybody knows of a task, whatever its type.
#[repr(C)]
pub(crate) struct Header {
    /// The task behind it in the queue; the queue's.
    pub(super) next: AtomicPtr<Header>,
    /// The task that its parent spawned before it; the parent's.
    pub(super) sibling: AtomicPtr<Header>,
    state: AtomicU32,
    references: AtomicU32,
    operations: &'static Operations,
    label: Label,
}

/// What a task is called, and where it belongs.
pub(crate) struct Label {
    pub(crate) id: TaskId,
    /// The number of its pool.
    pub(crate) pool: u32,
    /// The class that was asked for.
    pub(crate) class: Priority,
    pub(crate) name: Option<TaskName>,
}

/// What depends on the types. Each is called with a task of its own types.
struct Operations {
    /// Runs the closure and says whether the entry is out of the queue.
    run: unsafe fn(NonNull<Header>) -> bool,
    /// Drops the closure.
    discard: unsafe fn(NonNull<Header>),
    /// Frees the allocation.
    free: unsafe fn(NonNull<Header>),
}

/// A header and the result. The prefix of a [`Task`] that does not depend on `F`.
#[repr(C)]
struct Base<T> {
    header: Header,
    result: UnsafeCell<Option<Result<T, Box<TaskPanic>>>>,
}

#[repr(C)]
struct Task<T, F> {
    base: Base<T>,
    closure: UnsafeCell<Option<F>>,
}

impl<T: Send + 'static, F: FnOnce() -> T + Send + 'static> Task<T, F> {
    const OPERATIONS: &'static Operations = &Operations {
        run: Self::run,
        discard: Self::discard,
        free: Self::free,
    };

    /// # Safety
    ///
    /// The task is of this type and claimed by the caller.
    unsafe fn run(task: NonNull<Header>) -> bool {
        // SAFETY: the caller has a reference to it, and it is of this type.
        let task = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: the claim makes this the only access to the closure.
        let closure = task
            .closure
            .with_mut(|closure| unsafe { (*closure).take() });
        let Some(closure) = closure else {
            unreachable!("a task was claimed twice");
        };
        let label = &task.base.header.label;
        let result = catch_unwind(AssertUnwindSafe(closure))
            .map_err(|payload| Box::new(TaskPanic::new(label.id, label.name.clone(), payload)));
        // SAFETY: nobody reads the result before `DONE` is set.
        task.base
            .result
            .with_mut(|place| unsafe { *place = Some(result) });
        let before = task.base.header.finish();
        if before & DETACHED != 0 {
            // SAFETY: it is this thread's, since there is no outcome.
            let result = task
                .base
                .result
                .with_mut(|place| unsafe { (*place).take() });
            boundary::discard(result);
        }
        before & POPPED != 0
    }

    /// # Safety
    ///
    /// The task is of this type and claimed by the caller.
    unsafe fn discard(task: NonNull<Header>) {
        // SAFETY: the caller has a reference to it, and it is of this type.
        let task = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: the claim makes this the only access to the closure.
        let closure = task
            .closure
            .with_mut(|closure| unsafe { (*closure).take() });
        drop(closure);
    }

    /// # Safety
    ///
    /// The task is of this type, and the caller had the last reference.
    unsafe fn free(task: NonNull<Header>) {
        // SAFETY: it was made by `Box::new` with this type, and nobody else has it.
        drop(unsafe { Box::from_raw(task.cast::<Self>().as_ptr()) });
    }
}

impl Header {
    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    /// The class that it is queued at, or was raised to since.
    pub(crate) fn class(&self) -> Priority {
        // Ordering: Relaxed; who must not miss a raise reads it under a lock that the
        // raise takes afterwards.
        class_of(self.state.load(Ordering::Relaxed))
    }

    /// Whether it is over. If so, its result is visible.
    pub(crate) fn is_done(&self) -> bool {
        // Ordering: Acquire; pairs with the release in `finish`.
        self.state.load(Ordering::Acquire) & DONE != 0
    }

    /// Whether it runs or is over.
    pub(crate) fn is_claimed(&self) -> bool {
        // Ordering: Relaxed; a hint, or checked by the exchange of a claim.
        self.state.load(Ordering::Relaxed) & CLAIMED != 0
    }

    /// Where it runs, if it does.
    pub(crate) fn slot(&self) -> Option<WorkerSlot> {
        // Ordering: Relaxed; a thread sees its own claims.
        WorkerSlot::of(self.state.load(Ordering::Relaxed))
    }

    /// Raises its class. Says where it stood when that was done.
    pub(crate) fn raise(&self, to: Priority) -> Raised {
        // Ordering: Relaxed; checked by the exchange.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & DONE != 0 || class_of(state) >= to {
                return Raised::NotNeeded;
            }
            let next = (state & !CLASS) | class_bits(to);
            // Ordering: AcqRel; pairs with the exchange of a claim, so that either the
            // slot is seen here, or the class there.
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if state & CLAIMED == 0 => return Raised::Queued,
                Ok(_) => return WorkerSlot::of(state).map_or(Raised::NotNeeded, Raised::Running),
                Err(now) => state = now,
            }
        }
    }

    /// The result is in its place. Returns the state before.
    fn finish(&self) -> u32 {
        // Ordering: Release; pairs with the acquires of `DONE`. Who drops the result itself
        // wrote it itself.
        let before = self.state.fetch_or(DONE, Ordering::Release);
        self.wake(before);
        before
    }

    /// Wakes those who waited in the state before it was over.
    fn wake(&self, before: u32) {
        if before & WAITED != 0 {
            System.notify(&raw const self.state, u32::MAX);
        }
    }
}

/// Where a task stood when it was raised.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Raised {
    /// It is over, or was as high before.
    NotNeeded,
    /// It is queued: somebody must take it sooner.
    Queued,
    /// It runs there, and what it depends on should be raised.
    Running(WorkerSlot),
}

/// A reference to a task of any type.
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: `Outcome::new` asks that closure and result may be sent; the claim gives the
// closure to one thread, `DONE` the result, and the rest are atomics and constants.
unsafe impl Send for TaskRef {}
// SAFETY: as above; through a shared reference only the atomic `state` is changed.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// A task to be queued, of which nobody else has a reference.
    pub(crate) fn detached<F: FnOnce() + Send + 'static>(label: Label, closure: F) -> Self {
        let state = class_bits(label.class) | DETACHED;
        TaskRef(Outcome::<()>::allocate(label, state, 1, closure))
    }

    /// Gives the reference to a list.
    pub(super) fn into_raw(self) -> NonNull<Header> {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }

    /// Takes a reference back from a list.
    ///
    /// # Safety
    ///
    /// It came from `into_raw`, and is taken back once.
    pub(super) unsafe fn from_raw(raw: NonNull<Header>) -> Self {
        TaskRef(raw)
    }

    /// Another reference to a task.
    ///
    /// # Safety
    ///
    /// Somebody has one meanwhile.
    #[cfg(not(loom))]
    pub(super) unsafe fn of(task: NonNull<Header>) -> Self {
        let borrowed = std::mem::ManuallyDrop::new(TaskRef(task));
        (*borrowed).clone()
    }

    /// A reference for the parent, before the task is published: nobody else knows it yet.
    pub(super) fn adopt(&self) -> Self {
        // Ordering: Relaxed; as it says.
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state | ADOPTED, Ordering::Relaxed);
        let references = self.references.load(Ordering::Relaxed);
        self.references.store(references + 1, Ordering::Relaxed);
        TaskRef(self.0)
    }

    /// The right to run it, if it is still queued.
    pub(crate) fn claim(&self, slot: WorkerSlot) -> Option<Claimed<'_>> {
        self.try_claim(CLAIMED | slot.bits())
            .ok()
            .map(|_| Claimed(self))
    }

    /// The same, for a worker of another pool, which has no slot in this one: nothing that it
    /// depends on is raised.
    #[cfg(not(loom))]
    pub(super) fn claim_for_visit(&self) -> Option<Claimed<'_>> {
        self.try_claim(CLAIMED).ok().map(|_| Claimed(self))
    }

    /// Cancels it, if it is still queued; returns whether it was.
    ///
    /// # Panics
    ///
    /// If dropping the closure does. The task is cancelled then, too.
    pub(crate) fn cancel(&self) -> bool {
        let Ok(before) = self.try_claim(CLAIMED | DONE | CANCELLED) else {
            return false;
        };
        self.wake(before);
        // SAFETY: just claimed, and `operations` are of its type.
        unsafe { (self.operations.discard)(self.0) };
        true
    }

    /// It is out of the queue: the right to run it, if nobody had that before; if somebody
    /// had, whether it is to be counted.
    pub(crate) fn popped(&self, slot: WorkerSlot) -> Result<Claimed<'_>, bool> {
        if self.try_claim(CLAIMED | POPPED | slot.bits()).is_ok() {
            Ok(Claimed(self))
        } else {
            Err(self.entry_popped())
        }
    }

    /// It is out of the queue, and was claimed before. Returns whether it is over, and so
    /// to be counted; if not, whoever runs it counts it.
    pub(crate) fn entry_popped(&self) -> bool {
        // Ordering: Acquire; what is over is counted for those who wait for all.
        self.state.fetch_or(POPPED, Ordering::Acquire) & DONE != 0
    }

    /// Sets `bits` if it is queued, and returns the state before.
    fn try_claim(&self, bits: u32) -> Result<u32, ()> {
        // Ordering: Relaxed; checked by the exchange.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & CLAIMED == 0 {
            // Ordering: AcqRel; pairs with the exchange in `raise`, and its release
            // with the acquires of `DONE`.
            match self.state.compare_exchange_weak(
                state,
                state | bits,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(state),
                Err(now) => state = now,
            }
        }
        Err(())
    }
}

impl Deref for TaskRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: a reference keeps the task.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        // Ordering: Relaxed; the new reference comes from one that there is. It cannot
        // wrap: nobody leaks these, and each is in a place of its own in memory.
        self.references.fetch_add(1, Ordering::Relaxed);
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // The last reference need not say so to others.
        // Ordering: Acquire; pairs with the release below.
        let last = self.references.load(Ordering::Acquire) == 1
            // Ordering: Release, so that what this thread did is before the end; Acquire,
            // so that what the others did is.
            || self.references.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            // SAFETY: nobody has another reference, and `operations` are of its type.
            unsafe { (self.operations.free)(self.0) };
        }
    }
}

/// The right to run a task.
#[must_use = "the task is neither run nor queued"]
pub(crate) struct Claimed<'a>(&'a TaskRef);

impl Claimed<'_> {
    /// Runs it. Returns whether it is out of the queue, and so to be counted; if not,
    /// whoever takes it out counts it. Never panics.
    pub(crate) fn run(self) -> bool {
        let task = self.0;
        // SAFETY: claimed, once, and `operations` are of its type.
        unsafe { (task.operations.run)(task.0) }
    }
}

/// The reference of those who wait for the result.
pub(crate) struct Outcome<T> {
    task: TaskRef,
    _result: PhantomData<fn() -> T>,
}

impl<T: Send + 'static> Outcome<T> {
    /// A task to be queued, and what will become of it.
    pub(crate) fn new<F>(label: Label, closure: F) -> (TaskRef, Self)
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let class = class_bits(label.class);
        let raw = Self::allocate(label, class, 2, closure);
        (TaskRef(raw), Outcome::of(TaskRef(raw)))
    }

    /// A task that the pool did not take. Drops the closure.
    pub(crate) fn refused<F>(label: Label, closure: F) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let outcome = Outcome::of(TaskRef(Self::allocate(
            label,
            CLAIMED | DONE | REFUSED,
            1,
            closure,
        )));
        let task = &outcome.task;
        // SAFETY: claimed from the beginning, and `operations` are of its type.
        unsafe { (task.operations.discard)(task.0) };
        outcome
    }

    fn allocate<F>(label: Label, state: u32, references: u32, closure: F) -> NonNull<Header>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let task = Box::new(Task {
            base: Base::<T> {
                header: Header {
                    next: AtomicPtr::new(ptr::null_mut()),
                    sibling: AtomicPtr::new(ptr::null_mut()),
                    state: AtomicU32::new(state),
                    references: AtomicU32::new(references),
                    operations: Task::<T, F>::OPERATIONS,
                    label,
                },
                result: UnsafeCell::new(None),
            },
            closure: UnsafeCell::new(Some(closure)),
        });
        NonNull::from(Box::leak(task)).cast()
    }

    fn of(task: TaskRef) -> Self {
        Outcome {
            task,
            _result: PhantomData,
        }
    }
}

impl<T> Outcome<T> {
    pub(crate) fn task(&self) -> &TaskRef {
        &self.task
    }

    /// What became of it, if it is over.
    pub(crate) fn take(&mut self) -> Option<Result<T, TaskError>> {
        // Ordering: Acquire; pairs with the release in `finish`.
        let state = self.task.state.load(Ordering::Acquire);
        if state & DONE == 0 {
            return None;
        }
        if state & CANCELLED != 0 {
            return Some(Err(TaskError::Cancelled));
        }
        if state & REFUSED != 0 {
            return Some(Err(TaskError::PoolGone));
        }
        // SAFETY: `DONE` is set.
        Some(match unsafe { self.result() } {
            Some(result) => result.map_err(TaskError::Panicked),
            None => Err(TaskError::Taken),
        })
    }

    /// # Safety
    ///
    /// `DONE` is set, and was before the outcome was detached.
    unsafe fn result(&mut self) -> Option<Result<T, Box<TaskPanic>>> {
        // SAFETY: a `Task<T, F>` begins with a `Base<T>`, and `new` was called with this
        // very `T`.
        let base = unsafe { self.task.0.cast::<Base<T>>().as_ref() };
        // SAFETY: only this one outcome looks at the result then.
        base.result.with_mut(|result| unsafe { (*result).take() })
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        // Ordering: Acquire, here and below; pairs with the release in `finish`.
        let mut state = self.task.state.load(Ordering::Acquire);
        if state & ADOPTED == 0 {
            return;
        }
        if state & DONE == 0 {
            state = self.task.state.fetch_or(DETACHED, Ordering::Acquire);
        }
        if state & DONE != 0 {
            // SAFETY: as it says.
            drop(unsafe { self.result() });
        }
    }
}

/// A wait until a task is over.
pub(crate) struct Finish<'a> {
    /// Not a reference: a future that has both this and the task may be dropped by a
    /// function that it is an argument of, and references in arguments must outlive the
    /// call.
    task: NonNull<Header>,
    /// The value that it has watched.
    watched: Option<u32>,
    _task: PhantomData<&'a Header>,
}

// SAFETY: it stands for a `&Header`, whose parts may be shared.
unsafe impl Send for Finish<'_> {}

impl<'a> Finish<'a> {
    pub(crate) fn of(task: &'a TaskRef) -> Self {
        // SAFETY: the task is borrowed for as long as that.
        unsafe { Self::unbound(task) }
    }

    /// # Safety
    ///
    /// The task is kept until what is returned is dropped.
    pub(crate) unsafe fn unbound(task: &TaskRef) -> Self {
        Finish {
            task: task.0,
            watched: None,
            _task: PhantomData,
        }
    }
}

impl<'a> Waiter<'a> for Finish<'a> {
    type Output = ();

    fn step(&mut self, resumed: Resumed) -> Step<'a, ()> {
        // SAFETY: the task is there for as long as this is, and the word is not used longer.
        let word = &unsafe { self.task.as_ref() }.state;
        // Ordering: Acquire here and below; pairs with the release in `finish`.
        let mut state = word.load(Ordering::Acquire);
        loop {
            if state & DONE != 0 {
                return Step::Done(());
            }
            // Its beginning ends a watch, but is no reason to sleep.
            if matches!(resumed, Resumed::Started | Resumed::Watched) && self.watched != Some(state)
            {
                self.watched = Some(state);
                return Step::Watch(word, state, Patience::Long);
            }
            if state & WAITED != 0 {
                return Step::Sleep(word, state);
            }
            // Ordering: Relaxed if it succeeds; it carries no data.
            match word.compare_exchange_weak(
                state,
                state | WAITED,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return Step::Sleep(word, state | WAITED),
                Err(now) => state = now,
            }
        }
    }

    fn cancel(&mut self, _woken: bool) -> Option<()> {
        None
    }
}
