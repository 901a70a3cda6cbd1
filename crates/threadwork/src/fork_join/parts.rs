//! What a parallel loop can go over: [`Parts`], and those that there are.

use std::ops::{Range, RangeInclusive};
use std::slice;
use std::sync::Arc;

use super::owned::Owned;

/// Something that can be divided in two, until the parts are gone through one by one.
///
/// Implemented for slices and mutable slices, ranges, their [`Chunks`] and [`Windows`], and for
/// pairs and counts of those: see [`Par`](crate::Par). An implementation that is wrong makes
/// loops go over wrong items, or panic, but nothing worse.
///
/// # Example
///
/// Every other item of a slice:
///
/// ```
/// use threadwork::{Parts, par};
///
/// struct EveryOther<'a>(&'a [i32]);
///
/// impl<'a> Parts for EveryOther<'a> {
///     type Item = &'a i32;
///     type Items = std::iter::StepBy<std::slice::Iter<'a, i32>>;
///
///     fn size(&self) -> usize {
///         self.0.len().div_ceil(2)
///     }
///     fn divide(self, at: usize) -> (Self, Self) {
///         let (left, right) = self.0.split_at((2 * at).min(self.0.len()));
///         (EveryOther(left), EveryOther(right))
///     }
///     fn items(self) -> Self::Items {
///         self.0.iter().step_by(2)
///     }
/// }
///
/// let sum = par(EveryOther(&[1, 2, 3, 4, 5])).map_reduce(|x| *x, || 0, |a, b| a + b);
/// assert_eq!(sum, 9);
/// ```
pub trait Parts: Sized + Send {
    /// What the loop's body gets.
    type Item;
    /// The items of a part, in their order.
    type Items: Iterator<Item = Self::Item>;

    /// How many items there are.
    fn size(&self) -> usize;

    /// The first `at` items, and the others. `at` is not more than [`size`](Self::size).
    fn divide(self, at: usize) -> (Self, Self);

    /// Goes through the items.
    fn items(self) -> Self::Items;
}

/// What [`par`](crate::par) takes: [`Parts`], vectors, and references to vectors and arrays.
pub trait IntoParts {
    /// What the loop goes over.
    type Parts: Parts;

    /// Turns it into parts.
    fn into_parts(self) -> Self::Parts;
}

impl<P: Parts> IntoParts for P {
    type Parts = P;

    fn into_parts(self) -> P {
        self
    }
}

impl<'a, T: Sync> IntoParts for &'a Vec<T> {
    type Parts = &'a [T];

    fn into_parts(self) -> &'a [T] {
        self
    }
}

impl<'a, T: Send> IntoParts for &'a mut Vec<T> {
    type Parts = &'a mut [T];

    fn into_parts(self) -> &'a mut [T] {
        self
    }
}

impl<'a, T: Sync, const N: usize> IntoParts for &'a [T; N] {
    type Parts = &'a [T];

    fn into_parts(self) -> &'a [T] {
        self
    }
}

impl<'a, T: Send, const N: usize> IntoParts for &'a mut [T; N] {
    type Parts = &'a mut [T];

    fn into_parts(self) -> &'a mut [T] {
        self
    }
}

impl<'a, T: Sync> Parts for &'a [T] {
    type Item = &'a T;
    type Items = slice::Iter<'a, T>;

    fn size(&self) -> usize {
        self.len()
    }

    fn divide(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }

    fn items(self) -> Self::Items {
        self.iter()
    }
}

impl<'a, T: Send> Parts for &'a mut [T] {
    type Item = &'a mut T;
    type Items = slice::IterMut<'a, T>;

    fn size(&self) -> usize {
        self.len()
    }

    fn divide(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }

    fn items(self) -> Self::Items {
        self.iter_mut()
    }
}

/// Vectors are gone through by value. What a loop does not come to, since it ended early or by a
/// panic, is dropped.
impl<T: Send> IntoParts for Vec<T> {
    type Parts = Owned<T>;

    fn into_parts(self) -> Owned<T> {
        Owned::new(self)
    }
}

