//! [`ParkingLot`]: the queues, the waits, the notifies and the census.
//!
//! # Invariants
//!
//! 1. A waiter's comparison and its entry into the queue happen under its
//!    bucket's lock, and a notifier looks into the queue under the same lock.
//! 2. `Bucket::waiters` counts a waiter before it compares. Waiter and notifier have
//!    a fence each, the one between its count and its comparison, the other between
//!    what it did before and its look at the count. So either the notifier sees the
//!    waiter and takes the lock, or the waiter's comparison sees what the notifier
//!    did: a notifier that finds nobody may leave, and no wake-up is lost. It leaves
//!    without having written anything, so that threads which hand a lock to and fro
//!    by "nobody waits" do not hand a line of ours to and fro as well.
//! 3. The census counts an untimed waiter as asleep after it is [`ASLEEP`], and
//!    whoever removes such a waiter from its queue takes it back, maybe even
//!    before. So for a moment the count can be wrong in both directions, and its
//!    equality with the living is only a hint, which [`ParkingLot::all_asleep`]
//!    verifies under every lock. But if all threads are asleep for good, then every
//!    update has been made, and whoever made the last one saw the equality: all
//!    updates are read-modify-writes, so the last sees all others, and with them
//!    the announcements that they followed.
//! 4. One thread at most asks the host for relief, and it counts as awake: whoever finds
//!    that all sleep counts itself as awake while it still has every lock. A waiter stays in
//!    its queue, [`WAITING`] again, and is not counted as asleep any more; a thread that was
//!    about to leave lives on. So a notify that comes meanwhile finds the waiter, and nobody
//!    else can find that all sleep before the host has answered. Who falls asleep again, or
//!    leaves after all, finds out again whether it is the last.

use crate::Cores;
use crate::primitive::{AtomicBool, AtomicU32, Mutex, MutexGuard, fence};
use crate::queue::{ASLEEP, CANCELLED, Queue, WAITING, WOKEN, WOKEN_TOGETHER, Waiter};
use crate::wake_slot::{Sleepers, WakeSlots};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Looks at the word between two looks at the clock.
const LOOKS: u32 = 8;

/// Pauses between two looks at the word, at most: who looks all the time slows down
/// whoever works with what is on the same cache line.
const LONGEST_PAUSE: u32 = 32;

/// Pauses between two glances of a thread that seems to contend for a lock, and glances.
const GLANCE: u32 = 8;
const GLANCES: u32 = 20;

/// Glances that have to show one value, new and the same, to tell a word that was handed
/// over from one that others change all the time.
const STEADY: u32 = 3;

/// Pauses in which a thread stays away from a word that others change all the time: some
/// microseconds, in which whoever holds the lock gets hundreds of things done. Without them
/// two threads that want one lock all the time hand it to and fro, and the line it is on
/// with it, which takes up to twice the time in all.
const REST: u32 = 300;

/// Waits without glances after glances that led to nothing.
const WAITS_SKIPPED: u32 = 16;

#[cfg(not(loom))]
const BUCKETS: usize = 64;
#[cfg(loom)]
const BUCKETS: usize = 1;

/// The outcome of [`ParkingLot::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitResult {
    /// A notify took this waiter.
    Woken,
    /// The word did not hold the expected value.
    NotEqual,
    /// The deadline passed.
    TimedOut,
    /// The lot was closed, or this thread's wait was cancelled.
    Cancelled,
    /// Every living thread, this one included, slept without a timeout: nobody was
    /// left to notify anybody, and the host found nobody either. This thread has left
    /// the queue; the others sleep on.
    Deadlock,
}

/// What [`ParkingLot::wait_observed`] tells while a wait goes on; `()` does not listen.
///
/// It is told without a lock, by the thread that waits.
pub trait Observer {
    /// Spinning has not helped: the thread is in the queue, and about to sleep. Told again if
    /// it has been woken to ask the host for relief.
    fn sleeps(&mut self) {}

    /// The thread slept, and was woken by the notify that left this mark
    /// ([`ParkingLot::notify_as`]).
    fn woken(&mut self, mark: u64) {
        let _ = mark;
    }
}

