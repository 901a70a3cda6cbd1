//! The program whose global allocator is Threadwork's.

use std::process::ExitCode;

use threadwork_alloc::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

fn main() -> ExitCode {
    threadwork_alloc_workloads::main("threadwork")
}
