//! What who operates a service sees: the processes of an engine, and what became of them.

use crate::support::{NO_THREADS, Watch, plot_text, until};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use threadwork_engine::{Engine, EngineStats, Limits, Module, ModuleMap, ProcessBuilder};

#[test]
fn processes_are_listed_while_they_run_and_counted_when_they_end() {
    let _watch = Watch::start();
    let engine = Engine::new().unwrap();
    assert_eq!(engine.stats(), EngineStats::default());
    let module = |body: &str| {
        let text = plot_text(&format!("{NO_THREADS} {body}"));
        Module::new(&engine, text.as_bytes()).unwrap()
    };
    let ends = [
        module(r#"(func (export "_start"))"#),
        module(r#"(func (export "_start") unreachable)"#),
        module(
            r#"(func (export "_start")
                 (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"#,
        ),
        module(r#"(func (export "_start") (loop (br 0)))"#),
    ];
    let limits = Limits::default().wall_time(std::time::Duration::from_millis(50));
    let mut processes = Vec::new();
    for (number, module) in ends.iter().enumerate() {
        let (builder, _stage) = crate::support::on_stage(module);
        let builder = builder.arg0(format!("end {number}"));
        let builder = match number {
            3 => builder.limits(limits),
            _ => builder,
        };
        processes.push(builder.spawn().unwrap());
    }
    for process in &processes {
        let _ = process.wait();
    }
    let (builder, _stage) = crate::support::on_stage(&ends[3]);
    let last = builder.arg0("the last").spawn().unwrap();
    until(|| last.threads().len() == 1);
    let list = engine.processes();
    assert_eq!(list.len(), 1);
    assert_eq!((list[0].id, &*list[0].name), (last.id(), "the last"));
    assert!(!list[0].is_ending && list[0].stats.memory > 0);
    assert!(!engine.kill(processes[0].id(), "it has ended"));
    assert!(engine.kill(last.id(), "enough"));
    assert_eq!(last.wait().to_string(), "killed: enough");
    let stats = engine.stats();
    let ended = [
        stats.exited,
        stats.trapped,
        stats.deadlocked,
        stats.limited,
        stats.killed,
    ];
    assert_eq!(ended, [1; 5]);
    assert_eq!((stats.processes_started, stats.processes_alive), (5, 0));
    assert_eq!((stats.modules_compiled, stats.modules_from_cache), (4, 0));
    assert!(stats.workers >= 1 && stats.workers_idle <= stats.workers);
    assert!(!stats.compile_time.is_zero() && stats.memory == 0);
}

#[test]
fn what_was_not_started_is_not_counted() {
    let engine = Engine::new().unwrap();
    let text = r#"(module (import "no" "such" (func)) (func (export "_start")))"#;
    let module = Module::new(&engine, text.as_bytes()).unwrap();
    assert!(ProcessBuilder::new(&module).spawn().is_err());
    assert_eq!(engine.stats().processes_started, 0);
    assert!(engine.processes().is_empty());
}

/// Nor what no thread could be had for.
#[test]
fn a_start_that_fails_late_leaves_nothing_in_the_list() {
    let engine = Engine::builder().max_workers(1).build().unwrap();
    let forever = br#"(module (func (export "_start") (loop (br 0))))"#;
    let module = Module::new(&engine, forever).unwrap();
    let first = ProcessBuilder::new(&module).spawn().unwrap();
    assert!(ProcessBuilder::new(&module).spawn().is_err());
    let stats = engine.stats();
    assert_eq!((stats.processes_started, stats.processes_alive), (1, 1));
    assert!(engine.kill(first.id(), "enough"));
    let _ = first.wait();
    let stats = engine.stats();
    assert_eq!((stats.killed, stats.processes_alive), (1, 0));
}

#[test]
fn a_cache_is_seen_in_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let engine = Engine::builder().cache_dir(Some(folder.path().to_owned()));
        let engine = engine.build().unwrap();
        Module::new(&engine, b"(module)").unwrap();
        let stats = engine.stats();
        (stats.modules_compiled, stats.modules_from_cache)
    };
    assert_eq!(load(), (1, 0));
    assert_eq!(load(), (0, 1));
}

#[test]
fn a_name_is_loaded_once_however_many_ask() {
    let _watch = Watch::start();
    let engine = Engine::new().unwrap();
    let modules = ModuleMap::new();
    let loads = AtomicU32::new(0);
    let all_here = Arc::new(Barrier::new(8));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let all_here = Arc::clone(&all_here);
            let (modules, engine, loads) = (&modules, &engine, &loads);
            scope.spawn(move || {
                all_here.wait();
                let load = || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    Module::new(engine, b"(module)")
                };
                modules.get_or_load("job", load).unwrap();
            });
        }
    });
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    assert!(modules.get("job").is_some() && modules.get("other").is_none());
    modules.remove("job");
    assert!(modules.get("job").is_none());
}

/// Who gives names that do not exist leaves nothing.
#[test]
fn a_load_that_fails_is_tried_again() {
    let engine = Engine::new().unwrap();
    let modules = ModuleMap::new();
    let error = modules
        .get_or_load("job", || Err("no such file"))
        .unwrap_err();
    assert_eq!(error, "no such file");
    assert_eq!(format!("{modules:?}"), format!("{:?}", ModuleMap::new()));
    let good = modules.get_or_load("job", || Module::new(&engine, b"(module)"));
    assert!(good.is_ok());
}
