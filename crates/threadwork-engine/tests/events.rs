//! What an engine says to `tracing`.
#![cfg(feature = "tracing")]
// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use threadwork_engine::{Engine, Limits, Module, ProcessBuilder};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps a line for each event.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Numbers differ from run to run.
        match field.name() {
            "message" => self.0 = format!("{value:?}{}", self.0),
            "process" | "time_us" | "bytes" => {}
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("threadwork")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = event.metadata().level();
        self.0.lock().unwrap().push(format!("{level} {}", line.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn the_life_of_a_process_is_told() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let engine = Engine::new().unwrap();
    let text = r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (memory (export "memory") 1 1 shared)
        (func (export "wasi_thread_start") (param i32 i32)
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
        (func (export "_start")
          (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0)))
          unreachable))"#;
    let module = Module::new(&engine, text.as_bytes()).unwrap();
    let builder = ProcessBuilder::new(&module).arg0("two.wasm");
    let status = builder.limits(Limits::default().threads(1)).run().unwrap();
    assert_eq!(status.code(), 121);
    let told = lines.0.lock().unwrap();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let [compiled, started, spawned, refused, failed] = told[..] else {
        panic!("{told:#?}");
    };
    assert_eq!(compiled, "DEBUG module compiled from_cache=false");
    assert_eq!(started, "DEBUG process started name=\"two.wasm\"");
    assert_eq!(spawned, "TRACE thread spawned thread=1");
    assert_eq!(
        refused,
        "DEBUG limit refused something thread=0 limit=the limit of 1 threads"
    );
    let expected = "WARN process failed status=\"the limit of 1 threads was reached; then the main \
                    thread trapped: ";
    assert!(failed.starts_with(expected), "{failed}");
    assert!(failed.contains(" code=121 ") && failed.contains(" threads=2 report="));
}
