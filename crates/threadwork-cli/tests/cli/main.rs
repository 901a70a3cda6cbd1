//! The specification of the `threadwork` command, run on the real binary.

mod support;

mod running;

mod limits;

mod endings;

mod refusals;

mod cargo_runner;

mod demo;
