//! [`CompileLimits`]: what a module may cost to compile.
//!
//! Cranelift's time grows faster than a function does: the same code takes ten times as
//! long for each byte in a function of 40 KB as in many of 4 KB. So what is bounded is not
//! only how much code there is, but how it is divided, and the shapes that cost most.
//!
//! Invariant: a module that passes [`CompileLimits::check`] costs no more than its numbers
//! say; whatever does not parse passes, because the rewriter refuses it, and says why.

use crate::error::Error;
use wasmparser::{
    BlockType, CompositeInnerType, Element, ElementItems, FunctionBody, Operator, Parser, Payload,
    TypeRef, TypeSectionReader,
};

/// Upper bounds for the work of compiling one module; `None` is "no bound of ours". The
/// default has none: what Wasmtime accepts is compiled, and may take minutes and gigabytes.
///
/// A compile in this program cannot be stopped once it has begun, so its cost is bounded
/// before (one in a [`CompilerProcess`](crate::CompilerProcess) can): each limit is looked up in the module's bytes, which takes as long as validating them. A module
/// beyond one is an [`Error::CompileLimit`]. Modules that the engine's cache has are not
/// compiled, and not looked at.
///
/// ```
/// use threadwork_engine::{CompileLimits, Engine, Error, Module};
///
/// let limits = CompileLimits::default().functions(1);
/// let engine = Engine::builder().compile_limits(limits).build()?;
/// let refused = Module::new(&engine, b"(module (func) (func))");
/// assert!(matches!(refused, Err(Error::CompileLimit { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompileLimits {
    /// Bytes of the module in the binary format, with its data and its debug information.
    pub module_bytes: Option<u64>,
    /// Functions that it defines.
    pub functions: Option<u32>,
    /// Bytes of one function.
    pub function_bytes: Option<u64>,
    /// Parameters and local variables of one function.
    pub locals: Option<u32>,
    /// Results of a function, and values that go into a block or come out of it. Compilers
    /// for C and Rust make at most one.
    pub results: Option<u32>,
    /// Clauses of all `try_table`s of one function that catch. This is not for compiling: to
    /// throw an exception the engine looks at each of them, in each frame that it leaves, and
    /// the thread cannot be stopped meanwhile.
    pub catches: Option<u32>,
    /// Globals that it defines.
    pub globals: Option<u32>,
    /// Entries of all its element segments, with which tables are filled: each is an
    /// instruction or two of the code that does it.
    pub elements: Option<u32>,
    /// All functions together, in bytes, each weighted by how large it is: one of `n` bytes
    /// counts `n * (1 + n / 2048)`. This is what bounds the time: the worst code that we
    /// know of takes some 10 us for each.
    pub work: Option<u64>,
}

/// How much a byte counts twice in a function of so many.
const STEP: u64 = 2048;

impl CompileLimits {
    /// Limits for modules from strangers: 8 MiB, 10,000 functions, each of 32 KiB, 200
    /// locals and 200 clauses that catch, 4 results, 1,000 globals, 20,000 elements, and
    /// 1,000,000 of work.
    ///
    /// The worst modules within them that we could make (`docs/untrusted.md` in the
    /// repository has the figures) take some ten seconds of one core, and 200 MB. Programs of
    /// up to half a megabyte of code fit; raise [`work`](Self::work) for others.
    #[must_use]
    pub fn untrusted() -> Self {
        Self {
            module_bytes: Some(8 << 20),
            functions: Some(10_000),
            function_bytes: Some(32 << 10),
            locals: Some(200),
            results: Some(4),
            catches: Some(200),
            globals: Some(1000),
            elements: Some(20_000),
            work: Some(1_000_000),
        }
    }

    /// At most so many bytes.
    #[must_use]
    pub fn module_bytes(mut self, bytes: u64) -> Self {
        self.module_bytes = Some(bytes);
        self
    }

    /// At most `count` functions.
    #[must_use]
    pub fn functions(mut self, count: u32) -> Self {
        self.functions = Some(count);
        self
    }

    /// At most so many bytes in each function.
    #[must_use]
    pub fn function_bytes(mut self, bytes: u64) -> Self {
        self.function_bytes = Some(bytes);
        self
    }

    /// At most `count` parameters and local variables in each function.
    #[must_use]
    pub fn locals(mut self, count: u32) -> Self {
        self.locals = Some(count);
        self
    }

    /// At most `count` results of each function, and values of each block.
    #[must_use]
    pub fn results(mut self, count: u32) -> Self {
        self.results = Some(count);
        self
    }

