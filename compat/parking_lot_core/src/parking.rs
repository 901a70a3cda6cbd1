//! `park`, and the calls that end it.
//!
//! *No thread is missed:* `validate` is called under the lock of the key's bucket, and a thread
//! that passes is in the queue before that is released; whoever unparks takes the lock, too, so it
//! finds the thread, or `validate` sees what it did before.
//!
//! *None is woken twice:* a thread is woken by who has removed it, under the lock; one whose time
//! has passed removes itself, unless somebody did, and then it waits for that one.

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::bucket::{self, PARKED, Removed, Thread, WOKEN};

/// How a [`park`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkResult {
    /// By an unpark, with its token.
    Unparked(UnparkToken),
    /// `validate` returned false.
    Invalid,
    /// The time has passed.
    TimedOut,
}

impl ParkResult {
    /// Whether somebody has unparked the thread.
    #[inline]
    pub fn is_unparked(self) -> bool {
        matches!(self, ParkResult::Unparked(_))
    }
}

/// What an unpark did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnparkResult {
    /// So many threads were unparked.
    pub unparked_threads: usize,
    /// So many wait for the other key now.
    pub requeued_threads: usize,
    /// Others still wait for the key.
    pub have_more_threads: bool,
    /// It is time for whoever unlocks to hand over to who is woken: every half millisecond on
    /// average. Only if one is.
    pub be_fair: bool,
}

/// What [`unpark_requeue`] is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequeueOp {
    /// Nothing.
    Abort,
    /// Unpark one, and have the rest wait for the other key.
    UnparkOneRequeueRest,
    /// Have all wait for the other key.
    RequeueAll,
    /// Unpark one.
    UnparkOne,
    /// Have one wait for the other key.
    RequeueOne,
}

/// What [`unpark_filter`] is to do with a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOp {
    /// Unpark it.
    Unpark,
    /// Leave it, and go on.
    Skip,
    /// Leave it and those after it.
    Stop,
}

/// What a thread that parks says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkToken(pub usize);

/// What a thread is told by who unparks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnparkToken(pub usize);

/// For who has nothing to say.
pub const DEFAULT_PARK_TOKEN: ParkToken = ParkToken(0);

/// For who has nothing to say.
pub const DEFAULT_UNPARK_TOKEN: UnparkToken = UnparkToken(0);

/// Waits for `key`, in a queue, until it is unparked or the time has passed.
///
/// `validate` is called under the lock of the queue; false ends it. `before_sleep` is called
/// after that. `timed_out` is called, under the lock, when the time has passed, with the key that
/// the thread waited for by then and whether it was the last one there.
///
/// # Safety
///
/// The key is an address that the caller controls. `validate` and `timed_out` do not panic, nor
/// call functions of this crate; `before_sleep` neither parks nor panics.
#[inline]
pub unsafe fn park(
    key: usize,
    validate: impl FnOnce() -> bool,
    before_sleep: impl FnOnce(),
    timed_out: impl FnOnce(usize, bool),
    park_token: ParkToken,
    timeout: Option<Instant>,
) -> ParkResult {
    let thread = Thread::new(key, park_token);
    {
        let queue = bucket::lock(key);
        if !validate() {
            return ParkResult::Invalid;
        }
        // SAFETY: new, and this does not return before it is removed.
        unsafe { queue.push(&raw const thread, key) };
    }
    before_sleep();
    if !sleep(&thread, timeout) {
        let queue = bucket::lock_of(&thread);
        if thread.is_queued() {
            queue.remove(&thread);
            let key = thread.key();
            timed_out(key, queue.is_empty(key));
            return ParkResult::TimedOut;
        }
        drop(queue);
        // Somebody has removed it, and wakes it in a moment.
        sleep(&thread, None);
    }
    ParkResult::Unparked(thread.unpark_token.get())
}

/// Sleeps until it is woken; false if the time has passed.
fn sleep(thread: &Thread, timeout: Option<Instant>) -> bool {
    // Ordering: Acquire; pairs with the release in `Removed::wake`.
    while thread.word.load(Ordering::Acquire) != WOKEN {
        let left = match timeout.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => return false,
            left => left,
        };
        wasm_futex::wait32(&thread.word, PARKED, left);
    }
    true
}

