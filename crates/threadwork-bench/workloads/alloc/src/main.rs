//! The program whose global allocator is std's.

use std::process::ExitCode;

fn main() -> ExitCode {
    threadwork_alloc_workloads::main("std")
}
