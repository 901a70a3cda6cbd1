//! `threadwork selftest`: the acceptance tests, on the user's own machine.
//!
//! The tests are one guest program, `guests/acceptance`, which knows of no host. It is
//! built for this machine and for WebAssembly, and each test runs as a process of its
//! own on each host: so a test that crashes, hangs or blocks for ever is one cross in
//! the table. How a process ends only its host can see; [`endings`] has what is
//! demanded of that. The tests of the host interface run in this process ([`api`]); Node
//! and browsers get theirs from a site on this machine ([`web_host`]).

mod api;
mod client;
mod endings;
mod engine_host;
mod exchange;
mod host;
mod list;
mod native_host;
mod runner;
mod table;
mod verdict;
mod web_host;

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use crate::progress::{self, Progress};
use crate::workshop::Workshop;
use crate::{engine, exit_codes};
use api::{Api, LIBRARY};
use client::Kind;
use engine_host::EngineHost;
use host::{Guest, Host};
use list::Test;
use native_host::NativeHost;
use runner::GUEST;
use table::Table;
use web_host::WebHost;

/// The command line of `threadwork selftest`.
#[derive(Args)]
pub(crate) struct SelftestArgs {
    /// Where to run the tests; may be given several times [default: native, engine, api]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<HostName>,
    /// Only tests with this in their name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
}

/// Where tests can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HostName {
    /// As a program for this machine
    Native,
    /// As WebAssembly on the engine
    Engine,
    /// In the host program that drives a module's memory and workers
    Api,
    /// Under Node, by the runtime of web pages
    Node,
    /// In Chromium, without a window
    Chromium,
    /// In Firefox, without a window
    Firefox,
    /// In GTK's WebKit, on a display of its own (Debian: webkit2gtk-driver, xvfb)
    Webkit,
    /// Under Deno
    Deno,
    /// Under Bun
    Bun,
}

/// Those that need nothing but this program.
const USUAL: [HostName; 3] = [HostName::Native, HostName::Engine, HostName::Api];

/// Runs the tests and returns the code to exit with. With `verbose`, each has its time.
pub(crate) fn selftest(args: &SelftestArgs, verbose: bool) -> anyhow::Result<i32> {
    progress::colour_terminals_only();
    // Before anything is built.
    let kinds = args.chosen().iter().filter_map(|name| name.client());
    kinds.map(Kind::find).collect::<anyhow::Result<Vec<_>>>()?;
    let workshop = Workshop::open()?;
    build(&workshop)?;
    let hosts = args
        .chosen()
        .iter()
        .map(|name| name.open(&workshop))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let tests = list::read(&NativeHost::new(workshop.native(GUEST)), &args.filter)?;
    let table = run(tests, &hosts, verbose);
    write!(io::stdout(), "{}", table.render())?;
    Ok(if table.passed() {
        0
    } else {
        exit_codes::TEST_FAILED
    })
}

fn build(workshop: &Workshop) -> anyhow::Result<()> {
    let progress = Progress::without_end("looking for the toolchain");
    workshop.ensure_wasm_target(|target| {
        progress.milestone(&format!("adding the target {target} with rustup"));
    })?;
    progress.milestone("building the tests, for WebAssembly and natively");
    workshop.build([GUEST, LIBRARY], |status| progress.detail(status))
}

fn run(tests: Vec<Test>, hosts: &[Box<dyn Host>], verbose: bool) -> Table {
    let progress = Progress::with_steps(tests.len() * hosts.len());
    progress.milestone("running the tests");
    let names = hosts.iter().map(|host| host.name());
    let mut table = Table::new(names, verbose);
    for test in tests {
        let verdicts = hosts.iter().map(|host| {
            progress.detail(&format!("{} on {}", test.name, host.name()));
            let verdict = host.try_out(&test);
            progress.step();
            verdict
        });
        let verdicts = verdicts.collect();
        table.add(test, verdicts);
    }
    table
}

impl SelftestArgs {
    fn chosen(&self) -> &[HostName] {
        match self.hosts.as_slice() {
            [] => &USUAL,
            chosen => chosen,
        }
    }
}

impl HostName {
    /// What has to be on this machine for it, if anything.
    fn client(self) -> Option<Kind> {
        match self {
            Self::Native | Self::Engine | Self::Api => None,
            Self::Node => Some(Kind::Node),
            Self::Chromium => Some(Kind::Chromium),
            Self::Firefox => Some(Kind::Firefox),
            Self::Webkit => Some(Kind::Webkit),
            Self::Deno => Some(Kind::Deno),
            Self::Bun => Some(Kind::Bun),
        }
    }

    fn open(self, workshop: &Workshop) -> anyhow::Result<Box<dyn Host>> {
        let web = |kind| WebHost::start(kind, &workshop.wasm(GUEST));
        Ok(match self {
            Self::Native => Box::new(Guest::new(NativeHost::new(workshop.native(GUEST)))),
            Self::Engine => {
                let engine = engine::build(true)?;
                let host = EngineHost::new(&engine, &workshop.wasm(GUEST))?;
                Box::new(Guest::new(host))
            }
            Self::Api => Box::new(Api::new(&engine::build(true)?, &workshop.wasm(LIBRARY))?),
            Self::Node => Box::new(Guest::new(web(Kind::Node)?)),
            Self::Chromium => Box::new(Guest::new(web(Kind::Chromium)?)),
            Self::Firefox => Box::new(Guest::new(web(Kind::Firefox)?)),
            Self::Webkit => Box::new(Guest::new(web(Kind::Webkit)?)),
            Self::Deno => Box::new(Guest::new(web(Kind::Deno)?)),
            Self::Bun => Box::new(Guest::new(web(Kind::Bun)?)),
        })
    }
}
