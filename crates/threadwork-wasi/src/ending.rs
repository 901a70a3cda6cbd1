//! [`Ending`]: what wakes the threads that wait for descriptors when their process ends, and
//! the waiting itself.

use crate::errno::{Errno, Failure, Result};
use crate::host::{Host, Sleep};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A pipe that becomes readable when the process ends, and stays so. There is none before
/// something is open that can block.
#[derive(Default)]
pub(crate) struct Ending(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Unused,
    Open(Arc<Pipe>),
    /// Nobody waits any more.
    Closed,
}

/// See [`Ending`].
pub(crate) struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Ending {
    /// Makes sure that waiting will need no new descriptor.
    pub(crate) fn prepare(&self) -> std::io::Result<()> {
        let mut state = self.lock();
        if let State::Unused = *state {
            let (reader, writer) = std::io::pipe()?;
            *state = State::Open(Arc::new(Pipe { reader, writer }));
        }
        Ok(())
    }

    /// Wakes those that wait, and all that will. The process must be ending already: who
    /// makes the pipe afterwards looks at that before it waits.
    pub(crate) fn wake(&self) {
        if let State::Open(pipe) = &*self.lock() {
            // One byte, which nobody reads. A pipe that has no room has some.
            let _ = (&pipe.writer).write(&[0]);
        }
    }

    pub(crate) fn close(&self) {
        *self.lock() = State::Closed;
    }

    fn pipe(&self) -> Result<Arc<Pipe>> {
        self.prepare()?;
        match &*self.lock() {
            State::Open(pipe) => Ok(Arc::clone(pipe)),
            State::Unused | State::Closed => Err(Errno::BADF.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the descriptor can be used without blocking.
pub(crate) fn until_ready(host: &impl Host, fd: BorrowedFd<'_>, flags: PollFlags) -> Result {
    wait(host, &[(fd, flags)], None).map(drop)
}

/// Whether the descriptor can be used without blocking now.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let ready = rustix::event::poll(&mut fds, Some(&Timespec::default()));
    ready.is_ok_and(|count| count > 0)
}

/// Polls until something is ready or `deadline`; says of each descriptor what it is ready
/// for.
pub(crate) fn wait<H: Host>(
    host: &H,
    fds: &[(BorrowedFd<'_>, PollFlags)],
    deadline: Option<Instant>,
) -> Result<Vec<PollFlags>> {
    let poll_fd = |(fd, flags): &(_, _)| PollFd::from_borrowed_fd(*fd, *flags);
    let revents = |fds: &[PollFd<'_>]| fds.iter().map(PollFd::revents).collect();
    // Ready is the usual case, and then the thread keeps its core.
    let mut all: Vec<_> = fds.iter().map(poll_fd).collect();
    if poll(host, &mut all, Some(Duration::ZERO))?
        || deadline.is_some_and(|at| at <= Instant::now())
    {
        return Ok(revents(&all));
    }
    let pipe = host.wasi().ending().pipe()?;
    let end = PollFd::from_borrowed_fd(pipe.reader.as_fd(), PollFlags::IN);
    let mut all: Vec<_> = std::iter::once(end)
        .chain(fds.iter().map(poll_fd))
        .collect();
    let _sleep = Sleep::begin(host);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if poll(host, &mut all, left)? || left == Some(Duration::ZERO) {
            return Ok(revents(&all[1..]));
        }
    }
}

/// Polls once; whether something is ready.
fn poll(host: &impl Host, fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<bool> {
    host.check_running()?;
    // More than the system can count is as good as no timeout.
    let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
    let ready = match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(count) => count > 0,
        // By the signal that stops threads, perhaps.
        Err(rustix::io::Errno::INTR) => false,
        Err(error) => return Err(Failure::from(error)),
    };
    host.check_running()?;
    Ok(ready)
}

/// Sleeps until `deadline`, or until the process ends.
pub(crate) fn sleep(host: &impl Host, deadline: Option<Instant>) -> Result {
    let _sleep = Sleep::begin(host);
    loop {
        host.check_running()?;
        match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return Ok(()),
            Some(left) => std::thread::park_timeout(left),
        }
    }
}
