//! The tests on the runtime for Node and browsers: in one page, or one Node, one process
//! after another.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use threadwork_engine::Module;

use super::client::{Client, Kind};
use super::exchange::{Ended, Exchange, Outcome, Status};
use super::runner::{End, Run, Runner};
use crate::{program, report, serve};

/// How long a browser may take to start and to load the program, on a busy machine.
const START: Duration = Duration::from_secs(120);

pub(crate) struct WebHost {
    kind: Kind,
    client: RefCell<Client>,
    exchange: Arc<Exchange>,
    /// Whether it once did not answer: then it never will.
    lost: Cell<bool>,
}

impl WebHost {
    pub(super) fn start(kind: Kind, program: &Path) -> anyhow::Result<Self> {
        let program = Module::rewrite(&program::read(program)?)
            .map_err(|error| report::explain("cannot run the tests", error))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = format!("http://{}/", listener.local_addr()?);
        let exchange = Arc::new(Exchange::new(program));
        serve::start(listener, Arc::clone(&exchange)).context("cannot start a server")?;
        let mut client = Client::start(kind, &address)?;
        exchange
            .wait_until_ready(START, || client.check())
            .map_err(|error| anyhow!("cannot run the tests in {}: {error}", kind.name()))?;
        Ok(Self {
            kind,
            client: RefCell::new(client),
            exchange,
            lost: Cell::new(false),
        })
    }
}

impl Runner for WebHost {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn is_webassembly(&self) -> bool {
        true
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<Run> {
        if self.lost.get() {
            bail!("{} does not answer any more", self.name());
        }
        let check = || self.client.borrow_mut().check();
        let outcome = self.exchange.run(args, check);
        self.lost.set(outcome.is_err());
        match outcome? {
            Outcome::Ended(ended) => Ok(run_of(ended)),
            Outcome::Failed(error) => bail!(error),
        }
    }
}

fn run_of(ended: Ended) -> Run {
    let end = match ended.status {
        Status::Exited { code } => End::Exited(code),
        Status::Trapped => End::Trapped(ended.text),
        Status::Deadlock => End::Deadlock(ended.text),
        Status::Limit { limit } if limit == "wallTime" => End::TimedOut,
        Status::Limit { .. } | Status::Killed => End::Ended(ended.text),
    };
    Run {
        end,
        stdout: ended.stdout,
        stderr: ended.stderr,
    }
}
