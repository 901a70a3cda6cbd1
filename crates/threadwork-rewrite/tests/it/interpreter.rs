//! Runs modules, original and rewritten, in an interpreter.
//!
//! It knows no shared memory and no threads: for it, memories are not shared, and atomic
//! loads of bytes are loads.

use std::sync::{Arc, Mutex};

use threadwork_rewrite::CHECK_MODULE;
use wasm_encoder::{
    Instruction,
    reencode::{self, Reencode},
};
use wasmi::{
    Config, Engine, Func, Instance, Linker, Memory, MemoryType, Module, Store, TrapCode, Val,
};
use wasmparser::{Operator, Parser};

/// Makes a module one that the interpreter knows.
struct Unshare;

impl Reencode for Unshare {
    type Error = std::convert::Infallible;

    fn memory_type(
        &mut self,
        old: wasmparser::MemoryType,
    ) -> Result<wasm_encoder::MemoryType, reencode::Error> {
        let mut new = wasm_encoder::MemoryType::from(old);
        new.shared = false;
        Ok(new)
    }

    fn instruction<'a>(
        &mut self,
        operator: Operator<'a>,
    ) -> Result<Instruction<'a>, reencode::Error> {
        if let Operator::I32AtomicLoad8U { memarg } = operator {
            return Ok(Instruction::I32Load8U(self.mem_arg(memarg)?));
        }
        reencode::utils::instruction(self, operator)
    }
}

/// A module that runs.
pub(crate) struct Running {
    pub(crate) store: Store<()>,
    instance: Instance,
    /// Those that it imports, then those that it exports as `a`, `b`, `c` and `memory`.
    pub(crate) memories: Vec<Memory>,
    /// The operands of each call of the hook `access`, which says that it knows what it was
    /// told unless the address is a multiple of 7.
    pub(crate) told: Arc<Mutex<Vec<Vec<Val>>>>,
}

impl Running {
    /// `imports` are the pages of the memories `env.a`, `env.b` and so on.
    pub(crate) fn new(wasm: &[u8], imports: &[u32]) -> Self {
        let mut config = Config::default();
        config.wasm_multi_memory(true).wasm_memory64(true);
        let engine = Engine::new(&config);
        let mut plain = wasm_encoder::Module::new();
        Unshare
            .parse_core_module(&mut plain, Parser::new(0), wasm)
            .unwrap();
        let module = Module::new(&engine, plain.finish()).unwrap();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let mut memories = Vec::new();
        for (name, &pages) in ["a", "b"].iter().zip(imports) {
            let ty = MemoryType::new(pages, Some(pages));
            let memory = Memory::new(&mut store, ty).unwrap();
            linker.define("env", name, memory).unwrap();
            memories.push(memory);
        }
        let poll = Memory::new(&mut store, MemoryType::new(1, Some(1))).unwrap();
        linker.define("threadwork", "poll", poll).unwrap();
        // Hooks of `instrument`, which do nothing.
        let told = Arc::new(Mutex::new(Vec::new()));
        for import in module
            .imports()
            .filter(|import| import.module() == CHECK_MODULE)
        {
            let ty = import.ty().func().unwrap().clone();
            let list = (import.name() == "access").then(|| Arc::clone(&told));
            let hook = Func::new(&mut store, ty, move |_, operands, results| {
                if let Some(list) = &list {
                    list.lock().unwrap().push(operands.to_vec());
                    if let ([_, Val::I64(address), _], [result]) = (operands, results) {
                        *result = Val::I32(i32::from(address % 7 != 0));
                    }
                }
                Ok(())
            });
            linker.define(CHECK_MODULE, import.name(), hook).unwrap();
        }
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        for name in ["a", "b", "c", "memory"] {
            memories.extend(instance.get_memory(&store, name));
        }
        Self {
            store,
            instance,
            memories,
            told,
        }
    }

    /// Calls a function without results.
    pub(crate) fn call(&mut self, name: &str, operands: &[Val]) -> Result<(), TrapCode> {
        self.results::<0>(name, operands).map(|[]| ())
    }

    /// Calls a function.
    pub(crate) fn results<const N: usize>(
        &mut self,
        name: &str,
        operands: &[Val],
    ) -> Result<[Val; N], TrapCode> {
        let function = self.instance.get_func(&self.store, name).unwrap();
        let mut results = [const { Val::I32(0) }; N];
        let result = function.call(&mut self.store, operands, &mut results);
        result.map_err(|error| error.as_trap_code().unwrap())?;
        Ok(results)
    }

    /// The value of an exported global.
    pub(crate) fn global(&self, name: &str) -> Val {
        let global = self.instance.get_global(&self.store, name).unwrap();
        global.get(&self.store)
    }
}
