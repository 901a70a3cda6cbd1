//! How large a module may be.
//!
//! Invariant: a module that is within the limits before the rewrite is refused if
//! it is not within them after it, rather than handed on for the engine to refuse
//! with a message about things that its author never wrote.
//!
//! The numbers are those that all engines agreed on:
//! <https://webassembly.github.io/spec/js-api/#limits>.

use crate::RewriteError;

/// Bytes that a module may have, before and after the rewrite: what all engines agreed on.
pub const MAX_MODULE_SIZE: usize = 1 << 30;
/// Bytes in the body of a function.
pub(crate) const MAX_FUNCTION_SIZE: usize = 7_654_321;
/// Imports and exports together, less the room that the parameters and results of
/// functions among them take: this limit is wasmparser's, and so also Wasmtime's.
pub(crate) const MAX_INTERFACE_SIZE: usize = 999_999;
/// Types, functions, globals: each.
pub(crate) const MAX_ITEMS: usize = 1_000_000;
/// Data segments, and element segments: each.
pub(crate) const MAX_SEGMENTS: usize = 100_000;

/// Memories.
pub(crate) const MAX_MEMORIES: usize = 100;

/// Refuses a module with more than `limit` of `what`.
pub(crate) fn check(what: &'static str, count: usize, limit: usize) -> Result<(), RewriteError> {
    if count <= limit {
        return Ok(());
    }
    Err(RewriteError::TooLarge {
        what,
        count: count as u64,
        limit: limit as u64,
    })
}

/// What a function among the imports or exports counts for.
pub(crate) fn function_size(params: usize, results: usize) -> usize {
    2 + params + results
}
