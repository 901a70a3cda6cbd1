//! No guest takes the host program along, and a host that is short of something, or was
//! started in an odd way, lives on.
//!
//! What would end a program is tried in one of its own: each such test runs itself again.

use crate::holdings;
use crate::support::{Watch, engine, on_stage, play, plot, plot_text, run, start, text, trap};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;
use threadwork_engine::{CompileLimits, Engine, Error, Limits, Module, ProcessBuilder, Stopping};

#[track_caller]
fn alone(name: &str) {
    holdings::alone(&format!("survive::{name}"));
}

/// Lowers a limit of this program, for good.
fn lower(which: Resource, to: u64) {
    let limit = Rlimit {
        current: Some(to),
        maximum: getrlimit(which).maximum,
    };
    setrlimit(which, limit).unwrap();
}

// ---- Threads ----

/// Starts threads until one is refused, says how many, ends them all, and starts one more.
fn flood() -> String {
    plot_text(
        r#"(func (export "wasi_thread_start") (param i32 i32)
             (call $until_set) (call $count))
           (func $until_set
             (loop
               (if (i32.eqz (i32.atomic.load (i32.const 260))) (then
                 (drop (memory.atomic.wait32 (i32.const 260) (i32.const 0) (i64.const -1)))
                 (br 1)))))
           (func (export "_start") (local $started i32)
             (block $full (loop
               (br_if $full (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)))
               (local.set $started (i32.add (local.get $started) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $started) (i32.const 100000)))))
             (call $say (local.get $started))
             (i32.atomic.store (i32.const 260) (i32.const 1))
             (drop (memory.atomic.notify (i32.const 260) (i32.const -1)))
             (call $until_counted (local.get $started))
             (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then unreachable))
             (call $until_counted (i32.add (local.get $started) (i32.const 1))))"#,
    )
}

#[test]
fn a_flood_of_threads_stops_at_the_engines_own_bound() {
    let engine = Engine::builder().max_workers(21).build().unwrap();
    let module = Module::new(&engine, flood().as_bytes()).unwrap();
    let (said, status) = play(&module);
    assert!(status.success(), "{status}");
    assert_eq!(said, [20]);
}

#[test]
fn a_process_beyond_the_bound_is_an_error() {
    let engine = Engine::builder().max_workers(1).build().unwrap();
    let forever = br#"(module (func (export "_start") (loop (br 0))))"#;
    let module = Module::new(&engine, forever).unwrap();
    let first = start(ProcessBuilder::new(&module));
    let error = ProcessBuilder::new(&module).spawn().unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the system refused a thread: the engine has the 1 worker threads that it may have \
         (EngineBuilder::max_workers)"
    );
    first.kill();
    assert_eq!(first.wait().code(), 130);
}

