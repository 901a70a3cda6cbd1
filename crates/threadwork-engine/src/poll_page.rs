//! The page that a guest's code reads at its polls; taking the right to read it away stops
//! every thread that comes to one.
//!
//! Polls are put where [`threadwork_rewrite::Stopping`] says. A read of the page after
//! [`PollPage::close`] is a fault in a linear memory, which Wasmtime turns into the trap for
//! an access out of bounds. Unlike Wasmtime's epochs, this stops one process and disturbs no
//! other, and there is no moment at which a thread could miss it.
//!
//! A process has one page; each worker of a runtime has one of its own, so that one
//! task can be stopped.
//!
//! Invariant: once closed, a page stays closed until all code that reads it has stopped.

use rustix::mm::MprotectFlags;
use wasmtime::{Engine, MemoryTypeBuilder, Result, SharedMemory};

/// See the module's documentation.
pub(crate) struct PollPage(SharedMemory);

impl PollPage {
    pub(crate) fn new(engine: &Engine) -> Result<Self> {
        let ty = MemoryTypeBuilder::default()
            .shared(true)
            .min(1)
            .max(Some(1))
            .build()?;
        SharedMemory::new(engine, ty).map(Self)
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.0
    }

    /// Stops all threads that read the page from now on. Without this right of the
    /// system's, which nothing should take away, they would run on.
    pub(crate) fn close(&self) {
        self.protect(MprotectFlags::empty());
    }

    /// Takes a close back, when the code that was to stop has stopped.
    pub(crate) fn open(&self) {
        self.protect(MprotectFlags::READ | MprotectFlags::WRITE);
    }

    fn protect(&self, rights: MprotectFlags) {
        let page = self.0.data();
        let start = page.as_ptr().cast_mut().cast();
        // SAFETY: the pages belong to this memory alone, which no host code reads or
        // writes, and guest code reads it only through Wasmtime, which expects
        // faults there. Unmapping them later needs no rights.
        let done = unsafe { rustix::mm::mprotect(start, page.len(), rights) };
        debug_assert!(done.is_ok(), "{done:?}");
    }
}
