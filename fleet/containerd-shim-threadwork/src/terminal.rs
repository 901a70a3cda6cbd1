//! A container's terminal, and whoever is at it.
//!
//! The library makes it within the container, as its standard streams, and hands its other side
//! out over a socket. Two threads carry what is typed and what is shown between that side and
//! containerd's pipes. Both end with the last of the container that has the terminal open.
//!
//! Invariant: what is typed cannot hold up what is shown, nor the other way round.

use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use containerd_shim::Error;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::container::{Plan, STACK, pipe};

/// The side of a terminal that is not the program's.
pub(crate) struct Terminal(Arc<File>);

/// The socket that the terminal will come over.
///
/// # Errors
///
/// The system's.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(folder)?;
    // By a path that is short: an address has a hundred bytes, and a bundle's name alone may be longer.
    let folder = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let listener = UnixListener::bind(short.join(name))?;
    // What has not come when the container stands does not come.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Terminal {
    /// Takes the terminal of a container that has been made, and begins to carry.
    ///
    /// # Errors
    ///
    /// If it has not come, or the pipes cannot be opened.
    pub(crate) fn take(from: &UnixListener, plan: &Plan) -> io::Result<Self> {
        let terminal = Arc::new(receive(from)?);
        let shown = pipe(&plan.stdout)?;
        let typed = pipe(&plan.stdin)?;
        let thread = || thread::Builder::new().stack_size(STACK);
        if let Some(shown) = shown {
            let terminal = Arc::clone(&terminal);
            thread().spawn(move || show(&terminal, &shown))?;
        }
        if let Some(typed) = typed {
            let terminal = Arc::clone(&terminal);
            thread().spawn(move || enter(&typed, &terminal))?;
        }
        Ok(Self(terminal))
    }

    /// Tells the program how many characters the terminal is wide and high.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<(), Error> {
        let most = |length| u16::try_from(length).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_col: most(width),
            ws_row: most(height),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&*self.0, size).map_err(|error| Error::IoError {
            context: "cannot set the terminal's size".to_owned(),
            err: error.into(),
        })
    }
}

fn receive(from: &UnixListener) -> io::Result<File> {
    let (stream, _) = from.accept()?;
    let mut name = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut name)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(&stream, &mut into, &mut control, flags)?;
    let mut files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file = files.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(file.into())
}

/// Carries what the program shows. A terminal whose program is gone fails to be read.
fn show(mut terminal: &File, mut shown: &File) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        if shown.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Carries what is typed. Its pipe has no end while this has it open, so this looks whether the program
/// is gone, too.
fn enter(mut typed: &File, mut terminal: &File) {
    let mut buffer = [0; 4096];
    loop {
        let mut ready = [
            PollFd::new(typed, PollFlags::IN),
            PollFd::new(terminal, PollFlags::empty()),
        ];
        let polled = poll(&mut ready, None);
        let gone = !ready[1].revents().is_empty();
        match polled {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(_) if !gone => {}
            _ => return,
        }
        match typed.read(&mut buffer) {
            Ok(length @ 1..) if terminal.write_all(&buffer[..length]).is_ok() => {}
            _ => return,
        }
    }
}
