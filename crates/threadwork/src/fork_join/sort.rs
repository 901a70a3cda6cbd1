//! Parallel sorting.
//!
//! Both sorts leave the small to std's: its sorts know about runs, patterns and branches. The
//! stable one sorts pieces, and merges them in parallel, to and fro between the
//! slice and a buffer; the unstable one is a quicksort that goes on in parallel with
//! both sides of each partition. On a thread that has nobody to help it they are std's.
//!
//! # Panics of the comparison
//!
//! The slice must hold each element once, whatever happens. The unstable sort only ever
//! swaps. The stable one keeps this: *between two steps the slice's piece holds a
//! permutation of its elements*, even while the buffer has newer copies of them. For a
//! merge reads one and writes the other: into the buffer, it leaves the slice as it was;
//! into the slice, all is in the buffer, and is copied back if it unwinds. Elements are
//! compared only where they are read, and a merge does not compare what it has copied: so
//! what a comparison changes inside of an element is in the copy that counts.

use std::cmp::Ordering;
use std::mem::MaybeUninit;
use std::ptr;

use super::par::Par;
use super::stack;
use crate::join;

/// Slices so short are not divided.
const SHORT: usize = if cfg!(miri) { 32 } else { 4096 };

/// Pieces that each member has to sort in the stable sort: more of them balance better, and
/// cost a merge each time they double.
const PIECES: usize = 4;

impl<T: Send> Par<&mut [T]> {
    /// Sorts the slice; equal elements keep their order. Takes memory for as many
    /// elements again.
    ///
    /// ```
    /// let mut words = vec!["join", "and", "fork"];
    /// threadwork::par(&mut words).sort();
    /// assert_eq!(words, ["and", "fork", "join"]);
    /// ```
    ///
    /// # Panics
    ///
    /// When the comparison does. The slice then has the same elements in some order.
    pub fn sort(self)
    where
        T: Ord,
    {
        merge_sort(self.into_slice(), &T::lt);
    }

    /// Sorts the slice by a comparison; equal elements keep their order. Takes memory for as
    /// many elements again.
    ///
    /// # Panics
    ///
    /// As [`sort`](Self::sort); it may if the comparison is no total order.
    pub fn sort_by<F>(self, compare: F)
    where
        F: Fn(&T, &T) -> Ordering + Sync,
    {
        merge_sort(self.into_slice(), &|a, b| compare(a, b) == Ordering::Less);
    }

    /// Sorts the slice by a key; elements with equal keys keep their order. Takes memory
    /// for as many elements again.
    ///
    /// ```
    /// let mut words = ["join", "and", "fork"];
    /// threadwork::par(&mut words).sort_by_key(|word| word.len());
    /// assert_eq!(words, ["and", "join", "fork"]);
    /// ```
    ///
    /// # Panics
    ///
    /// As [`sort`](Self::sort).
    pub fn sort_by_key<K, F>(self, key: F)
    where
        K: Ord,
        F: Fn(&T) -> K + Sync,
    {
        merge_sort(self.into_slice(), &|a, b| key(a).lt(&key(b)));
    }

    /// Sorts the slice in place; equal elements may change their order.
    ///
    /// ```
    /// let mut numbers = [5, -2, 3];
    /// threadwork::par(&mut numbers).sort_unstable();
    /// assert_eq!(numbers, [-2, 3, 5]);
    /// ```
    ///
    /// # Panics
    ///
    /// As [`sort`](Self::sort).
    pub fn sort_unstable(self)
    where
        T: Ord,
    {
        quick_sort(self.into_slice(), &T::lt);
    }

    /// Sorts the slice in place by a comparison; equal elements may change their order.
    ///
    /// # Panics
    ///
    /// As [`sort_by`](Self::sort_by).
    pub fn sort_unstable_by<F>(self, compare: F)
    where
        F: Fn(&T, &T) -> Ordering + Sync,
    {
        quick_sort(self.into_slice(), &|a, b| compare(a, b) == Ordering::Less);
    }

    /// Sorts the slice in place by a key; elements with equal keys may change their order.
    ///
    /// # Panics
    ///
    /// As [`sort`](Self::sort).
    pub fn sort_unstable_by_key<K, F>(self, key: F)
    where
        K: Ord,
        F: Fn(&T) -> K + Sync,
    {
        quick_sort(self.into_slice(), &|a, b| key(a).lt(&key(b)));
    }
}