/// Unparks one thread that waits for `key`, the first that came. `callback` is called under the
/// lock of the queue with what this returns, also if there is none; the thread gets its token.
///
/// # Safety
///
/// The key is an address that the caller controls. `callback` does not panic, nor call functions
/// of this crate.
#[inline]
pub unsafe fn unpark_one(
    key: usize,
    callback: impl FnOnce(UnparkResult) -> UnparkToken,
) -> UnparkResult {
    let mut first = true;
    let one = |_| match std::mem::take(&mut first) {
        true => FilterOp::Unpark,
        false => FilterOp::Stop,
    };
    // SAFETY: the caller's promise.
    unsafe { unpark_filter(key, one, callback) }
}

/// Unparks all threads that wait for `key`. Returns how many.
///
/// # Safety
///
/// The key is an address that the caller controls.
#[inline]
pub unsafe fn unpark_all(key: usize, unpark_token: UnparkToken) -> usize {
    let mut removed = Removed::none();
    let queue = bucket::lock(key);
    queue
        .threads(key)
        .for_each(|thread| removed.take(&queue, thread));
    drop(queue);
    let count = removed.count;
    removed.wake(unpark_token);
    count
}

/// Unparks those who wait for `key` that `filter` chooses, in the order in which they came.
/// `callback` is called under the lock of the queue with what this returns; its token is what all
/// of them get.
///
/// # Safety
///
/// The key is an address that the caller controls. `filter` and `callback` do not panic, nor call
/// functions of this crate.
#[inline]
pub unsafe fn unpark_filter(
    key: usize,
    mut filter: impl FnMut(ParkToken) -> FilterOp,
    callback: impl FnOnce(UnparkResult) -> UnparkToken,
) -> UnparkResult {
    let mut removed = Removed::none();
    let mut result = UnparkResult::default();
    let queue = bucket::lock(key);
    for thread in queue.threads(key) {
        match filter(thread.park_token) {
            FilterOp::Unpark => removed.take(&queue, thread),
            FilterOp::Skip => result.have_more_threads = true,
            FilterOp::Stop => {
                result.have_more_threads = true;
                break;
            }
        }
    }
    result.unparked_threads = removed.count;
    result.be_fair = removed.count > 0 && queue.is_fair();
    let token = callback(result);
    drop(queue);
    removed.wake(token);
    result
}

/// Has threads that wait for `key_from` wait for `key_to`, at the end of its queue, and unparks one
/// of them, as `validate` says, which is called under the locks of both queues. So is `callback`,
/// with what this returns, unless it was [`Abort`](RequeueOp::Abort); the thread gets its token.
///
/// # Safety
///
/// The keys are addresses that the caller controls. `validate` and `callback` do not panic, nor
/// call functions of this crate.
#[inline]
pub unsafe fn unpark_requeue(
    key_from: usize,
    key_to: usize,
    validate: impl FnOnce() -> RequeueOp,
    callback: impl FnOnce(RequeueOp, UnparkResult) -> UnparkToken,
) -> UnparkResult {
    let mut removed = Removed::none();
    let mut result = UnparkResult::default();
    let (from, to) = bucket::lock_both(key_from, key_to);
    let op = validate();
    if op == RequeueOp::Abort {
        return result;
    }
    let (unparks, requeues) = match op {
        RequeueOp::Abort => (0, 0),
        RequeueOp::UnparkOneRequeueRest => (1, usize::MAX),
        RequeueOp::RequeueAll => (0, usize::MAX),
        RequeueOp::UnparkOne => (1, 0),
        RequeueOp::RequeueOne => (0, 1),
    };
    let mut moved = Removed::none();
    for thread in from.threads(key_from) {
        if removed.count < unparks {
            removed.take(&from, thread);
        } else if moved.count < requeues {
            moved.take(&from, thread);
        } else {
            result.have_more_threads = true;
            break;
        }
    }
    result.requeued_threads = moved.count;
    moved.queue_again(to.as_ref().unwrap_or(&from), key_to);
    result.unparked_threads = removed.count;
    result.be_fair = removed.count > 0 && from.is_fair();
    let token = callback(op, result);
    drop((from, to));
    removed.wake(token);
    result
}
