//! When a shim is of no use any more.
//!
//! It is not, if the process is gone that its containers are made from: it can do nothing for them
//! then, and whoever asks would wait for ever, since the containers have that process's pipe
//! open, too. When the shim is gone, containerd has another one remove what it had. Nor is it, if
//! containerd was killed before it had the shim's address, and has removed the bundle since:
//! nobody will ask for anything then. And if it is killed before containerd is connected to it,
//! containerd does not have it cleaned up; so the process that outlives it removes its socket.
//!
//! Invariant: a shim that nobody can use ends by itself, and leaves no socket.

use std::fs;
use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zygote::Zygote;

use crate::container::STACK;

/// The bundle is the working directory that containerd gives to a shim, and as such is never quite
/// gone while the shim runs.
const BUNDLE: &str = ".";

/// What is in every bundle, until it is removed.
const CONFIG: &str = "config.json";

/// Begins to watch; ends the shim if that cannot be. `socket` is where it listens, `idle` tells whether
/// it has no containers.
pub(crate) fn begin(socket: i32, idle: impl Fn() -> bool + Send + 'static) {
    let address = path(socket);
    if let Err(error) = watch(address.clone(), idle) {
        eprintln!("cannot watch the bundle: {error}");
        end(address.as_deref(), 1);
    }
}

fn watch(address: Option<PathBuf>, idle: impl Fn() -> bool + Send + 'static) -> io::Result<()> {
    let zygote = Zygote::global().try_run(|()| std::process::id(), ());
    let zygote = zygote.map_err(|error| io::Error::other(error.to_string()))?;
    let zygote = i32::try_from(zygote).ok().and_then(Pid::from_raw);
    let zygote = pidfd_open(zygote.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    let bundle = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&bundle, BUNDLE, inotify::WatchFlags::DELETE)?;
    let watch = move || {
        let mut buffer = [0; 4096];
        loop {
            // Looked for before the first event, too: it may be gone already.
            if !Path::new(CONFIG).exists() && idle() {
                end(address.as_deref(), 0);
            }
            let event = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let mut events = [event(zygote.as_fd()), event(bundle.as_fd())];
            let polled = poll(&mut events, None);
            let [ended, removed] = events.map(|event| !event.revents().is_empty());
            match polled {
                Ok(_) if ended => end(address.as_deref(), 1),
                // That there was an event is all that it says.
                Ok(_) if removed => drop(rustix::io::read(&bundle, &mut buffer)),
                _ => {}
            }
        }
    };
    thread::Builder::new().stack_size(STACK).spawn(watch)?;
    Ok(())
}

/// Ends the shim, and its socket before.
fn end(address: Option<&Path>, code: i32) -> ! {
    let _ = address.map(fs::remove_file);
    exit(code)
}

/// Within which a process that was killed has closed its files: it closes the connections before
/// the socket that it listens at, and on a busy machine may be held up in between.
pub(crate) const A_DEATH: Duration = Duration::from_secs(2);

/// Has a socket removed when this process has ended, however it does, unless somebody listens there
/// for longer than this.
pub(crate) fn leave_no_socket(path: &Path, patience: Duration) {
    let arm = |(path, patience): (PathBuf, Duration)| {
        // The first is this process's only one.
        let _ = SOCKET.set((std::process::id(), path, patience));
        // SAFETY: the function may be called at the end of the process. If there is no room for
        // it, nothing is lost but a file.
        unsafe { libc::atexit(at_the_end) };
    };
    // Whoever lacks that process ends anyway.
    let _ = Zygote::global().try_run(arm, (path.to_owned(), patience));
}

/// In the zygote, which ends when the process does that it works for: its number, the socket, and
/// for how long it waits for its end.
static SOCKET: OnceLock<(u32, PathBuf, Duration)> = OnceLock::new();

extern "C" fn at_the_end() {
    // What was forked from it since has all that it has.
    if let Some((owner, path, patience)) = SOCKET.get()
        && *owner == std::process::id()
    {
        remove_socket(path, *patience);
    }
}

/// Removes the socket of a shim, if nobody listens there for longer than this.
pub(crate) fn remove_socket(path: &Path, patience: Duration) {
    if UnixStream::connect(path).is_ok_and(|stream| stays(&stream, patience)) {
        return;
    }
    // It may be gone already.
    let _ = fs::remove_file(path);
}

/// Whether a connection is still there after this. A shim says nothing unless it is asked.
fn stays(mut stream: &UnixStream, patience: Duration) -> bool {
    // None to wait is no time-out that can be set.
    if stream.set_read_timeout(Some(patience)).is_err() {
        return true;
    }
    match stream.read(&mut [0]) {
        Ok(length) => length > 0,
        Err(error) => error.kind() != io::ErrorKind::ConnectionReset,
    }
}

/// The file of a socket.
pub(crate) fn path(socket: i32) -> Option<PathBuf> {
    // SAFETY: it is open all the time, and not closed here.
    let listener = ManuallyDrop::new(unsafe { UnixListener::from_raw_fd(socket) });
    let address = listener.local_addr().ok()?;
    address.as_pathname().map(PathBuf::from)
}
