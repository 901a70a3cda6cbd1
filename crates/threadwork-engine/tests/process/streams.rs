//! Standard streams that lead to what embedders have: files, descriptors, readers, functions;
//! and how much may be written to them.

use crate::support::{Watch, exceeded, guest, on_stage, plot, run, start, trap};
use crate::wasi::echo;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use threadwork_engine::{ExitStatus, Limit, Limits, Output, ProcessBuilder, Stdin};

fn some_bytes() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| ((n * 7) >> 3) as u8).collect()
}

#[test]
fn files_and_pipes_are_read_and_written() {
    let data = some_bytes();
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(&data).unwrap();
    input.seek(SeekFrom::Start(0)).unwrap();
    let mut output = tempfile::tempfile().unwrap();
    let (builder, _stage) = on_stage(&echo());
    let status = run(builder.stdin(input).stdout(output.try_clone().unwrap()));
    assert!(status.success(), "{status}");
    let mut written = Vec::new();
    output.seek(SeekFrom::Start(0)).unwrap();
    output.read_to_end(&mut written).unwrap();
    assert!(written == data);

    let (mut reader, writer) = std::io::pipe().unwrap();
    let (builder, _stage) = on_stage(&echo());
    let process = start(
        builder
            .stdin(Stdin::Bytes(b"hello".to_vec()))
            .stdout(writer),
    );
    let mut text = String::new();
    // The guest's end is the only one: that it is closed is seen here.
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert!(process.wait().success());
}

#[test]
fn a_reader_is_read_to_its_end() {
    let data = some_bytes();
    let (builder, _stage) = on_stage(&echo());
    let reader = std::io::Cursor::new(data.clone());
    let process = start(builder.stdin(Stdin::reader(reader)).stdout(Output::Buffer));
    assert!(process.wait().success());
    assert!(process.stdout_buffer() == data);
}

/// A reader that fails, or lies, is at its end; one that never returns keeps nobody else.
#[test]
fn a_reader_that_fails_is_at_its_end() {
    struct Odd(u32);
    impl Read for Odd {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                2 => (&mut *buffer).write(b"one"),
                3 => Err(std::io::Error::other("no more")),
                _ => Ok(buffer.len() + 1),
            }
        }
    }
    for (reader, expected) in [(Odd(0), &b"one"[..]), (Odd(3), b"")] {
        let (builder, _stage) = on_stage(&echo());
        let process = start(builder.stdin(Stdin::reader(reader)).stdout(Output::Buffer));
        assert!(process.wait().success());
        assert_eq!(process.stdout_buffer(), expected);
    }
}

#[test]
fn a_reader_that_does_not_return_holds_nobody_up() {
    struct Never(std::sync::mpsc::Receiver<()>);
    impl Read for Never {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(0)
        }
    }
    let (sender, receiver) = channel();
    let (builder, _stage) = on_stage(&echo());
    let process = start(builder.stdin(Stdin::reader(Never(receiver))));
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    drop(sender);
}

#[test]
fn a_function_is_given_all_that_is_written() {
    let data = some_bytes();
    let (builder, _stage) = on_stage(&echo());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let take = Arc::clone(&taken);
    let stdout = Output::callback(move |bytes| take.lock().unwrap().extend_from_slice(bytes));
    assert!(run(builder.stdin(Stdin::Bytes(data.clone())).stdout(stdout)).success());
    assert!(*taken.lock().unwrap() == data);
}

#[test]
fn a_function_that_panics_ends_its_process_and_no_more() {
    let (builder, _stage) = on_stage(&echo());
    let stdout = Output::callback(|_| std::panic::resume_unwind(Box::new("no paper")));
    let status = run(builder.stdin(Stdin::Bytes(b"x".to_vec())).stdout(stdout));
    assert!(trap(status).reason.contains("no paper"));
}

/// It is called by the thread that writes: a kill waits for it.
#[test]
fn a_function_that_blocks_holds_its_own_process_only() {
    let (builder, _stage) = on_stage(&echo());
    let (entered, inside) = channel();
    let (leave, left) = channel::<()>();
    let stdout = Output::callback(move |_| {
        let _ = entered.send(());
        let _ = left.recv();
    });
    let process = start(builder.stdin(Stdin::Bytes(b"x".to_vec())).stdout(stdout));
    inside.recv().unwrap();
    process.kill();
    assert!(process.try_wait().is_none());
    let (builder, _stage) = on_stage(&echo());
    assert!(run(builder).success());
    drop(leave);
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
}

// ---- How much ----

