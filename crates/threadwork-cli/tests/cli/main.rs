//! The specification of the `threadwork` command, run on the real binary.

#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "the other tests use the rest")]
mod guests;
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

#[cfg(target_os = "linux")]
mod listen;

#[cfg(target_os = "linux")]
mod both_hosts;

mod command_line;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod profile;

mod refusals;

mod compile;

mod cc;

mod explore;

mod image;

mod cargo_runner;

mod race;

mod demo;

mod serve;

mod bundle;

mod node;
