//! WASI preview 1 for programs with threads, on Wasmtime.
//!
//! One [`Wasi`] is the files, streams, sockets and clocks of a process; any number of
//! threads, each with a store of its own, use it at the same time. No thread waits for
//! another but where one of them reads or writes the very same thing: there is no lock of
//! all files, positions are those that the system keeps, and bytes go straight from the
//! system to the guest's memory and back. A call that waits (for input, for a connection,
//! for time to pass) ends when the process does, whatever it waits for.
//!
//! Paths are resolved by [`cap_primitives`], below the directories that were granted and
//! nowhere else: `..`, links and renames lead nobody out.
//!
//! What is not like other implementations of preview 1:
//!
//! - Errors are those that Linux gives, where preview 1 has a number for them.
//! - Pointers need not be aligned; one that leads out of the memory is EFAULT.
//! - A new descriptor is the lowest that is free.
//! - Rights can be given up ([`fd_fdstat_set_rights`]) and are gone then; what a file may be
//!   used for is said by how it was opened.
//! - Opening a FIFO for reading does not wait for a writer; the first read does, and whoever
//!   opens one for writing waits for a reader.
//!
//! It is tested on Linux. It needs a Unix; Windows has no such descriptors.
//!
//! [`fd_fdstat_set_rights`]: https://github.com/WebAssembly/WASI
//!
//! ```
//! use std::time::Duration;
//! use threadwork_wasi::{Host, Input, Wasi, WasiBuilder, add_to_linker};
//! use wasmtime::{Engine, Linker, Module, SharedMemory, Store};
//!
//! /// What the stores of a process hold: here, of a program with one thread.
//! struct Process(Wasi);
//!
//! impl Host for Process {
//!     fn wasi(&self) -> &Wasi {
//!         &self.0
//!     }
//!     fn check_running(&self) -> wasmtime::Result<()> {
//!         Ok(())
//!     }
//!     fn shared_memory(&self) -> Option<&SharedMemory> {
//!         None
//!     }
//!     fn process_cpu_time(&self) -> Duration {
//!         Duration::ZERO
//!     }
//!     fn thread_cpu_time(&self) -> Duration {
//!         Duration::ZERO
//!     }
//! }
//!
//! # fn main() -> wasmtime::Result<()> {
//! let engine = Engine::default();
//! let module = Module::new(&engine, wat::parse_str(r#"
//!     (module
//!       (import "wasi_snapshot_preview1" "fd_read"
//!         (func $read (param i32 i32 i32 i32) (result i32)))
//!       (memory (export "memory") 1)
//!       (data (i32.const 0) "\40\00\00\00\10\00\00\00")
//!       (func (export "length") (result i32)
//!         (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
//!         (i32.load (i32.const 8))))
//! "#)?)?;
//! let mut linker = Linker::new(&engine);
//! add_to_linker(&mut linker)?;
//! let wasi = WasiBuilder::new().stdin(Input::Bytes(b"hello".to_vec())).build()?;
//! let mut store = Store::new(&engine, Process(wasi));
//! let instance = linker.instantiate(&mut store, &module)?;
//! let length = instance.get_typed_func::<(), u32>(&mut store, "length")?;
//! assert_eq!(length.call(&mut store, ())?, 5);
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! From the ground up; each module uses those of the rows before its own.
//!
//! | floor | module | holds |
//! |---|---|---|
//! | words | `errno` | what calls return, and what the system's errors are called there |
//! | | `abi` | numbers and records of preview 1 |
//! | memory | `memory` | the guest's bytes, without a reference to them |
//! | | `vectors` | the buffers of a call, and the system calls that use them where they are |
//! | things | `limits` | what a process may use, and has used |
//! | | `streams` | where standard streams lead |
//! | | `listing` | the entries of an open directory |
//! | | `below` | paths below an open directory |
//! | | `table` | what the numbers of descriptors stand for |
//! | process | `wasi`, `host`, `ending`, `channel`, `descriptor` | [`Wasi`]; [`Host`]; waiting; reading and writing; what a number stands for |
//! | calls | `calls` | the 46 functions |
//! | | `linker` | [`add_to_linker`] |

#![deny(missing_docs)]

mod abi;
mod below;
mod calls;
mod channel;
mod descriptor;
mod ending;
mod errno;
mod host;
mod limits;
mod linker;
mod listing;
mod memory;
mod streams;
mod table;
mod vectors;
mod wasi;

pub use host::Host;
pub use limits::{Limit, Limits};
pub use linker::add_to_linker;
pub use streams::{Input, Output, Sink};
pub use wasi::{BuildError, Wasi, WasiBuilder};

/// `proc_exit`, on its way out of the guest: what [`Host::exit`] makes unless it is told
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the program exits with code {0}")]
pub struct Exit(
    /// The code.
    pub i32,
);
