//! CPU time, of this process and of those it started; and which cores they use.

use std::time::Duration;

/// The CPU time that has been used until now by this process with all its threads,
/// by the children it has reaped, and by the running process `child`. `None` where
/// the platform cannot tell.
#[cfg(target_os = "linux")]
pub fn time(child: Option<u32>) -> Option<Duration> {
    let own = clock(libc::CLOCK_PROCESS_CPUTIME_ID)?;
    let child = match child {
        Some(id) => clock(clock_of(id)?)?,
        None => Duration::ZERO,
    };
    Some(own + reaped()? + child)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub fn time(_child: Option<u32>) -> Option<Duration> {
    None
}

/// Binds the calling thread, and the threads and processes that it will start, to
/// the first `count` of the cores that it may use now.
///
/// # Errors
///
/// If there are fewer, or the platform has no such thing.
#[cfg(target_os = "linux")]
pub fn use_cores(count: u32) -> std::io::Result<()> {
    let mut allowed = no_cores();
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the pointer is to a live set of that size; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let mut chosen = no_cores();
    let mut left = count;
    for core in 0..libc::CPU_SETSIZE as usize {
        // SAFETY: the core is below the size of the set.
        if left > 0 && unsafe { libc::CPU_ISSET(core, &allowed) } {
            // SAFETY: as above.
            unsafe { libc::CPU_SET(core, &mut chosen) };
            left -= 1;
        }
    }
    if left > 0 {
        let text = format!("this machine does not give us {count} cores");
        return Err(std::io::Error::other(text));
    }
    // SAFETY: the pointer is to a live set of that size.
    if unsafe { libc::sched_setaffinity(0, size, &raw const chosen) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub fn use_cores(_count: u32) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn no_cores() -> libc::cpu_set_t {
    // SAFETY: it is an array of bits; zeros are the empty set.
    unsafe { std::mem::zeroed() }
}

#[cfg(target_os = "linux")]
fn clock(id: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    (result == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The CPU clock of a running process, with nanoseconds and all its threads, past
/// and present: `/proc/<id>/stat` has hundredths of a second only.
#[cfg(target_os = "linux")]
fn clock_of(process: u32) -> Option<libc::clockid_t> {
    let mut id = 0;
    // SAFETY: the pointer is to a live clock id.
    let result = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &raw mut id) };
    (result == 0).then_some(id)
}

#[cfg(target_os = "linux")]
fn reaped() -> Option<Duration> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to room for a rusage.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: all its fields are integers, so that zeros are a value already.
    let usage = unsafe { usage.assume_init() };
    let duration =
        |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    (result == 0).then(|| duration(usage.ru_utime) + duration(usage.ru_stime))
}
