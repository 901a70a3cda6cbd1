//! [`Mapped`]: the contents of a file, as the system keeps them in memory, without a copy.
//!
//! Invariant: the mapping is private and for reading only, and lives as long as the slice.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// See the module's documentation.
pub(crate) struct Mapped(imp::Mapping);

impl Mapped {
    /// Maps a file, or reads it where that cannot be.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    ///
    /// # Safety
    ///
    /// Nobody may change the file, or make it shorter, while it is mapped; it may be removed.
    pub(crate) unsafe fn open(path: &Path) -> std::io::Result<Self> {
        // SAFETY: as our own.
        unsafe { imp::Mapping::open(path) }.map(Self)
    }

    /// The file itself, if it is mapped.
    pub(crate) fn file(&self) -> Option<File> {
        self.0.file()
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

#[cfg(unix)]
mod imp {
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    use std::fs::File;
    use std::path::Path;
    use std::ptr::{NonNull, null_mut};

    pub(super) struct Mapping {
        file: File,
        /// `None` of an empty file, which cannot be mapped.
        start: Option<NonNull<u8>>,
        length: usize,
    }

    // SAFETY: it is memory that nobody writes, and no thread's in particular.
    unsafe impl Send for Mapping {}
    // SAFETY: as above.
    unsafe impl Sync for Mapping {}

    impl Mapping {
        /// See [`super::Mapped::open`].
        pub(super) unsafe fn open(path: &Path) -> std::io::Result<Self> {
            let file = File::open(path)?;
            let length = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
            let start = match length {
                0 => None,
                // SAFETY: a new mapping, at a place that the system chooses.
                _ => NonNull::new(
                    unsafe {
                        mmap(
                            null_mut(),
                            length,
                            ProtFlags::READ,
                            MapFlags::PRIVATE,
                            &file,
                            0,
                        )?
                    }
                    .cast(),
                ),
            };
            Ok(Self {
                file,
                start,
                length,
            })
        }

        pub(super) fn bytes(&self) -> &[u8] {
            match self.start {
                // SAFETY: the mapping has so many bytes, can be read, and is ours until we are
                // dropped; who opened it promises that they do not change.
                Some(start) => unsafe { std::slice::from_raw_parts(start.as_ptr(), self.length) },
                None => &[],
            }
        }

        pub(super) fn file(&self) -> Option<File> {
            self.file.try_clone().ok()
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            if let Some(start) = self.start {
                // SAFETY: the mapping is ours alone, and no slice of it outlives us.
                let _ = unsafe { munmap(start.as_ptr().cast(), self.length) };
            }
        }
    }
}

#[cfg(not(unix))]
mod imp {
    use std::fs::File;
    use std::path::Path;

    pub(super) struct Mapping(Vec<u8>);

    impl Mapping {
        /// See [`super::Mapped::open`]; this one only reads.
        pub(super) unsafe fn open(path: &Path) -> std::io::Result<Self> {
            std::fs::read(path).map(Self)
        }

        pub(super) fn bytes(&self) -> &[u8] {
            &self.0
        }

        pub(super) fn file(&self) -> Option<File> {
            None
        }
    }
}
