//! When a shim is of no use any more.
//!
//! It is not, if the process is gone that its containers are made from: it can do nothing for them
//! then, and whoever asks would wait for ever, since the containers have that process's pipe
//! open, too. When the shim is gone, containerd has another one remove what it had. Nor is it, if
//! containerd was killed before it had the shim's address, and has removed the bundle since:
//! nobody will ask for anything then.
//!
//! Invariant: a shim that nobody can use ends by itself.

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::exit;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zygote::Zygote;

use crate::container::STACK;

/// The bundle is the working directory that containerd gives to a shim.
const BUNDLE: &str = ".";

/// Begins to watch. `socket` is where the shim listens, `idle` tells whether it has no containers.
///
/// # Errors
///
/// The system's.
pub(crate) fn begin(socket: i32, idle: impl Fn() -> bool + Send + 'static) -> io::Result<()> {
    let zygote = Zygote::global().try_run(|()| std::process::id(), ());
    let zygote = zygote.map_err(|error| io::Error::other(error.to_string()))?;
    let zygote = i32::try_from(zygote).ok().and_then(Pid::from_raw);
    let zygote = pidfd_open(zygote.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    let bundle = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&bundle, BUNDLE, inotify::WatchFlags::DELETE_SELF)?;
    let address = path(socket);
    let watch = move || {
        // It may have been removed before it was watched.
        let mut removed = fs::metadata(BUNDLE).is_ok_and(|it| it.nlink() == 0);
        loop {
            if removed && idle() {
                let _ = address.map(fs::remove_file);
                exit(0);
            }
            let event = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let mut events = [event(zygote.as_fd()), event(bundle.as_fd())];
            // What is said once is enough; with containers in it, whoever removes the last ends it.
            let count = if removed { 1 } else { 2 };
            match poll(&mut events[..count], None) {
                Ok(_) if !events[0].revents().is_empty() => exit(1),
                Ok(_) => removed = true,
                Err(_) => {}
            }
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(watch)?;
    Ok(())
}

/// The file of a socket.
fn path(socket: i32) -> Option<PathBuf> {
    // SAFETY: it is open all the time, and not closed here.
    let listener = ManuallyDrop::new(unsafe { UnixListener::from_raw_fd(socket) });
    let address = listener.local_addr().ok()?;
    address.as_pathname().map(PathBuf::from)
}
