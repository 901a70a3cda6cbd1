//! How memory is divided: into segments, and those into units. The address of a block tells
//! which.

/// The size of a segment, and its alignment.
pub(crate) const SEGMENT: usize = 512 * 1024;

/// The size of a unit.
pub(crate) const UNIT: usize = 16 * 1024;

/// Units in a segment.
pub(crate) const UNITS: usize = SEGMENT / UNIT;

/// The order of the largest slab, which is `2^order` units.
pub(crate) const LARGEST_ORDER: u32 = 4;

/// The order of a segment of which no unit is in use.
pub(crate) const WHOLE: u32 = UNITS.ilog2();

/// The address of the segment that has an address, and the unit there.
#[inline]
pub(crate) fn locate(address: usize) -> (usize, usize) {
    (address & !(SEGMENT - 1), address % SEGMENT / UNIT)
}
