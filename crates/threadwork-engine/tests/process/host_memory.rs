//! The host's objects in the memory of a program that allocates: neither overwrites what is
//! the other's.

use crate::support::{engine, guest, read_line, run, start, text};
use std::alloc::Layout;
use threadwork_engine::{Error, Limits, MemoryError, Module, Output, ProcessBuilder, Stdin};

const SIZE: usize = 8192;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).unwrap()
}

/// Four threads of the guest allocate while the host makes 6,000 objects.
#[test]
fn the_host_allocates_while_the_guest_does() {
    let builder = ProcessBuilder::new(&guest("heap"))
        .host_memory(6000 * SIZE as u64)
        .stdin(Stdin::Pipe)
        .stdout(Output::Pipe)
        .stderr(Output::Inherit);
    let process = start(builder);
    let (stdin, mut stdout) = (process.take_stdin(), process.take_stdout().unwrap());
    assert_eq!(read_line(&mut stdout), "ready\n");
    let memory = process.memory().unwrap();
    let object = |number: usize| {
        let object = memory.allocate(layout(SIZE)).unwrap();
        let byte = (number % 255) as u8 + 1;
        memory.fill(object.offset(), SIZE as u64, byte).unwrap();
        (object, byte)
    };
    let objects: Vec<_> = (0..6000).map(object).collect();
    drop(stdin);
    let status = process.wait();
    assert!(status.success(), "{status}");
    let mut bytes = vec![0; SIZE];
    for (object, byte) in &objects {
        memory.read_bytes(object.offset(), &mut bytes).unwrap();
        assert!(bytes.iter().all(|found| found == byte));
    }
}

/// It would have to grow the memory between two growths of the guest's.
#[test]
fn without_a_reserve_it_is_told_so() {
    let builder = ProcessBuilder::new(&guest("heap")).stdin(Stdin::Pipe);
    let process = start(builder);
    let memory = process.memory().unwrap();
    let error = memory.allocate(layout(64)).unwrap_err();
    let (size, reserved) = (64, 0);
    assert_eq!(error, MemoryError::Reserved { size, reserved });
    assert!(error.to_string().contains("ProcessBuilder::host_memory"));
    process.kill();
}

const GROWS: &str = r#"(func (export "_start") (drop (memory.grow (i32.const 1)))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 3600000000000))))"#;

#[test]
fn the_reserve_is_beyond_what_the_module_declares() {
    let module = text(&format!(r#"(module (memory 2 20 shared) {GROWS})"#));
    let process = start(ProcessBuilder::new(&module).host_memory(3 * 65_536 - 1));
    let memory = process.memory().unwrap();
    let object = memory.allocate(layout(3 * 65_536)).unwrap();
    assert_eq!(object.offset(), 2 * 65_536);
    let error = memory.allocate(layout(16)).unwrap_err();
    let (size, reserved) = (16, 3 * 65_536);
    assert_eq!(error, MemoryError::Reserved { size, reserved });
    drop(object);
    assert!(memory.allocate(layout(16)).is_ok());
    process.kill();
}

/// Nothing of the guest's makes it larger, so nothing is taken for its own.
#[test]
fn a_memory_that_no_guest_grows_grows_for_the_host() {
    let module = text(
        r#"(module (memory 1 3 shared) (func (export "_start")
             (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 3600000000000)))))"#,
    );
    let process = start(ProcessBuilder::new(&module));
    let memory = process.memory().unwrap();
    let object = memory.allocate(layout(2 * 65_536)).unwrap();
    assert_eq!(object.offset(), 65_536);
    let full = memory.allocate(layout(16)).unwrap_err();
    assert!(matches!(full, MemoryError::Full { .. }), "{full}");
    process.kill();
}

#[test]
fn a_reserve_that_there_is_no_room_for() {
    let refused = |builder: ProcessBuilder| match builder.spawn().map(drop) {
        Err(error @ Error::Memory { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let module = text(&format!(r#"(module (memory 2 4 shared) {GROWS})"#));
    let message = refused(ProcessBuilder::new(&module).host_memory(3 * 65_536));
    assert!(message.contains("ProcessBuilder::host_memory"), "{message}");
    let limited = Limits::default().memory(3 * 65_536);
    refused(
        ProcessBuilder::new(&module)
            .limits(limited)
            .host_memory(2 * 65_536),
    );

    // Without a shared memory there is nothing to reserve.
    let none = Module::new(engine(), br#"(module (func (export "_start")))"#).unwrap();
    assert!(run(ProcessBuilder::new(&none).host_memory(1 << 20)).success());
}
