//! The processor time of one operating-system thread, readable from any other.

use std::time::Duration;

/// Whether this system has such clocks.
pub(crate) const SUPPORTED: bool = cfg!(target_os = "linux");

/// The clock of one thread. Reading it after the thread has ended yields `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuClock(#[cfg(target_os = "linux")] libc::clockid_t);

#[cfg(target_os = "linux")]
impl CpuClock {
    /// The calling thread's.
    pub(crate) fn current() -> Option<Self> {
        let mut clock = 0;
        // SAFETY: it has no precondition.
        let me = unsafe { libc::pthread_self() };
        // SAFETY: the calling thread lives, and `clock` is valid for the write.
        let result = unsafe { libc::pthread_getcpuclockid(me, &raw mut clock) };
        (result == 0).then_some(Self(clock))
    }

    /// What the thread has used since it was started.
    pub(crate) fn now(self) -> Option<Duration> {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is valid for the write; the kernel answers an error for a
        // clock whose thread is gone.
        let result = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        (result == 0).then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
    }
}

#[cfg(not(target_os = "linux"))]
impl CpuClock {
    pub(crate) fn current() -> Option<Self> {
        None
    }

    pub(crate) fn now(self) -> Option<Duration> {
        None
    }
}
