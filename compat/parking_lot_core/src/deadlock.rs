//! Where a lock says who holds it. Nobody looks for deadlocks here.

#[cfg(feature = "deadlock_detection")]
compile_error!(
    "Threadwork's parking_lot_core has no deadlock detection: leave out the feature \
     `deadlock_detection` of parking_lot, or the patch of parking_lot_core; `threadwork run` \
     reports deadlocks itself"
);

/// The calling thread holds the resource of that key from now on.
///
/// # Safety
///
/// None is needed here; the original asks for it.
#[inline]
pub unsafe fn acquire_resource(_key: usize) {}

/// The calling thread does not hold it any more.
///
/// # Safety
///
/// None is needed here; the original asks for it.
#[inline]
pub unsafe fn release_resource(_key: usize) {}
