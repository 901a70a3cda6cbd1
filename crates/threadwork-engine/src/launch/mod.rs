//! Processes as an embedder makes, holds and ends them.
//!
//! | module | holds |
//! |---|---|
//! | `calls` | calls of a reactor's exports |
//! | `main_thread` | runs `_start`, or `_initialize` and then calls |
//! | `imports` | resolves the imports of a process's module |
//! | `exited` | [`Exited`]: the end of a process as a future |
//! | `handle` | [`Process`] and [`Killer`] |
//! | `builder` | [`ProcessBuilder`] |

mod builder;
mod calls;
mod exited;
mod handle;
mod imports;
mod main_thread;

pub use builder::ProcessBuilder;
pub(crate) use builder::{Prepared, Shape};
pub use calls::CallError;
pub use exited::Exited;
pub use handle::{Killer, Process};
