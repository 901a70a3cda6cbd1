//! Unused blocks, and the lists that they are kept in.
//!
//! A [`Block`] is the right to use a piece of memory: there is one at most for each
//! block of each slab, whoever has it may write there, and nobody else touches it. A list
//! has the blocks that are in it, and keeps its links inside of them. So handing a
//! block from list to list, and from thread to thread, is safe; only making one of the
//! pointer that a program gives back is not.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use crate::primitive::{AtomicPtr, const_fn};

/// An unused block of a slab.
#[derive(Debug)]
pub(crate) struct Block(NonNull<Link>);

/// The first word of a block in a list.
struct Link {
    next: *mut Link,
}

impl Block {
    /// # Safety
    ///
    /// `address` is that of a block of a slab, which nobody uses or has in a list.
    #[inline]
    pub(crate) unsafe fn new(address: NonNull<u8>) -> Self {
        Block(address.cast())
    }

    /// The memory, for whoever uses it from now on.
    #[inline]
    pub(crate) fn address(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Where it is.
    #[inline]
    pub(crate) fn addr(&self) -> usize {
        self.0.addr().get()
    }

    #[inline]
    fn link(self, next: *mut Link) -> *mut Link {
        let link = self.0.as_ptr();
        // SAFETY: a block is as large as a link at least, aligned to its size or more, and
        // ours alone.
        unsafe { link.write(Link { next }) };
        link
    }
}

/// Blocks of one thread, the last one first.
#[derive(Debug)]
pub(crate) struct List {
    head: Cell<*mut Link>,
}

impl List {
    pub(crate) const fn new() -> Self {
        List {
            head: Cell::new(ptr::null_mut()),
        }
    }

    #[inline]
    pub(crate) fn push(&self, block: Block) {
        self.head.set(block.link(self.head.get()));
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Block> {
        let head = NonNull::new(self.head.get())?;
        // SAFETY: it was linked when it came into this list, and is the list's alone.
        let link = unsafe { head.read() };
        self.head.set(link.next);
        Some(Block(head))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Forgets the blocks. Their memory is the slab's again.
    pub(crate) fn clear(&self) {
        self.head.set(ptr::null_mut());
    }
}

/// Blocks that other threads give back to their owner.
///
/// Who adds a block swaps the head, and the owner takes all of them at once: nobody ever
/// removes a single block, so a head that has come back is no harm (no ABA).
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicPtr<Link>,
}

impl Inbox {
    const_fn! {
        pub(crate) fn new() -> Self {
            Inbox { head: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Adds a block. Any thread may.
    pub(crate) fn push(&self, block: Block) {
        let address = block.0;
        // Ordering: Relaxed; the head is not followed here.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let link = Block(address).link(head);
            // Ordering: Release; pairs with the acquire in `take`: the owner sees the link,
            // and whatever this thread did in the block is over. What was pushed before
            // stays visible, since this is a read-modify-write.
            match self
                .head
                .compare_exchange_weak(head, link, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Whether there is something to take, or was a moment ago.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Ordering: Relaxed; only a hint.
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes all blocks.
    pub(crate) fn take(&self) -> List {
        // Ordering: Acquire; pairs with the releases in `push`.
        let head = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        List {
            head: Cell::new(head),
        }
    }
}