/// How long a piece is that one thread sorts; `None` if that is all.
fn piece(elements: usize) -> Option<usize> {
    let members = stack::current().members();
    let piece = elements.div_ceil(members * PIECES).max(SHORT);
    (members > 1 && piece < elements).then_some(piece)
}

/// std's sorts, by "less" alone: all that they ask a comparison for.
fn order<T>(less: &impl Fn(&T, &T) -> bool) -> impl Fn(&T, &T) -> Ordering {
    |a, b| {
        if less(a, b) {
            Ordering::Less
        } else {
            Ordering::Equal
        }
    }
}

fn merge_sort<T: Send>(slice: &mut [T], less: &(impl Fn(&T, &T) -> bool + Sync)) {
    let _member = stack::current().ensure_member();
    match piece(slice.len()) {
        Some(piece) if size_of::<T>() > 0 => {
            let mut buffer = Vec::with_capacity(slice.len());
            let places = &mut buffer.spare_capacity_mut()[..slice.len()];
            sort_pieces(slice, places, piece, Into::Slice, less);
        }
        _ => slice.sort_by(order(less)),
    }
}

/// Where the result of a step is.
#[derive(Clone, Copy)]
enum Into {
    Slice,
    Buffer,
}

fn sort_pieces<T: Send>(
    slice: &mut [T],
    buffer: &mut [MaybeUninit<T>],
    piece: usize,
    into: Into,
    less: &(impl Fn(&T, &T) -> bool + Sync),
) {
    let size = slice.len();
    if size <= piece {
        slice.sort_by(order(less));
        if let Into::Buffer = into {
            copy(slice, buffer);
        }
        return;
    }
    let middle = size / 2;
    let from = match into {
        Into::Slice => Into::Buffer,
        Into::Buffer => Into::Slice,
    };
    {
        let (left, right) = slice.split_at_mut(middle);
        let (below, above) = buffer.split_at_mut(middle);
        join(
            || sort_pieces(left, below, piece, from, less),
            || sort_pieces(right, above, piece, from, less),
        );
    }
    match into {
        Into::Buffer => {
            let (left, right) = slice.split_at_mut(middle);
            merge(Run(left), Run(right), buffer, less);
        }
        Into::Slice => {
            let source = ptr::from_mut(buffer) as *mut [T];
            // SAFETY: both halves are there: `sort_pieces` was told so.
            let source = unsafe { &mut *source };
            let back = CopyBack {
                from: source.as_ptr(),
                into: slice.as_mut_ptr(),
                count: size,
            };
            let places = ptr::from_mut(slice) as *mut [MaybeUninit<T>];
            // SAFETY: it is only written, with elements: completely, or `back` does it.
            let places = unsafe { &mut *places };
            let (left, right) = source.split_at_mut(middle);
            merge(Run(left), Run(right), places, less);
            std::mem::forget(back);
        }
    }
}

/// Copies a piece from the buffer back into the slice.
struct CopyBack<T> {
    from: *const T,
    into: *mut T,
    count: usize,
}

impl<T> Drop for CopyBack<T> {
    fn drop(&mut self) {
        // SAFETY: the buffer and the slice are different, and this long; the references
        // that the merge had are gone.
        unsafe { ptr::copy_nonoverlapping(self.from, self.into, self.count) };
    }
}

/// A sorted run, for one thread at a time.
struct Run<'a, T>(&'a [T]);

// SAFETY: runs are made of slices that were borrowed mutably, and then only divided. So
// each element is seen by one thread at a time, like an element that is sent.
unsafe impl<T: Send> Send for Run<'_, T> {}

impl<'a, T> Run<'a, T> {
    fn divide(self, at: usize) -> (Self, Self) {
        let (left, right) = self.0.split_at(at);
        (Run(left), Run(right))
    }
}

/// Merges two runs into places for both. Equal elements of `a` come first.
fn merge<T: Send>(
    a: Run<'_, T>,
    b: Run<'_, T>,
    places: &mut [MaybeUninit<T>],
    less: &(impl Fn(&T, &T) -> bool + Sync),
) {
    if a.0.len() + b.0.len() <= SHORT {
        merge_short(a.0, b.0, places, less);
        return;
    }
    // Half of the longer one, and what belongs before it of the other.
    let (i, j) = if a.0.len() >= b.0.len() {
        let i = a.0.len() / 2;
        (i, b.0.partition_point(|element| less(element, &a.0[i])))
    } else {
        let j = b.0.len() / 2;
        (a.0.partition_point(|element| !less(&b.0[j], element)), j)
    };
    let (a, c) = a.divide(i);
    let (b, d) = b.divide(j);
    let (left, right) = places.split_at_mut(i + j);
    join(|| merge(a, b, left, less), || merge(c, d, right, less));
}