/// Ranges of numbers. One that is longer than `usize::MAX` says that it has so many, and is gone
/// through to its end all the same.
macro_rules! ranges {
    ($($number:ty, $unsigned:ty, $add:ident;)*) => {$(
        impl Parts for Range<$number> {
            type Item = $number;
            type Items = Self;

            fn size(&self) -> usize {
                if self.is_empty() {
                    return 0;
                }
                usize::try_from(self.start.abs_diff(self.end)).unwrap_or(usize::MAX)
            }

            fn divide(self, at: usize) -> (Self, Self) {
                // It is not more than the size, and so fits.
                let middle = self.start.$add(at as $unsigned);
                (self.start..middle, middle..self.end)
            }

            fn items(self) -> Self {
                self
            }
        }

        impl Parts for RangeInclusive<$number> {
            type Item = $number;
            type Items = Self;

            fn size(&self) -> usize {
                if self.is_empty() {
                    return 0;
                }
                let steps = self.start().abs_diff(*self.end());
                usize::try_from(steps).map_or(usize::MAX, |steps| steps.saturating_add(1))
            }

            fn divide(self, at: usize) -> (Self, Self) {
                const NOTHING: RangeInclusive<$number> = RangeInclusive::new(1, 0);
                if at == 0 {
                    return (NOTHING, self);
                }
                let (start, end) = (*self.start(), *self.end());
                let last = start.$add((at - 1) as $unsigned);
                if last == end {
                    return (self, NOTHING);
                }
                (start..=last, last + 1..=end)
            }

            fn items(self) -> Self {
                self
            }
        }
    )*};
}
ranges! {
    usize, usize, wrapping_add;
    u32, u32, wrapping_add;
    u64, u64, wrapping_add;
    isize, usize, wrapping_add_unsigned;
    i32, u32, wrapping_add_unsigned;
    i64, u64, wrapping_add_unsigned;
}

/// Overlapping pieces of a slice: see [`Par::windows`](crate::Par::windows).
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a, T> {
    slice: &'a [T],
    length: usize,
}

impl<'a, T> Windows<'a, T> {
    pub(super) fn new(slice: &'a [T], length: usize) -> Self {
        Windows {
            slice,
            length: length.max(1),
        }
    }
}

impl<'a, T: Sync> Parts for Windows<'a, T> {
    type Item = &'a [T];
    type Items = slice::Windows<'a, T>;

    fn size(&self) -> usize {
        (self.slice.len() + 1).saturating_sub(self.length)
    }

    fn divide(self, at: usize) -> (Self, Self) {
        // The last window on the left reaches into what is right.
        let end = self.slice.len().min(at + self.length - 1);
        (
            Windows::new(if at == 0 { &[] } else { &self.slice[..end] }, self.length),
            Windows::new(&self.slice[at..], self.length),
        )
    }

    fn items(self) -> Self::Items {
        self.slice.windows(self.length)
    }
}

/// What a function makes of each item: see [`Par::map`](crate::Par::map).
#[derive(Debug)]
pub struct Map<P, F> {
    parts: P,
    map: Arc<F>,
}

impl<P: Clone, F> Clone for Map<P, F> {
    fn clone(&self) -> Self {
        Map {
            parts: self.parts.clone(),
            map: self.map.clone(),
        }
    }
}

impl<P, F> Map<P, F> {
    pub(super) fn new(parts: P, map: F) -> Self {
        Map {
            parts,
            map: Arc::new(map),
        }
    }
}

impl<P: Parts, R, F: Fn(P::Item) -> R + Send + Sync> Parts for Map<P, F> {
    type Item = R;
    type Items = Mapped<P::Items, F>;

    fn size(&self) -> usize {
        self.parts.size()
    }

    fn divide(self, at: usize) -> (Self, Self) {
        let (left, right) = self.parts.divide(at);
        let left = Map {
            parts: left,
            map: self.map.clone(),
        };
        let right = Map {
            parts: right,
            map: self.map,
        };
        (left, right)
    }

    fn items(self) -> Self::Items {
        Mapped {
            items: self.parts.items(),
            map: self.map,
        }
    }
}