impl Observer for () {}

/// How many threads live, and how many of them sleep without a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Threads that entered and have not left.
    pub living: u32,
    /// Those of them that only a notify can wake.
    pub asleep: u32,
}

/// Where the threads of one process sleep.
pub struct ParkingLot {
    buckets: Box<[Bucket]>,
    cores: Arc<Cores>,
    living: AtomicU32,
    /// Sleepers without a timeout; see invariant 3.
    asleep: AtomicU32,
    closed: AtomicBool,
}

/// On lines of its own, so that two words of the guest that are waited for at
/// once do not slow each other down.
#[repr(align(128))]
struct Bucket {
    /// Waiters in the queue or on their way in; see invariant 2.
    waiters: AtomicU32,
    queue: Mutex<Queue>,
    slots: WakeSlots,
}

// By these a thread tells that it contends for a lock (see `contend`).
thread_local! {
    /// The address that it notified last.
    static NOTIFIED: Cell<usize> = const { Cell::new(0) };
    /// Waits to begin without a glance.
    static SKIP: Cell<u32> = const { Cell::new(0) };
}

impl Bucket {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that runs under the lock can panic, so it cannot be poisoned;
        // and the queue would be whole if it were.
        self.queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ParkingLot {
    /// An open lot without threads, on these cores.
    #[must_use]
    pub fn new(cores: Arc<Cores>) -> Self {
        let bucket = |_| Bucket {
            waiters: AtomicU32::new(0),
            queue: Mutex::new(Queue::new()),
            slots: WakeSlots::new(),
        };
        Self {
            buckets: (0..BUCKETS).map(bucket).collect(),
            cores,
            living: AtomicU32::new(0),
            asleep: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Counts a thread as living. The thread that starts another calls this for
    /// it, so that the new one lives before its parent can fall asleep.
    pub fn enter(&self) {
        // Ordering: Relaxed; the caller is awake, and its own falling asleep or
        // leaving, which somebody may compare with, publishes this.
        self.living.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`enter`](Self::enter).
    ///
    /// If threads remain and all of them sleep without a timeout, `is_relieved` is asked
    /// as [`wait`](Self::wait) does, while the caller still lives. If the answer is true it
    /// leaves once more, and asks again if they still do; if it is false, it is a deadlock,
    /// and the others sleep on.
    ///
    /// # Panics
    ///
    /// If `is_relieved` does; the caller lives on then.
    pub fn leave(&self, mut is_relieved: impl FnMut() -> bool) {
        while self.is_missed() {
            if !is_relieved() {
                // Ordering: Relaxed; the others sleep for ever.
                self.living.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Counts a thread as one that lives no more. If threads remain and all of them sleep
    /// without a timeout, it is true and the thread still lives (invariant 4).
    fn is_missed(&self) -> bool {
        // Ordering: Relaxed; published by the next line.
        let living = self.living.fetch_sub(1, Ordering::Relaxed) - 1;
        // Ordering: AcqRel, and a read-modify-write: either it comes after that of
        // the last thread that falls asleep, and sees it, or that one comes after
        // this and sees that we have left.
        let asleep = self.asleep.fetch_add(0, Ordering::AcqRel);
        let live_on = || {
            // Ordering: Relaxed; under the locks under which others verify the count.
            self.living.fetch_add(1, Ordering::Relaxed);
            true
        };
        living > 0 && asleep == living && self.all_asleep(live_on)
    }

    /// The census, for reports.
    #[must_use]
    pub fn census(&self) -> Census {
        // Ordering: Relaxed; a snapshot for humans.
        Census {
            living: self.living.load(Ordering::Relaxed),
            asleep: self.asleep.load(Ordering::Relaxed),
        }
    }

    /// Sleeps until a notify of `address`, unless the word there has another value than
    /// the one expected.
    ///
    /// `thread` is the caller's name in [`cancel`](Self::cancel). The caller must be
    /// counted in this lot's census and in its cores. `load` must be an atomic
    /// load of the word (sequentially consistent), without side effects: it is called
    /// often, and under a lock.
    ///
    /// `is_relieved` is asked when every living thread sleeps without a timeout, and this
    /// one is the last to have fallen asleep: the host may then find, or start, somebody
    /// who will notify. It is called without a lock, and may use the lot. Meanwhile the
    /// caller counts as awake, but a notify finds it in its queue, and the wait ends as
    /// [`WaitResult::Woken`] if one does. Otherwise, if the answer is true, it sleeps on,
    /// and asks again if it is again the last; if it is false, the wait ends as
    /// [`WaitResult::Deadlock`]. A host that [closes](Self::close) the lot before it says
    /// so is not asked again.
    ///
    /// Blocks until notified, cancelled or timed out.
    ///
    /// # Panics
    ///
    /// If `load` or `is_relieved` does; the wait is over then.
    pub fn wait(
        &self,
        thread: u32,
        address: usize,
        deadline: Option<Instant>,
        expected: u64,
        load: impl Fn() -> u64,
        is_relieved: impl FnMut() -> bool,
    ) -> WaitResult {
        self.wait_observed(
            thread,
            address,
            deadline,
            expected,
            load,
            is_relieved,
            &mut (),
        )
    }

    /// As [`wait`](Self::wait), and tells the observer whether the thread sleeps, and who
    /// wakes it.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait); the observer must not.
    #[expect(clippy::too_many_arguments, reason = "those of `wait`, and one more")]
    pub fn wait_observed(
        &self,
        thread: u32,
        address: usize,
        deadline: Option<Instant>,
        expected: u64,
        load: impl Fn() -> u64,
        is_relieved: impl FnMut() -> bool,
        observer: &mut impl Observer,
    ) -> WaitResult {
        let holds = || load() == expected;
        if !holds() {
            return WaitResult::NotEqual;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return self.result_of_no_wait();
        }
        if self.spin(address, deadline, expected, &load) {
            return WaitResult::NotEqual;
        }
        let bucket = self.bucket(address);
        // Ordering: Relaxed; the fence orders it before the comparison below, against
        // the fence in `notify` (invariant 2).
        bucket.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut queue = bucket.lock();
        // Ordering: Relaxed; `close` sets it before it takes this lock, so the lock
        // orders us: either we see it, or `close` finds us in the queue.
        if self.closed.load(Ordering::Relaxed) || !holds() {
            drop(queue);
            // Ordering: Relaxed; leaving needs no order, a notifier that still
            // counts us merely takes the lock for nothing.
            bucket.waiters.fetch_sub(1, Ordering::Relaxed);
            // It changes quickly: a glance is worth its while again.
            SKIP.set(0);
            return self.result_of_no_queue(holds);
        }
        let mut waiter = Waiter::new(address, thread, deadline.is_none(), bucket.slots.take());
        let waiter = &raw mut waiter;
        // SAFETY: the waiter stays in place until this function returns, or unwinds
        // (`ask`), and it does so only after the waiter has left the queue.
        unsafe { queue.push(waiter) };
        drop(queue);
        // SAFETY: as above.
        let result = unsafe { self.sleep(bucket, waiter, deadline, is_relieved, observer) };
        // SAFETY: it is out of the queue, so it is ours alone.
        bucket.slots.free(unsafe { &(*waiter).slot });
        result
    }

    /// Wakes the `count` longest waiting threads of `address`, and returns how
    /// many there were. Never blocks for longer than a short critical section.
    pub fn notify(&self, address: usize, count: u32) -> u32 {
        self.notify_as(address, count, || 0)
    }

    /// As [`notify`](Self::notify), and leaves the threads that sleep a mark, which `mark`
    /// makes if there may be somebody to wake.
    ///
    /// # Panics
    ///
    /// If `mark` does; nobody is woken then.
    pub fn notify_as(&self, address: usize, count: u32, mark: impl FnOnce() -> u64) -> u32 {
        NOTIFIED.set(address);
        let bucket = self.bucket(address);
        // Ordering: the fence orders what the caller did before the look at the count,
        // against the fence in `wait` (invariant 2).
        fence(Ordering::SeqCst);
        if bucket.waiters.load(Ordering::Relaxed) == 0 || count == 0 {
            return 0;
        }
        self.release(bucket, WOKEN, mark(), |queue, take| {
            for waiter in queue.of(address).take(count as usize) {
                take(queue, waiter);
            }
        })
    }

    /// Ends the waits of the threads that `chosen` picks by their names, with
    /// [`WaitResult::Cancelled`]; returns how many there were.
    pub fn cancel(&self, chosen: impl Fn(u32) -> bool) -> u32 {
        self.buckets
            .iter()
            .map(|bucket| {
                self.release(bucket, CANCELLED, 0, |queue, take| {
                    queue.each(&mut |queue, waiter| {
                        // SAFETY: members of the queue are valid while its lock is held.
                        if chosen(unsafe { &*waiter }.thread) {
                            take(queue, waiter);
                        }
                    });
                })
            })
            .sum()
    }

    /// Ends all waits, present and future, with [`WaitResult::Cancelled`].
    pub fn close(&self) {
        // Ordering: Relaxed; the bucket locks that follow order it (see `wait`).
        self.closed.store(true, Ordering::Relaxed);
        self.cancel(|_| true);
    }

    /// Takes the members of the bucket out that `choose` gives to its second argument, with
    /// `verdict` as their new state. Wakes the sleepers, who find `mark`, after the lock is
    /// free.
    fn release(
        &self,
        bucket: &Bucket,
        verdict: u32,
        mark: u64,
        choose: impl FnOnce(&mut Queue, &mut dyn FnMut(&mut Queue, *mut Waiter)),
    ) -> u32 {
        let mut released = 0;
        // Until it is known whether there are others.
        let mut last = None;
        let mut sleepers = Sleepers::default();
        let mut queue = bucket.lock();
        choose(&mut queue, &mut |queue, waiter| {
            // SAFETY: the waiter is in this queue.
            unsafe { queue.remove(waiter) };
            released += 1;
            if let Some(before) = last.replace(waiter) {
                let verdict = together(verdict);
                // SAFETY: valid until its state says that it is out of the queue,
                // which this call does last.
                unsafe { self.settle(before, verdict, mark, &mut sleepers) };
            }
        });
        if let Some(last) = last {
            let verdict = match released {
                1 => verdict,
                _ => together(verdict),
            };
            // SAFETY: as above.
            unsafe { self.settle(last, verdict, mark, &mut sleepers) };
        }
        // Ordering: Relaxed, as where `wait` takes itself back.
        bucket.waiters.fetch_sub(released, Ordering::Relaxed);
        drop(queue);
        bucket.slots.wake(sleepers);
        released
    }

    /// Gives a waiter that just left the queue its verdict, and adds it to `sleepers`
    /// if it has to be woken.
    ///
    /// # Safety
    ///
    /// `waiter` must be valid, out of the queue, and without a verdict; it is not
    /// valid any more afterwards.
    unsafe fn settle(&self, waiter: *mut Waiter, verdict: u32, mark: u64, sleepers: &mut Sleepers) {
        // SAFETY: the caller's promise.
        let state = unsafe { &(*waiter).state };
        // Ordering: Release; pairs with the acquire load in `sleep`: what the
        // notifier did before is visible to the thread that it wakes.
        if state
            .compare_exchange(WAITING, verdict, Ordering::Release, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
        // It is ASLEEP, and only we, who took it out of the queue, may change that.
        // SAFETY: valid until the store below, and shared until then.
        let sleeper = unsafe { &*waiter };
        sleepers.add(&sleeper.slot);
        sleeper.wake_up.leave();
        // Ordering: Relaxed; the verdict below publishes it.
        sleeper.mark.store(mark, Ordering::Relaxed);
        if sleeper.untimed {
            // Ordering: AcqRel, as all updates of the count (invariant 3).
            self.asleep.fetch_sub(1, Ordering::AcqRel);
        }
        // On its behalf: of many that are woken together most have to wait for a core, and
        // nobody should spin on one meanwhile. A single one gets a core soon, most often
        // that of its waker, which is about to wait for it.
        if verdict != WOKEN {
            self.cores.acquire();
        }
        // Ordering: Release, as above.
        state.store(verdict, Ordering::Release);
    }

    /// Watches the word until it changes; false when it is time to queue.
    #[cfg(not(loom))]
    fn spin(
        &self,
        address: usize,
        deadline: Option<Instant>,
        expected: u64,
        load: impl Fn() -> u64,
    ) -> bool {
        if !self.cores.are_several() {
            return false;
        }
        if contend(address, expected, &load) {
            self.cores.record(true);
            return true;
        }
        // Ordering: Relaxed; a hint. Where others sleep already, who comes last should not
        // go first; and it is likely that all are to be woken together, by system calls.
        let is_first = self.bucket(address).waiters.load(Ordering::Relaxed) == 0;
        if !is_first || !self.cores.may_spin() {
            return false;
        }
        let Some(budget) = self.cores.budget() else {
            return false;
        };
        let end = Instant::now() + budget;
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        let mut pauses = 1;
        let changed = loop {
            if (0..LOOKS).any(|_| {
                pause(pauses);
                pauses = (pauses * 2).min(LONGEST_PAUSE);
                load() != expected
            }) {
                break true;
            }
            // Ordering: Relaxed; a late look costs one more round.
            let closed = self.closed.load(Ordering::Relaxed);
            if closed || !self.cores.may_spin() || Instant::now() >= end {
                break false;
            }
        };
        self.cores.record(changed);
        changed
    }

    /// Spinning is a delay, which a model without time does not have.
    #[cfg(loom)]
    fn spin(&self, _: usize, _: Option<Instant>, _: u64, _: impl Fn() -> u64) -> bool {
        false
    }

    /// What a wait without a sleep returns when the word held.
    fn result_of_no_wait(&self) -> WaitResult {
        // Ordering: Relaxed; a wait that does not sleep may miss a close.
        match self.closed.load(Ordering::Relaxed) {
            true => WaitResult::Cancelled,
            false => WaitResult::TimedOut,
        }
    }

    /// What a wait that was not allowed into the queue returns.
    fn result_of_no_queue(&self, holds: impl Fn() -> bool) -> WaitResult {
        // Ordering: Relaxed; it was read under the lock, and never goes back.
        match self.closed.load(Ordering::Relaxed) && holds() {
            true => WaitResult::Cancelled,
            false => WaitResult::NotEqual,
        }
    }

    /// Sleeps until somebody takes `waiter` out of the queue, or the deadline, or nobody
    /// is left who could, and the host knows nobody either.
    ///
    /// # Safety
    ///
    /// `waiter` must be the caller's own, and have been pushed to `bucket`'s queue.
    unsafe fn sleep(
        &self,
        bucket: &Bucket,
        waiter: *mut Waiter,
        deadline: Option<Instant>,
        mut is_relieved: impl FnMut() -> bool,
        observer: &mut impl Observer,
    ) -> WaitResult {
        // SAFETY: it is on our caller's stack; other threads touch the state only
        // through shared references, too.
        let state = unsafe { &(*waiter).state };
        loop {
            // Ordering: Release, so that whoever counts us as asleep finds us announced;
            // Acquire on failure, as in `verdict`.
            let announced =
                state.compare_exchange(WAITING, ASLEEP, Ordering::Release, Ordering::Acquire);
            if announced.is_err() {
                return verdict(state);
            }
            observer.sleeps();
            self.cores.release();
            // SAFETY: the caller's promise.
            if let Some(result) = unsafe { self.sleep_announced(bucket, waiter, deadline) } {
                // SAFETY: the caller's promise, and there is a result.
                unsafe { self.resume(waiter, result, observer) };
                return result;
            }
            self.cores.acquire();
            // SAFETY: the caller's promise; nobody but `withdraw`, which has not been called,
            // takes it out of the queue without a verdict.
            if !unsafe { self.ask(bucket, waiter, &mut is_relieved) } {
                // SAFETY: as above; and it is not counted as asleep.
                return unsafe { self.withdraw(bucket, waiter, WaitResult::Deadlock) };
            }
        }
    }

    /// Counts the calling thread as runnable, unless its waker has, and tells it how its
    /// waker stood to it.
    ///
    /// # Safety
    ///
    /// `waiter` must be the caller's own, and have left its queue with this result.
    unsafe fn resume(&self, waiter: *mut Waiter, result: WaitResult, observer: &mut impl Observer) {
        if result == WaitResult::TimedOut {
            return self.cores.acquire();
        }
        // SAFETY: out of the queue, so it is ours alone.
        let waiter = unsafe { &*waiter };
        // Ordering: Relaxed; it has been acquired, and stays as it is.
        if waiter.state.load(Ordering::Relaxed) == WOKEN {
            self.cores.acquire();
        }
        waiter.wake_up.take_up(&self.cores);
        if result == WaitResult::Woken {
            // Ordering: Relaxed; the verdict, which was read with Acquire, has published it.
            observer.woken(waiter.mark.load(Ordering::Relaxed));
        }
    }

    /// Asks the host whether it has found somebody who may notify. The waiter is in its
    /// queue meanwhile (invariant 4).
    ///
    /// # Safety
    ///
    /// As for `sleep`; and it must be in the queue, or have a verdict.
    unsafe fn ask(
        &self,
        bucket: &Bucket,
        waiter: *mut Waiter,
        is_relieved: &mut impl FnMut() -> bool,
    ) -> bool {
        /// The waiter must not stay in the queue when its stack is unwound.
        struct OnPanic<'a>(&'a ParkingLot, &'a Bucket, *mut Waiter);
        impl Drop for OnPanic<'_> {
            fn drop(&mut self) {
                let Self(lot, bucket, waiter) = *self;
                // SAFETY: the promise of `ask`'s caller.
                unsafe { lot.withdraw(bucket, waiter, WaitResult::Deadlock) };
                // SAFETY: it is out of the queue, so it is ours alone.
                bucket.slots.free(unsafe { &(*waiter).slot });
            }
        }
        let on_panic = OnPanic(self, bucket, waiter);
        let relieved = is_relieved();
        std::mem::forget(on_panic);
        relieved
    }

    /// The sleep itself, after the announcement. `None` if everybody sleeps for ever: then
    /// the calling thread counts as awake again (invariant 4).
    ///
    /// # Safety
    ///
    /// As for `sleep`.
    unsafe fn sleep_announced(
        &self,
        bucket: &Bucket,
        waiter: *mut Waiter,
        deadline: Option<Instant>,
    ) -> Option<WaitResult> {
        // SAFETY: as in `sleep`.
        let state = unsafe { &(*waiter).state };
        // SAFETY: as above.
        let slot = unsafe { &(*waiter).slot };
        if deadline.is_none() && self.count_asleep() && self.all_asleep(|| self.count_awake(state))
        {
            return None;
        }
        loop {
            let generation = bucket.slots.generation();
            // Ordering: Acquire; pairs with the release in `settle`.
            if state.load(Ordering::Acquire) != ASLEEP {
                return Some(verdict(state));
            }
            bucket.slots.sleep(slot, generation, deadline);
            // A model has no clock: there a sleep that could end so does.
            if deadline.is_some_and(|deadline| cfg!(loom) || Instant::now() >= deadline) {
                // SAFETY: the caller's promise.
                return Some(unsafe { self.withdraw(bucket, waiter, WaitResult::TimedOut) });
            }
        }
    }

    /// Counts the calling thread as asleep; true if all may be.
    fn count_asleep(&self) -> bool {
        // Ordering: AcqRel (invariant 3).
        let asleep = self.asleep.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        // Ordering: Relaxed; whoever entered or left before an update of the count
        // that we have just seen is visible.
        asleep == self.living.load(Ordering::Relaxed)
    }

    /// Leaves the queue with this result, unless somebody was faster. The waiter must not
    /// be counted as asleep.
    ///
    /// # Safety
    ///
    /// As for `ask`.
    unsafe fn withdraw(
        &self,
        bucket: &Bucket,
        waiter: *mut Waiter,
        result: WaitResult,
    ) -> WaitResult {
        // SAFETY: as in `sleep`.
        let state = unsafe { &(*waiter).state };
        let mut queue = bucket.lock();
        // Ordering: Acquire; pairs with the release in `settle`.
        if !matches!(state.load(Ordering::Acquire), WAITING | ASLEEP) {
            return verdict(state);
        }
        // SAFETY: without a verdict it is still in the queue.
        unsafe { queue.remove(waiter) };
        drop(queue);
        // Ordering: Relaxed, as in `wait`.
        bucket.waiters.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Whether every living thread sleeps without a timeout, looked at under all locks. If
    /// so, and as long as they are held, the caller is to `count_awake`, which is false if
    /// it is awake already (invariant 4).
    fn all_asleep(&self, count_awake: impl FnOnce() -> bool) -> bool {
        let mut queues: Vec<_> = self.buckets.iter().map(Bucket::lock).collect();
        let mut sleepers = 0;
        for queue in &mut queues {
            queue.each(&mut |_, waiter| {
                // SAFETY: members of a queue are valid while its lock is held.
                let waiter = unsafe { &*waiter };
                // Ordering: Acquire; pairs with the announcement in `sleep`.
                let sleeps = waiter.untimed && waiter.state.load(Ordering::Acquire) == ASLEEP;
                sleepers += usize::from(sleeps);
            });
        }
        // Ordering: Relaxed, as in `count_asleep`.
        let living = self.living.load(Ordering::Relaxed);
        living > 0 && sleepers == living as usize && count_awake()
    }

    /// Counts the calling thread, whose waiter has this state, as awake again. False if it
    /// is, because its waiter has been taken out of the queue. Under the bucket's lock.
    fn count_awake(&self, state: &AtomicU32) -> bool {
        // Ordering: Relaxed; whoever else changes it does so under the lock.
        let awake = state.compare_exchange(ASLEEP, WAITING, Ordering::Relaxed, Ordering::Relaxed);
        if awake.is_ok() {
            // Ordering: AcqRel, as all updates of the count (invariant 3).
            self.asleep.fetch_sub(1, Ordering::AcqRel);
        }
        awake.is_ok()
    }

    fn bucket(&self, address: usize) -> &Bucket {
        // Fibonacci hashing: words next to each other go to different buckets.
        let hash = (address as u64 >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.buckets[(hash >> 32) as usize % BUCKETS]
    }
}

/// Watches the word until it has changed, and rests if it does so all the time, if the
/// calling thread seems to contend for a lock: it waits for the very word that it
/// notified last.
#[cfg(not(loom))]
fn contend(address: usize, expected: u64, load: impl Fn() -> u64) -> bool {
    if NOTIFIED.get() != address {
        return false;
    }
    if let Some(left) = SKIP.get().checked_sub(1) {
        SKIP.set(left);
        return false;
    }
    let changed = glance(expected, load);
    if !changed {
        SKIP.set(WAITS_SKIPPED);
    }
    changed
}

/// Whether the word has changed within some microseconds.
#[cfg(not(loom))]
fn glance(expected: u64, load: impl Fn() -> u64) -> bool {
    let (mut seen, mut steady) = (expected, 0);
    for _ in 0..GLANCES {
        pause(GLANCE);
        let now = load();
        if now == seen {
            steady += u32::from(now != expected);
        } else if seen == expected {
            seen = now;
        } else {
            pause(REST);
            return load() != expected;
        }
        if steady == STEADY {
            return true;
        }
    }
    seen != expected
}

#[cfg(not(loom))]
fn pause(times: u32) {
    (0..times).for_each(|_| std::hint::spin_loop());
}

/// The verdict of one of several.
fn together(verdict: u32) -> u32 {
    match verdict {
        WOKEN => WOKEN_TOGETHER,
        verdict => verdict,
    }
}

/// The verdict in the state of a waiter that has left the queue.
fn verdict(state: &AtomicU32) -> WaitResult {
    // Ordering: Acquire; pairs with the release in `settle`.
    match state.load(Ordering::Acquire) {
        WOKEN | WOKEN_TOGETHER => WaitResult::Woken,
        CANCELLED => WaitResult::Cancelled,
        state => unreachable!("waiter in state {state} has no verdict"),
    }
}

impl std::fmt::Debug for ParkingLot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParkingLot")
            .field("census", &self.census())
            .finish_non_exhaustive()
    }
}
