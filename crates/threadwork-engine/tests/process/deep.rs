//! Threads that are deep in a recursion end as cheaply as others: nobody visits their frames
//! one by one, and collects them.

use crate::holdings::alone;
use crate::support::{Watch, until};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use threadwork_engine::{Engine, ExitStatus, Module, Process, ProcessBuilder, Stopping};

/// Threads that recurse.
const THREADS: u32 = 8;

/// How a program ends.
struct End {
    /// What a thread does when all have come to the bottom of their stacks, where there are
    /// 250,000 frames above them.
    at_the_bottom: &'static str,
    /// What the host does then.
    host: fn(&Process),
    expected: fn(&ExitStatus) -> bool,
}

const ENDS: [End; 4] = [
    End {
        at_the_bottom: "(loop (br 0))",
        host: |process| process.kill(),
        expected: |status| matches!(status, ExitStatus::Killed { .. }),
    },
    End {
        at_the_bottom: "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))",
        host: |process| process.kill(),
        expected: |status| matches!(status, ExitStatus::Killed { .. }),
    },
    End {
        at_the_bottom: "(if (local.get 0) (then (call $exit (i32.const 7))) (else (loop (br 0))))",
        host: |_| (),
        expected: |status| matches!(status, ExitStatus::Exited(7)),
    },
    End {
        at_the_bottom: "(if (local.get 0) (then (unreachable)) (else (loop (br 0))))",
        host: |_| (),
        expected: |status| match status {
            ExitStatus::Trapped(trap) => trap.backtrace.frames().len() == 20,
            _ => false,
        },
    },
];

fn text(at_the_bottom: &str) -> String {
    format!(
        r#"(module
             (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
             (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
             (import "host" "bottom" (func $bottom (result i32)))
             (import "env" "memory" (memory 1 1 shared))
             (func $deep (param i32) (result i32)
               (if (i32.eqz (local.get 0))
                 (then (local.set 0 (call $bottom)) {at_the_bottom}))
               (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
             (func (export "wasi_thread_start") (param i32 i32)
               (drop (call $deep (i32.const 250000))))
             (func (export "_start") (local $n i32)
               (loop $more
                 (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
                 (local.set $n (i32.add (local.get $n) (i32.const 1)))
                 (br_if $more (i32.lt_u (local.get $n) (i32.const {THREADS}))))
               (loop (br 0))))"#
    )
}

/// A line of what the system says of this program's memory, in KiB.
fn memory(line: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

#[test]
fn threads_that_are_deep_in_a_recursion_end_without_a_visit_to_their_frames() {
    alone("deep::ends");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn ends() {
    for stopping in [Stopping::default(), Stopping::Poll] {
        let engine = Engine::builder().stopping(stopping).build().unwrap();
        for End {
            at_the_bottom,
            host,
            expected,
        } in ENDS
        {
            let _watch = Watch::start();
            let module = Module::new(&engine, text(at_the_bottom).as_bytes()).unwrap();
            let (arrived, resident) = (AtomicU32::new(0), Arc::new(AtomicUsize::new(0)));
            let before = Arc::clone(&resident);
            let bottom = move || {
                if arrived.fetch_add(1, Ordering::SeqCst) + 1 < THREADS {
                    return 0;
                }
                // The largest that it has been is what it is, from now on.
                fs::write("/proc/self/clear_refs", "5").unwrap();
                before.store(memory("VmRSS:"), Ordering::SeqCst);
                1
            };
            let process = ProcessBuilder::new(&module).linker(|linker| {
                linker.func_wrap("host", "bottom", bottom)?;
                Ok(())
            });
            let process = process.spawn().unwrap();
            until(|| resident.load(Ordering::SeqCst) > 0);
            host(&process);
            let status = process.wait();
            assert!(expected(&status), "{at_the_bottom}: {status}");
            let before = resident.load(Ordering::SeqCst);
            let most = memory("VmHWM:");
            println!("{stopping:?}, {at_the_bottom}: {before} KiB, {most} at most");
            // The frames of one thread are 4 MB, collected 8.
            assert!(most < before + 2048, "{stopping:?}, {at_the_bottom}");
        }
    }
}