/// With as many as the engine takes by itself.
#[test]
fn a_flood_of_threads_does_not_take_the_host_along() {
    if std::env::var("THREADWORK_FULL").as_deref() == Ok("1") {
        alone("flood_to_the_default_bound");
    }
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn flood_to_the_default_bound() {
    let _watch = Watch::with(Duration::from_secs(1000));
    let module = text(&flood());
    let (builder, stage) = on_stage(&module);
    let status = builder.run().unwrap();
    assert!(status.success(), "{status}");
    let most = stage.hear();
    println!("{most} threads");
    assert!(most < 100_000, "nothing bounds them");
}

/// The instance of a thread is made before the thread counts as started.
#[test]
fn a_thread_whose_instance_does_not_fit_is_refused() {
    alone("address_space_for_few_instances");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn address_space_for_few_instances() {
    // Each instance reserves 4 GiB for its own memory; none can be set back, so that new ones
    // are made when threads have ended, too.
    let module = flood().replace("(func $until_set", "(memory $own 1)\n(func $until_set");
    let module = text(&module);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size: u64 = size
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    lower(Resource::As, (size << 10) + (40 << 30));
    let (said, status) = play(&module);
    assert!(status.success(), "{status}");
    assert!((1..20).contains(&said[0]), "{said:?}");
}

/// A memory that is an instance's own costs mappings, as a thread does.
#[test]
fn memories_of_many_instances_leave_the_host_its_mappings() {
    alone("many_memories_in_each_instance");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn many_memories_in_each_instance() {
    let own = "(memory 1)\n".repeat(90) + "(func $until_set";
    let module = text(&flood().replace("(func $until_set", &own));
    let lines = |path: &str| std::fs::read_to_string(path).unwrap().lines().count();
    let (peak, seen) = std::sync::mpsc::channel();
    let status = run(ProcessBuilder::new(&module).linker(move |linker| {
        let say = move |started: i32| peak.send((started, lines("/proc/self/maps"))).unwrap();
        linker.func_wrap("stage", "say", say)?;
        linker.func_wrap("stage", "open", || 1)?;
        Ok(())
    }));
    assert!(status.success(), "{status}");
    let (started, mappings) = seen.recv().unwrap();
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let most: usize = most.trim().parse().unwrap();
    assert!(started > 20, "{started}");
    assert!(
        mappings < most / 2,
        "{mappings} of {most} with {started} threads"
    );
}

// ---- Signals ----

#[test]
fn blocked_signals_of_the_host_do_not_make_traps_deadly() {
    alone("all_signals_blocked");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn all_signals_blocked() {
    // As a program would inherit them: before there is any thread of the engine.
    // SAFETY: all zeros is a value of this type.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: it is valid for the write.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: the set is initialized.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut()) };
    let memory = r#"(memory (export "memory") 1 1 shared)"#;
    for (body, reason) in [
        ("unreachable", "unreachable"),
        (
            "(drop (i32.load (i32.const 70000)))",
            "out of bounds memory",
        ),
        (
            "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))",
            "divide by zero",
        ),
        ("(call 0) (call 0)", "stack overflow"),
    ] {
        let module = text(&format!(
            "(module {memory} (func (export \"_start\") {body}))"
        ));
        let trap = trap(run(ProcessBuilder::new(&module)));
        assert!(trap.reason.contains(reason), "{trap}");
    }
    // Compiled code that runs on the embedder's thread, when the first instance is made.
    let segment = format!(
        "(module {memory} (table 1 funcref) (elem (i32.const 5) 0) (func (export \"_start\")))"
    );
    let error = ProcessBuilder::new(&text(&segment)).spawn().unwrap_err();
    assert!(matches!(error, Error::Instantiate { .. }), "{error:?}");
    let forever = text("(module (func (export \"_start\") (loop (br 0))))");
    let limits = Limits::default().wall_time(Duration::from_millis(100));
    assert_eq!(
        run(ProcessBuilder::new(&forever).limits(limits)).code(),
        124
    );
    killed_while_it_computes(engine());
}

#[track_caller]
fn killed_while_it_computes(engine: &Engine) {
    let text = plot_text(
        r#"(func (export "wasi_thread_start") (param i32 i32))
           (func (export "_start") (call $say (i32.const 1)) (call $compute))"#,
    );
    let module = Module::new(engine, text.as_bytes()).unwrap();
    let (builder, stage) = on_stage(&module);
    let process = start(builder);
    stage.hear();
    process.kill();
    assert_eq!(process.wait().code(), 130);
}

// ---- Files ----

#[test]
fn files_that_become_too_large_are_errors() {
    alone("small_files_only");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn small_files_only() {
    // By default, the system ends a program that writes more.
    lower(Resource::Fsize, 1000);
    let folder = tempfile::tempdir().unwrap();
    let cached = Engine::builder()
        .cache_dir(Some(folder.path().join("cache")))
        .build()
        .unwrap();
    let module = Module::new(&cached, br#"(module (func (export "_start")))"#).unwrap();
    assert!(run(ProcessBuilder::new(&module)).success());
    let left = std::fs::read_dir(folder.path().join("cache")).unwrap();
    assert_eq!(left.count(), 0, "half an entry");

    let module = plot(
        r#"(data (i32.const 512) "file")
           (func (export "wasi_thread_start") (param i32 i32))
           (func (export "_start") (local $error i32)
             (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 512) (i32.const 4)
                   (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 600))
               (then unreachable))
             (loop
               (local.set $error (call $fd_write
                 (i32.load (i32.const 600)) (i32.const 192) (i32.const 1) (i32.const 200)))
               (br_if 0 (i32.eqz (local.get $error))))
             (call $say (local.get $error)))"#,
    );
    let (builder, stage) = on_stage(&module);
    let status = run(builder.preopen_dir(folder.path(), "/"));
    assert!(status.success(), "{status}");
    // `fbig` of WASI.
    assert_eq!(stage.heard(), [22]);
    assert_eq!(
        std::fs::metadata(folder.path().join("file")).unwrap().len(),
        1000
    );
}

// ---- Compiling ----

#[test]
fn a_large_module_compiles_without_threads() {
    alone("no_threads_left");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn no_threads_left() {
    let _watch = Watch::start();
    let functions = "(func (param i32) (result i32) local.get 0 i32.const 7 i32.mul)";
    let text = format!(
        "(module {} (func (export \"_start\")))",
        functions.repeat(5000)
    );
    let engine = Engine::new().unwrap();
    // The limit does not bind root.
    if rustix::process::geteuid().is_root() {
        // SAFETY: it has no precondition.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
    }
    lower(Resource::Nproc, 1);
    if std::thread::Builder::new().spawn(|| {}).is_ok() {
        println!("skipped: this system starts threads beyond RLIMIT_NPROC");
        return;
    }
    let module = Module::new(&engine, text.as_bytes()).unwrap();
    let error = ProcessBuilder::new(&module).spawn().unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
}

/// A function that takes its time: many values that live through many blocks.
fn slow_function(blocks: usize) -> String {
    let locals = "i64 ".repeat(100);
    let blocks: String = (0..blocks)
        .map(|n| {
            let local = 1 + n % 100;
            format!("(if (local.get 0) (then (local.set {local} (i64.const {n}))))")
        })
        .collect();
    let uses: String = (1..=100)
        .map(|n| format!("(drop (i64.load (i32.wrap_i64 (local.get {n}))))"))
        .collect();
    format!("(module (memory 1) (func (param i32) (local {locals}) {blocks} {uses}))")
}

#[test]
fn what_costs_too_much_to_compile_is_refused_before() {
    let strict = Engine::builder().untrusted().build().unwrap();
    // This one would take minutes.
    let refused = Module::new(&strict, slow_function(100_000).as_bytes());
    let message = refused.unwrap_err().to_string();
    assert!(
        message.starts_with("function 0 has 1")
            && message.contains("bytes, more than the 32768 that this engine compiles"),
        "{message}"
    );
    assert!(Module::new(&strict, slow_function(100).as_bytes()).is_ok());
    let wide = format!("(module (type (func (result {}))))", "i32 ".repeat(5));
    assert!(matches!(
        Module::new(&strict, wide.as_bytes()),
        Err(Error::CompileLimit {
            name: "results",
            found: 5,
            limit: 4,
            ..
        })
    ));
    assert!(Module::new(engine(), wide.as_bytes()).is_ok());
    let raised = CompileLimits::untrusted().results(5);
    let raised = Engine::builder().compile_limits(raised).build().unwrap();
    assert!(Module::new(&raised, wide.as_bytes()).is_ok());
    let clauses = "(catch $t 0) ".repeat(201);
    let catching = format!("(module (tag $t) (func (try_table {clauses})))");
    assert!(matches!(
        Module::new(&strict, catching.as_bytes()),
        Err(Error::CompileLimit {
            name: "catches",
            found: 201,
            limit: 200,
            ..
        })
    ));
    assert!(Module::new(engine(), catching.as_bytes()).is_ok());
}

// ---- Stacks ----

#[test]
fn a_host_function_has_the_stack_that_was_asked_for() {
    /// Uses so many KiB of stack, and some.
    fn deep(kib: usize) -> u64 {
        let page = std::hint::black_box([kib as u8; 1024]);
        match kib {
            0 => u64::from(page[0]),
            _ => deep(kib - 1) + u64::from(page[kib % 1024]),
        }
    }
    let engine = Engine::builder().host_stack(16 << 20).build().unwrap();
    let module = br#"(module (import "host" "deep" (func $deep)) (export "_start" (func $deep)))"#;
    let module = Module::new(&engine, module).unwrap();
    let status = run(ProcessBuilder::new(&module).linker(|linker| {
        let body = || {
            std::hint::black_box(deep(8 << 10));
        };
        linker.func_wrap("host", "deep", body)?;
        Ok(())
    }));
    assert!(status.success(), "{status}");
    // A size that no system has is an error.
    let engine = Engine::builder().host_stack(usize::MAX).build().unwrap();
    let module = Module::new(&engine, br#"(module (func (export "_start")))"#).unwrap();
    let error = ProcessBuilder::new(&module).spawn().unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
}

/// Cranelift panics beyond 65,535 of them.
#[test]
fn more_globals_than_the_compiler_can_handle_are_an_error() {
    let engine = Engine::new().unwrap();
    let all = |count| format!("(module {})", "(global i32 (i32.const 0))".repeat(count));
    assert!(Module::new(&engine, all(60_000).as_bytes()).is_ok());
    for count in [60_001, 70_000] {
        let refused = Module::new(&engine, all(count).as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("globals"), "{refused}");
    }
}

/// However deep the guest has recursed: one that leaves the host function less traps.
#[test]
fn a_host_function_has_its_stack_where_the_guest_has_used_up_its_own() {
    alone("host_function_at_the_end_of_the_stack");
}

#[test]
#[ignore = "run by another test, in a program of its own"]
fn host_function_at_the_end_of_the_stack() {
    const HOST: usize = 128 << 10;
    /// All but the function's own frame and those that lead to it.
    #[inline(never)]
    fn use_it() -> i32 {
        let mut all = [0_u8; HOST - 1024];
        for page in all.chunks_mut(4096) {
            page[0] = 1;
        }
        std::hint::black_box(&mut all);
        i32::from(all[0])
    }
    let engine = Engine::builder().host_stack(HOST).max_wasm_stack(64 << 10);
    let module = Module::new(
        &engine.build().unwrap(),
        br#"(module
              (import "host" "use_it" (func $use (result i32)))
              (func $down (result i32) (i32.add (call $use) (call $down)))
              (func (export "_start") (drop (call $down))))"#,
    );
    let builder = ProcessBuilder::new(&module.unwrap()).linker(|linker| {
        linker.func_wrap("host", "use_it", use_it)?;
        Ok(())
    });
    let trap = trap(run(builder));
    assert!(trap.reason.contains("stack overflow"), "{trap}");
}

// ---- Presets ----

#[test]
fn the_preset_for_strangers_bounds_everything() {
    let limits = Limits::untrusted();
    let Limits {
        threads: Some(_),
        memory: Some(_),
        wall_time: Some(_),
        open_files: Some(_),
        ..
    } = limits
    else {
        panic!("{limits:?}");
    };
    // A setting that takes a promise back is overruled.
    let engine = Engine::builder().stopping(Stopping::Never).untrusted();
    killed_while_it_computes(&engine.build().unwrap());
}
