//! One thread of the engine that looks after limits of wall-clock and CPU time.
//!
//! It is started when the first process needs it and ends with the engine.

use crate::process::State;
use crate::worker::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Instant;

/// Wakes processes at the times they ask for.
#[derive(Default)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
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
    /// Calls [`State::visit`] at `time`, and again whenever that asks for it.
    pub(crate) fn schedule(&self, process: &Arc<State>, time: Instant) {
        let mut agenda = lock(&self.shared.agenda);
        agenda.add(time, Arc::downgrade(process));
        if !agenda.running && !agenda.closed {
            let shared = Arc::clone(&self.shared);
            let watchdog = thread::Builder::new().name("threadwork-watchdog".to_owned());
            // If the system has no thread left, the next process tries again.
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
