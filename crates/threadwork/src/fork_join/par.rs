//! [`par`]: loops that are divided over the threads of a pool.
//!
//! A loop is divided into a *share* for each member of the group, as long as the steal queue
//! has room. When nothing is in the steal queue, a share is divided once more, for whoever
//! comes late. When a part was stolen, somebody has time: then the thief divides what it has
//! got, and the owner what it has left, into shares again (*lazy binary splitting*). So a
//! loop that nobody helps with is hardly more than a loop: it has as many divisions as
//! threads. And one whose items take unequally long is divided where it is slow. A share is
//! run in a few blocks, between which its thread looks whether something was stolen; there
//! is nothing to tune.
//!
//! Source: Tzannes, Caragea, Barua, Vishkin 2010, "Lazy binary-splitting".

use std::iter::{self, Sum};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::parts::{Chunks, Enumerate, IntoParts, Map, Parts, Windows, Zip};
use super::places::{Filled, Places};
use super::stack;
use crate::join;

/// A share is run in so many blocks: so large a part of it may be done before its thread sees
/// that somebody has time.
const BLOCKS: usize = 3;

/// A loop over the items of `source`, to be run by the threads of the pool: see [`Par`].
///
/// Nothing happens, and nothing blocks or panics, before one of its methods runs it. On a host
/// without threads they run on the calling thread, as a loop.
///
/// # Source
///
/// Lazy binary splitting (Tzannes, Caragea, Barua, Vishkin 2010): a loop is divided into a part
/// for each thread, and again only when somebody has time.
///
/// # Example
///
/// ```
/// use threadwork::par;
///
/// let mut numbers: Vec<u64> = par(0..1_000_u32).map_collect(|i| u64::from(i) * 3);
/// par(&mut numbers).for_each(|number| *number += 1);
/// let sum = par(&numbers).map_reduce(|number| *number, || 0, |a, b| a + b);
/// assert_eq!(sum, 3 * (999 * 1_000 / 2) + 1_000);
/// ```
pub fn par<S: IntoParts>(source: S) -> Par<S::Parts> {
    Par {
        parts: source.into_parts(),
        least: 1,
    }
}

/// A parallel loop that has not begun. [`par`] makes one of:
///
/// | source | items |
/// |---|---|
/// | `&[T]`, `&Vec<T>`, `&[T; N]` | `&T` |
/// | the same with `&mut` | `&mut T` |
/// | `Vec<T>` | `T` |
/// | `Range` and `RangeInclusive` of `usize`, `u32`, `u64`, `isize`, `i32`, `i64` | the numbers |
/// | a [`Parts`] of your own | its items |
///
/// Every method that runs it does so on the calling thread, and on those of its pool that
/// have nothing else to do; it blocks until all items are done. As with
/// [`join`](crate::join), that is the pool whose worker the caller is, or the
/// [global](crate::global) one. The division depends on who has time, so only the order
/// in which items are *combined* is certain.
///
/// # When to take rayon instead
///
/// This is what loops over memory and numbers need. Long chains of adapters, `filter` and
/// `flat_map` within them, and parallel iterators over maps, sets and strings are rayon's: its
/// pool works in guests as well. Here, collect references first:
///
/// ```
/// use std::collections::HashMap;
/// use threadwork::par;
///
/// let ages = HashMap::from([("Ada", 36), ("Grace", 85)]);
/// let entries: Vec<_> = ages.iter().collect();
/// let sum: i32 = par(&entries).map(|(_, age)| **age).sum();
/// assert_eq!(sum, 121);
/// ```
///
/// # Panics
///
/// If the given function does for some item: with the first panic that is found. Other items
/// may have been done, or not.
#[derive(Clone, Copy, Debug)]
#[must_use = "a parallel loop does nothing until it is run"]
pub struct Par<P> {
    parts: P,
    least: usize,
}

impl<P: Parts> Par<P> {
    /// Never divides what has fewer than twice so many items.
    ///
    /// For loops so short, in all less than a few microseconds, that a division, some twenty
    /// nanoseconds, counts. 0 counts as 1, the default.
    #[doc(alias = "with_min_len")]
    pub fn min_len(self, items: usize) -> Self {
        Par {
            least: items.max(1),
            ..self
        }
    }

    /// The items with their numbers, from 0.
    ///
    /// ```
    /// let mut squares = [0; 5];
    /// threadwork::par(&mut squares).enumerate().for_each(|(i, square)| *square = i * i);
    /// assert_eq!(squares, [0, 1, 4, 9, 16]);
    /// ```
    pub fn enumerate(self) -> Par<Enumerate<P>> {
        Par {
            parts: Enumerate::new(self.parts),
            least: self.least,
        }
    }

