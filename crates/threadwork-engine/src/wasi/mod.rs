//! WASI preview 1 of a process: `threadwork-wasi`, with the engine's limits, the embedder's
//! ends of the standard streams, and errors for what cannot be granted.
//!
//! | module | holds |
//! |---|---|
//! | `stdio` | where the standard streams lead, and the embedder's ends |
//! | `grants` | what a process is allowed to see |

mod grants;
mod stdio;

pub(crate) use grants::{Dir, Grants};
pub(crate) use stdio::{HostEnds, Kept, Streams};
pub use stdio::{Output, OutputCallback, Reader, Stdin};