    /// At most `count` clauses that catch in each function.
    #[must_use]
    pub fn catches(mut self, count: u32) -> Self {
        self.catches = Some(count);
        self
    }

    /// At most `count` globals.
    #[must_use]
    pub fn globals(mut self, count: u32) -> Self {
        self.globals = Some(count);
        self
    }

    /// At most `count` elements.
    #[must_use]
    pub fn elements(mut self, count: u32) -> Self {
        self.elements = Some(count);
        self
    }

    /// At most so much work.
    #[must_use]
    pub fn work(mut self, work: u64) -> Self {
        self.work = Some(work);
        self
    }

    /// Whether a module in the binary format stays within them.
    ///
    /// # Errors
    ///
    /// The first limit that it does not stay within.
    pub(crate) fn check(&self, wasm: &[u8]) -> Result<(), Error> {
        if *self == Self::default() {
            return Ok(());
        }
        let whole = "the module".to_owned();
        most(
            self.module_bytes,
            wasm.len() as u64,
            || whole,
            "module_bytes",
            "bytes",
        )?;
        let mut check = Check {
            limits: self,
            types: Vec::new(),
            of_function: Vec::new(),
            imported: 0,
            bodies: 0,
            elements: 0,
            work: 0,
        };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(payload) => check.payload(payload)?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// What a module has so far.
struct Check<'a> {
    limits: &'a CompileLimits,
    /// Of each type the numbers of parameters and results; of one that is no function's, 0.
    types: Vec<(u64, u64)>,
    /// The type of each function that the module defines.
    of_function: Vec<u32>,
    imported: u64,
    bodies: u64,
    elements: u64,
    work: u64,
}

impl Check<'_> {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(types) => self.read_types(types)?,
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map_while(Result::ok);
                let functions = imports.filter(|import| matches!(import.ty, TypeRef::Func(_)));
                self.imported = functions.count() as u64;
            }
            Payload::FunctionSection(functions) => {
                let count = u64::from(functions.count());
                let module = || "the module".to_owned();
                let limit = self.limits.functions.map(u64::from);
                most(limit, count, module, "functions", "functions")?;
                self.of_function = functions.into_iter().map_while(Result::ok).collect();
            }
            Payload::GlobalSection(globals) => {
                let limit = self.limits.globals.map(u64::from);
                let module = || "the module".to_owned();
                most(limit, globals.count().into(), module, "globals", "globals")?;
            }
            Payload::ElementSection(segments) => {
                let segments = segments.into_iter().map_while(Result::ok);
                let lengths = segments.map(|segment| elements_in(&segment));
                self.elements = lengths.fold(self.elements, u64::saturating_add);
                let limit = self.limits.elements.map(u64::from);
                let module = || "the module".to_owned();
                most(limit, self.elements, module, "elements", "elements")?;
            }
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn read_types(&mut self, types: TypeSectionReader<'_>) -> Result<(), Error> {
        let types = types.into_iter().map_while(Result::ok);
        for ty in types.flat_map(wasmparser::RecGroup::into_types) {
            let (params, results) = match &ty.composite_type.inner {
                CompositeInnerType::Func(ty) => (ty.params().len(), ty.results().len()),
                _ => (0, 0),
            };
            let at = self.types.len();
            let limit = self.limits.results.map(u64::from);
            let what = || format!("type {at}");
            most(limit, results as u64, what, "results", "results")?;
            self.types.push((params as u64, results as u64));
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Error> {
        let at = self.imported + self.bodies;
        let what = || format!("function {at}");
        let length = body.range().len() as u64;
        most(
            self.limits.function_bytes,
            length,
            what,
            "function_bytes",
            "bytes",
        )?;
        let ty = self.of_function.get(self.bodies as usize);
        let ty = ty.and_then(|ty| self.types.get(*ty as usize));
        let (params, _) = ty.copied().unwrap_or_default();
        let locals = body.get_locals_reader().into_iter().flatten();
        let locals = locals
            .map_while(Result::ok)
            .map(|(count, _)| u64::from(count));
        let locals = locals.fold(params, u64::saturating_add);
        let limit = self.limits.locals.map(u64::from);
        most(limit, locals, what, "locals", "parameters and locals")?;
        self.blocks(body, what)?;
        self.catches(body, what)?;
        self.bodies += 1;
        let work = length.saturating_mul(STEP + length) / STEP;
        self.work = self.work.saturating_add(work);
        let module = || "the module".to_owned();
        most(
            self.limits.work,
            self.work,
            module,
            "work",
            "weighted bytes of code",
        )
    }

    fn catches(&self, body: &FunctionBody<'_>, what: impl FnOnce() -> String) -> Result<(), Error> {
        let Some(limit) = self.limits.catches else {
            return Ok(());
        };
        let operators = body.get_operators_reader().into_iter().flatten();
        let catches = operators
            .map_while(Result::ok)
            .map(|operator| match operator {
                Operator::TryTable { try_table } => try_table.catches.len() as u64,
                _ => 0,
            });
        let limit = Some(u64::from(limit));
        most(limit, catches.sum(), what, "catches", "clauses that catch")
    }

    /// Blocks may take values as well; only a type of its own says so.
    fn blocks(&self, body: &FunctionBody<'_>, what: impl Fn() -> String) -> Result<(), Error> {
        let limit = self.limits.results.map(u64::from);
        let is_narrow = |(params, _): &(u64, u64)| limit.is_none_or(|limit| *params <= limit);
        if self.types.iter().all(is_narrow) {
            return Ok(());
        }
        let operators = body.get_operators_reader().into_iter().flatten();
        for operator in operators.map_while(Result::ok) {
            let (Operator::Block { blockty }
            | Operator::Loop { blockty }
            | Operator::If { blockty }
            | Operator::TryTable {
                try_table: wasmparser::TryTable { ty: blockty, .. },
            }) = operator
            else {
                continue;
            };
            if let BlockType::FuncType(ty) = blockty
                && let Some((params, _)) = self.types.get(ty as usize)
            {
                let what = || format!("a block of {}", what());
                most(limit, *params, what, "results", "values")?;
            }
        }
        Ok(())
    }
}

/// How many entries a segment has.
pub(crate) fn elements_in(segment: &Element<'_>) -> u64 {
    match &segment.items {
        ElementItems::Functions(functions) => functions.count().into(),
        ElementItems::Expressions(_, expressions) => expressions.count().into(),
    }
}

/// Refuses what is more than its limit.
fn most(
    limit: Option<u64>,
    found: u64,
    whose: impl FnOnce() -> String,
    name: &'static str,
    of: &'static str,
) -> Result<(), Error> {
    match limit {
        Some(limit) if found > limit => Err(Error::CompileLimit {
            whose: whose(),
            found,
            of,
            limit,
            name,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limits: CompileLimits, text: &str) -> Option<String> {
        let wasm = wat::parse_str(text).ok()?;
        limits.check(&wasm).err().map(|error| error.to_string())
    }

    /// Each limit allows what it says, refuses one more, and is named.
    #[test]
    fn each_limit_is_met_exactly() {
        let none = CompileLimits::default();
        let text = "(module (import \"a\" \"b\" (func)) (type (func (param i32 i32 i32)))
            (table 9 funcref) (elem (i32.const 0) 1 1 1) (elem func 1 1)
            (global i32 (i32.const 0)) (global i32 (i32.const 0))
            (func) (func (param i32) (result i32 i32) (local i64 i64 i32)
              i32.const 1 i32.const 2)
            (func i32.const 1 i32.const 2 i32.const 3 (block (type 0) drop drop drop)))";
        let bounds: [fn(CompileLimits, u32) -> CompileLimits; 7] = [
            CompileLimits::functions,
            CompileLimits::locals,
            CompileLimits::results,
            |limits, n| limits.function_bytes(n.into()),
            |limits, n| limits.work(n.into()),
            CompileLimits::globals,
            CompileLimits::elements,
        ];
        let cases = [
            (3, "the module has 3 functions, more than the 2 that"),
            (
                4,
                "function 2 has 4 parameters and locals, more than the 3 that",
            ),
            (
                3,
                "a block of function 3 has 3 values, more than the 2 that",
            ),
            (14, "function 3 has 14 bytes, more than the 13 that"),
            (
                26,
                "the module has 26 weighted bytes of code, more than the 25 that",
            ),
            (2, "the module has 2 globals, more than the 1 that"),
            (5, "the module has 5 elements, more than the 4 that"),
        ];
        for (limit, (enough, message)) in bounds.into_iter().zip(cases) {
            assert_eq!(check(limit(none, enough), text), None, "{message}");
            let refused = check(limit(none, enough - 1), text).unwrap_or_default();
            assert!(refused.starts_with(message), "{refused}");
        }
    }

    #[test]
    fn what_does_not_parse_is_left_to_the_rewriter() {
        let strict = CompileLimits::untrusted();
        for nonsense in [
            &b""[..],
            b"\0asm",
            b"\0asm\x01\0\0\0\x0a\xff\xff\xff\xff\x0f",
        ] {
            assert!(strict.check(nonsense).is_ok());
        }
    }
}
