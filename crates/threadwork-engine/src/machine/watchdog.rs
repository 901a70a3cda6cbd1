//! One thread of the engine that looks after limits of wall-clock and CPU time, and after
//! threads that have not stopped at the first signal.
//!
//! It is started before the first process and ends with the engine.

use super::os_thread;
use crate::lock::lock;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Instant;

/// Bytes of stack of its thread, which ends processes.
const STACK: usize = 256 << 10;

/// Whom the watchdog visits: a process.
pub(crate) trait Visited: Send + Sync {
    /// The number of the process, unique in this host program.
    fn id(&self) -> u64;

    /// It is the time that was asked for, or earlier; returns the time of the next visit.
    fn visit(self: Arc<Self>, now: Instant) -> Option<Instant>;
}

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
    visits: BTreeMap<(Instant, u64), Weak<dyn Visited>>,
    /// The next visit of each process that has one.
    times: HashMap<u64, Instant>,
    /// The process that is being visited, unless it has ended meanwhile.
    visited: Option<u64>,
    running: bool,
    closed: bool,
}

impl Watchdog {
    /// Starts the thread, unless it runs already.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut agenda = lock(&self.shared.agenda);
        if !agenda.running {
            let shared = Arc::clone(&self.shared);
            os_thread::spawn("threadwork-dog", STACK, move || shared.watch())?;
            agenda.running = true;
        }
        Ok(())
    }

    /// Calls [`Visited::visit`] at `time`, if not earlier, and again whenever that asks
    /// for it.
    pub(crate) fn schedule<P: Visited + 'static>(&self, process: &Arc<P>, time: Instant) {
        let visited: Weak<P> = Arc::downgrade(process);
        lock(&self.shared.agenda).add(time, process.id(), visited);
        self.shared.changed.notify_one();
    }

    /// The process has ended. Without this, what it was would be kept until the time
    /// of its limit, which may be hours away.
    pub(crate) fn forget(&self, process: u64) {
        let mut agenda = lock(&self.shared.agenda);
        agenda.visited.take_if(|visited| *visited == process);
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
    /// Adds a visit, unless there is an earlier one.
    fn add(&mut self, time: Instant, id: u64, process: Weak<dyn Visited>) {
        match self.times.get(&id) {
            Some(planned) if *planned <= time => return,
            Some(planned) => drop(self.visits.remove(&(*planned, id))),
            None => {}
        }
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
                    if let Some(((_, id), _)) = due {
                        agenda.times.remove(&id);
                        agenda.visited = Some(id);
                    }
                    drop(agenda);
                    let next = due.map(|((_, id), process)| {
                        let time = process.upgrade().and_then(|process| process.visit(now));
                        (id, process, time)
                    });
                    agenda = lock(&self.agenda);
                    // Again, unless it has ended meanwhile.
                    if agenda.visited.take().is_some()
                        && let Some((id, process, Some(time))) = next
                    {
                        agenda.add(time, id, process);
                    }
                    agenda
                }
            };
        }
    }
}