fn merge_short<T>(a: &[T], b: &[T], places: &mut [MaybeUninit<T>], less: &impl Fn(&T, &T) -> bool) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let later = less(&b[j], &a[i]);
        let next = if later { &b[j] } else { &a[i] };
        copy(std::slice::from_ref(next), &mut places[i + j..=i + j]);
        j += usize::from(later);
        i += usize::from(!later);
    }
    let (one, other) = places[i + j..].split_at_mut(a.len() - i);
    copy(&a[i..], one);
    copy(&b[j..], other);
}

/// Copies elements, of which then one of the two places counts: see the head of this file.
fn copy<T>(from: &[T], into: &mut [MaybeUninit<T>]) {
    assert_eq!(from.len(), into.len());
    let places = into.as_mut_ptr().cast();
    // SAFETY: as long as each other, and different, since one is borrowed mutably.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), places, from.len()) };
}

fn quick_sort<T: Send>(slice: &mut [T], less: &(impl Fn(&T, &T) -> bool + Sync)) {
    let _member = stack::current().ensure_member();
    let Some(piece) = piece(slice.len()) else {
        slice.sort_unstable_by(order(less));
        return;
    };
    // Nothing that is in order is divided.
    let descending = less(&slice[1], &slice[0]);
    if slice
        .windows(2)
        .all(|pair| less(&pair[1], &pair[0]) == descending)
    {
        if descending {
            slice.reverse();
        }
        return;
    }
    let mistakes = slice.len().ilog2();
    divide(slice, piece, mistakes, less);
}

/// Quicksort, until pieces are short, or partitions have been bad too often.
fn divide<T: Send>(
    slice: &mut [T],
    piece: usize,
    mistakes: u32,
    less: &(impl Fn(&T, &T) -> bool + Sync),
) {
    let size = slice.len();
    if size <= piece || mistakes == 0 {
        slice.sort_unstable_by(order(less));
        return;
    }
    slice.swap(0, middle_of_nine(slice, less));
    let (pivot, rest) = slice.split_at_mut(1);
    let middle = partition(rest, |element| less(element, &pivot[0]));
    slice.swap(0, middle);
    let (left, right) = slice.split_at_mut(middle);
    let (pivot, mut right) = right.split_at_mut(1);
    let bad = left.len().min(right.len()) < size / 8;
    if left.len() < size / 8 {
        // Perhaps there are many like the pivot, which are in their place then.
        let equal = partition(right, |element| !less(&pivot[0], element));
        right = &mut right[equal..];
    }
    let mistakes = mistakes - u32::from(bad);
    join(
        || divide(left, piece, mistakes, less),
        || divide(right, piece, mistakes, less),
    );
}

/// Where a good pivot is, of a slice that is not short.
fn middle_of_nine<T>(slice: &[T], less: &impl Fn(&T, &T) -> bool) -> usize {
    let middle_of = |a: usize, b: usize, c: usize| {
        let below = |a: usize, b: usize| less(&slice[a], &slice[b]);
        if below(a, b) {
            if below(b, c) {
                b
            } else if below(a, c) {
                c
            } else {
                a
            }
        } else if below(a, c) {
            a
        } else if below(b, c) {
            c
        } else {
            b
        }
    };
    let ninth = slice.len() / 9;
    let middle_from = |third: usize| {
        let first = third * 3 * ninth;
        middle_of(first, first + ninth, first + 2 * ninth)
    };
    middle_of(middle_from(0), middle_from(1), middle_from(2))
}

/// Swaps all that go left to the left, and says how many there are. Without branches.
fn partition<T>(slice: &mut [T], goes_left: impl Fn(&T) -> bool) -> usize {
    let mut left = 0;
    for i in 0..slice.len() {
        let goes_left = goes_left(&slice[i]);
        slice.swap(left, i);
        left += usize::from(goes_left);
    }
    left
}