    /// The items in pairs with those of `other`, as many as both have.
    ///
    /// ```
    /// use threadwork::par;
    ///
    /// let (a, b) = ([1, 2, 3], [4, 5, 6]);
    /// let product = par(&a).zip(&b).map_reduce(|(a, b)| a * b, || 0, |a, b| a + b);
    /// assert_eq!(product, 32);
    /// ```
    pub fn zip<S: IntoParts>(self, other: S) -> Par<Zip<P, S::Parts>> {
        Par {
            parts: Zip::new(self.parts, other.into_parts()),
            least: self.least,
        }
    }

    /// What `map` makes of each item, as the items of another loop.
    ///
    /// ```
    /// let squares: u64 = threadwork::par(1..=100_u64).map(|n| n * n).sum();
    /// assert_eq!(squares, 338_350);
    /// ```
    pub fn map<R, F>(self, map: F) -> Par<Map<P, F>>
    where
        F: Fn(P::Item) -> R + Send + Sync,
    {
        Par {
            parts: Map::new(self.parts, map),
            least: self.least,
        }
    }

    /// Runs `body` for each item.
    pub fn for_each<F>(self, body: F)
    where
        F: Fn(P::Item) + Sync,
    {
        self.run(
            &|| (),
            &|(), part| part.items().for_each(&body),
            &|(), ()| (),
        );
    }

    /// Maps each item, and combines the results.
    ///
    /// `reduce` must be associative, and `identity()` change nothing that it is
    /// combined with; the order of the items is kept. Floating-point sums are not
    /// associative: they may differ in their last digits from run to run.
    ///
    /// ```
    /// let words = ["fork", "and", "join"];
    /// let longest = threadwork::par(&words).map_reduce(|word| word.len(), || 0, usize::max);
    /// assert_eq!(longest, 4);
    /// ```
    pub fn map_reduce<R, M, I, F>(self, map: M, identity: I, reduce: F) -> R
    where
        R: Send,
        M: Fn(P::Item) -> R + Sync,
        I: Fn() -> R + Sync,
        F: Fn(R, R) -> R + Sync,
    {
        self.run(
            &identity,
            &|sum, part| part.items().map(&map).fold(sum, &reduce),
            &reduce,
        )
    }

    /// Maps each item, and collects the results in the order of the items.
    ///
    /// # Panics
    ///
    /// If a [`Parts`] does not have as many items as it says.
    ///
    /// ```
    /// let lengths = threadwork::par(&["a", "bc"]).map_collect(|word| word.len());
    /// assert_eq!(lengths, [1, 2]);
    /// ```
    pub fn map_collect<R, M>(self, map: M) -> Vec<R>
    where
        R: Send,
        M: Fn(P::Item) -> R + Sync,
    {
        let size = self.parts.size();
        let mut results = Vec::with_capacity(size);
        // SAFETY: nothing else is done with the vector until the loop, and what it leaves, is over.
        let places = unsafe { Places::of(&mut results, size) };
        let filled = self.zip(places).run(
            &|| Filled::default(),
            &|mut filled, part| {
                let (parts, places) = part.into_pair();
                filled.fill(places, parts.items().map(&map));
                filled
            },
            &Filled::followed_by,
        );
        let count = filled.count;
        assert_eq!(
            count, size,
            "a `Parts` must have as many items as its size says"
        );
        mem::forget(filled);
        // SAFETY: so many were written, from the first place on without a gap.
        unsafe { results.set_len(size) };
        results
    }

    /// Collects the items in their order.
    ///
    /// # Panics
    ///
    /// If a [`Parts`] does not have as many items as it says.
    ///
    /// ```
    /// let lengths = threadwork::par(vec!["a", "bc"]).map(str::len).collect();
    /// assert_eq!(lengths, [1, 2]);
    /// ```
    pub fn collect(self) -> Vec<P::Item>
    where
        P::Item: Send,
    {
        self.map_collect(|item| item)
    }

    /// Collects those items for which `keep` is true, in their order.
    ///
    /// ```
    /// let odd = threadwork::par(0..10_u32).filter_collect(|n| n % 2 == 1);
    /// assert_eq!(odd, [1, 3, 5, 7, 9]);
    /// ```
    pub fn filter_collect<F>(self, keep: F) -> Vec<P::Item>
    where
        P::Item: Send,
        F: Fn(&P::Item) -> bool + Sync,
    {
        self.run(
            &Vec::new,
            &|mut kept, part| {
                kept.extend(part.items().filter(&keep));
                kept
            },
            &|mut left: Vec<_>, mut right| {
                left.append(&mut right);
                left
            },
        )
    }