/// The items of a [`Map`].
#[derive(Debug)]
pub struct Mapped<I, F> {
    items: I,
    map: Arc<F>,
}

impl<I: Iterator, R, F: Fn(I::Item) -> R> Iterator for Mapped<I, F> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        self.items.next().map(&*self.map)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }

    fn fold<B, G: FnMut(B, R) -> B>(self, init: B, fold: G) -> B {
        self.items.map(&*self.map).fold(init, fold)
    }
}

/// Pieces of a slice, each of the same length but for the last: see
/// [`Par::chunks`](crate::Par::chunks).
#[derive(Clone, Copy, Debug)]
pub struct Chunks<S> {
    slice: S,
    length: usize,
}

impl<S> Chunks<S> {
    pub(super) fn new(slice: S, length: usize) -> Self {
        Chunks {
            slice,
            length: length.max(1),
        }
    }
}

impl<'a, T: Sync> Parts for Chunks<&'a [T]> {
    type Item = &'a [T];
    type Items = slice::Chunks<'a, T>;

    fn size(&self) -> usize {
        self.slice.len().div_ceil(self.length)
    }

    fn divide(self, at: usize) -> (Self, Self) {
        let middle = at.saturating_mul(self.length).min(self.slice.len());
        let (left, right) = self.slice.split_at(middle);
        (
            Chunks::new(left, self.length),
            Chunks::new(right, self.length),
        )
    }

    fn items(self) -> Self::Items {
        self.slice.chunks(self.length)
    }
}

impl<'a, T: Send> Parts for Chunks<&'a mut [T]> {
    type Item = &'a mut [T];
    type Items = slice::ChunksMut<'a, T>;

    fn size(&self) -> usize {
        self.slice.len().div_ceil(self.length)
    }

    fn divide(self, at: usize) -> (Self, Self) {
        let middle = at.saturating_mul(self.length).min(self.slice.len());
        let (left, right) = self.slice.split_at_mut(middle);
        (
            Chunks::new(left, self.length),
            Chunks::new(right, self.length),
        )
    }

    fn items(self) -> Self::Items {
        self.slice.chunks_mut(self.length)
    }
}

/// Items with their numbers: see [`Par::enumerate`](crate::Par::enumerate).
#[derive(Clone, Copy, Debug)]
pub struct Enumerate<P> {
    parts: P,
    first: usize,
}

impl<P> Enumerate<P> {
    pub(super) fn new(parts: P) -> Self {
        Enumerate { parts, first: 0 }
    }
}

impl<P: Parts> Parts for Enumerate<P> {
    type Item = (usize, P::Item);
    type Items = std::iter::Zip<std::ops::RangeFrom<usize>, P::Items>;

    fn size(&self) -> usize {
        self.parts.size()
    }

    fn divide(self, at: usize) -> (Self, Self) {
        let (left, right) = self.parts.divide(at);
        let first = self.first;
        let left = Enumerate { parts: left, first };
        let right = Enumerate {
            parts: right,
            first: first + at,
        };
        (left, right)
    }

    fn items(self) -> Self::Items {
        (self.first..).zip(self.parts.items())
    }
}

/// Pairs, as many as both have: see [`Par::zip`](crate::Par::zip).
#[derive(Clone, Copy, Debug)]
pub struct Zip<A, B> {
    a: A,
    b: B,
}

impl<A, B> Zip<A, B> {
    pub(super) fn new(a: A, b: B) -> Self {
        Zip { a, b }
    }

    pub(super) fn into_pair(self) -> (A, B) {
        (self.a, self.b)
    }
}

impl<A: Parts, B: Parts> Parts for Zip<A, B> {
    type Item = (A::Item, B::Item);
    type Items = std::iter::Zip<A::Items, B::Items>;

    fn size(&self) -> usize {
        self.a.size().min(self.b.size())
    }

    fn divide(self, at: usize) -> (Self, Self) {
        let (a, c) = self.a.divide(at);
        let (b, d) = self.b.divide(at);
        (Zip::new(a, b), Zip::new(c, d))
    }

    fn items(self) -> Self::Items {
        self.a.items().zip(self.b.items())
    }
}
