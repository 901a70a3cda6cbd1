//! [`Limits`]: what a process may use of files, and what it has used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Upper bounds for one process; `None` is "no bound".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors that may be open at one time beside standard streams, preopened
    /// directories and listeners. An open beyond it fails with EMFILE.
    pub open_files: Option<u32>,
    /// Bytes that may be written to files in all, and that files may be made longer by. A
    /// call beyond it fails with EDQUOT.
    pub file_bytes: Option<u64>,
    /// Bytes that may be written to standard output and standard error together, wherever
    /// these lead. Who would write more is [ended](crate::Host::end_by).
    pub output: Option<u64>,
}

/// A bound that has been met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::open_files`]
    OpenFiles(u32),
    /// [`Limits::file_bytes`]
    FileBytes(u64),
    /// [`Limits::output`]
    Output(u64),
    /// That of a [`Sink`](crate::Sink), as it says.
    Sink(u64),
}

/// The descriptors that a guest has opened.
#[derive(Default)]
pub(crate) struct OpenFiles {
    most: Option<u32>,
    open: Arc<AtomicU32>,
}

/// One of them, as long as it lives.
pub(crate) struct OpenFile(Option<Arc<AtomicU32>>);

impl OpenFiles {
    pub(crate) fn new(most: Option<u32>) -> Self {
        Self {
            most,
            open: Arc::default(),
        }
    }

    /// One more; the limit if there may be no more.
    pub(crate) fn add(&self) -> Result<OpenFile, Limit> {
        let Some(most) = self.most else {
            return Ok(OpenFile(None));
        };
        let one_more = |open| (open < most).then(|| open + 1);
        // Ordering: Relaxed here and below: a count, which publishes nothing else.
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Limit::OpenFiles(most))?;
        Ok(OpenFile(Some(Arc::clone(&self.open))))
    }

    pub(crate) fn limit(&self) -> Option<Limit> {
        self.most.map(Limit::OpenFiles)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(open) = &self.0 {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The bytes that may still be written somewhere.
#[derive(Default)]
pub(crate) struct Budget {
    limit: Option<Limit>,
    left: AtomicU64,
}

/// Bytes that were reserved for one write.
pub(crate) struct Reserved<'a> {
    of: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// Of `most` bytes, which is the limit `of` them.
    pub(crate) fn new(most: Option<u64>, of: fn(u64) -> Limit) -> Self {
        Self {
            limit: most.map(of),
            left: AtomicU64::new(most.unwrap_or(0)),
        }
    }

    pub(crate) fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Reserves as many of `bytes` as there are; the limit if there are none.
    pub(crate) fn reserve_part(&self, bytes: u64) -> Result<Reserved<'_>, Limit> {
        self.reserve(|left| match left.min(bytes) {
            0 if bytes > 0 => None,
            part => Some(part),
        })
        .map(|part| part.unwrap_or_else(|| self.unlimited(bytes)))
    }

    /// Reserves all of `bytes`, or none.
    pub(crate) fn reserve_all(&self, bytes: u64) -> Result<Reserved<'_>, Limit> {
        self.reserve(|left| (bytes <= left).then_some(bytes))
            .map(|all| all.unwrap_or_else(|| self.unlimited(bytes)))
    }

    fn unlimited(&self, bytes: u64) -> Reserved<'_> {
        Reserved { of: self, bytes }
    }

    /// Takes `part` of what is left; `None` without a limit.
    fn reserve(&self, part: impl Fn(u64) -> Option<u64>) -> Result<Option<Reserved<'_>>, Limit> {
        let Some(limit) = self.limit else {
            return Ok(None);
        };
        let mut taken = 0;
        let rest = |left: u64| {
            taken = part(left)?;
            Some(left - taken)
        };
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest)
            .map_err(|_| limit)?;
        Ok(Some(Reserved {
            of: self,
            bytes: taken,
        }))
    }
}

impl Reserved<'_> {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many of them were used; the others are given back.
    pub(crate) fn use_up(mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.of.limit.is_some() {
            self.of.left.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_is_given_back() {
        let bytes = Budget::new(Some(10), Limit::FileBytes);
        bytes.reserve_part(4).unwrap().use_up(1);
        let nine = bytes.reserve_part(100).unwrap();
        assert_eq!(nine.bytes(), 9);
        assert_eq!(bytes.reserve_part(1).err(), Some(Limit::FileBytes(10)));
        assert!(bytes.reserve_part(0).is_ok());
        drop(nine);
        assert!(bytes.reserve_all(10).is_err());
        bytes.reserve_all(9).unwrap().use_up(9);
        assert!(bytes.reserve_all(1).is_err());
        assert_eq!(
            Budget::new(None, Limit::FileBytes)
                .reserve_part(7)
                .unwrap()
                .bytes(),
            7
        );
    }

    #[test]
    fn files_are_counted_while_they_live() {
        let files = OpenFiles::new(Some(2));
        let (one, _two) = (files.add().unwrap(), files.add().unwrap());
        assert_eq!(files.add().err(), Some(Limit::OpenFiles(2)));
        drop(one);
        assert!(files.add().is_ok());
    }
}
