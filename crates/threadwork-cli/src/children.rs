//! Child processes that do not outlive this one.
//!
//! Each leads a process group of its own, in which its children are, too. The groups
//! stand in a list that a signal's handler can read: [`kill_all`] ends them.
//!
//! Invariant: from its start until somebody has waited for it, a child's group is in the
//! list, except in [`spawn`] itself; and a signal that comes in between waits for that.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::low_level;

/// Children at one time; there are never more than a few.
const MOST: usize = 16;
/// Their groups, 0 where there is none.
static GROUPS: [AtomicI32; MOST] = [const { AtomicI32::new(0) }; MOST];
/// How many children are being started.
static STARTING: AtomicU32 = AtomicU32::new(0);
/// The signal that waits until a child has started, or 0.
static WAITING: AtomicI32 = AtomicI32::new(0);

/// A child process that runs, or has not been waited for.
pub(crate) struct Child {
    child: process::Child,
    listed: Listed,
}

/// A group's place in the list, until the group has left it.
struct Listed(Option<&'static AtomicI32>);

/// A child is just being started. Whoever does it sends the signal again.
pub(crate) struct Later;

/// As [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    command.process_group(0);
    // Ordering: SeqCst here and in `kill_all`. Each side first writes its own of
    // STARTING and WAITING and then reads the other's, so at least one sees the other.
    STARTING.fetch_add(1, Ordering::SeqCst);
    let child = command.spawn().and_then(enlist);
    STARTING.fetch_sub(1, Ordering::SeqCst);
    match WAITING.load(Ordering::SeqCst) {
        0 => child,
        signal => low_level::raise(signal).and(child),
    }
}

/// As [`Command::output`].
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Child { child, listed } = spawn(command.stdin(Stdio::null()))?;
    let output = child.wait_with_output();
    drop(listed);
    output
}

/// Ends all children, and those that they have started. For a signal's handler, which
/// is to do nothing more if this says [`Later`]; a second signal does not wait.
pub(crate) fn kill_all(signal: i32) -> Result<(), Later> {
    let is_starting = || STARTING.load(Ordering::SeqCst) > 0;
    if is_starting() && WAITING.swap(signal, Ordering::SeqCst) == 0 && is_starting() {
        return Err(Later);
    }
    GROUPS.iter().for_each(kill);
    Ok(())
}

/// Ends the group at a place, if there is one that has not ended yet.
fn kill(place: &AtomicI32) {
    send(place, Signal::KILL);
}

fn send(place: &AtomicI32, signal: Signal) {
    if let Some(group) = Pid::from_raw(place.load(Ordering::SeqCst)) {
        let _ = kill_process_group(group, signal);
    }
}

fn enlist(mut child: process::Child) -> io::Result<Child> {
    let group = Pid::from_child(&child).as_raw_pid();
    let is_free = |place: &&AtomicI32| {
        let taken = place.compare_exchange(0, group, Ordering::SeqCst, Ordering::SeqCst);
        taken.is_ok()
    };
    if let Some(place) = GROUPS.iter().find(is_free) {
        let listed = Listed(Some(place));
        return Ok(Child { child, listed });
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::other("too many child processes"))
}

impl Child {
    /// As [`process::Child::wait`].
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.listed.leave();
        Ok(status)
    }

    /// As [`process::Child::try_wait`].
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.listed.leave();
        }
        Ok(status)
    }

    /// Ends it, and those that it has started, unless somebody has waited for it.
    pub(crate) fn kill(&self) {
        self.listed.0.map(kill);
    }

    /// Asks it and those that it has started to end, unless somebody has waited for it.
    pub(crate) fn terminate(&self) {
        if let Some(place) = self.listed.0 {
            send(place, Signal::TERM);
        }
    }

    /// Our end of its standard output, once.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Our end of its standard error, once.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }
}

impl Listed {
    fn leave(&mut self) {
        if let Some(place) = self.0.take() {
            place.store(0, Ordering::SeqCst);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.leave();
    }
}
