//! Ways out of a granted directory, none of which may lead there.
//!
//! `sandbox attack [HOST]` tries each call of WASI that takes a path on each path that leads
//! out, with what it makes itself in the granted directory (descriptor 3, empty but for `outer`)
//! and, if the word `HOST` is there, with what its host has put into `outer`:
//!
//! - `absolute`, `up` and `proc`, links to an absolute path, to `../../outside` and to
//!   `/proc/self/root`; all lead to a directory with a file `secret`
//! - `fifo` and `socket`
//! - `hard`, a second name of `outside/secret`
//!
//! `sandbox race ROUNDS` reads and writes in `swapped`, which another process keeps swapping
//! for a link to a directory outside, and fails if a file says `outside`.

#[cfg(target_family = "wasm")]
mod attacks;

fn main() {
    #[cfg(target_family = "wasm")]
    attacks::run();
    #[cfg(not(target_family = "wasm"))]
    panic!("natively there is no sandbox");
}
