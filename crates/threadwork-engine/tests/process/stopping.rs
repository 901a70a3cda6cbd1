//! Threads that compute are stopped, wherever in the guest's code they are, by a signal and
//! by polls; the program around them does not notice.

use crate::holdings::alone;
use crate::support::{Watch, until};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use threadwork_engine::{Engine, ExitStatus, Killer, Limits, Module, ProcessBuilder, Stopping};

/// Loops that never end and never call the host.
const ENDLESS: [(&str, &str); 11] = [
    ("an empty loop", "(loop (br 0))"),
    (
        "nested loops, whose inner one a compiler can leave without a look",
        "(loop (loop (br 0)))",
    ),
    (
        "three, with a load that can be taken out of them",
        "(loop (loop (loop (drop (i32.load (i32.const 0))) (br 0))))",
    ),
    (
        "a table of branches",
        "(loop (loop (br_table 0 1 0 (i32.and (i32.const 1) (global.get $n)))))",
    ),
    (
        "atomics",
        "(loop (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) (br 0))",
    ),
    ("calls", "(loop (call $leaf) (br 0))"),
    (
        "deep recursion",
        "(loop (drop (call $deep (i32.const 10000))) (br 0))",
    ),
    ("tail calls", "(return_call $tail (i32.const 1))"),
    (
        "exceptions, which the library throws",
        "(loop (block $h (try_table (catch_all $h) (call $throw (i32.const 0)))) (br 0))",
    ),
    (
        "exceptions that are thrown again, from deep in the stack",
        "(loop (block $h (try_table (catch_all $h)
           (throw_ref (block $r (result exnref)
             (try_table (catch_all_ref $r) (call $throw (i32.const 1000))) (unreachable)))))
         (br 0))",
    ),
    (
        "tail calls that move their frame, since they pass more than they got",
        "(return_call $few)",
    ),
];

/// Operators that are calls of the engine's library, in no loop.
fn bulk() -> String {
    "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x10000000))".repeat(2000)
}

