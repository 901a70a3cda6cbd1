//! What several programs share: loops cut into halves, down to pieces that one thread does.

use std::ops::Range;

use threadwork::join;

/// The sum of `item(i)` over a range, by pieces of up to `grain`.
pub(crate) fn sum(range: Range<usize>, grain: usize, item: &(impl Fn(usize) -> u64 + Sync)) -> u64 {
    if range.len() <= grain {
        return range.map(item).fold(0, u64::wrapping_add);
    }
    let middle = range.start + range.len() / 2;
    let (left, right) =
        join(|| sum(range.start..middle, grain, item), || sum(middle..range.end, grain, item));
    left.wrapping_add(right)
}

/// Calls `work` with each piece of up to `grain` items, and the index of its first.
pub(crate) fn pieces<T: Send>(
    items: &mut [T],
    grain: usize,
    work: &(impl Fn(usize, &mut [T]) + Sync),
) {
    fn halves<T: Send>(
        first: usize,
        items: &mut [T],
        grain: usize,
        work: &(impl Fn(usize, &mut [T]) + Sync),
    ) {
        if items.len() <= grain {
            return work(first, items);
        }
        let middle = (items.len() / 2).next_multiple_of(grain);
        let (left, right) = items.split_at_mut(middle);
        join(|| halves(first, left, grain, work), || halves(first + middle, right, grain, work));
    }
    halves(0, items, grain.max(1), work);
}

/// Calls `work` with the number and the range of each of so many nearly equal parts, and
/// returns what they return in order.
pub(crate) fn parts<T: Send>(
    len: usize,
    count: usize,
    work: &(impl Fn(usize, Range<usize>) -> T + Sync),
) -> Vec<T> {
    fn halves<T: Send>(
        len: usize,
        count: usize,
        parts: Range<usize>,
        work: &(impl Fn(usize, Range<usize>) -> T + Sync),
    ) -> Vec<T> {
        if parts.len() == 1 {
            let part = parts.start;
            return vec![work(part, len * part / count..len * (part + 1) / count)];
        }
        let middle = parts.start + parts.len() / 2;
        let (mut left, mut right) = join(
            || halves(len, count, parts.start..middle, work),
            || halves(len, count, middle..parts.end, work),
        );
        left.append(&mut right);
        left
    }
    halves(len, count, 0..count, work)
}
