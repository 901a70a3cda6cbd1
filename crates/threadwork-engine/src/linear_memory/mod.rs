//! Linear memories, without the programs that use them.
//!
//! | module | holds |
//! |---|---|
//! | `words` | a shared memory, and atomic access to its words |
//! | `operation` | atomic operations as data |
//! | `allocator` | what is free of the host's own pages in a memory |
//! | `totals` | what a process has of its host's memory, and the limit of that |
//! | `arena` | the memories of a process, and where all sleep who wait for their words |

mod allocator;
mod arena;
mod operation;
mod totals;
mod words;

pub(crate) use allocator::GRAIN;
pub(crate) use arena::{Arena, Closed, NoRoom, NotGrown, Owner, Presence};
pub(crate) use operation::{Code, Operation, Width};
pub(crate) use totals::{Reserved, Totals};
pub use words::{Integer, Number};
pub(crate) use words::{Memory, Rmw, Shareable, sealed};
