//! The imports of a process's module: what the engine, the process and the embedder give
//! it, and what to say when something is missing.

use crate::error::{Error, one_line};
use crate::linear_memory::Memory;
use crate::module::Module;
use crate::process::{Linked, State, ThreadContext};
use std::sync::Arc;
use threadwork_rewrite::{HOST_MODULE, POLL};
use wasmtime::{ExternType, Linker, Store, UnknownImportError};

/// Adds an embedder's host functions to a linker.
pub(super) type Define = Box<dyn FnOnce(&mut Linker<ThreadContext>) -> wasmtime::Result<()> + Send>;

/// Resolves the imports of the process's module.
pub(super) fn link(
    module: &Module,
    state: &Arc<State>,
    define: Option<Define>,
) -> Result<Linked, Error> {
    let failed = |error: wasmtime::Error| Error::Linker {
        message: one_line(&error),
    };
    let mut linker = module.linker().clone();
    if let Some(define) = define {
        define(&mut linker).map_err(failed)?;
    }
    // Shared memories belong to no store; the linker wants one to know the engine.
    let context = ThreadContext::new(state, &Arc::default());
    let mut store = Store::new(state.machine().wasmtime(), context);
    linker.allow_shadowing(true);
    let memories = state.memories().iter().filter_map(Memory::shared);
    for (import, memory) in module.code().memories.iter().zip(memories) {
        linker
            .define(&store, &import.module, &import.name, memory.clone())
            .map_err(failed)?;
    }
    if let Some(page) = state.poll_page() {
        linker
            .define(&store, HOST_MODULE, POLL, page.memory().clone())
            .map_err(failed)?;
    }
    let pre = linker
        .instantiate_pre(&module.code().wasmtime)
        .map_err(|error| {
            if error.is::<UnknownImportError>() {
                missing_imports(module, &linker, &mut store)
            } else {
                Error::ImportType {
                    message: one_line(&error),
                }
            }
        })?;
    Ok(Linked { linker, pre })
}

/// All that is missing, in one error.
fn missing_imports(
    module: &Module,
    linker: &Linker<ThreadContext>,
    store: &mut Store<ThreadContext>,
) -> Error {
    let mut missing = Vec::new();
    for import in module.code().wasmtime.imports() {
        if linker.get_by_import(&mut *store, &import).is_none() {
            missing.push(import);
        }
    }
    let remedy = missing.first().map_or("", |import| match import.ty() {
        ExternType::Memory(_) => {
            "a memory that is not shared belongs to the module; link it without --import-memory"
        }
        _ => remedy(import.module()),
    });
    // Escaped, because a name may be anything.
    let names = missing.iter().map(|import| {
        format!(
            "{}.{}",
            import.module().escape_debug(),
            import.name().escape_debug()
        )
    });
    Error::MissingImports {
        names: names.collect(),
        remedy,
    }
}

/// What the module of an import says about how the program was built.
fn remedy(module: &str) -> &'static str {
    match module {
        "wasi_snapshot_preview1" => "this is no function of WASI preview 1",
        "wasi_unstable" => {
            "the program was built for an old WASI; build it for wasm32-wasip1-threads"
        }
        "wasi" => "of wasi-threads there is only wasi.thread-spawn",
        "env" => {
            "a C function may be undefined, or the program was built for a browser; link \
             what it lacks, build it for wasm32-wasip1-threads, or run it in a host program \
             that defines it (ProcessBuilder::linker)"
        }
        "go" | "gojs" => "the program was built for Go's JavaScript host; set GOOS=wasip1",
        module if module.starts_with("__wbindgen") || module == "wbg" => {
            "the program was built with wasm-bindgen for a browser; build it for \
             wasm32-wasip1-threads without"
        }
        module if module.starts_with("wasi:") || module == "$root" => {
            "the program was built for the component model; build it for \
             wasm32-wasip1-threads"
        }
        module if module.starts_with("wasix") => {
            "the program was built for WASIX; build it for wasm32-wasip1-threads"
        }
        _ => {
            "build the program without, or run it in a host program that defines it \
             (ProcessBuilder::linker)"
        }
    }
}
