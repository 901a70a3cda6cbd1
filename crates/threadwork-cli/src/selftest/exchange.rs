//! Between the tests and a script that runs them elsewhere: a site on this machine, from
//! which the script loads itself, the runtime and the program, asks for orders, and to
//! which it sends reports.
//!
//! One order at a time: its report has the same number, so that a report which comes after
//! everybody has lost patience is not taken for the next.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::runner::{GUEST, PATIENCE};
use crate::serve::{Answer, Answers, Method, Request, answer};
use crate::site::{self, Missing, Page};

/// What loads the script in a browser.
const PAGE: &str = include_str!("web/page.html");
/// The script, here and under Node.
pub(super) const SCRIPT: (&str, &str) = ("selftest.mjs", include_str!("web/selftest.mjs"));

/// How long a question for an order stays open: less than any client waits.
const POLL: Duration = Duration::from_secs(5);
/// How often to look whether the client still lives.
const LOOK: Duration = Duration::from_millis(200);
/// How much longer than a test a report may take.
const MARGIN: Duration = Duration::from_secs(30);

/// What the script is to run.
#[derive(Serialize)]
struct Order {
    number: u64,
    name: &'static str,
    args: Vec<String>,
    /// Milliseconds.
    patience: u64,
}

/// What came of an order; number 0 is of none.
#[derive(Deserialize)]
struct Report {
    number: u64,
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// The program ran to its end.
    Ended(Ended),
    /// It could not be run.
    Failed(String),
}

#[derive(Deserialize)]
pub(super) struct Ended {
    pub(super) status: Status,
    /// The status in words.
    pub(super) text: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A status as the web runtime has it.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum Status {
    Exited { code: i32 },
    Trapped,
    Deadlock,
    Limit { limit: String },
    Killed,
}

/// The site.
pub(super) struct Exchange {
    program: Vec<u8>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether the script has asked for its first order.
    ready: bool,
    /// Of the newest order.
    number: u64,
    order: Option<Order>,
    report: Option<Outcome>,
}

impl Exchange {
    pub(super) fn new(program: Vec<u8>) -> Self {
        Self {
            program,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until the script is there; `check` fails when it can never be.
    pub(super) fn wait_until_ready(
        &self,
        patience: Duration,
        check: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let outcome = self.wait(patience, check, |state| match state.report.take() {
            Some(Outcome::Failed(error)) => Some(Err(anyhow::anyhow!(error))),
            _ => state.ready.then_some(Ok(())),
        });
        outcome?
    }

    /// Has the program run once.
    pub(super) fn run(
        &self,
        args: &[&str],
        check: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let mut state = self.lock();
        state.number += 1;
        state.report = None;
        state.order = Some(Order {
            number: state.number,
            name: GUEST,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            patience: PATIENCE.as_secs() * 1000,
        });
        drop(state);
        self.changed.notify_all();
        self.wait(PATIENCE + MARGIN, check, |state| state.report.take())
    }

    fn wait<T>(
        &self,
        patience: Duration,
        mut check: impl FnMut() -> anyhow::Result<()>,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            check()?;
            if Instant::now() > deadline {
                bail!("it has not answered for {patience:?}");
            }
            let woken = self.changed.wait_timeout(state, LOOK);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next order as JSON, or `null` if there is none for a while.
    fn next_order(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.ready = true;
        self.changed.notify_all();
        let is_idle = |state: &mut State| state.order.is_none();
        let woken = self.changed.wait_timeout_while(state, POLL, is_idle);
        let mut state = woken.unwrap_or_else(PoisonError::into_inner).0;
        serde_json::to_vec(&state.order.take()).unwrap_or_default()
    }

    /// Takes a report, unless nobody waits for it any more.
    fn take(&self, body: &[u8]) -> Result<(), serde_json::Error> {
        let Report { number, outcome } = serde_json::from_slice(body)?;
        let mut state = self.lock();
        if number == state.number {
            state.report = Some(outcome);
            self.changed.notify_all();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &str) -> Result<Page, Missing> {
        let page = |kind, bytes: Vec<u8>| Page {
            kind,
            bytes: bytes.into(),
        };
        Ok(match path {
            "" => page("text/html; charset=utf-8", PAGE.into()),
            "program.wasm" => page("application/wasm", self.program.clone()),
            "order" => page("application/json", self.next_order()),
            path if path == SCRIPT.0 => page("text/javascript; charset=utf-8", SCRIPT.1.into()),
            path => site::runtime_page(path).ok_or(Missing::Unknown)?,
        })
    }
}

impl Answers for Exchange {
    /// The output of a test is short; that of a broken one need not fit.
    const LONGEST_BODY: usize = 64 << 20;

    fn answer(&self, request: &Request, body: &[u8]) -> Answer {
        let path = match answer::path(request) {
            Ok(path) => path,
            Err(refusal) => return refusal,
        };
        match request.method {
            Method::Get => answer::whole(self.get(&path), request.keep_alive),
            Method::Post if path == "report" => {
                let taken = self.take(body);
                let page = taken.map(|()| Page {
                    kind: "application/json",
                    bytes: b"null".as_slice().into(),
                });
                let page = page.map_err(|error| Missing::Broken(error.to_string()));
                answer::whole(page, request.keep_alive)
            }
            _ => answer::whole(Err(Missing::Unknown), request.keep_alive),
        }
    }
}
