//! What can be run by another thread: a job behind a thin pointer.
//!
//! A [`StackJob`] is half of a join: it lives in the frame of the thread that called
//! `join`, which does not return before the job is done or taken back. Jobs that are
//! spawned are in [`spawned`](super::spawned).
//!
//! Invariant: each job is run once, by whoever took it off the one list or steal queue
//! that it was on; taking is exclusive (see [`steal_queue`](super::steal_queue)).

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use super::descent::Thief;
use super::latch::CountLatch;
use super::stack::{self, Stack};
use crate::primitive;

/// What a panic carries.
pub(super) type Payload = Box<dyn Any + Send>;

/// The head of every job. It is known by a pointer to all of it, of which this is the start.
#[repr(C)]
pub(super) struct Job {
    /// Runs it, given its own address.
    pub(super) run: unsafe fn(*const Job),
}

impl Job {
    /// Runs the job. It does not unwind.
    ///
    /// # Safety
    ///
    /// The job is alive, and the caller has taken it.
    pub(super) unsafe fn run(this: *const Job) {
        // SAFETY: alive.
        let run = unsafe { (*this).run };
        // SAFETY: alive and taken.
        unsafe { run(this) }
    }
}

/// The head of a [`StackJob`].
///
/// A join does not initialize what it does not need unless its job is offered: each
/// store counts there.
#[repr(C)]
pub(super) struct Half {
    /// Initialized when it is offered.
    job: UnsafeCell<MaybeUninit<Job>>,
    shared: UnsafeCell<MaybeUninit<Shared>>,
    /// What runs it, until it is offered. Owner only.
    private: Cell<Option<unsafe fn(*const Job)>>,
    /// The next newer job of the same owner, who alone uses this. Initialized while there
    /// is one.
    newer: Cell<MaybeUninit<*const Half>>,
}

/// What owner and thief have in common.
pub(super) struct Shared {
    pub(super) latch: CountLatch,
    pub(super) thief: [Thief; 1],
    /// Who offered it. An address, by which a thread knows that it is itself.
    owner: usize,
}

impl Half {
    #[inline]
    const fn new(private: Option<unsafe fn(*const Job)>) -> Self {
        Half {
            job: UnsafeCell::new(MaybeUninit::uninit()),
            shared: UnsafeCell::new(MaybeUninit::uninit()),
            private: Cell::new(private),
            newer: Cell::new(MaybeUninit::uninit()),
        }
    }

    /// The end of a list, which is never run, and as good as offered.
    pub(super) const fn end() -> Self {
        Half::new(None)
    }

    /// Whether it was never offered. For the owner.
    ///
    /// # Safety
    ///
    /// `this` is alive, and belongs to the calling thread.
    #[inline]
    pub(super) unsafe fn is_private(this: *const Half) -> bool {
        // SAFETY: alive.
        let cell = unsafe { &(*this).private };
        cell.get().is_some()
    }

    /// # Safety
    ///
    /// `this` is alive, and belongs to the calling thread.
    #[inline]
    pub(super) unsafe fn set_newer(this: *const Half, newer: *const Half) {
        // SAFETY: alive.
        let cell = unsafe { &(*this).newer };
        cell.set(MaybeUninit::new(newer));
    }

    /// # Safety
    ///
    /// `this` is alive, belongs to the calling thread, and the next newer one was set.
    pub(super) unsafe fn newer(this: *const Half) -> *const Half {
        // SAFETY: alive.
        let cell = unsafe { &(*this).newer };
        // SAFETY: set.
        unsafe { cell.get().assume_init() }
    }

    /// Makes it ready to be stolen from `owner`, the calling thread.
    ///
    /// # Safety
    ///
    /// `this` is alive, and nobody else knows it yet.
    pub(super) unsafe fn prepare(this: *const Half, owner: &Stack) -> *const Job {
        // SAFETY: alive.
        let half = unsafe { &*this };
        if let Some(run) = half.private.take() {
            // SAFETY: nobody else uses it.
            unsafe { &mut *half.job.get() }.write(Job { run });
            // SAFETY: nobody else uses it.
            unsafe { &mut *half.shared.get() }.write(Shared {
                latch: CountLatch::new(1),
                thief: [Thief::nobody()],
                owner: ptr::from_ref(owner).addr(),
            });
        }
        this.cast()
    }

