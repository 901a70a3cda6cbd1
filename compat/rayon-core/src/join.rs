//! Two closures, possibly at the same time.

use std::marker::PhantomData;

use threadwork::bare;

use crate::registry::Registry;

/// What a closure of [`join_context`] is told.
#[derive(Debug)]
pub struct FnContext {
    migrated: bool,
    /// It says something of one thread.
    _here: PhantomData<*mut ()>,
}

impl FnContext {
    #[inline(always)]
    fn new(migrated: bool) -> Self {
        FnContext {
            migrated,
            _here: PhantomData,
        }
    }

    /// Whether the closure runs on another thread than the one that called.
    #[inline]
    pub fn migrated(&self) -> bool {
        self.migrated
    }
}

/// Runs both closures, possibly at the same time, and returns both results.
///
/// The calling thread runs `oper_a`; another of its pool may take `oper_b` meanwhile. If none does,
/// the calling thread runs that, too. Called on a thread of no pool, both are run in the global one.
///
/// # Blocking
///
/// While another thread runs `oper_b`, the calling one does other work of the pool.
///
/// # Panics
///
/// If a closure does; with the payload of `oper_a` if both do. Both are over then: the other one is
/// run in any case.
///
/// # Example
///
/// ```
/// let (a, b) = rayon_core::join(|| 6, || 7);
/// assert_eq!(a * b, 42);
/// ```
#[inline(always)]
pub fn join<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    bare::join(|_| oper_a(), |_| oper_b(), join_outside)
}

/// [`join`], whose closures are told whether they run on another thread than the caller's.
///
/// # Panics
///
/// As [`join`].
///
/// # Example
///
/// ```
/// let pool = rayon_core::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
/// let migrated = pool.install(|| {
///     rayon_core::join_context(|a| a.migrated(), |b| b.migrated())
/// });
/// assert_eq!(migrated, (false, false), "there is no other");
/// ```
// Not inlined, so that rayon's iterators stay small; their loops are as fast on average if it is.
// What becomes of a single one is chance, with the original, too: see `docs/drop-in.md`.
#[inline(never)]
pub fn join_context<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce(FnContext) -> RA + Send,
    B: FnOnce(FnContext) -> RB + Send,
    RA: Send,
    RB: Send,
{
    bare::join(
        |migrated| oper_a(FnContext::new(migrated)),
        |migrated| oper_b(FnContext::new(migrated)),
        join_outside,
    )
}

/// The join of a thread of no pool: both run on another.
#[cold]
#[inline(never)]
fn join_outside<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce(bool) -> RA + Send,
    B: FnOnce(bool) -> RB + Send,
    RA: Send,
    RB: Send,
{
    Registry::global().run(|_, _| {
        bare::join(
            |_| a(true),
            |_| b(true),
            |_, _| unreachable!("a thread of a pool is a member"),
        )
    })
}
