//! Fork-join: work that divides itself, and threads that take parts of it.
//!
//! [`join`] runs two closures, possibly at the same time; [`scope`] any number of them;
//! [`par`] goes over slices and ranges. All three make *jobs*, which the calling thread
//! does itself, newest first, unless somebody takes them, oldest first.
//!
//! # The idea
//!
//! A join costs a nanosecond or two as long as nobody takes anything, so that work can be
//! divided until its parts are small. Three things make that possible:
//!
//! 1. *Most jobs are private.* A join links its second half into a list of the thread with
//!    plain stores. Only the oldest few are *offered*: put in the thread's steal queue, where
//!    others take them with one compare-and-swap. The join looks at one word, the
//!    steal queue's, which changes when something was taken; then it offers the next. So the
//!    largest parts are on offer, and all costs of sharing are paid by them.
//! 2. *An offer wakes nobody*, as a rule. Somebody who has nothing to do has the watch
//!    over the sleepers, and wakes more when jobs have been waiting for as long as it
//!    takes to wake one. Small work is done before that.
//! 3. *Nothing is timed by whoever works.* Thieves are patient instead: a job must have
//!    been in the steal queue for a moment before it is stolen. What is too small to be worth a
//!    theft, or a wake-up, is gone by then.
//!
//! # The map
//!
//! | file | holds | what it proves |
//! |---|---|---|
//! | `job`, `spawned` | closures behind a thin pointer | each is run once |
//! | `latch` | so many jobs to be done, and who waits for them | no lost wake-up; nothing touched when it may be gone |
//! | `steal_queue` | the jobs that a member offers | a job is taken once, and it is the one that was looked at |
//! | `stack` | the jobs of a thread | what is in the lists is alive |
//! | `group` | members and their slots; stealing | |
//! | `descent` | what a waiting thread may steal | it descends from what is waited for |
//! | `watch` | who sleeps, and who watches meanwhile | no job and no task is overlooked for ever |
//! | `idle` | searching, sleeping, waiting | |
//! | `scope`, `par`, `parts`, `sort` | what is built on it | |
//! | `job_handle` | jobs of a scope with a result | nobody waits for itself |
//! | `owned` | a vector that is taken apart | each element is owned once |
//! | `places` | where a loop's results go | each result is owned once |
//!
//! No algorithm here has a fence: on WebAssembly one costs ten joins. There, each atomic
//! store does, too, and the fast path of a join has none.
//!
//! # What a thread does that waits
//!
//! Parts of what it waits for: see `descent`. What else it could do might need a lock that it
//! holds, or a cell that it fills. It means less to do for who waits, but not slower programs:
//! a thief has taken the largest part that was there, and whoever waits for it helps with that.
//!
//! # Panics
//!
//! A half that panics does so in whoever called `join`, when the other half is done or
//! was taken back without being run. What is dropped on the way may panic, too: see
//! `boundary.rs`. In WebAssembly, where a panic ends the program, there
//! is nothing to do.
//!
//! Sources: Frigo, Leiserson, Randall 1998 (work first); Dinan et al. 2009, van Dijk and
//! van de Pol 2014 (split deques); Acar, Charguéraud, Rainey 2013 (private deques);
//! Wagner and Calder 1993 (leapfrogging); Tzannes et al. 2010 (lazy splitting); rayon's
//! RFC 0005 (sleep).

use std::mem;
use std::panic;

#[cfg(all(feature = "bare", not(loom)))]
pub(crate) mod bare;
mod descent;
mod group;
mod idle;
mod job;
mod job_handle;
mod latch;
#[cfg(loom)]
pub mod model;
mod owned;
mod par;
mod parts;
mod places;
mod scope;
mod sort;
mod spawned;
mod stack;
mod steal_queue;
mod watch;

#[cfg(not(loom))]
pub(crate) use group::{Group, Member};
pub use job_handle::JobHandle;
pub use owned::Owned;
pub use par::{Par, par};
pub use parts::{Chunks, Enumerate, IntoParts, Map, Mapped, Parts, Windows, Zip};
pub use scope::{Scope, scope};

use crate::boundary;
use job::{Half, StackJob, Work};

