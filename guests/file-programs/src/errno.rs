//! The names of errors: their numbers differ between systems.

macro_rules! names {
    ($($name:ident)*) => {
        /// The name of an error.
        pub(crate) fn name(errno: i32) -> String {
            match errno {
                $(libc::$name => stringify!($name).to_owned(),)*
                other => format!("error {other}"),
            }
        }
    };
}

names! {
    EACCES EAGAIN EBADF EBUSY EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EIO EISDIR ELOOP EMFILE
    EMLINK ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOSYS ENOTDIR ENOTEMPTY ENOTSUP
    EOVERFLOW EPERM EPIPE EROFS ESPIPE ESTALE ETXTBSY EXDEV ENXIO
}

/// The error of the last call.
pub(crate) fn last() -> String {
    name(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}