const TALK: &str = r#"
    (func (export "wasi_thread_start") (param i32 i32))
    (func $put (param $fd i32)
      (if (call $fd_write (local.get $fd) (i32.const 192) (i32.const 1) (i32.const 200))
        (then unreachable))
      (call $say (i32.load (i32.const 200))))"#;

#[test]
fn what_is_within_the_limit_is_written_and_then_the_process_ends() {
    let module = plot(&format!(
        r#"{TALK} (func (export "_start")
             (call $put (i32.const 1)) (call $put (i32.const 2)) (call $put (i32.const 1)))"#
    ));
    for (limit, ends, heard) in [
        (12_288, false, vec![4096, 4096, 4096]),
        (12_287, true, vec![4096, 4096]),
        (8192, true, vec![4096, 4096]),
        (5000, true, vec![4096]),
        (0, true, vec![]),
    ] {
        let (builder, stage) = on_stage(&module);
        let builder = builder.stdout(Output::Buffer).stderr(Output::Buffer);
        let process = start(builder.limits(Limits::default().output(limit)));
        let status = process.wait();
        assert_eq!(stage.heard(), heard);
        let written = process.stdout_buffer().len() + process.stderr_buffer().len();
        assert_eq!(written as u64, limit);
        match ends {
            false => assert!(status.success()),
            true => {
                assert_eq!(status.code(), 123);
                let expected = format!("the limit of {limit} bytes of output was reached");
                assert_eq!(status.to_string(), expected);
                assert_eq!(exceeded(status).limit, Limit::Output(limit));
            }
        }
    }
}

/// Wherever the stream leads, by whichever number and call.
#[test]
fn no_way_leads_around_the_limit() {
    let module = plot(&format!(
        r#"{TALK} (func (export "_start") (local $error i32)
             ;; To a file it may be written by position, and the number may be another.
             (if (call $fd_renumber (i32.const 1) (i32.const 2)) (then unreachable))
             (local.set $error (call $fd_pwrite (i32.const 2) (i32.const 192) (i32.const 1)
               (i64.const 0) (i32.const 200)))
             (call $say (local.get $error))
             (loop (call $put (i32.const 2)) (br 0)))"#
    ));
    let file = tempfile::NamedTempFile::new().unwrap();
    let to_file = || Output::from(File::options().write(true).open(file.path()).unwrap());
    let outputs: [&dyn Fn() -> Output; 4] = [
        &|| Output::Null,
        &|| Output::Buffer,
        &|| Output::callback(|_| ()),
        &to_file,
    ];
    for output in outputs {
        let (builder, _stage) = on_stage(&module);
        let limits = Limits::default().output(100_000);
        let status = run(builder.stdout(output()).limits(limits));
        assert_eq!(exceeded(status).limit, Limit::Output(100_000));
    }
    let length = std::fs::metadata(file.path()).unwrap().len();
    assert!(length <= 100_000, "{length}");
}

#[test]
fn threads_share_the_limit_of_output() {
    let _watch = Watch::start();
    let module = plot(
        r#"(func $flood (loop
             (drop (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200)))
             (br 0)))
           (func (export "wasi_thread_start") (param i32 i32) (call $flood))
           (func (export "_start")
             (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0)))
             (call $flood))"#,
    );
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let stdout = Output::callback(move |bytes| {
        counted.fetch_add(u32::try_from(bytes.len()).unwrap(), Ordering::Relaxed);
    });
    let (builder, _stage) = on_stage(&module);
    let status = run(builder
        .stdout(stdout)
        .limits(Limits::default().output(1_000_003)));
    assert_eq!(exceeded(status).limit, Limit::Output(1_000_003));
    assert!(count.load(Ordering::Relaxed) <= 1_000_003);
}

// ---- What was said last ----

#[test]
fn a_panic_is_told_with_the_status() {
    let process = ProcessBuilder::new(&guest("endings")).args(["thread", "panic", "wait"]);
    let panic = trap(run(process)).panic.unwrap();
    assert_eq!(panic.message, "told to panic");
    assert!(panic.location.contains("endings") && panic.location.contains(".rs:"));
    assert_eq!(panic.thread, "<unnamed>");
    let process = ProcessBuilder::new(&guest("endings")).args(["thread", "trap", "wait"]);
    assert_eq!(trap(run(process)).panic, None);
}

#[test]
fn a_process_that_writes_a_lot_to_standard_error_keeps_little() {
    let module = plot(&format!(
        r#"{TALK} (func (export "_start") (local $n i32)
             (loop
               (call $put (i32.const 2))
               (br_if 0 (i32.lt_u
                 (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
             unreachable)"#
    ));
    let (builder, _stage) = on_stage(&module);
    assert_eq!(trap(run(builder)).panic, None);
}