/// Runs both closures, possibly at the same time, and returns both results.
///
/// The calling thread runs `a`. Meanwhile another thread of the pool may take `b`; if none
/// does, the calling thread runs it, too. A join that nobody takes part in costs a nanosecond
/// or two, and some four as WebAssembly; so there is no need to stop dividing early: a thousand
/// instructions are more than enough for a leaf.
///
/// Called on a worker of a [`ThreadPool`](crate::ThreadPool), it is that pool's threads that
/// may help. Called elsewhere, the thread joins the [global](crate::global) pool until
/// the call returns, which costs some ten nanoseconds once; if that has no more room for
/// it, both are run one after the other.
///
/// # Blocking
///
/// When `b` is still being run elsewhere, the thread helps with what `b` has forked or spawned,
/// and with nothing else, and sleeps when there is nothing of it. A thread that may not sleep (a
/// page's main thread) waits awake. The closures should not wait for each other.
///
/// So a lock may be held across a call of `join`, or a cell be filled by one, though other jobs
/// of the pool want the same, as long as the closures do not, nor what they spawn on a
/// [`scope`](crate::scope) around the call.
///
/// # Hosts
///
/// All that have threads. On a host without, or as WebAssembly without atomics, both are run one
/// after the other.
///
/// # Source
///
/// Work first (Frigo, Leiserson, Randall 1998) with split deques (van Dijk, van de Pol
/// 2014); that most jobs are private, and offers wake nobody, is told in `fork_join.rs`.
///
/// # Panics
///
/// If `a` does, or else if `b` does, with the same payload. If `a` panics, `b` is done or
/// was never begun.
///
/// # Example
///
/// ```
/// fn sum(numbers: &[u64]) -> u64 {
///     if numbers.len() <= 100 {
///         return numbers.iter().sum();
///     }
///     let (left, right) = numbers.split_at(numbers.len() / 2);
///     let (left, right) = threadwork::join(|| sum(left), || sum(right));
///     left + right
/// }
///
/// let numbers: Vec<u64> = (0..10_000).collect();
/// assert_eq!(sum(&numbers), 49_995_000);
/// ```
#[inline(always)]
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    fork(a, b, join_outside)
}

/// [`join`], with what a thread does that is no member of a group.
///
/// `outside` takes a pair, which is made where this is called: arguments of their own would be
/// put in memory by every join.
#[inline(always)]
pub(crate) fn fork<A, B, RA, RB>(a: A, b: B, outside: impl FnOnce((A, B)) -> (RA, RB)) -> (RA, RB)
where
    A: Work<RA>,
    B: Work<RB>,
{
    // Always inlined: a closure of more than two words would be copied twice on its way here,
    // which takes longer than all the rest.
    let stack = stack::current();
    let job = StackJob::new(b);
    // SAFETY: it stays here, and is unlinked below or by the guard: after all that `a`
    // links, since that is unlinked before `a` returns or unwinds.
    let Some(older) = (unsafe { stack.push(job.as_half()) }) else {
        // SAFETY: it was not linked: it is still this thread's.
        let b = unsafe { job.take_work() };
        return outside((a, b));
    };
    let linked = Linked { job: &job, older };
    let ra = a.run(false);
    mem::forget(linked);
    // SAFETY: it is still here.
    let mine = unsafe { stack.pop(job.as_half(), older) };
    let rb = if mine {
        // SAFETY: popped.
        let b = unsafe { job.take_work() };
        b.run(false)
    } else {
        wait_for(&job).unwrap_or_else(|payload| panic::resume_unwind(payload))
    };
    (ra, rb)
}

/// The join of a thread that is no member of a group.
#[cold]
#[inline(never)]
fn join_outside<A, B, RA, RB>((a, b): (A, B)) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    match stack::current().ensure_member() {
        Some(_member) => join(a, b),
        None => (a(), b()),
    }
}

/// What a thief got of a job that was stolen.
#[cold]
#[inline(never)]
fn wait_for<B: Work<RB>, RB>(job: &StackJob<B, RB>) -> Result<RB, job::Payload> {
    // SAFETY: what was stolen had been prepared.
    let shared = unsafe { job.shared() };
    let stack = stack::current();
    idle::wait(stack, &shared.latch, &shared.thief, stack.now());
    // SAFETY: the latch is open, and the job is over with this.
    unsafe { job.take_result() }
}

/// Unlinks the job of a join when its first half unwinds.
struct Linked<'a, B: Work<RB>, RB> {
    job: &'a StackJob<B, RB>,
    older: *const Half,
}

impl<B: Work<RB>, RB> Drop for Linked<'_, B, RB> {
    // Inlined, so that it exists in registers only.
    #[inline(always)]
    fn drop(&mut self) {
        unlink(self.job, self.older);
    }
}

#[cold]
#[inline(never)]
fn unlink<B: Work<RB>, RB>(job: &StackJob<B, RB>, older: *const Half) {
    // SAFETY: the join that unwinds has it.
    let mine = unsafe { stack::current().pop(job.as_half(), older) };
    if mine {
        // SAFETY: popped.
        let work = unsafe { job.take_work() };
        if B::IS_ALWAYS_RUN {
            boundary::call(|| work.run(false));
        } else {
            boundary::discard(work);
        }
    } else {
        boundary::discard(wait_for(job));
    }
}
