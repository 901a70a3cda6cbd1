//! A thread of a pool: what it does from beginning to end.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use threadwork::bare::{self, CountLatch, Member};

use crate::registry::{IndexHandler, Registry};
use crate::task::{self, Task};

pub(crate) struct Worker {
    registry: Arc<Registry>,
    index: usize,
    member: Member,
}

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// This thread is no worker any more, also after a panic.
struct Current;

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
    }
}

impl Worker {
    /// Calls `body` with the worker that the thread is, if it is one.
    #[inline]
    pub(crate) fn with<R>(body: impl FnOnce(Option<&Worker>) -> R) -> R {
        // SAFETY: null, or the worker whose `serve` is further down on this stack, or one that
        // is never dropped.
        body(unsafe { CURRENT.get().as_ref() })
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn has_local(&self) -> bool {
        self.member.has_local()
    }

    pub(crate) fn run_local(&self) -> bool {
        self.member.run_local()
    }

    /// Does one thing for the pool; false if there was none.
    pub(crate) fn run_any(&self) -> bool {
        self.run_local() || self.run_own() || self.member.help() || self.run_injected()
    }

    fn run_own(&self) -> bool {
        run(self.registry.take_own(self.index))
    }

    fn run_injected(&self) -> bool {
        run(self.registry.take_injected())
    }

    fn serve(&self) {
        loop {
            self.member.run_spawned();
            if self.run_own() || self.member.help() || self.run_injected() {
                continue;
            }
            if self.registry.is_over() {
                return;
            }
            self.member.idle(&|| self.registry.calls(self.index));
        }
    }

    fn call(&self, handler: Option<&IndexHandler>) {
        if let Some(handler) = handler
            && let Err(payload) = task::catch(|| handler(self.index))
        {
            self.registry.handle_panic(payload);
        }
    }
}

fn run(task: Option<Task>) -> bool {
    let some = task.is_some();
    if let Some(task) = task {
        task();
    }
    some
}

/// What a thread that waits is asked for: see [`bare::Group::new`].
pub(crate) fn elsewhere(urgent: bool) -> bool {
    Worker::with(|worker| {
        worker.is_some_and(|worker| {
            if urgent {
                worker.run_own()
            } else {
                worker.run_injected()
            }
        })
    })
}

fn sit(registry: Arc<Registry>, index: usize) -> Worker {
    let member = registry.group.enter(index);
    Worker {
        member: member.unwrap_or_else(|| unreachable!("there is one thread for each index")),
        registry,
        index,
    }
}

/// The calling thread works for the pool until that is over.
pub(crate) fn work(registry: Arc<Registry>, index: usize) {
    let worker = sit(registry, index);
    CURRENT.set(&raw const worker);
    let _current = Current;
    let handlers = &worker.registry.handlers;
    worker.call(handlers.start.as_ref());
    worker.serve();
    worker.call(handlers.exit.as_ref());
}

/// The calling thread is the first of the pool from now on, and never leaves it.
pub(crate) fn stay(registry: &Arc<Registry>) {
    CURRENT.set(Box::leak(Box::new(sit(registry.clone(), 0))));
}

/// Waits until the latch opens; a thread of a pool works for that meanwhile.
pub(crate) fn wait(latch: &CountLatch) {
    bare::wait(latch);
}