    /// The sum of the items. That of floating-point numbers may differ in its last digits from
    /// run to run.
    ///
    /// ```
    /// let sum: u32 = threadwork::par(&[1, 2, 3]).sum();
    /// assert_eq!(sum, 6);
    /// ```
    pub fn sum<S>(self) -> S
    where
        S: Sum<P::Item> + Sum<S> + Send,
    {
        let add = |a: S, b: S| -> S { [a, b].into_iter().sum() };
        self.run(
            &|| None,
            &|sum, part| {
                let more: S = part.items().sum();
                Some(match sum {
                    Some(sum) => add(sum, more),
                    None => more,
                })
            },
            &|a: Option<S>, b| match (a, b) {
                (Some(a), Some(b)) => Some(add(a, b)),
                (a, b) => a.or(b),
            },
        )
        .unwrap_or_else(|| iter::empty::<S>().sum())
    }

    /// Whether `test` is true of some item. When it was, each thread ends with the item that it
    /// is at.
    ///
    /// ```
    /// assert!(threadwork::par(0..1_000_u32).any(|n| n == 700));
    /// ```
    pub fn any<F>(self, test: F) -> bool
    where
        F: Fn(P::Item) -> bool + Sync,
    {
        let found = |item| if test(item) { Err(()) } else { Ok(()) };
        self.try_for_each(found).is_err()
    }

    /// Whether `test` is true of all items. When it was not, each thread ends with the item that
    /// it is at.
    ///
    /// ```
    /// assert!(threadwork::par(&[2, 4, 6]).all(|n| n % 2 == 0));
    /// ```
    pub fn all<F>(self, test: F) -> bool
    where
        F: Fn(P::Item) -> bool + Sync,
    {
        !self.any(|item| !test(item))
    }

    /// Runs `body` for each item, until it fails for one. Then each thread ends with the item
    /// that it is at, and of the errors that there are by then the first is returned, in the
    /// order of the items.
    ///
    /// So a loop can be ended from outside, too: see [`CancelToken`](crate::CancelToken).
    ///
    /// # Errors
    ///
    /// What `body` returns.
    ///
    /// ```
    /// let texts = ["1", "2", "x"];
    /// let error = threadwork::par(&texts).try_for_each(|text| text.parse().map(|_: u32| ()));
    /// assert!(error.is_err());
    /// ```
    pub fn try_for_each<E, F>(self, body: F) -> Result<(), E>
    where
        E: Send,
        F: Fn(P::Item) -> Result<(), E> + Sync,
    {
        let over = AtomicBool::new(false);
        // Ordering: Relaxed here and below; it carries nothing.
        let is_over = || over.load(Ordering::Relaxed);
        self.run_until(
            &is_over,
            &|| Ok(()),
            &|result, part| {
                for item in part.items() {
                    if is_over() {
                        break;
                    }
                    if let Err(error) = body(item) {
                        over.store(true, Ordering::Relaxed);
                        return result.and(Err(error));
                    }
                }
                result
            },
            &Result::and,
        )
    }

    /// Finds an item for which `wanted` is true, not necessarily the first one. When one was
    /// found, each thread ends with the item that it is at.
    ///
    /// ```
    /// let even = threadwork::par(1..100_u32).find_any(|n| n % 2 == 0);
    /// assert!(even.is_some_and(|n| n % 2 == 0));
    /// ```
    pub fn find_any<F>(self, wanted: F) -> Option<P::Item>
    where
        P::Item: Send,
        F: Fn(&P::Item) -> bool + Sync,
    {
        let over = AtomicBool::new(false);
        // Ordering: Relaxed here and below; it carries nothing.
        let is_over = || over.load(Ordering::Relaxed);
        self.run_until(
            &is_over,
            &|| None,
            &|found, part| {
                let mut items = part.items().take_while(|_| !is_over());
                let new = items.find(&wanted);
                if new.is_some() {
                    over.store(true, Ordering::Relaxed);
                }
                found.or(new)
            },
            &Option::or,
        )
    }

    /// Folds each part with `fold`, beginning with `identity`, and combines what comes out.
    fn run<R: Send>(
        self,
        identity: &(impl Fn() -> R + Sync),
        fold: &(impl Fn(R, P) -> R + Sync),
        combine: &(impl Fn(R, R) -> R + Sync),
    ) -> R {
        self.run_until(&|| false, identity, fold, combine)
    }

