//! The specification of the `threadwork` command, run on the real binary.

mod http;
mod support;

mod running;

mod invoke;

mod limits;

mod endings;

#[cfg(target_os = "linux")]
mod signals;

#[cfg(target_os = "linux")]
mod host_limits;

mod refusals;

mod cargo_runner;

mod demo;

mod serve;

mod bundle;

mod node;
