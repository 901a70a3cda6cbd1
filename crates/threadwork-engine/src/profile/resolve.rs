//! [`Resolver`]: from addresses of machine code to functions and source lines.

use crate::backtrace::{Frame, demangle};
use crate::code::Code;
use crate::machine::{CUT, Doing, LOST};
use crate::recorder::MORE_STACKS;
use std::collections::HashMap;
use std::sync::Arc;

/// See the module's documentation.
pub(super) struct Resolver {
    code: Arc<Code>,
    /// Where the module's code begins.
    base: usize,
    /// By where they begin, from the base on.
    functions: Vec<Function>,
    /// Where instructions begin, from the base on, and their offsets in the rewritten module.
    offsets: Vec<(usize, Option<u32>)>,
    sites: HashMap<usize, Arc<Site>>,
}

struct Function {
    start: usize,
    end: usize,
    index: u32,
    /// Without the mangling; its number if it has no name.
    name: Arc<str>,
    is_named: bool,
}

/// What is known of an instruction.
pub(super) struct Site {
    /// The function that it was compiled into.
    pub(super) function: Arc<str>,
    /// That function, and before it those that were inlined into it there, innermost first.
    /// Empty if there is no such instruction.
    pub(super) frames: Vec<Frame>,
}

impl Site {
    fn label(text: &str) -> Self {
        Self {
            function: text.into(),
            frames: Vec::new(),
        }
    }

    /// Names from the innermost to the outermost function; one at least.
    pub(super) fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        let label = self.frames.is_empty().then_some(&*self.function);
        let frames = self.frames.iter();
        let names = frames.map(|frame| frame.function.as_deref().unwrap_or(&self.function));
        label.into_iter().chain(names)
    }
}

/// What stands at the tip of a stack for what the host did for the guest.
pub(super) fn label(doing: Doing) -> Option<&'static str> {
    Some(match doing {
        Doing::Guest => return None,
        Doing::Wait => "[wait]",
        Doing::Notify => "[notify]",
        Doing::Spawn => "[spawn]",
        Doing::Grow => "[memory.grow]",
        Doing::Host => "[host call]",
    })
}

impl Resolver {
    pub(super) fn new(code: Arc<Code>) -> Self {
        let module = &code.wasmtime;
        let functions = module.functions().map(|function| {
            let index = function.index.as_u32();
            let name = function.name.as_deref().map(demangle);
            Function {
                start: function.offset,
                end: function.offset + function.len,
                index,
                name: name.unwrap_or_else(|| format!("<function {index}>")).into(),
                is_named: function.name.is_some(),
            }
        });
        let mut functions: Vec<_> = functions.collect();
        functions.sort_unstable_by_key(|function| function.start);
        let mut offsets: Vec<_> = module.address_map().into_iter().flatten().collect();
        offsets.sort_unstable_by_key(|(code, _)| *code);
        Self {
            base: module.text().as_ptr().addr(),
            functions,
            offsets,
            sites: HashMap::new(),
            code,
        }
    }

    /// What is known of a frame of a recorded stack.
    pub(super) fn site(&mut self, frame: usize) -> Arc<Site> {
        if let Some(site) = self.sites.get(&frame) {
            return Arc::clone(site);
        }
        let site = Arc::new(self.find(frame));
        self.sites.insert(frame, Arc::clone(&site));
        site
    }

    /// All of a stack, the innermost first; a label if it is not known.
    pub(super) fn stack(&mut self, number: u32, frames: &[usize]) -> Vec<Arc<Site>> {
        if number == MORE_STACKS {
            return vec![Arc::new(Site::label("[stacks beyond those told apart]"))];
        }
        frames.iter().map(|frame| self.site(*frame)).collect()
    }

    fn find(&self, frame: usize) -> Site {
        match frame {
            CUT => return Site::label("[older frames]"),
            LOST => return Site::label("[frames that were not found]"),
            _ => {}
        }
        let unknown = || Site::label("[unknown]");
        let Some(at) = frame.checked_sub(self.base) else {
            return unknown();
        };
        let after = self
            .functions
            .partition_point(|function| function.start <= at);
        let function = after.checked_sub(1).map(|before| &self.functions[before]);
        let Some(function) = function.filter(|function| at < function.end) else {
            return unknown();
        };
        let after = self.offsets.partition_point(|(code, _)| *code <= at);
        let before = after
            .checked_sub(1)
            .and_then(|before| self.offsets[before].1);
        let name = function.is_named.then_some(&*function.name);
        let offset = before.map(|offset| offset as usize);
        Site {
            function: Arc::clone(&function.name),
            frames: self.code.symbols.frames(function.index, name, offset),
        }
    }
}
