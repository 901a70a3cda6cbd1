//! A host program that has no file descriptor left: what runs goes on, what starts is
//! refused.

use crate::support::{Watch, plot};
use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use threadwork_engine::{Error, Output, ProcessBuilder, Stdin};

/// Runs the other test by itself, with few descriptors.
#[test]
fn processes_that_run_need_no_new_descriptors() {
    let script = "ulimit -n 64 && exec \"$0\" --exact --ignored --nocapture \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg("descriptors::until_one_is_refused")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn until_one_is_refused() {
    let _watch = Watch::start();
    // Polls its input, reads it, writes it, until the end.
    let module = plot(
        r#"(data (i32.const 600) "\00\10\00\00")
           (data (i32.const 648) "\01")
           (func (export "wasi_thread_start") (param i32 i32))
           (func (export "_start")
             (loop
               (if (call $poll (i32.const 640) (i32.const 704) (i32.const 1) (i32.const 760))
                 (then unreachable))
               (if (call $fd_read (i32.const 0) (i32.const 192) (i32.const 1) (i32.const 200))
                 (then unreachable))
               (i32.store (i32.const 604) (i32.load (i32.const 200)))
               (if (call $fd_write (i32.const 1) (i32.const 600) (i32.const 1) (i32.const 200))
                 (then unreachable))
               (br_if 0 (i32.load (i32.const 604)))))"#,
    );
    let builder = || {
        let (builder, _stage) = crate::support::on_stage(&module);
        builder.stdin(Stdin::Pipe).stdout(Output::Pipe)
    };
    let mut running = Vec::new();
    let refused = loop {
        match ProcessBuilder::spawn(builder()) {
            Ok(process) => {
                let input = process.take_stdin().unwrap();
                let output = process.take_stdout().unwrap();
                running.push((process, input, output));
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::System { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("Too many open files"),
        "{refused}"
    );
    assert!(running.len() > 3);
    // The refused one has given some back.
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    for _ in 0..3 {
        for (process, input, output) in &mut running {
            input.write_all(b"hello").unwrap();
            let mut echo = [0; 5];
            output
                .read_exact(&mut echo)
                .unwrap_or_else(|_| panic!("{}", process.wait()));
            assert_eq!(&echo, b"hello");
        }
    }
    for (process, input, _output) in running {
        drop(input);
        let status = process.wait();
        assert!(status.success(), "{status}");
    }
}
