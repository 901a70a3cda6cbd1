//! Which sizes of blocks there are.
//!
//! Four to each power of two, as in most allocators: a block is at most a quarter larger
//! than what was asked for, but for the smallest. Up to 64 bytes they are 8 bytes apart.

use core::alloc::Layout;

use crate::units::{LARGEST_ORDER, UNIT};

/// How many classes there are.
pub(crate) const CLASSES: usize = 44;

/// The size of the largest block of a slab. Larger ones come from the backend.
pub(crate) const LARGEST: usize = 32 * 1024;

/// Bytes between the smallest sizes, as a power of two; room for a link of a free list.
const STEP: u32 = 3;

/// Each slab has at least so many blocks, but for the largest classes.
const BLOCKS: usize = 16;

/// A class of sizes: less than [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// Of the smallest blocks.
    pub(crate) const FIRST: Class = Class(0);

    /// Whose blocks are large enough and well aligned for `layout`; `None` if it is too
    /// large. The size must not be zero.
    ///
    /// The size is rounded up to the alignment, and then every class that has it is made
    /// of multiples of the alignment: a class' size is a multiple of the distance to the
    /// one before it. If the alignment divides that distance, it divides the size; if not,
    /// it is a multiple of it, so that the rounded size is itself the size of a class.
    #[inline]
    pub(crate) fn of(layout: Layout) -> Option<Class> {
        // The rounded size, less one.
        let last = layout.size().wrapping_sub(1) | (layout.align() - 1);
        if last >= LARGEST {
            return None;
        }
        let last = last as u32;
        // The three highest bits name the class: one that is set, and four quarters.
        let bits = u32::BITS - (last | 63).leading_zeros();
        let shift = bits - 3;
        Some(Class(((shift - STEP) * 4 + (last >> shift)) as u8))
    }

    /// All, from the smallest blocks to the largest.
    pub(crate) fn all() -> impl Iterator<Item = Class> {
        (0..CLASSES as u8).map(Class)
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The size of a block.
    pub(crate) fn size(self) -> usize {
        const SIZES: [u32; CLASSES] = sizes();
        SIZES[self.index()] as usize
    }

    /// The size of a slab: so many units, as a power of two. Enough for [`BLOCKS`], if
    /// the largest slab is.
    pub(crate) fn order(self) -> u32 {
        let units = (self.size() * BLOCKS).div_ceil(UNIT);
        units.next_power_of_two().ilog2().min(LARGEST_ORDER)
    }
}

const fn sizes() -> [u32; CLASSES] {
    let mut sizes = [0; CLASSES];
    let mut index = 0;
    while index < CLASSES as u32 {
        // The inverse of `of`: the first eight are one step apart.
        let shift = if index < 8 { 0 } else { index / 4 - 1 };
        sizes[index as usize] = (index - shift * 4 + 1) << (shift + STEP);
        index += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sizes; under Miri a few.
    fn sizes() -> impl Iterator<Item = usize> {
        (1..=LARGEST).step_by(if cfg!(miri) { 501 } else { 1 })
    }

    #[test]
    fn blocks_are_large_enough_and_no_larger_than_need_be() {
        for size in sizes() {
            let class = Class::of(Layout::from_size_align(size, 1).unwrap()).unwrap();
            assert!(class.size() >= size);
            let smaller = Class::all().map(Class::size).take_while(|s| *s < size);
            assert_eq!(smaller.count(), class.index());
            if size > 64 {
                assert!(class.size() * 4 <= size * 5, "{size} in {}", class.size());
            }
        }
        let above = Layout::from_size_align(LARGEST + 1, 1).unwrap();
        assert_eq!(Class::of(above), None);
    }

    #[test]
    fn sizes_are_multiples_of_the_alignment() {
        for shift in 0..=16 {
            let align = 1 << shift;
            for size in sizes() {
                let layout = Layout::from_size_align(size, align).unwrap();
                match Class::of(layout) {
                    Some(class) => {
                        assert!(class.size() >= size);
                        assert_eq!(class.size() % align, 0, "{size} aligned to {align}");
                    }
                    None => assert!(align > LARGEST),
                }
            }
        }
    }

    #[test]
    fn the_largest_layouts_have_no_class() {
        for (size, align) in [
            (isize::MAX as usize, 1),
            (1, 1 << 30),
            (LARGEST, LARGEST * 2),
        ] {
            let layout = Layout::from_size_align(size, align).unwrap();
            assert_eq!(Class::of(layout), None);
        }
    }
}
