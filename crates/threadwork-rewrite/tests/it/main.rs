//! The rewriter, seen from outside.
//!
//! | module             | what it shows                                            |
//! |--------------------|----------------------------------------------------------|
//! | [`snapshots`]      | what becomes of a module, for a person to read           |
//! | [`refusals`]       | what is refused, and in which words                      |
//! | [`limits`]         | modules that are filled to the brim                      |
//! | [`offsets`]        | the offset map when indices change their width            |
//! | [`names`]          | `name` sections that are not as they should be           |
//! | [`barriers`]       | slow atomic operators, and nothing else, are replaced    |
//! | [`stopping`]       | polls and pieces, run by an interpreter                  |
//! | [`stack`]          | the end of the stack is seen                             |
//! | [`instrument`]     | hooks are called, and change nothing                     |
//! | [`random_modules`] | what holds of every module: see [`check`]                |
//! | [`damaged_files`]  | no input makes it panic                                  |
//! | [`rustc_module`]   | a program with threads, as rustc makes it                |
//!
//! `THREADWORK_FULL=1` tries many more random cases; `UPDATE_SNAPSHOTS=1` writes
//! the snapshots anew.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod barriers;
mod check;
mod damaged_files;
mod instrument;
mod interpreter;
mod limits;
mod names;
mod numbers;
mod offsets;
mod random_modules;
mod refusals;
mod rustc_module;
mod snapshots;
mod stack;
mod stopping;