    /// The same, until `is_over`: from then on no part is begun.
    fn run_until<R: Send>(
        self,
        is_over: &(impl Fn() -> bool + Sync),
        identity: &(impl Fn() -> R + Sync),
        fold: &(impl Fn(R, P) -> R + Sync),
        combine: &(impl Fn(R, R) -> R + Sync),
    ) -> R {
        let stack = stack::current();
        let _member = stack.ensure_member();
        let work = Work {
            least: self.least,
            is_over,
            identity,
            fold,
            combine,
        };
        let share = share_of(self.parts.size(), stack.members());
        divide(self.parts, share, &work)
    }
}

/// What is done with the parts of a loop.
struct Work<'a, O, I, F, C> {
    least: usize,
    is_over: &'a O,
    identity: &'a I,
    fold: &'a F,
    combine: &'a C,
}

/// So many items have a thread each, if there are any: also threads that are about to come.
const FEW: usize = 8;

fn share_of(size: usize, members: usize) -> usize {
    if size <= FEW { 1 } else { size / members }
}

/// See the head of this file.
fn divide<P, R, O, I, F, C>(mut parts: P, share: usize, work: &Work<'_, O, I, F, C>) -> R
where
    P: Parts,
    R: Send,
    O: Fn() -> bool + Sync,
    I: Fn() -> R + Sync,
    F: Fn(R, P) -> R + Sync,
    C: Fn(R, R) -> R + Sync,
{
    let stack = stack::current();
    let thefts = stack.thefts();
    let block = (share / BLOCKS).max(work.least);
    let mut result = (work.identity)();
    loop {
        // There may be very many blocks: a range may be longer than its size can say.
        if (work.is_over)() {
            return result;
        }
        let (size, members) = (parts.size(), stack.members());
        let stolen = thefts != stack.thefts();
        let share = if stolen {
            share_of(size, members)
        } else {
            share
        };
        let wanted = if size > share {
            stack.has_room()
        } else {
            size > share / 2 && members > 1 && stack.offers_nothing()
        };
        if wanted && size / 2 >= work.least {
            let owner = ptr::from_ref(stack).addr();
            let (left, right) = parts.divide(size / 2);
            let (left, right) = join(
                || divide(left, share, work),
                || {
                    let stolen = ptr::from_ref(stack::current()).addr() != owner;
                    let share = if stolen {
                        right.size() / members
                    } else {
                        share
                    };
                    divide(right, share, work)
                },
            );
            return (work.combine)(result, (work.combine)(left, right));
        }
        if block >= size {
            return (work.fold)(result, parts);
        }
        let (first, rest) = parts.divide(block);
        result = (work.fold)(result, first);
        parts = rest;
    }
}

impl<'a, T: Sync> Par<&'a [T]> {
    /// The slice in pieces of so many items; the last one may be shorter. 0 counts as 1.
    ///
    /// ```
    /// let sums = threadwork::par(&[1, 2, 3, 4, 5]).chunks(2).map_collect(|c| c.iter().sum::<i32>());
    /// assert_eq!(sums, [3, 7, 5]);
    /// ```
    pub fn chunks(self, length: usize) -> Par<Chunks<&'a [T]>> {
        Par {
            parts: Chunks::new(self.parts, length),
            least: self.least,
        }
    }

    /// All runs of so many neighbours in the slice; 0 counts as 1. There are none if the slice
    /// is shorter.
    ///
    /// ```
    /// let rising = threadwork::par(&[1, 3, 2, 4]).windows(2).map(|pair| pair[0] < pair[1]);
    /// assert_eq!(rising.collect(), [true, false, true]);
    /// ```
    pub fn windows(self, length: usize) -> Par<Windows<'a, T>> {
        Par {
            parts: Windows::new(self.parts, length),
            least: self.least,
        }
    }
}

impl<'a, T: Send> Par<&'a mut [T]> {
    /// The slice in pieces of so many items; the last one may be shorter. 0 counts as 1.
    ///
    /// ```
    /// let mut rows = [0; 6];
    /// threadwork::par(&mut rows).chunks(3).enumerate().for_each(|(i, row)| row.fill(i));
    /// assert_eq!(rows, [0, 0, 0, 1, 1, 1]);
    /// ```
    pub fn chunks(self, length: usize) -> Par<Chunks<&'a mut [T]>> {
        Par {
            parts: Chunks::new(self.parts, length),
            least: self.least,
        }
    }

    pub(super) fn into_slice(self) -> &'a mut [T] {
        self.parts
    }
}
