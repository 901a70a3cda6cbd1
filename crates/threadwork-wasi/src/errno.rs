//! [`Errno`]: what a call of preview 1 returns, and what the system's errors are called there.

use std::io;

/// An error of preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) u16);

/// Names the errors of the system that preview 1 has a number for.
macro_rules! errnos {
    ($($name:ident = $number:literal $(($($system:ident)*))?;)*) => {
        impl Errno {
            $(pub(crate) const $name: Self = Self($number);)*
        }

        impl From<rustix::io::Errno> for Errno {
            fn from(error: rustix::io::Errno) -> Self {
                use rustix::io::Errno as System;
                $($($(
                    if error == System::$system {
                        return Self::$name;
                    }
                )*)?)*
                Self::IO
            }
        }
    };
}

errnos! {
    TOOBIG = 1 (TOOBIG);
    ACCES = 2 (ACCESS);
    ADDRINUSE = 3 (ADDRINUSE);
    ADDRNOTAVAIL = 4 (ADDRNOTAVAIL);
    AFNOSUPPORT = 5 (AFNOSUPPORT);
    AGAIN = 6 (AGAIN WOULDBLOCK);
    ALREADY = 7 (ALREADY);
    BADF = 8 (BADF);
    BADMSG = 9 (BADMSG);
    BUSY = 10 (BUSY);
    CANCELED = 11 (CANCELED);
    CHILD = 12 (CHILD);
    CONNABORTED = 13 (CONNABORTED);
    CONNREFUSED = 14 (CONNREFUSED);
    CONNRESET = 15 (CONNRESET);
    DEADLK = 16 (DEADLK);
    DESTADDRREQ = 17 (DESTADDRREQ);
    DOM = 18 (DOM);
    DQUOT = 19 (DQUOT);
    EXIST = 20 (EXIST);
    FAULT = 21 (FAULT);
    FBIG = 22 (FBIG);
    HOSTUNREACH = 23 (HOSTUNREACH);
    IDRM = 24 (IDRM);
    ILSEQ = 25 (ILSEQ);
    INPROGRESS = 26 (INPROGRESS);
    INTR = 27 (INTR);
    INVAL = 28 (INVAL);
    IO = 29 (IO);
    ISCONN = 30 (ISCONN);
    ISDIR = 31 (ISDIR);
    LOOP = 32 (LOOP);
    MFILE = 33 (MFILE);
    MLINK = 34 (MLINK);
    MSGSIZE = 35 (MSGSIZE);
    NAMETOOLONG = 37 (NAMETOOLONG);
    NETDOWN = 38 (NETDOWN);
    NETRESET = 39 (NETRESET);
    NETUNREACH = 40 (NETUNREACH);
    NFILE = 41 (NFILE);
    NOBUFS = 42 (NOBUFS);
    NODEV = 43 (NODEV);
    NOENT = 44 (NOENT);
    NOEXEC = 45 (NOEXEC);
    NOLCK = 46 (NOLCK);
    NOMEM = 48 (NOMEM);
    NOPROTOOPT = 50 (NOPROTOOPT);
    NOSPC = 51 (NOSPC);
    NOSYS = 52 (NOSYS);
    NOTCONN = 53 (NOTCONN);
    NOTDIR = 54 (NOTDIR);
    NOTEMPTY = 55 (NOTEMPTY);
    NOTRECOVERABLE = 56 (NOTRECOVERABLE);
    NOTSOCK = 57 (NOTSOCK);
    NOTSUP = 58 (NOTSUP OPNOTSUPP);
    NOTTY = 59 (NOTTY);
    NXIO = 60 (NXIO);
    OVERFLOW = 61 (OVERFLOW);
    OWNERDEAD = 62 (OWNERDEAD);
    PERM = 63 (PERM);
    PIPE = 64 (PIPE);
    PROTO = 65 (PROTO);
    PROTONOSUPPORT = 66 (PROTONOSUPPORT);
    PROTOTYPE = 67 (PROTOTYPE);
    RANGE = 68 (RANGE);
    ROFS = 69 (ROFS);
    SPIPE = 70 (SPIPE);
    SRCH = 71 (SRCH);
    STALE = 72 (STALE);
    TIMEDOUT = 73 (TIMEDOUT);
    TXTBSY = 74 (TXTBSY);
    XDEV = 75 (XDEV);
    NOTCAPABLE = 76;
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        if let Some(error) = rustix::io::Errno::from_io_error(&error) {
            return error.into();
        }
        match error.kind() {
            // A path that leads out of what was granted.
            io::ErrorKind::PermissionDenied => Self::PERM,
            io::ErrorKind::InvalidInput => Self::INVAL,
            io::ErrorKind::NotFound => Self::NOENT,
            _ => Self::IO,
        }
    }
}

/// Why a call fails: with an error that the program is told, or because it must stop.
#[derive(Debug)]
pub(crate) enum Failure {
    Errno(Errno),
    Stop(wasmtime::Error),
}

/// The result of a call.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Errno(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Errno(error.into())
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stop(error)
    }
}
