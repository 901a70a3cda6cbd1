//! The interface of `parking_lot_core` 0.9 over [`wasm_futex`], which has a futex on stable Rust
//! wherever threads are.
//!
//! A program takes it by a patch, and stays as it is:
//!
//! ```toml
//! [patch.crates-io]
//! parking_lot_core = { path = "../threadwork/compat/parking_lot_core" }
//! ```
//!
//! The original's parker for WebAssembly needs a nightly compiler; on a stable one it panics the
//! first time that a lock is contended.
//!
//! # How it is built
//!
//! | module | holds | what it proves |
//! |---|---|---|
//! | `bucket` | queues of threads, by key, under locks | what is in a queue is alive |
//! | `parking` | `park` and the calls that end it | no thread is missed, none is woken twice |
//! | `fairness` | when an unlock should hand over | |
//! | `spin` | [`SpinWait`] | |

mod bucket;
pub mod deadlock;
mod fairness;
mod parking;
mod spin;

pub use parking::{
    DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN, FilterOp, ParkResult, ParkToken, RequeueOp,
    UnparkResult, UnparkToken, park, unpark_all, unpark_filter, unpark_one, unpark_requeue,
};
pub use spin::SpinWait;
