//! In a guest the stack grows down inside the linear memory, towards whatever the
//! allocator has put below it.
//!
//! libc knows the bounds of every thread's stack. The guard is a run of known words at the
//! low end: a frame that reaches so far overwrites some of them.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::io::Write;
use std::ptr;

/// Room for libc's `pthread_attr_t`, which has 36 bytes.
#[repr(C, align(8))]
struct Attributes([u8; 128]);

unsafe extern "C" {
    safe fn pthread_self() -> *mut c_void;
    fn pthread_getattr_np(thread: *mut c_void, attributes: *mut Attributes) -> c_int;
    fn pthread_attr_getstack(
        attributes: *const Attributes,
        low: *mut *mut c_void,
        size: *mut usize,
    ) -> c_int;
}

/// The words of a guard: 256 bytes. More would find larger frames that skip over it, and
/// take longer to look at.
const WORDS: usize = 32;

#[derive(Clone, Copy)]
struct Stack {
    /// Its end, towards which it grows. 0 where the memory ends there, too.
    low: usize,
    size: usize,
    guarded: bool,
}

thread_local! {
    static STACK: Cell<Option<Stack>> = const { Cell::new(None) };
}

impl Stack {
    fn current() -> Option<Stack> {
        if STACK.get().is_none() {
            STACK.set(Stack::ask());
        }
        STACK.get()
    }

    #[cold]
    fn ask() -> Option<Stack> {
        let mut attributes = Attributes([0; 128]);
        // SAFETY: the thread is the one that runs, and there is room for the attributes.
        let failed = unsafe { pthread_getattr_np(pthread_self(), &mut attributes) };
        if failed != 0 {
            return None;
        }
        let mut low = ptr::null_mut();
        let mut size = 0;
        // SAFETY: the call above has filled the attributes in.
        let failed = unsafe { pthread_attr_getstack(&attributes, &mut low, &mut size) };
        (failed == 0).then(|| Stack {
            // libc has aligned the upper end after it had computed the size, so that the
            // lower end, which is aligned in fact, comes out up to 15 bytes too low.
            low: low.addr().next_multiple_of(16),
            size,
            guarded: false,
        })
    }

    fn remaining(self) -> usize {
        let guard = if self.guarded {
            WORDS * size_of::<u64>()
        } else {
            0
        };
        here().saturating_sub(self.low + guard)
    }

    /// The guard's words, and what is in them.
    fn guard(self) -> impl Iterator<Item = (*mut u64, u64)> {
        let first = ptr::with_exposed_provenance_mut::<u64>(self.low);
        (0..WORDS).map(move |index| {
            let word = first.wrapping_add(index);
            // Not what frames and buffers are full of, and another one in each word.
            (
                word,
                0x5afe_57ac_c0de_0001 ^ (word.addr() as u64).rotate_left(24),
            )
        })
    }

    fn has_overflowed(self) -> bool {
        if here() < self.low {
            return true;
        }
        // SAFETY: the words are this thread's, at the end of its stack.
        self.guarded
            && self
                .guard()
                .any(|(word, known)| unsafe { word.read_volatile() } != known)
    }
}

/// An address in the frame of the caller, about.
#[inline(never)]
fn here() -> usize {
    let mark = 0_u8;
    black_box(&raw const mark).addr()
}

/// The guard of a thread that runs inside of it.
pub(in super::super) struct Guard;

impl Guard {
    /// Sets the guard, if there is room, and something to guard.
    pub(in super::super) fn new() -> Self {
        if let Some(stack) = Stack::current()
            && stack.low != 0
            && stack.remaining() > 2 * WORDS * size_of::<u64>()
        {
            for (word, known) in stack.guard() {
                // SAFETY: the words are this thread's, and below all of its frames.
                unsafe { word.write_volatile(known) };
            }
            STACK.set(Some(Stack {
                guarded: true,
                ..stack
            }));
        }
        Guard
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        check();
    }
}

pub(super) fn size() -> Option<usize> {
    Some(Stack::current()?.size)
}

pub(super) fn remaining() -> Option<usize> {
    Some(Stack::current()?.remaining())
}

pub(super) fn check() {
    if let Some(stack) = Stack::current()
        && stack.has_overflowed()
    {
        report(stack);
    }
}

/// Nothing relies on the heap, which may be what was overwritten.
#[cold]
fn report(stack: Stack) -> ! {
    let thread = std::thread::current();
    let mut message = [0; 256];
    let mut rest = &mut message[..];
    // It fits: a name is cut.
    let _ = writeln!(
        rest,
        "thread '{:.64}' has overflowed its stack of {} bytes, and memory is overwritten: \
         use a larger `stack_size`, or recurse less",
        thread.name().unwrap_or("<unnamed>"),
        stack.size,
    );
    let left = rest.len();
    // An error: there is nobody to tell.
    let _ = std::io::stderr().write_all(&message[..message.len() - left]);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::Builder;

    /// Goes down until the frames have come to `floor`.
    #[inline(never)]
    fn descend(floor: usize) {
        // By reference, so that it is there once: a frame takes some 100 bytes.
        let mut frame = [1_u8; 64];
        black_box(&mut frame);
        if here() > floor {
            descend(floor);
        }
        black_box(&mut frame);
    }

    fn in_small_thread(body: impl FnOnce(Stack) + Send + 'static) {
        let thread = Builder::new().stack_size(32 * 1024);
        let run = || body(Stack::current().unwrap());
        thread.spawn(run).unwrap().join().unwrap();
    }

    #[test]
    fn frames_above_the_guard_leave_it() {
        in_small_thread(|stack| {
            assert!(stack.guarded && !stack.has_overflowed());
            descend(stack.low + WORDS * size_of::<u64>() + 256);
            assert!(!stack.has_overflowed());
        });
    }

    #[test]
    fn a_frame_in_the_guard_is_found_when_it_has_returned() {
        in_small_thread(|stack| {
            descend(stack.low + 160);
            assert!(stack.has_overflowed());
            // The thread ends, which would end the test.
            std::mem::forget(Guard::new());
            assert!(!stack.has_overflowed());
        });
    }

    #[test]
    fn a_stack_that_has_overflowed_now_is_found() {
        let stack = Stack {
            low: here() + 4096,
            size: 64,
            guarded: false,
        };
        assert!(stack.has_overflowed());
        assert_eq!(stack.remaining(), 0);
    }
}
