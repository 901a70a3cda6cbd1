//! Jobs that nobody waits for.

use std::sync::Arc;

use threadwork::bare;

use crate::registry::Registry;
use crate::task::{self, Task};
use crate::worker::Worker;

/// Has a thread of the current pool, or the global one, call it some time. A thread begins with
/// the newest of what it has spawned.
///
/// # Panics
///
/// Never. A panic of `func` goes to the pool's panic handler; without one, the program ends.
///
/// # Example
///
/// ```
/// let (sender, receiver) = std::sync::mpsc::channel();
/// rayon_core::spawn(move || sender.send(42).unwrap());
/// assert_eq!(receiver.recv(), Ok(42));
/// ```
pub fn spawn<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    spawn_in(&Registry::current(), func);
}

/// [`spawn`], of which a thread begins with the oldest.
///
/// # Panics
///
/// As [`spawn`].
pub fn spawn_fifo<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    spawn_fifo_in(&Registry::current(), func);
}

pub(crate) fn spawn_in(registry: &Arc<Registry>, func: impl FnOnce() + Send + 'static) {
    let job = work(registry, func);
    if own_index(registry).is_some() {
        // SAFETY: it borrows nothing.
        unsafe { bare::spawn(job) };
    } else {
        registry.inject(Box::new(job));
    }
}

pub(crate) fn spawn_fifo_in(registry: &Arc<Registry>, func: impl FnOnce() + Send + 'static) {
    let job = detached(registry, func);
    let Some(index) = own_index(registry) else {
        registry.inject(job);
        return;
    };
    registry.spawned_fifo(index).push(job);
    let registry = registry.clone();
    // Whoever runs this takes the oldest.
    let next = move || {
        if let Some(job) = registry.spawned_fifo(index).pop() {
            job();
        }
    };
    // SAFETY: it borrows nothing.
    unsafe { bare::spawn(next) };
}

/// The index of the calling thread, if it is of that pool.
fn own_index(registry: &Registry) -> Option<usize> {
    Worker::with(|worker| {
        let worker = worker.filter(|worker| worker.registry().is(registry));
        worker.map(Worker::index)
    })
}

/// Holds the pool until it was run.
pub(crate) fn detached(registry: &Arc<Registry>, func: impl FnOnce() + Send + 'static) -> Task {
    Box::new(work(registry, func))
}

fn work(
    registry: &Arc<Registry>,
    func: impl FnOnce() + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    registry.hold();
    let registry = registry.clone();
    move || {
        if let Err(payload) = task::catch(func) {
            registry.handle_panic(payload);
        }
        registry.release();
    }
}
