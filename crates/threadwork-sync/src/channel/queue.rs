//! The queue under an unbounded channel: a lock around the messages, and a condition variable for
//! those that wait for one.
//!
//! # Protocol
//!
//! *To send*, a thread pushes its message under the lock, and notifies one once it has
//! unlocked. *To receive*, a thread pops one under the lock; if there is none it starts to wait
//! for the condition variable before it unlocks, and looks again when that wait is over. *To
//! close* is a flag under the lock, and a notify for all.
//!
//! So that no wake-up is lost is the claim of the condition variable: who found the queue empty
//! has started to wait before the lock was free for the next message. Each message notifies one,
//! whoever was notified before, and one that gives up passes its notify on; so each message that
//! nobody has taken has somebody who was woken for it, or nobody waits.
//!
//! Nothing foreign runs under the lock: a message is moved, and dropped by whoever has it then.

use alloc::collections::VecDeque;

use super::error::{RecvError, TryRecvError};
use crate::condvar::{Condvar, CondvarWaiter};
use crate::mutex::Mutex;
use crate::system::System;
use crate::waiter::{Resumed, Step, Waiter};

pub(super) struct Queue<T> {
    inside: Mutex<Inside<T>>,
    arrived: Condvar,
}

struct Inside<T> {
    messages: VecDeque<T>,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Queue {
            inside: Mutex::new(Inside {
                messages: VecDeque::new(),
                is_closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Gives the message back if the queue is closed.
    pub(super) fn push(&self, message: T) -> Result<(), T> {
        let mut inside = self.inside.lock();
        if inside.is_closed {
            drop(inside);
            return Err(message);
        }
        inside.messages.push_back(message);
        drop(inside);
        self.arrived.notify_one();
        Ok(())
    }

    pub(super) fn pop(&self) -> Result<T, TryRecvError> {
        self.pop_or(|| TryRecvError::Empty)
            .map_err(|absent| absent.unwrap_or(TryRecvError::Disconnected))
    }

    /// If there is no message, but one may come, what `wait` returns, which is called before
    /// one can.
    fn pop_or<W>(&self, wait: impl FnOnce() -> W) -> Result<T, Option<W>> {
        let mut inside = self.inside.lock();
        let message = inside.messages.pop_front();
        message.ok_or_else(|| (!inside.is_closed).then(wait))
    }

    /// Whether it was open.
    pub(super) fn close(&self) -> bool {
        let was_open = !core::mem::replace(&mut self.inside.lock().is_closed, true);
        self.arrived.notify_all();
        was_open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inside.lock().is_closed
    }

    pub(super) fn len(&self) -> usize {
        self.inside.lock().messages.len()
    }

    /// The wait for a message; an error if none will come.
    pub(super) fn popping(&self) -> Popping<'_, T> {
        Popping {
            queue: self,
            wait: None,
        }
    }
}

/// Who waits for a message.
pub(super) struct Popping<'a, T> {
    queue: &'a Queue<T>,
    /// Started while the queue was empty.
    wait: Option<CondvarWaiter<'a, System>>,
}

impl<'a, T> Waiter<'a> for Popping<'a, T> {
    type Output = Result<T, RecvError>;

    fn step(&mut self, mut resumed: Resumed) -> Step<'a, Self::Output> {
        loop {
            if let Some(wait) = &mut self.wait {
                match wait.step(resumed) {
                    Step::Done(()) => self.wait = None,
                    Step::Watch(word, expected, patience) => {
                        return Step::Watch(word, expected, patience);
                    }
                    Step::Sleep(word, expected) => return Step::Sleep(word, expected),
                }
            }
            let queue = self.queue;
            match queue.pop_or(|| queue.arrived.waiter(&System)) {
                Ok(message) => return Step::Done(Ok(message)),
                Err(None) => return Step::Done(Err(RecvError)),
                Err(wait) => self.wait = wait,
            }
            resumed = Resumed::Started;
        }
    }

    fn cancel(&mut self, woken: bool) -> Option<Self::Output> {
        // What it was notified of is still in the queue, and the notify goes to the next.
        let _unused = self.wait.as_mut()?.cancel(woken);
        None
    }
}
