//! One thread of the engine that looks after limits of wall-clock and CPU time.
//!
//! It is started when the first process needs it and ends with the engine.

use crate::process::State;
use crate::worker::lock;
use std::collections::{BTreeMap, HashMap};
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
    /// By time, then by the id of the process.
    visits: BTreeMap<(Instant, u64), Weak<State>>,
    /// The next visit of each process that has one; the last one while it goes on.
    times: HashMap<u64, Instant>,
    running: bool,
    closed: bool,
}

impl Watchdog {
    /// Calls [`State::visit`] at `time`, and again whenever that asks for it. Once for
    /// a process.
    pub(crate) fn schedule(&self, process: &Arc<State>, time: Instant) {
        let mut agenda = lock(&self.shared.agenda);
        agenda.add(time, process.id(), Arc::downgrade(process));
        if !agenda.running && !agenda.closed {
            let shared = Arc::clone(&self.shared);
            let watchdog = thread::Builder::new().name("threadwork-watchdog".to_owned());
            // If the system has no thread left, the next process tries again.
            agenda.running = watchdog.spawn(move || shared.watch()).is_ok();
        }
        drop(agenda);
        self.shared.changed.notify_one();
    }

    /// The process has ended. Without this, what it was would be kept until the time
    /// of its limit, which may be hours away.
    pub(crate) fn forget(&self, process: u64) {
        let mut agenda = lock(&self.shared.agenda);
        if let Some(time) = agenda.times.remove(&process) {
            // Never the last reference to a process: it is not dropped under the lock.
            agenda.visits.remove(&(time, process));
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        lock(&self.shared.agenda).closed = true;
        self.shared.changed.notify_one();
    }
}

impl Agenda {
    fn add(&mut self, time: Instant, id: u64, process: Weak<State>) {
        self.visits.insert((time, id), process);
        self.times.insert(id, time);
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
                    let next = due.map(|((_, id), process)| {
                        let time = process.upgrade().and_then(|process| process.visit(now));
                        (id, process, time)
                    });
                    agenda = lock(&self.agenda);
                    // Again, unless it has ended meanwhile.
                    if let Some((id, process, time)) = next
                        && agenda.times.remove(&id).is_some()
                        && let Some(time) = time
                    {
                        agenda.add(time, id, process);
                    }
                    agenda
                }
            };
        }
    }
}
