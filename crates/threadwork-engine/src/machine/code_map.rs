//! Where a module's functions lie in the host's memory, as a signal handler can look it up.
//!
//! Invariant: an address that [`CodeMap::has`] is one of the body of a function that the
//! module defines: never one of a trampoline, where Wasmtime is between two states.

use std::ops::Range;
use wasmtime::Module;

/// See the module's documentation.
pub(crate) struct CodeMap {
    /// All of the module's code, trampolines too.
    text: Range<usize>,
    /// First address and one past the last of each function, in order.
    functions: Vec<(usize, usize)>,
    /// The instruction of the function that only traps, if there is one.
    trap: Option<usize>,
}

impl CodeMap {
    /// The map of a module whose function `trap`, if there is one, does nothing but
    /// `unreachable`; `None` if it does not, or on a machine whose code this does not know.
    pub(crate) fn new(module: &Module, trap: Option<u32>) -> Option<Self> {
        let text = module.text();
        // The handler makes pointers of addresses again.
        let base = text.as_ptr().expose_provenance();
        let mut functions = Vec::new();
        let mut found = None;
        for function in module.functions() {
            let range = function.offset..function.offset.checked_add(function.len)?;
            if Some(function.index.as_u32()) == trap {
                found = trap_in(text.get(range.clone())?).map(|at| base + range.start + at);
            }
            functions.push((base + range.start, base + range.end));
        }
        functions.sort_unstable();
        (found.is_some() == trap.is_some()).then_some(Self {
            text: base..base + text.len(),
            functions,
            trap: found,
        })
    }

    /// Whether `pc` is in a function. Takes no lock and allocates nothing.
    pub(crate) fn has(&self, pc: usize) -> bool {
        let after = self.functions.partition_point(|(start, _)| *start <= pc);
        let before = after.checked_sub(1).and_then(|at| self.functions.get(at));
        before.is_some_and(|(_, end)| pc < *end)
    }

    /// Where all of the module's code is, trampolines too.
    pub(crate) fn text(&self) -> &Range<usize> {
        &self.text
    }

    /// The address of an instruction that is the trap `unreachable`, if the module has one
    /// for whoever stops it.
    pub(crate) fn trap(&self) -> Option<usize> {
        self.trap
    }
}

/// Where in the code of a function that only traps the trap is: Cranelift's `ud2`.
#[cfg(target_arch = "x86_64")]
fn trap_in(code: &[u8]) -> Option<usize> {
    // Nothing that comes before it (`push %rbp`, `mov %rsp, %rbp`) looks like it.
    code.windows(2).position(|code| code == [0x0F, 0x0B])
}

#[cfg(not(target_arch = "x86_64"))]
fn trap_in(_: &[u8]) -> Option<usize> {
    None
}
