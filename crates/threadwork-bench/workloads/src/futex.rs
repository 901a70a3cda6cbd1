//! The kernel's futex, bare: std does not offer it, and the workloads have no
//! dependencies.

use std::ffi::{c_int, c_long};
use std::ptr;
use std::sync::atomic::AtomicU32;

/// linux/arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
#[cfg(target_arch = "x86_64")]
const SYS_FUTEX: c_long = 202;
#[cfg(target_arch = "aarch64")]
const SYS_FUTEX: c_long = 98;

/// linux/include/uapi/linux/futex.h: FUTEX_WAIT, FUTEX_WAKE, with FUTEX_PRIVATE_FLAG
const WAIT_PRIVATE: c_int = 128;
const WAKE_PRIVATE: c_int = 129;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// Sleeps while `word` is `expected`. May return early: the caller loops.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let forever = ptr::null::<u8>();
    // SAFETY: the word is alive and aligned for the whole call, and a null timeout
    // means none. Any error (the value differs, a signal) is an early return.
    unsafe { syscall(SYS_FUTEX, word.as_ptr(), WAIT_PRIVATE, expected, forever) };
}

/// Wakes one sleeper on `word`, if there is one.
pub(crate) fn wake_one(word: &AtomicU32) {
    // SAFETY: the kernel uses the address as a key, and does not write there.
    unsafe { syscall(SYS_FUTEX, word.as_ptr(), WAKE_PRIVATE, 1 as c_int) };
}
