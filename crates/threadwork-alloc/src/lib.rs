//! A global allocator for programs with threads: as fast on each thread as on one,
//! natively and as WebAssembly on stable Rust.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: threadwork_alloc::Allocator = threadwork_alloc::Allocator::new();
//!
//! # fn main() {
//! let words: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
//! assert_eq!(words.concat().len(), 2890);
//! # }
//! ```
//!
//! std's allocator on `wasm32-wasip1-threads` is one heap behind one lock: two threads do
//! there what one does alone. Here each thread has a heap of its own.
//!
//! # How it is made
//!
//! ```text
//!   thread A                thread B                thread C: ended
//! ┌─ Heap ──────────────┐ ┌─ Heap ──────────────┐ ┌─ Heap ──────────────┐
//! │ bins, by size class │ │                     │ │ waits for a thread  │
//! │ inbox ◄─────────────┼─┼─ frees a block of A │ │ inbox               │
//! └──┬──────────────────┘ └──┬──────────────────┘ └──┬──────────────────┘
//!    │ slabs, some hundred blocks each               │
//! ┌──▼─ Arena ───────────────▼───────────────────────▼──────────────────┐
//! │ segments of half a mebibyte, and the heaps without a thread: a lock │
//! └──┬──────────────────────────────────────────────────────────────────┘
//! ┌──▼─ backend: std's `System` ────────────────────────────────────────┐
//! │ segments, and each block over 32 KiB                                │
//! └─────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! *To allocate*, a thread takes the first block of a list of the slab that its heap uses
//! for that class of sizes. *To free*, it finds the slab by the block's address, and puts
//! the block back. Neither is an atomic operation. *To free a block of another thread*, it
//! pushes it into the inbox of the owner's heap: one compare-and-swap. The owner takes
//! them home, all at once, when it has no block ready. When a *thread ends*, its heap gives
//! back what is empty, and the next thread that begins goes on with the rest.
//!
//! Layouts tell small blocks from large ones, so no block has a header. Blocks of two
//! threads are never in one cache line: a slab is one heap's. Whatever has an alignment of up
//! to 32 KiB may come from a slab.
//!
//! # WebAssembly
//!
//! Memory never goes back to the host there, but a segment without blocks goes
//! back to the backend, where large blocks and C code find it. It is std's allocator that
//! grows the memory, and nobody else: `malloc` of wasi-libc, which it is, reads the end of
//! memory again after it has grown it, and takes for its own what another thread's
//! `memory.grow` has added in between.
//!
//! # Limits
//!
//! - A thread that sleeps for ever keeps what others free of its blocks.
//! - Large blocks cost what they cost in the backend; in wasi-libc, a lock.
//! - A block has no guard and no check: what frees twice, or writes behind its end, goes
//!   unnoticed for a while.
//!
//! # The map
//!
//! [`Allocator`] is for programs; [`Pool`] for those who have no thread-local storage, or
//! want several allocators. A module uses only those above it in this table, and none use each
//! other in a circle: the crate `floors` of the repository holds it to that.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | data | `primitive` | atomics and cells, loom's or the real ones |
//! | | `units` | how memory is divided, and where an address is |
//! | | `stats` | [`Stats`]: what an allocator weighs |
//! | | `port` | where a thread sleeps that waits for the lock |
//! | | `class` | sizes of blocks |
//! | | `block` | unused blocks: lists of one thread, and the inbox |
//! | memory | `slab` | a run of units, cut into blocks of one class |
//! | | `segment` | half a mebibyte of the backend's memory, cut into slabs |
//! | | `heap` | what one thread allocates from |
//! | | `arena` | what the heaps share, under a lock |
//! | front | `operations` | the four of `GlobalAlloc` |
//! | | `pool` | [`Pool`], [`LocalHeap`] |
//! | | `allocator` | [`Allocator`] |
//!
//! Sources of the algorithm: free lists in pages and heaps for threads from mimalloc (D.
//! Leijen, B. Zorn, L. de Moura, "Mimalloc: Free List Sharding in Action", 2019); one
//! inbox for each heap, and no other way for a block from thread to thread, from snmalloc
//! (P. Liétar et al., "snmalloc: A Message Passing Allocator", 2019); heaps that wait for
//! new threads from Hoard and ptmalloc.
//!
//! # Features
//!
//! - `std` (default): [`Allocator`]. Without it the crate is `no_std`, and needs nothing
//!   of `alloc` either.

#![no_std]

#[cfg(feature = "std")]
extern crate std;

/// The examples of the README, as tests.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(feature = "std", not(loom)))]
mod allocator;
mod arena;
mod block;
mod class;
mod heap;
mod operations;
mod pool;
mod port;
mod primitive;
mod segment;
mod slab;
mod stats;
mod units;

#[cfg(all(feature = "std", not(loom)))]
pub use allocator::Allocator;
pub use pool::{LocalHeap, Pool};
pub use stats::Stats;