fn text(body: &str) -> String {
    let more = "(local.get 0) ".repeat(20);
    let parameters = "i64 ".repeat(20);
    format!(
        r#"(module
             (import "host" "begun" (func $begun))
             (memory 4096)
             (global $n (mut i32) (i32.const 1))
             (tag $exception)
             (func $throw (param i32)
               (if (local.get 0) (then (call $throw (i32.sub (local.get 0) (i32.const 1)))))
               (throw $exception))
             (func $leaf (global.set $n (i32.xor (i32.const 1) (global.get $n))))
             (func $deep (param i32) (result i32)
               (if (result i32) (i32.eqz (local.get 0))
                 (then (i32.const 0))
                 (else (i32.add (i32.const 1)
                   (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
             (func $tail (param i32) (return_call $tail (i32.add (local.get 0) (i32.const 1))))
             (func $few (local i64) (return_call $many {more}))
             (func $many (param {parameters}) (return_call $few))
             (func (export "_start") (call $begun) {body}))"#
    )
}

fn builder(engine: &Engine, body: &str) -> (ProcessBuilder, std::sync::Arc<AtomicU32>) {
    let module = Module::new(engine, text(body).as_bytes()).unwrap();
    let begun = std::sync::Arc::new(AtomicU32::new(0));
    let count = std::sync::Arc::clone(&begun);
    let builder = ProcessBuilder::new(&module).linker(move |linker| {
        linker.func_wrap("host", "begun", move || {
            count.fetch_add(1, Ordering::SeqCst);
        })?;
        Ok(())
    });
    (builder, begun)
}

fn engine(stopping: Stopping) -> Engine {
    Engine::builder().stopping(stopping).build().unwrap()
}

fn each_way(check: impl Fn(&Engine)) {
    for stopping in [Stopping::default(), Stopping::Poll] {
        println!("{stopping:?}");
        check(&engine(stopping));
    }
}

#[test]
fn a_kill_ends_every_loop() {
    each_way(|engine| {
        for (name, body) in ENDLESS {
            let _watch = Watch::start();
            println!("{name}");
            for round in 0..50_u64 {
                let (builder, begun) = builder(engine, body);
                let process = builder.spawn().unwrap();
                until(|| begun.load(Ordering::SeqCst) > 0);
                thread::sleep(Duration::from_micros(round * 37 % 500));
                process.kill();
                let status = process.wait();
                assert!(
                    matches!(status, ExitStatus::Killed { .. }),
                    "{name}: {status}"
                );
            }
        }
    });
}

#[test]
fn a_limit_of_time_ends_a_function_of_nothing_but_bulk_operations() {
    each_way(|engine| {
        let _watch = Watch::start();
        let (builder, _) = builder(engine, &bulk());
        let limits = Limits::default().wall_time(Duration::from_millis(50));
        let status = builder.limits(limits).run().unwrap();
        assert!(matches!(status, ExitStatus::LimitExceeded(_)), "{status}");
    });
}

/// The ways to call a function of the host, `$quick`.
const CALLS: [(&str, &str); 6] = [
    ("by its name", "(call $quick)"),
    (
        "through a table",
        "(call_indirect (result i32) (i32.const 0))",
    ),
    ("by a tail call", "(call $tail)"),
    ("by a tail call through a table", "(call $indirect_tail)"),
    ("through a reference", "(call $referred)"),
    ("through a global", "(call $global)"),
];

/// A host function is quick, and the guest does nothing but call it: no signal need ever meet
/// the thread in code of its own. It is stopped by the first call that returns, whichever way
/// it was called.
#[test]
fn a_guest_that_does_little_but_call_the_host_is_stopped_there() {
    each_way(|engine| {
        for (name, call) in CALLS {
            println!("{name}");
            stopped_at_the_first_call(engine, call);
        }
    });
}

fn stopped_at_the_first_call(engine: &Engine, call: &str) {
    let _watch = Watch::start();
    let module = format!(
        r#"(module
                 (import "host" "quick" (func $quick (result i32)))
                 (table $t 1 funcref)
                 (table $other 1 funcref)
                 (global $g funcref (ref.func $quick))
                 (elem (table $t) (i32.const 0) func $quick)
                 (func $tail (result i32) (return_call $quick))
                 (func $indirect_tail (result i32)
                   (return_call_indirect (result i32) (i32.const 0)))
                 (func $referred (result i32)
                   (table.set $other (i32.const 0) (ref.func $quick))
                   (call_indirect $other (result i32) (i32.const 0)))
                 (func $global (result i32)
                   (table.set $other (i32.const 0) (global.get $g))
                   (return_call_indirect $other (result i32) (i32.const 0)))
                 (func (export "_start") (loop (drop {call}) (br 0))))"#
    );
    let module = Module::new(engine, module.as_bytes()).unwrap();
    for _ in 0..20 {
        let (killer, calls) = (
            Arc::new(OnceLock::<Killer>::new()),
            Arc::new(AtomicU32::new(0)),
        );
        let (given, counted) = (Arc::clone(&killer), Arc::clone(&calls));
        let builder = ProcessBuilder::new(&module).linker(move |linker| {
            linker.func_wrap("host", "quick", move || {
                let Some(killer) = given.get() else {
                    return 0;
                };
                killer.kill();
                counted.fetch_add(1, Ordering::SeqCst);
                1
            })?;
            Ok(())
        });
        let process = builder.spawn().unwrap();
        killer.set(process.killer()).unwrap();
        assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{call}");
    }
}

// ---- The program around it ----

/// A child that was forked while guests run has the thread that forked it and nothing else;
/// it goes on, and is sent nothing, and so do the guests.
#[test]
fn a_forked_child_goes_on() {
    alone("stopping::forks");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn forks() {
    /// What the child does, which may call nothing that takes a lock; its exit code says
    /// whether all went well.
    fn child() -> i32 {
        // SAFETY: it has no precondition.
        let raised = unsafe { libc::raise(libc::SIGURG) };
        let mut sum = 0_u64;
        for n in 0..10_000_000 {
            sum = std::hint::black_box(sum + n);
        }
        if raised == 0 && sum == 49_999_995_000_000 {
            42
        } else {
            1
        }
    }
    let _watch = Watch::start();
    let (builder, begun) = builder(&engine(Stopping::default()), "(loop (loop (br 0)))");
    let guest = builder.spawn().unwrap();
    until(|| begun.load(Ordering::SeqCst) > 0);
    for _ in 0..20 {
        // SAFETY: the child calls only what may be called after a fork.
        let process = unsafe { libc::fork() };
        if process == 0 {
            // SAFETY: it has no precondition.
            unsafe { libc::_exit(child()) };
        }
        assert!(process > 0);
        let mut status = 0;
        // SAFETY: the pointer is valid for the write.
        let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
        assert_eq!(waited, process);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        assert_eq!(libc::WEXITSTATUS(status), 42);
        assert!(guest.try_wait().is_none());
    }
    guest.kill();
    assert!(matches!(guest.wait(), ExitStatus::Killed { .. }));
}

/// Of the host program's handler in the next test.
static HEARD: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_handler_of_the_host_programs_hears_what_is_meant_for_it() {
    alone("stopping::host_handler");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn host_handler() {
    extern "C" fn hear(_: i32) {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }
    let _watch = Watch::start();
    let signal = libc::SIGUSR2;
    // SAFETY: the handler does nothing but add.
    unsafe { libc::signal(signal, hear as *const () as libc::sighandler_t) };
    let engine = Engine::builder().stop_signal(signal).build().unwrap();
    // SAFETY: it has no precondition.
    unsafe { libc::raise(signal) };
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    for _ in 0..20 {
        let (builder, begun) = builder(&engine, "(loop (loop (br 0)))");
        let process = builder.spawn().unwrap();
        until(|| begun.load(Ordering::SeqCst) > 0);
        // Meant for the program, it may be delivered to any of its threads.
        // SAFETY: it has no precondition.
        unsafe { libc::kill(std::process::id().cast_signed(), signal) };
        process.kill();
        assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    }
    until(|| HEARD.load(Ordering::SeqCst) > 1);
    // Signals of one kind that come at once are one; none was the engine's own.
    assert!(HEARD.load(Ordering::SeqCst) <= 21);
}

/// A runtime of another language in small: faults of its own are how it finds out something,
/// as a JVM finds null pointers, and it passes on what it knows nothing of.
mod other_runtime {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// A page that it takes the right to read away from, and where it is given back.
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    static FAULTS: AtomicU32 = AtomicU32::new(0);
    static SIGNALS: [i32; 5] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGUSR2,
    ];
    static BEFORE: [OnceLock<libc::sigaction>; 5] = [const { OnceLock::new() }; 5];

    type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

    fn page_size() -> usize {
        rustix::param::page_size()
    }

    pub(super) fn install() {
        // SAFETY: a new mapping, at a place that the system chooses.
        let page = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                page_size(),
                rustix::mm::ProtFlags::READ,
                rustix::mm::MapFlags::PRIVATE,
            )
        };
        PAGE.store(page.unwrap().expose_provenance(), Ordering::SeqCst);
        for (signal, before) in SIGNALS.iter().zip(&BEFORE) {
            // SAFETY: all zeros is a value of this type, here and below.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: as above.
            let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: the handler does only what a handler may.
            let done = unsafe { libc::sigaction(*signal, &raw const action, &raw mut old) };
            assert_eq!(done, 0);
            assert!(before.set(old).is_ok());
        }
    }

    fn protect(rights: libc::c_int) {
        let page = std::ptr::with_exposed_provenance_mut(PAGE.load(Ordering::SeqCst));
        // SAFETY: the page is this module's alone.
        let done = unsafe { libc::mprotect(page, page_size(), rights) };
        assert_eq!(done, 0);
    }

    /// Reads the page so often where it must not; returns how many faults that was.
    pub(super) fn fault(times: u32) -> u32 {
        let before = FAULTS.load(Ordering::SeqCst);
        for _ in 0..times {
            protect(libc::PROT_NONE);
            let page = std::ptr::with_exposed_provenance::<u8>(PAGE.load(Ordering::SeqCst));
            // SAFETY: the handler gives the right to read it back.
            assert_eq!(unsafe { page.read_volatile() }, 0);
        }
        FAULTS.load(Ordering::SeqCst) - before
    }

    extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the system passes what it says of the signal.
        let what = unsafe { &*info };
        // SAFETY: a fault has this field.
        let at = || unsafe { what.si_addr() }.addr();
        if signal == libc::SIGSEGV && at() == PAGE.load(Ordering::SeqCst) {
            FAULTS.fetch_add(1, Ordering::SeqCst);
            return protect(libc::PROT_READ);
        }
        let which = SIGNALS.iter().position(|known| *known == signal);
        let before = which.and_then(|which| BEFORE[which].get());
        match before {
            Some(before) if before.sa_sigaction > libc::SIG_IGN => {
                assert!(before.sa_flags & libc::SA_SIGINFO != 0);
                // SAFETY: with this flag it is a function of this type.
                let before = unsafe { std::mem::transmute::<usize, Handler>(before.sa_sigaction) };
                before(signal, info, context);
            }
            // SAFETY: it has no precondition.
            _ => unsafe { libc::_exit(99) },
        }
    }
}

#[test]
fn another_runtime_keeps_its_faults_and_the_engine_its_own() {
    alone("stopping::handlers_from_before");
    alone("stopping::handlers_from_after");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn handlers_from_before() {
    other_runtime::install();
    let engine = Engine::builder().stop_signal(libc::SIGUSR2).build();
    beside_another_runtime(&engine.unwrap());
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn handlers_from_after() {
    let engine = Engine::builder().stop_signal(libc::SIGUSR2).build();
    other_runtime::install();
    beside_another_runtime(&engine.unwrap());
}

fn beside_another_runtime(engine: &Engine) {
    let _watch = Watch::start();
    let over = AtomicU32::new(0);
    thread::scope(|scope| {
        let faults = scope.spawn(|| {
            let (mut faults, mut times) = (0, 0);
            while times == 0 || over.load(Ordering::SeqCst) == 0 {
                faults += other_runtime::fault(10);
                times += 10;
            }
            (faults, times)
        });
        for _ in 0..20 {
            for body in [
                "unreachable",
                "(drop (i32.load (i32.const -1)))",
                "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))",
                "(drop (call $deep (i32.const -1)))",
                "(loop (loop (br 0)))",
            ] {
                let (builder, begun) = builder(engine, body);
                let process = builder.spawn().unwrap();
                until(|| begun.load(Ordering::SeqCst) > 0);
                if body.contains("loop") {
                    process.kill();
                    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
                } else {
                    assert_eq!(process.wait().code(), 134, "{body}");
                }
            }
        }
        over.store(1, Ordering::SeqCst);
        let (faults, times) = faults.join().unwrap();
        assert_eq!(faults, times);
    });
}

#[test]
fn a_signal_that_there_is_not_is_refused() {
    for signal in [-1, 0, 1000, libc::SIGKILL] {
        let error = Engine::builder().stop_signal(signal).build().unwrap_err();
        let error = format!("{:#}", anyhow::Error::from(error));
        for part in [
            &format!("signal {signal} "),
            "stop_signal",
            "Stopping::Poll",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
