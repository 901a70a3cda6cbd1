//! What happened in an execution that is to be shown: kept only for those.
//!
//! Invariant: events are in the order in which things happened. All but the last [`MOST`] are
//! forgotten.

use wasmtime::WasmBacktrace;

use crate::choices::{Choice, Tid};
use crate::operation::Operation;

/// Events that are kept.
const MOST: usize = 20_000;

/// Something that happened.
pub(crate) enum Event {
    /// A thread came to a point. What it does there happens when it is resumed.
    Point {
        thread: Tid,
        operation: Operation,
        stack: WasmBacktrace,
    },
    /// A thread does what it had come to; `value` is what is in memory there.
    Resumed { thread: Tid, value: u64 },
    /// A choice that was a preemption.
    Preemption { thread: Tid, choice: Choice },
}

/// The events.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) events: std::collections::VecDeque<Event>,
}

impl Trace {
    fn push(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > MOST {
            self.events.pop_front();
        }
    }

    pub(crate) fn point(&mut self, thread: Tid, operation: Operation, stack: WasmBacktrace) {
        self.push(Event::Point {
            thread,
            operation,
            stack,
        });
    }

    pub(crate) fn resumed(&mut self, thread: Tid, value: u64) {
        self.push(Event::Resumed { thread, value });
    }

    pub(crate) fn preempted(&mut self, thread: Tid, choice: Choice) {
        self.push(Event::Preemption { thread, choice });
    }
}