    /// # Safety
    ///
    /// The job was prepared.
    pub(super) unsafe fn shared(&self) -> &Shared {
        // SAFETY: it is only shared since then.
        let shared = unsafe { &*self.shared.get() };
        // SAFETY: prepared.
        unsafe { shared.assume_init_ref() }
    }
}

/// What the second half of a join does, told whether another thread runs it.
pub(crate) trait Work<R> {
    /// Whether it is run even after the first half has panicked, when nobody has stolen it.
    const IS_ALWAYS_RUN: bool = false;

    fn run(self, stolen: bool) -> R;
}

impl<R, F: FnOnce() -> R> Work<R> for F {
    #[inline(always)]
    fn run(self, _: bool) -> R {
        self()
    }
}

/// The second half of a join.
#[repr(C)]
pub(super) struct StackJob<F, R> {
    half: Half,
    work: primitive::UnsafeCell<ManuallyDrop<F>>,
    result: primitive::UnsafeCell<MaybeUninit<Result<R, Payload>>>,
}

impl<F: Work<R>, R> StackJob<F, R> {
    #[inline]
    pub(super) fn new(work: F) -> Self {
        StackJob {
            half: Half::new(Some(Self::run_stolen)),
            work: primitive::UnsafeCell::new(ManuallyDrop::new(work)),
            result: primitive::UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline]
    pub(super) fn as_half(&self) -> *const Half {
        ptr::from_ref(self).cast()
    }

    /// # Safety
    ///
    /// The job was offered.
    pub(super) unsafe fn shared(&self) -> &Shared {
        // SAFETY: prepared for that.
        unsafe { self.half.shared() }
    }

    /// Takes the work out.
    ///
    /// # Safety
    ///
    /// The job was taken, by the caller, and this is called once.
    #[inline]
    pub(super) unsafe fn take_work(&self) -> F {
        self.work.with_mut(|work| {
            // SAFETY: nobody else uses the cell, since the caller has taken the job.
            let work = unsafe { &mut *work };
            // SAFETY: once.
            unsafe { ManuallyDrop::take(work) }
        })
    }

    /// What the thief got.
    ///
    /// # Safety
    ///
    /// The latch was seen open, and this is called once.
    pub(super) unsafe fn take_result(&self) -> Result<R, Payload> {
        self.result.with_mut(|result| {
            // SAFETY: the thief is done with the cell, and the latch made that visible.
            let result = unsafe { &*result };
            // SAFETY: the thief wrote it before it opened the latch.
            unsafe { result.assume_init_read() }
        })
    }

    /// # Safety
    ///
    /// `this` points to the head of a `StackJob<F, R>` that is alive, and the caller has
    /// taken it.
    unsafe fn run_stolen(this: *const Job) {
        let this = this.cast::<Self>();
        // SAFETY: alive until its latch opens.
        let job = unsafe { &*this };
        // SAFETY: it was offered, or could not have been stolen.
        let shared = unsafe { job.shared() };
        shared.thief[0].is_me();
        // SAFETY: taken by the caller, who runs it once.
        let work = unsafe { job.take_work() };
        // One that waits may have taken its own.
        let stolen = shared.owner != ptr::from_ref(stack::current()).addr();
        let result = panic::catch_unwind(AssertUnwindSafe(|| work.run(stolen)));
        job.result.with_mut(|cell| {
            // SAFETY: the owner does not look before the latch is open.
            let cell = unsafe { &mut *cell };
            cell.write(result);
        });
        let latch = &raw const shared.latch;
        // SAFETY: this is the one that the latch counts. `job` is not used any more.
        unsafe { CountLatch::done(latch) };
    }
}
