//! One thread of the engine that looks after time: limits of wall-clock and CPU
//! time, and processes that are about to end.
//!
//! It is started when the first process needs it and ends with the engine.
//!
//! Why ending processes need it: a thread that computes is stopped by a new epoch,
//! and Wasmtime sets a thread's next deadline after it has asked our callback
//! whether to go on. A process that ends between the two would go unnoticed by that
//! thread, so the epoch is raised again until all threads are gone.

use crate::process::State;
use crate::worker::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Instant;

/// Wakes processes at the times they ask for.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    wasmtime: wasmtime::Engine,
}

#[derive(Default)]
struct Shared {
    agenda: Mutex<Agenda>,
    changed: Condvar,
}

#[derive(Default)]
struct Agenda {
    /// By time, then by a number that makes the key unique.
    visits: BTreeMap<(Instant, u64), Weak<State>>,
    next_number: u64,
    running: bool,
    closed: bool,
}

impl Watchdog {
    pub(crate) fn new(wasmtime: wasmtime::Engine) -> Self {
        Self { shared: Arc::default(), wasmtime }
    }

    /// Stops all computing threads for a look at whether their process ends.
    pub(crate) fn interrupt(&self) {
        self.wasmtime.increment_epoch();
    }

    /// Calls [`State::visit`] at `time`, and again whenever that asks for it.
    pub(crate) fn schedule(&self, process: &Arc<State>, time: Instant) {
        let mut agenda = lock(&self.shared.agenda);
        agenda.add(time, Arc::downgrade(process));
        if !agenda.running && !agenda.closed {
            let shared = Arc::clone(&self.shared);
            let watchdog = thread::Builder::new().name("threadwork-watchdog".to_owned());
            // Without a thread there is no memory for one either; the next process
            // tries again, and kills still work as far as they need no second look.
            agenda.running = watchdog.spawn(move || shared.watch()).is_ok();
        }
        drop(agenda);
        self.shared.changed.notify_one();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        lock(&self.shared.agenda).closed = true;
        self.shared.changed.notify_one();
    }
}

impl Agenda {
    fn add(&mut self, time: Instant, process: Weak<State>) {
        self.visits.insert((time, self.next_number), process);
        self.next_number += 1;
    }
}

impl Shared {
    fn watch(&self) {
        let mut agenda = lock(&self.agenda);
        while !agenda.closed {
            let now = Instant::now();
            let next = agenda.visits.first_key_value().map(|(&(time, _), _)| time);
            agenda = match next {
                None => self
                    .changed
                    .wait(agenda)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(time) if time > now => {
                    let wait = self.changed.wait_timeout(agenda, time - now);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    let due = agenda.visits.pop_first();
                    drop(agenda);
                    let again = due.and_then(|(_, process)| {
                        let time = process.upgrade()?.visit(now)?;
                        Some((time, process))
                    });
                    agenda = lock(&self.agenda);
                    if let Some((time, process)) = again {
                        agenda.add(time, process);
                    }
                    agenda
                }
            };
        }
    }
}
