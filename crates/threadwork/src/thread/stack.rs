//! The calling thread's stack: its bounds and its guard.

#[cfg(target_os = "wasi")]
mod guest;
#[cfg(not(target_os = "wasi"))]
mod native;

#[cfg(target_os = "wasi")]
use guest as sys;
#[cfg(not(target_os = "wasi"))]
use native as sys;

pub(super) use sys::Guard;

/// The size of the calling thread's stack in bytes, in a guest. `None` natively.
#[must_use]
pub fn stack_size() -> Option<usize> {
    sys::size()
}

/// How many bytes of the calling thread's stack are left, in a guest: zero, if it has
/// overflowed at this moment. `None` natively, where the system watches over the stack.
///
/// A recursion of unknown depth can ask it before it goes deeper.
///
/// # Example
///
/// ```
/// use threadwork::thread;
///
/// fn depth(most: u32) -> u32 {
///     let enough = thread::stack_remaining().is_none_or(|bytes| bytes > 64 * 1024);
///     match enough && most > 0 {
///         true => 1 + depth(most - 1),
///         false => 0,
///     }
/// }
/// assert!(depth(1000) > 0);
/// ```
#[must_use]
pub fn stack_remaining() -> Option<usize> {
    sys::remaining()
}

/// Ends the program with a message, if the calling thread's stack has overflowed, now or
/// before. That takes some nanoseconds; natively it does nothing.
///
/// An overflow is known by what it has overwritten: the guard, which the threads of
/// [`Builder`](super::Builder) and the workers of a pool have, or by where the stack is at
/// this moment, which is known of any thread. A frame that is larger than the guard and
/// writes to nothing in it goes unseen.
///
/// There is nothing to return to: what lies below the stack has been overwritten.
pub fn check_stack() {
    sys::check();
}
